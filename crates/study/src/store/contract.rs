use std::{collections::BTreeMap, time::Duration};

use batchscope_core::{
    Choice, EvaluationPlan, Measurement, NoiseMoments, NoiseRecord, Outcome, Schedule, TrainerInfo,
    TrialPurpose, TrialRecord, TrialSpec, Value,
};

use super::{Header, Store, StoreError, TrialState};
use crate::{Plan, same_record};

/// Tests the contract of [`Store`] on stores that `make` makes, each new and empty.
///
/// # Panics
/// Where the contract is broken, saying how.
pub fn store_contract<S: Store>(make: &mut dyn FnMut() -> S) {
    header_is_kept(&mut make());
    numbers_are_dense_and_adding_is_idempotent(&mut make());
    states_move_as_stated(&mut make());
    records_come_back_exactly(&mut make());
    amended_and_requeued_records_leave_no_trace(&mut make());
    the_dead_are_recovered(&mut make());
    decisions_are_replaced(&mut make());
}

/// A spec of a batch size.
fn spec(batch_size: u64) -> TrialSpec {
    TrialSpec {
        id: 0,
        purpose: TrialPurpose::Tune { index: 3, round: 1 },
        curves: vec!["blr".to_owned(), "lsr".to_owned()],
        batch_size,
        micro_batch: None,
        learning_rate: 0.1 + 0.2, // not a short decimal
        schedule: Schedule::warm_up(7),
        optimizer: Choice::new(
            "sgd",
            [
                ("momentum", Value::from(0.9)),
                ("nesterov", Value::from(true)),
                ("weight_decay", Value::from(1e-4)),
            ],
        ),
        clip: Some(1.0),
        study_seed: i64::MAX as u64,
        seed: (1 << 53) - 1,
        cap: 1000,
        target: Some("val-error=0.03".parse().expect("a target")),
        evaluation: EvaluationPlan::default(),
        probes: Vec::new(),
    }
}

fn record(spec: &TrialSpec) -> TrialRecord {
    let values = [
        0.1 + 0.2,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE,
    ];
    let measurement = |(step, &value): (u64, &f64)| Measurement {
        step,
        examples: step * spec.batch_size,
        seconds: step as f64 / 3.0,
        learning_rate: 0.1 / 3.0,
        metrics: BTreeMap::from([
            ("val-error".parse().expect("a metric"), value),
            ("val-f1".parse().expect("a metric"), step as f64),
        ]),
        replayed: step == 2,
        noise: match step {
            1 => Some(NoiseRecord::Undefined {
                why: "one \"example\"".to_owned(),
            }),
            4 => {
                let mut moments = NoiseMoments::new(spec.batch_size);
                moments.push(0.1 + 0.2, -1.0 / 3.0);
                moments.push(1e30, f64::MIN_POSITIVE);
                Some(NoiseRecord::Measured(moments))
            }
            _ => None,
        },
    };
    let mut measurements: Vec<Measurement> = (1..).zip(&values).map(measurement).collect();
    // The same step twice, and nothing measured: both occur.
    measurements.push(Measurement {
        metrics: BTreeMap::new(),
        ..measurements[5].clone()
    });
    TrialRecord {
        spec: spec.clone(),
        outcome: Outcome::Reached { step: 6, after: 5 },
        measurements,
        micro_batch: 32,
        seconds: 2.0 / 3.0,
        notes: vec!["target reached in warm-up; \"quoted\"".to_owned()],
    }
}

fn finished(store: &dyn Store, id: u64) -> TrialRecord {
    match &store.trials().expect("trials")[id as usize].state {
        TrialState::Finished(record) => (**record).clone(),
        other => panic!("trial {id} should be finished, it is {}", other.name()),
    }
}

fn states(store: &dyn Store) -> Vec<&'static str> {
    store
        .trials()
        .expect("trials")
        .iter()
        .map(|trial| trial.state.name())
        .collect()
}

fn refused(result: Result<(), StoreError>, what: &str) {
    assert!(
        matches!(result, Err(StoreError::State { .. })),
        "{what} should be refused: {result:?}"
    );
}

fn header_is_kept(store: &mut dyn Store) {
    assert_eq!(store.header().expect("header"), None);
    let trainer = TrainerInfo {
        trainer: "t 1".to_owned(),
        model: "m".to_owned(),
        data: "d".to_owned(),
        device: "cpu".to_owned(),
        train_examples: u64::MAX,
        parameters: 7,
        metrics: vec!["val-error".parse().expect("a metric")],
    };
    let mut header = Header {
        plan: Plan::default(),
        trainer,
    };
    store.set_header(&header).expect("set header");
    assert_eq!(store.header().expect("header").as_ref(), Some(&header));
    header.plan.seeds = 9;
    store.set_header(&header).expect("replace header");
    assert_eq!(store.header().expect("header"), Some(header));
}

fn numbers_are_dense_and_adding_is_idempotent(store: &mut dyn Store) {
    let specs = [8, 16, 32].map(spec);
    assert_eq!(store.add(&specs).expect("add"), [0, 1, 2]);
    // Neither a number nor the curves make another trial; anything else does.
    let relabeled = TrialSpec {
        id: 77,
        curves: Vec::new(),
        ..specs[1].clone()
    };
    let other = TrialSpec {
        learning_rate: 0.3,
        ..specs[1].clone()
    };
    assert_eq!(
        store.add(&[relabeled, other.clone(), other]).expect("add"),
        [1, 3, 3]
    );
    let trials = store.trials().expect("trials");
    assert_eq!(
        trials.iter().map(|t| t.spec.id).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(
        trials[2].spec,
        TrialSpec {
            id: 2,
            ..specs[2].clone()
        }
    );
    assert_eq!(store.add(&[]).expect("add nothing"), Vec::<u64>::new());
}

fn states_move_as_stated(store: &mut dyn Store) {
    store.add(&[spec(8), spec(16)]).expect("add");
    let first = record(&store.trials().expect("trials")[0].spec);
    refused(store.finish(&first), "finishing a waiting trial");
    refused(store.release(0), "releasing a waiting trial");
    refused(store.amend(&first), "amending a waiting trial");
    refused(store.requeue(0), "requeueing a waiting trial");
    assert!(store.claim(0, "a").expect("claim"));
    assert!(
        !store.claim(0, "b").expect("claim twice"),
        "two workers got one trial"
    );
    refused(store.amend(&first), "amending a running trial");
    store.release(0).expect("release");
    assert!(store.claim(0, "b").expect("claim again"));
    store.finish(&first).expect("finish");
    refused(store.finish(&first), "finishing twice");
    refused(store.release(0), "releasing a finished trial");
    assert!(!store.claim(0, "a").expect("claim finished"));
    assert_eq!(states(store), ["finished", "waiting"]);
    assert!(
        store.claim(9, "a").is_err()
            && store.release(9).is_err()
            && store.requeue(u64::MAX).is_err(),
        "unknown trials"
    );
}

fn records_come_back_exactly(store: &mut dyn Store) {
    store.add(&[spec(8), spec(16)]).expect("add");
    for id in [1, 0] {
        assert!(store.claim(id, "a").expect("claim"));
        let record = record(&store.trials().expect("trials")[id as usize].spec);
        store.finish(&record).expect("finish");
        assert!(
            same_record(&finished(store, id), &record),
            "{:#?} is not {record:#?}",
            finished(store, id)
        );
    }
}

fn amended_and_requeued_records_leave_no_trace(store: &mut dyn Store) {
    store.add(&[spec(8)]).expect("add");
    assert!(store.claim(0, "a").expect("claim"));
    let full = record(&store.trials().expect("trials")[0].spec);
    store.finish(&full).expect("finish");
    let mut cut = full.clone().cut(4);
    cut.spec.curves = vec!["tuned".to_owned()];
    store.amend(&cut).expect("amend");
    assert!(same_record(&finished(store, 0), &cut));
    assert_eq!(store.trials().expect("trials")[0].spec.curves, ["tuned"]);
    store.requeue(0).expect("requeue");
    assert_eq!(states(store), ["waiting"]);
    assert!(store.claim(0, "a").expect("claim"));
    store.finish(&cut).expect("finish anew");
    assert!(same_record(&finished(store, 0), &cut));
}

fn the_dead_are_recovered(store: &mut dyn Store) {
    store.add(&[spec(8), spec(16), spec(32)]).expect("add");
    assert!(store.claim(0, "a").expect("claim") && store.claim(2, "b").expect("claim"));
    store.heartbeat("a").expect("heartbeat");
    assert_eq!(
        store.recover(Duration::from_secs(3600)).expect("recover"),
        Vec::<u64>::new(),
        "the living keep their trials"
    );
    assert_eq!(store.recover(Duration::ZERO).expect("recover"), [0, 2]);
    assert_eq!(states(store), ["waiting"; 3]);
    assert!(store.claim(0, "c").expect("claim"));
}

fn decisions_are_replaced(store: &mut dyn Store) {
    assert_eq!(store.decisions().expect("decisions"), Vec::<String>::new());
    for decisions in [
        vec!["a".to_owned(), "b".to_owned()],
        vec!["b".to_owned()],
        Vec::new(),
    ] {
        store.set_decisions(&decisions).expect("set decisions");
        assert_eq!(store.decisions().expect("decisions"), decisions);
    }
}
