//! Momentum tuned beside the learning rate, at an equal budget.

use batchscope_core::{Choice, TrialPurpose, TrialRecord};
use batchscope_study::{
    FakeTrainer, MemoryStore, Plan, StopToken, StudyError, StudyResult, Tune, run,
};

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![16, 64, 256, 1024],
        target: "val-error=0.1".parse().unwrap(),
        tune_trials: 6,
        max_widenings: 0,
        study_seed: 11,
        ..Plan::default()
    }
}

fn tuned(plan: Plan) -> Plan {
    Plan {
        tune_momentum: Some("0.5..0.99".parse().unwrap()),
        ..plan
    }
}

fn study(plan: &Plan) -> StudyResult {
    let store = &mut MemoryStore::new();
    run(plan, &FakeTrainer::default(), store, &StopToken::new(), &[]).unwrap()
}

fn trials(study: &StudyResult, fresh: bool) -> Vec<&TrialRecord> {
    let wanted = |r: &&TrialRecord| match r.spec.purpose {
        TrialPurpose::Fresh { .. } => fresh,
        TrialPurpose::Tune { .. } => !fresh,
        _ => false,
    };
    study.records.iter().filter(wanted).collect()
}

fn momentum(record: &TrialRecord) -> f64 {
    record.spec.optimizer.number("momentum").unwrap()
}

/// As many trials as without, at the same lengths of steps: the rate times `1/(1 − m)`.
#[test]
fn momenta_are_tried_at_the_same_lengths_of_steps() {
    let (without, with) = (study(&plan()), study(&tuned(plan())));
    let (a, b) = (trials(&without, false), trials(&with, false));
    assert_eq!(a.len(), b.len());
    let length = |r: &&TrialRecord| r.spec.learning_rate / (1.0 - momentum(r));
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.spec.batch_size, b.spec.batch_size);
        assert_eq!(momentum(a), 0.9);
        assert!((length(a) / length(b) - 1.0).abs() < 1e-12);
    }
    let momenta: Vec<f64> = b.iter().map(|r| momentum(r)).collect();
    assert!(
        momenta.iter().all(|m| (0.5..=0.99).contains(m)),
        "{momenta:?}"
    );
    assert!(momenta.iter().any(|m| *m < 0.7) && momenta.iter().any(|m| *m > 0.95));
}

/// Fresh trials run at a rate and a momentum that were tried together.
#[test]
fn the_best_trial_s_rate_and_momentum_are_chosen_together() {
    let study = study(&tuned(plan()));
    let best = |batch_size: u64| {
        let tried = trials(&study, false).into_iter();
        let reached = tried.filter(|r| r.spec.batch_size == batch_size && r.steps().is_some());
        let best = reached.min_by_key(|r| r.steps()).unwrap();
        (best.spec.learning_rate, momentum(best))
    };
    for fresh in trials(&study, true) {
        let setting = (fresh.spec.learning_rate, momentum(fresh));
        assert_eq!(setting, best(fresh.spec.batch_size));
    }
    for summary in &study.tuning {
        let (rate, momentum) = best(summary.batch_size);
        assert_eq!(
            (summary.chosen, summary.momentum),
            (Some(rate), Some(momentum))
        );
    }
    let conditions = study.summary.unwrap().conditions.unwrap();
    assert_eq!(conditions.tuned_momentum, Some((0.5, 0.99)));
}

/// Rules carry the momentum of the base batch size.
#[test]
fn rules_keep_the_momentum_that_was_tuned() {
    let study = study(&Plan {
        tune: Tune::Base,
        ..tuned(plan())
    });
    let chosen = study.tuning[0].momentum.unwrap();
    let fresh = trials(&study, true);
    assert!(fresh.len() > 4 && fresh.iter().all(|r| momentum(r) == chosen));
}

#[test]
fn an_optimizer_without_momentum_is_refused() {
    let adam = Plan {
        optimizer: Choice::new("adam", [("beta1", 0.9.into()), ("beta2", 0.999.into())]),
        ..tuned(plan())
    };
    let error = run(
        &adam,
        &FakeTrainer::default(),
        &mut MemoryStore::new(),
        &StopToken::new(),
        &[],
    );
    assert!(
        matches!(&error, Err(StudyError::Plan(error)) if error.key == "tune-momentum"),
        "{error:?}"
    );
}
