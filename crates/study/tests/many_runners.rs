//! Several runners over one queue give the study that one gives, and each reads only what is new.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use batchscope_core::{Control, Event, Trainer, TrainerError, TrainerInfo, TrialRecord, TrialSpec};
use batchscope_study::{
    Changes, Cursor, FakeTrainer, Header, MemoryStore, Plan, Queue, RateRange, StopToken, Store,
    StoreError, StudyResult, run, without_times,
};

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![32, 128, 512],
        target: "val-error=0.1".parse().unwrap(),
        learning_rates: RateRange {
            low: 0.02,
            high: 3.0,
        },
        tune_trials: 4,
        study_seed: 3,
        jobs: 2,
        ..Plan::default()
    }
}

/// One store that several runners hold; counts the trials that readers are told of.
#[derive(Clone, Default)]
struct Shared {
    store: Arc<Mutex<MemoryStore>>,
    told: Arc<AtomicU64>,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut MemoryStore) -> T) -> T {
        act(&mut self.store.lock().unwrap())
    }
}

impl Store for Shared {
    fn header(&self) -> Result<Option<Header>, StoreError> {
        self.with(|store| store.header())
    }

    fn set_header(&mut self, header: &Header) -> Result<(), StoreError> {
        self.with(|store| store.set_header(header))
    }

    fn add(&mut self, specs: &[TrialSpec]) -> Result<Vec<u64>, StoreError> {
        self.with(|store| store.add(specs))
    }

    fn changes_since(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let changes = self.with(|store| store.changes_since(cursor))?;
        self.told
            .fetch_add(changes.trials.len() as u64, Ordering::SeqCst);
        Ok(changes)
    }

    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.with(|store| store.amend(record))
    }

    fn decisions(&self) -> Result<Vec<String>, StoreError> {
        self.with(|store| store.decisions())
    }

    fn set_decisions(&mut self, decisions: &[String]) -> Result<(), StoreError> {
        self.with(|store| store.set_decisions(decisions))
    }
}

impl Queue for Shared {
    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError> {
        self.with(|store| store.claim(id, worker))
    }

    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError> {
        self.with(|store| store.heartbeat(worker))
    }

    fn finish(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.with(|store| store.finish(record))
    }

    fn release(&mut self, id: u64) -> Result<(), StoreError> {
        self.with(|store| store.release(id))
    }

    fn requeue(&mut self, id: u64) -> Result<(), StoreError> {
        self.with(|store| store.requeue(id))
    }

    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError> {
        self.with(|store| store.recover(silence))
    }
}

/// Counts how often each trial is run.
struct Counting {
    inner: FakeTrainer,
    runs: Mutex<BTreeMap<u64, u32>>,
}

impl Counting {
    fn new() -> Self {
        Self {
            inner: FakeTrainer {
                pace: Duration::from_micros(200),
                ..FakeTrainer::default()
            },
            runs: Mutex::default(),
        }
    }
}

impl Trainer for Counting {
    fn info(&self) -> TrainerInfo {
        self.inner.info()
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        *self.runs.lock().unwrap().entry(spec.id).or_default() += 1;
        self.inner.run(spec, control, events)
    }
}

fn study(trainer: &dyn Trainer, store: &mut dyn Queue) -> StudyResult {
    run(&plan(), trainer, store, &StopToken::new(), &[]).unwrap()
}

fn timeless(result: &StudyResult) -> Vec<TrialRecord> {
    result.records.iter().map(without_times).collect()
}

#[test]
fn two_runners_share_the_work_and_find_what_one_finds() {
    let alone = study(&FakeTrainer::default(), &mut MemoryStore::new());
    let shared = Shared::default();
    let trainers = [Counting::new(), Counting::new()];
    let results: Vec<StudyResult> = std::thread::scope(|scope| {
        let runners: Vec<_> = trainers
            .iter()
            .map(|trainer| {
                let mut store = shared.clone();
                scope.spawn(move || study(trainer, &mut store))
            })
            .collect();
        runners.into_iter().map(|r| r.join().unwrap()).collect()
    });
    for result in results {
        assert_eq!(timeless(&result), timeless(&alone));
        assert_eq!(result.tuning, alone.tuning);
        assert_eq!(result.decisions, alone.decisions);
        assert!(!result.interrupted);
    }
    let runs = trainers.map(|trainer| trainer.runs.into_inner().unwrap());
    assert!(
        runs.iter().all(|runs| !runs.is_empty()),
        "both worked: {runs:?}"
    );
    let mut all: Vec<u64> = runs.iter().flat_map(BTreeMap::keys).copied().collect();
    all.sort_unstable();
    let numbers: Vec<u64> = (0..alone.records.len() as u64).collect();
    assert_eq!(all, numbers, "every trial ran on one of them");
    assert!(runs.iter().flat_map(BTreeMap::values).all(|&n| n == 1));
}

#[test]
fn a_runner_is_told_of_each_change_once() {
    let mut shared = Shared::default();
    let result = study(&FakeTrainer::default(), &mut shared);
    // Each trial as it was added, finished, and perhaps cut at its exact bound.
    let (told, trials) = (
        shared.told.load(Ordering::SeqCst),
        result.records.len() as u64,
    );
    assert!(
        (2 * trials..=3 * trials).contains(&told),
        "told of {told} trials of {trials}"
    );
}
