use std::{collections::BTreeMap, time::Duration};

use batchscope_core::{
    Choice, Decision, EvaluationPlan, Located, Measurement, NoiseMoments, NoiseRecord, Outcome,
    Schedule, TrainerInfo, TrialPurpose, TrialRecord, TrialSpec, Value,
};

use super::{Cursor, Header, Queue, Store, StoreError, StoredTrial, TrialState};
use crate::{Plan, same_record};

/// Tests the contracts of [`Store`] and [`Queue`] on stores that `make` makes, each new and empty.
///
/// # Panics
/// Where a contract is broken, saying how.
pub fn store_contract<S: Queue>(make: &mut dyn FnMut() -> S) {
    header_is_kept(&mut make());
    numbers_are_dense_and_adding_is_idempotent(&mut make());
    states_move_as_stated(&mut make());
    records_come_back_exactly(&mut make());
    amended_and_requeued_records_leave_no_trace(&mut make());
    trials_of_silent_workers_are_recovered(&mut make());
    a_cursor_tells_every_change_once(&mut make());
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
        methods: Vec::new(),
        controller: None,
        max_examples: None,
        start: None,
        clip: Some(1.0),
        decay: Default::default(),
        study_seed: i64::MAX as u64,
        seed: (1 << 53) - 1,
        cap: 1000,
        target: Some("val-error=0.03".parse().expect("a target")),
        evaluation: EvaluationPlan::default(),
        diagnostics: Vec::new(),
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
        finer: step == 2,
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
        outcome: Outcome::Reached {
            step: 6,
            after: 5,
            located: Some(Located {
                crossing: 5.0 + 1.0 / 3.0,
                found: 6,
                rounding: 0.0,
            }),
        },
        measurements,
        micro_batch: 32,
        seconds: 2.0 / 3.0,
        // Of every other trial: both forms of a row are read.
        decisions: match spec.id % 2 {
            0 => Vec::new(),
            _ => vec![Decision {
                step: 3,
                learning_rate: 0.1 + 0.2,
                batch_size: 64,
                why: "the schedule's mark at 2ep: the batch grows".to_owned(),
            }],
        },
        schedule: Vec::new(),
        notes: vec!["target reached in warm-up; \"quoted\"".to_owned()],
    }
}

/// The trial of a number.
fn trial(store: &dyn Store, id: u64) -> StoredTrial {
    let trials = store.trials().expect("trials");
    let found = trials.into_iter().find(|trial| trial.spec.id == id);
    found.unwrap_or_else(|| panic!("trial {id} should be stored"))
}

/// The record to finish a trial with.
fn record_of(store: &dyn Store, id: u64) -> TrialRecord {
    record(&trial(store, id).spec)
}

fn finished(store: &dyn Store, id: u64) -> TrialRecord {
    match trial(store, id).state {
        TrialState::Finished(record) => *record,
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
        train_examples: Some(u64::MAX),
        parameters: 7,
        metrics: vec!["val-error".parse().expect("a metric")],
        own_settings: false,
        directions: Default::default(),
        capabilities: batchscope_core::Capabilities::default(),
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

fn states_move_as_stated(store: &mut dyn Queue) {
    store.add(&[spec(8), spec(16)]).expect("add");
    let first = record_of(store, 0);
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

fn records_come_back_exactly(store: &mut dyn Queue) {
    store.add(&[spec(8), spec(16)]).expect("add");
    for id in [1, 0] {
        assert!(store.claim(id, "a").expect("claim"));
        let record = record_of(store, id);
        store.finish(&record).expect("finish");
        assert!(
            same_record(&finished(store, id), &record),
            "{:#?} is not {record:#?}",
            finished(store, id)
        );
    }
}

fn amended_and_requeued_records_leave_no_trace(store: &mut dyn Queue) {
    store.add(&[spec(8)]).expect("add");
    assert!(store.claim(0, "a").expect("claim"));
    let full = record_of(store, 0);
    store.finish(&full).expect("finish");
    let mut cut = full.clone().cut(4);
    cut.spec.curves = vec!["tuned".to_owned()];
    store.amend(&cut).expect("amend");
    assert!(same_record(&finished(store, 0), &cut));
    assert_eq!(trial(store, 0).spec.curves, ["tuned"]);
    store.requeue(0).expect("requeue");
    assert_eq!(states(store), ["waiting"]);
    assert!(store.claim(0, "a").expect("claim"));
    store.finish(&cut).expect("finish again");
    assert!(same_record(&finished(store, 0), &cut));
}

fn trials_of_silent_workers_are_recovered(store: &mut dyn Queue) {
    store.add(&[spec(8), spec(16), spec(32)]).expect("add");
    assert!(store.claim(0, "a").expect("claim") && store.claim(2, "b").expect("claim"));
    store.heartbeat("a").expect("heartbeat");
    assert_eq!(
        store.recover(Duration::from_secs(3600)).expect("recover"),
        Vec::<u64>::new(),
        "a worker that was heard of keeps its trials"
    );
    assert_eq!(store.recover(Duration::ZERO).expect("recover"), [0, 2]);
    assert_eq!(states(store), ["waiting"; 3]);
    assert!(store.claim(0, "c").expect("claim"));
}

/// The numbers and states that changed since a cursor, which is moved on.
fn changed(store: &dyn Store, cursor: &mut Cursor) -> Vec<(u64, &'static str)> {
    let changes = store.changes_since(*cursor).expect("changes");
    *cursor = changes.cursor;
    let told = changes.trials.iter();
    told.map(|trial| (trial.spec.id, trial.state.name()))
        .collect()
}

fn a_cursor_tells_every_change_once(store: &mut dyn Queue) {
    let mut cursor = Cursor::START;
    assert_eq!(changed(store, &mut cursor), [], "nothing is stored");
    store.add(&[spec(8), spec(16), spec(32)]).expect("add");
    let all = [(0, "waiting"), (1, "waiting"), (2, "waiting")];
    assert_eq!(changed(store, &mut cursor), all);
    assert_eq!(changed(store, &mut cursor), [], "nothing has changed");
    store.add(&[spec(8)]).expect("add what is known");
    store.heartbeat("a").expect("heartbeat");
    store.set_decisions(&["d".to_owned()]).expect("decide");
    assert_eq!(changed(store, &mut cursor), [], "no trial has changed");

    assert!(store.claim(2, "a").expect("claim") && store.claim(0, "a").expect("claim"));
    assert_eq!(
        changed(store, &mut cursor),
        [(0, "running"), (2, "running")]
    );
    let before = cursor;
    let whole = record_of(store, 2);
    store.finish(&whole).expect("finish");
    assert_eq!(changed(store, &mut cursor), [(2, "finished")]);
    store.release(0).expect("release");
    assert_eq!(changed(store, &mut cursor), [(0, "waiting")]);
    let cut = whole.clone().cut(4);
    store.amend(&cut).expect("amend");
    let changes = store.changes_since(cursor).expect("changes");
    assert!(
        matches!(&changes.trials[..], [trial] if
            matches!(&trial.state, TrialState::Finished(record) if same_record(record, &cut))),
        "only the amended record, whole: {:#?}",
        changes.trials
    );
    cursor = changes.cursor;
    store.requeue(2).expect("requeue");
    assert!(store.claim(1, "b").expect("claim"));
    store.recover(Duration::ZERO).expect("recover");
    assert_eq!(
        changed(store, &mut cursor),
        [(1, "waiting"), (2, "waiting")]
    );
    store.add(&[spec(64)]).expect("add");
    assert_eq!(changed(store, &mut cursor), [(3, "waiting")]);

    // Two readers are told alike, and an earlier cursor tells everything since.
    let mut late = before;
    let since = [
        (0, "waiting"),
        (1, "waiting"),
        (2, "waiting"),
        (3, "waiting"),
    ];
    assert_eq!(changed(store, &mut late), since);
    assert_eq!(late, cursor);
    let trials = store.trials().expect("trials");
    assert_eq!(
        store.changes_since(Cursor::START).expect("changes").trials,
        trials
    );
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
