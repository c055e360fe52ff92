//! What a trainer does not promise is not asked of it, by the study or by the contract.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use batchscope_core::{
    Capabilities, Control, Diagnostic, Direction, Event, Metric, Outcome, Trainer, TrainerError,
    TrainerInfo, TrialPurpose, TrialRecord, TrialSpec,
};
use batchscope_study::{
    FakeTrainer, MemoryStore, Plan, StopToken, StudyError, run, trainer_contract,
};

/// Gives another record each time, and forgets what was interrupted.
struct Modest {
    inner: FakeTrainer,
    promises: Capabilities,
    runs: AtomicU64,
}

impl Modest {
    fn promising(promises: Capabilities) -> Self {
        Self {
            inner: FakeTrainer::default(),
            promises,
            runs: AtomicU64::new(0),
        }
    }
}

impl Trainer for Modest {
    fn info(&self) -> TrainerInfo {
        TrainerInfo {
            capabilities: self.promises,
            ..self.inner.info()
        }
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let other = TrialSpec {
            seed: spec.seed + self.runs.fetch_add(1, Ordering::Relaxed),
            ..spec.clone()
        };
        let record = self.inner.run(&other, control, events)?;
        self.inner.forget(&other);
        Ok(TrialRecord {
            spec: spec.clone(),
            ..record
        })
    }
}

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![64, 1024],
        target: "val-error=0.1".parse().unwrap(),
        tune_trials: 3,
        seeds: 2,
        ..Plan::default()
    }
}

fn records(trainer: &dyn Trainer) -> Vec<TrialRecord> {
    let (stop, mut store) = (StopToken::new(), MemoryStore::new());
    run(&plan(), trainer, &mut store, &stop, &[])
        .unwrap()
        .records
}

#[test]
fn the_contract_asks_for_no_more_than_is_promised() {
    let tuned = records(&FakeTrainer::default());
    let reached = |r: &&TrialRecord| {
        matches!(r.spec.purpose, TrialPurpose::Tune { .. })
            && matches!(r.outcome, Outcome::Reached { .. })
    };
    let spec = &tuned.iter().find(reached).unwrap().spec;
    let honest = Capabilities::default();
    trainer_contract(&Modest::promising(honest), spec);
    let trainer = Modest::promising(Capabilities::all());
    let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trainer_contract(&trainer, spec);
    }));
    assert!(kept.is_err(), "it promises what it does not keep");
}

#[test]
fn noise_is_asked_for_only_where_it_is_measured() {
    for measures_noise in [false, true] {
        let promises = Capabilities {
            measures_noise,
            ..Capabilities::default()
        };
        let records = records(&Modest::promising(promises));
        let mut fresh = records
            .iter()
            .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }));
        assert!(fresh.all(|r| r.spec.asks_for(Diagnostic::NOISE) == measures_noise));
    }
}

/// `val-f1=0.5` counted as met at once, since lower was taken to be better.
#[test]
fn a_metric_whose_better_side_nobody_states_is_no_target() {
    let info = TrainerInfo {
        metrics: vec!["val-f1".parse().unwrap()],
        ..FakeTrainer::default().info()
    };
    for target in ["val-f1=0.5", "val-f1>=0.5", "auto:val-f1"] {
        let target = target.parse().unwrap();
        let error = Plan { target, ..plan() }.check_against(&info).unwrap_err();
        assert_eq!(error.key, "target");
        assert!(error.why.contains("declare"), "{error}");
    }
}

#[test]
fn a_target_on_the_worse_side_is_refused() {
    let reward: Metric = "val-reward".parse().unwrap();
    let info = TrainerInfo {
        metrics: vec![reward.clone()],
        own_settings: false,
        directions: BTreeMap::from([(reward, Direction::Higher)]),
        ..FakeTrainer::default().info()
    };
    let check = |target: &str| {
        let target = target.parse().unwrap();
        Plan { target, ..plan() }.check_against(&info)
    };
    check("val-reward>=12").unwrap();
    check("auto:val-reward").unwrap();
    for wrong in ["val-reward=12", "val-reward<=12"] {
        let error = StudyError::from(check(wrong).unwrap_err()).to_string();
        assert!(error.contains("val-reward>=12"), "{error}");
    }
}
