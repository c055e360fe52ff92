//! What a study costs around its trials: planning, events, and the store on disk, for each trial of
//! a study whose training takes no time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use batchscope_core::{Control, Event, Trainer, TrainerError, TrainerInfo, TrialRecord, TrialSpec};
use batchscope_study::{FakeTrainer, Plan, SqliteStore, StopToken, run};
use criterion::Criterion;

/// Adds the group.
pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bookkeeping");
    group.bench_function("trial", |bencher| {
        bencher.iter_custom(|trials| {
            let (mut done, mut spent) = (0, Duration::ZERO);
            while done < trials {
                let (more, time) = study();
                (done, spent) = (done + more, spent + time);
            }
            spent.mul_f64(trials as f64 / done as f64)
        });
    });
    group.finish();
}

/// Runs a whole study; returns how many trials it made and the time that was not the trainer's.
fn study() -> (u64, Duration) {
    let plan = Plan {
        batch_sizes: vec![16, 64, 256, 1024],
        target: "val-error=0.1".parse().expect("a target"),
        ..Plan::default()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trainer = Timed::default();
    let start = Instant::now();
    let mut store = SqliteStore::open(folder.path().join("study.db")).expect("a new store");
    run(&plan, &trainer, &mut store, &StopToken::new(), &[]).expect("a study of the fake");
    let trainers = Duration::from_nanos(trainer.nanoseconds.load(Relaxed));
    let trials = trainer.trials.load(Relaxed);
    (trials, start.elapsed().saturating_sub(trainers))
}

/// The fake trainer, with a clock that stops while events are received.
#[derive(Default)]
struct Timed {
    fake: FakeTrainer,
    nanoseconds: AtomicU64,
    trials: AtomicU64,
}

impl Trainer for Timed {
    fn info(&self) -> TrainerInfo {
        self.fake.info()
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let (start, mut receiving) = (Instant::now(), Duration::ZERO);
        let record = self.fake.run(spec, control, &mut |event| {
            let received = Instant::now();
            events(event);
            receiving += received.elapsed();
        });
        let own = start.elapsed().saturating_sub(receiving);
        self.nanoseconds.fetch_add(own.as_nanos() as u64, Relaxed);
        self.trials.fetch_add(1, Relaxed);
        record
    }

    fn forget(&self, spec: &TrialSpec) {
        self.fake.forget(spec);
    }
}
