//! How trials end: targets, caps, races, divergence, and what is recorded on the way.

mod common;

use batchscope_core::{
    Cadence, Control, EvaluationPlan, Flow, NeverStop, Outcome, Schedule, Split, Target, Trainer,
    TrainerError, TrialPurpose, TrialSpec,
};
use batchscope_train::SingleRun;
use common::*;

fn target(text: &str) -> Option<Target> {
    Some(text.parse().unwrap())
}

fn reaching() -> TrialSpec {
    TrialSpec {
        target: target("val-loss=0.3"),
        learning_rate: 0.003,
        cap: 2000,
        ..spec()
    }
}

#[test]
fn a_run_without_a_target_is_evaluated_within_half_of_its_multiply_adds_and_at_its_cap() {
    let trainer = trainer();
    let mut log = Log::default();
    let record = trainer
        .run(&spec(), &batchscope_core::NeverStop, &mut |event| {
            log.take(event)
        })
        .unwrap();
    assert_eq!(record.outcome, Outcome::Completed { step: 200 });
    let mut planned: Vec<u64> = Vec::new();
    let mut step = 0;
    loop {
        step = spec().evaluation.next_after(step);
        if step >= 200 {
            break;
        }
        planned.push(step);
    }
    let measured: Vec<u64> = record.measurements.iter().map(|m| m.step).collect();
    // The first and the last come whatever they cost; the others at planned steps, the third or a later one.
    assert_eq!(
        (measured[0], measured[measured.len() - 1]),
        (planned[0], 200)
    );
    let third = |step: u64| (0..3).fold(step, |step, _| spec().evaluation.next_after(step));
    for pair in measured[..measured.len() - 1].windows(2) {
        assert!(
            planned.contains(&pair[1]) && pair[1] >= third(pair[0]),
            "{measured:?}"
        );
    }
    assert!(
        measured.len() > 3 && measured.len() < planned.len() / 3,
        "{measured:?}"
    );
    assert_eq!(log.measured, measured);
    assert_eq!(log.started, [0]);
    assert_eq!(log.steps, (1..=200).collect::<Vec<_>>());
    assert!(log.checkpointed.is_empty());

    let last = record.measurements.last().unwrap();
    assert_eq!((last.examples, last.learning_rate), (3200, 0.05));
    assert_eq!(
        record.measurements[0].learning_rate, 0.025,
        "step 5 of 10 in warm-up"
    );
    let error = last.metrics[&"val-error".parse().unwrap()];
    assert!(
        error < 0.1
            && (last.metrics[&"val-accuracy".parse().unwrap()] - (1.0 - error)).abs() < 1e-12
    );
    assert!(
        last.metrics[&"train-loss".parse().unwrap()]
            < record.measurements[0].metrics[&"train-loss".parse().unwrap()]
    );
}

#[test]
fn the_crossing_is_where_the_metric_of_the_undisturbed_run_crosses() {
    // Few examples, so that finer evaluations can be afforded.
    let evaluation = EvaluationPlan {
        examples: 30,
        ..EvaluationPlan::default()
    };
    let spec = TrialSpec {
        evaluation,
        ..reaching()
    };
    let record = run(&trainer(), &spec);
    let Outcome::Reached {
        step,
        after,
        located: Some(at),
    } = record.outcome
    else {
        panic!("{:?}", record.outcome)
    };

    // Brute force: the metric after every single step.
    let brute = trainer()
        .train_once(
            &TrialSpec {
                target: None,
                cap: at.found,
                ..spec.clone()
            },
            &SingleRun {
                cadence: Cadence::Every(1),
                ..SingleRun::default()
            },
            &batchscope_core::NeverStop,
            &mut |_| {},
        )
        .unwrap();
    let metric = &spec.target.as_ref().unwrap().metric;
    let metric_after = |step: u64| brute.measurements[step as usize - 1].metrics[metric];

    // Every measurement, finer or not, is the one of the undisturbed run.
    for m in &record.measurements {
        assert_eq!(m.metrics[metric], metric_after(m.step), "step {}", m.step);
    }
    let first = (1..).find(|&s| metric_after(s) <= 0.3).unwrap();
    let ratio = at.crossing / first as f64;
    assert!((0.9..1.1).contains(&ratio), "{at:?}, first met at {first}");
    assert_eq!(step, at.crossing.ceil() as u64);
    assert!(after < step);
    // Trained past it, but no further than needed.
    let past = at.found as f64 / at.crossing;
    assert!((1.05..1.45).contains(&past), "{at:?}");
    assert!(record.measurements.iter().any(|m| m.finer));
    assert!(record.measurements.is_sorted_by(|a, b| a.step < b.step));
    assert!(
        record
            .measurements
            .is_sorted_by(|a, b| a.seconds <= b.seconds)
    );
    let finer = record.measurements.iter().find(|m| m.finer).unwrap();
    assert!(finer.metrics.keys().all(|m| m.split == Split::Val));
}

#[test]
fn a_crossing_before_the_first_evaluation_is_known_to_lie_there() {
    let evaluation = EvaluationPlan {
        first: 64,
        ..EvaluationPlan::default()
    };
    let spec = TrialSpec {
        target: target("val-error=0.5"),
        evaluation,
        ..spec()
    };
    let Outcome::Reached { step, after, .. } = run(&trainer(), &spec).outcome else {
        panic!()
    };
    assert_eq!((step, after), (64, 0));
}

#[test]
fn finer_evaluations_can_be_left_out() {
    let plain = EvaluationPlan {
        refine: 1,
        ..EvaluationPlan::default()
    };
    let spec = TrialSpec {
        evaluation: plain,
        ..reaching()
    };
    let record = run(&trainer(), &spec);
    assert!(record.steps().is_some());
    let steps = std::iter::successors(Some(5), |&step| Some(plain.next_after(step)));
    let planned: Vec<u64> = steps.take_while(|&step| step <= spec.cap).collect();
    for m in &record.measurements {
        assert!(planned.contains(&m.step) && !m.finer, "{}", m.step);
    }
}

#[test]
fn a_target_out_of_reach_is_censored_at_the_cap() {
    let record = run(
        &trainer(),
        &TrialSpec {
            target: target("val-error=0"),
            cap: 37,
            ..reaching()
        },
    );
    assert_eq!(record.outcome, Outcome::NotReached { cap: 37 });
    assert_eq!(record.measurements.last().unwrap().step, 37);
}

#[test]
fn only_fresh_and_single_trials_look_at_the_test_set_once_at_the_end() {
    let trainer = trainer();
    let looks = |purpose| {
        let record = run(
            &trainer,
            &TrialSpec {
                purpose,
                ..reaching()
            },
        );
        let has =
            |m: &batchscope_core::Measurement| m.metrics.keys().any(|k| k.split == Split::Test);
        let (last, earlier) = record.measurements.split_last().unwrap();
        assert!(!earlier.iter().any(has));
        has(last)
    };
    assert!(looks(TrialPurpose::Fresh { index: 0 }) && looks(TrialPurpose::Single));
    assert!(
        !looks(TrialPurpose::Tune { index: 0, round: 0 })
            && !looks(TrialPurpose::Pilot { index: 0 })
    );
}

#[test]
fn reaching_the_target_in_warm_up_is_remarked() {
    let spec = TrialSpec {
        schedule: Schedule::warm_up(1500),
        learning_rate: 0.05,
        ..reaching()
    };
    let record = run(&trainer(), &spec);
    assert!(record.steps().unwrap() <= 1500);
    assert!(
        record.notes[0].contains("during warm-up"),
        "{:?}",
        record.notes
    );
}

#[test]
fn a_rate_far_too_high_diverges_or_fails_to_learn_but_never_panics() {
    let spec = TrialSpec {
        learning_rate: 1e9,
        schedule: Schedule::constant(),
        target: target("val-error=0.01"),
        ..spec()
    };
    let Outcome::Diverged { step } = run(&trainer(), &spec).outcome else {
        panic!()
    };
    assert!(step < 60, "{step}");
}

struct Bound(u64);

impl Control for Bound {
    fn flow(&self) -> Flow {
        Flow::Continue
    }

    fn race_bound(&self) -> Option<u64> {
        Some(self.0)
    }
}

#[test]
fn a_race_ends_as_the_whole_run_cut_at_the_bound() {
    let trainer = trainer();
    let whole = run(&trainer, &reaching());
    let reached = whole.steps().unwrap();
    let coarse = whole.measurements.last().unwrap().step;
    for bound in [
        0,
        1,
        5,
        6,
        9,
        10,
        reached - 1,
        reached,
        reached + 1,
        coarse - 1,
        coarse,
        coarse + 1,
        5000,
    ] {
        let mut log = Log::default();
        let raced = trainer
            .run(&reaching(), &Bound(bound), &mut |event| log.take(event))
            .unwrap();
        // The evaluation past the bound may have been made: whoever races trials cuts their records.
        assert_eq!(
            essence(&raced.cut(bound)),
            essence(&whole.clone().cut(bound)),
            "bound {bound}"
        );
        let furthest = reaching().evaluation.next_after(bound.max(4)).max(bound);
        assert!(
            log.steps.len() as u64 <= furthest,
            "bound {bound}: ran {} steps",
            log.steps.len()
        );
    }
    // A bound on an evaluated step is not run past.
    let mut log = Log::default();
    let spec = reaching();
    let on_grid = whole
        .measurements
        .iter()
        .rfind(|m| !m.finer && m.step < reached)
        .unwrap()
        .step;
    let raced = trainer
        .run(&spec, &Bound(on_grid), &mut |event| log.take(event))
        .unwrap();
    assert_eq!(
        (raced.outcome, log.steps.len() as u64),
        (Outcome::Raced { at: on_grid }, on_grid)
    );
}

#[test]
fn what_cannot_be_run_says_why() {
    let trainer = trainer();
    let record = run(
        &trainer,
        &TrialSpec {
            batch_size: 501,
            ..spec()
        },
    );
    let Outcome::Infeasible { why } = record.outcome else {
        panic!()
    };
    assert!(why.contains("501") && why.contains("500"), "{why}");

    let refused =
        |spec: &TrialSpec| match trainer.run(spec, &batchscope_core::NeverStop, &mut |_| {}) {
            Err(error @ TrainerError::Setting(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
    assert!(
        refused(&TrialSpec {
            target: target("val-perplexity=3"),
            ..spec()
        })
        .contains("val-error")
    );
    assert!(
        refused(&TrialSpec {
            target: target("test-error=0.1"),
            ..spec()
        })
        .contains("val-error")
    );
    assert!(
        refused(&TrialSpec {
            micro_batch: Some(0),
            ..spec()
        })
        .contains("micro-batch")
    );
    assert!(
        refused(&TrialSpec {
            learning_rate: -1.0,
            ..spec()
        })
        .contains("learning rate")
    );
}

#[test]
fn memory_bounds_the_micro_batch_and_too_little_is_infeasible() {
    let mut config = config(Default::default(), classes());
    let free = batchscope_train::BuiltIn::new(config.clone()).unwrap();
    let bytes = (1u64 << 12..1 << 20)
        .step_by(64)
        .find(|&b| free.micro_batch_within(&spec(), b) == Some(5))
        .unwrap();
    config.max_memory = Some(bytes);
    let bounded = batchscope_train::BuiltIn::new(config.clone()).unwrap();
    assert_eq!(
        run(&bounded, &TrialSpec { cap: 3, ..spec() }).micro_batch,
        4,
        "16 in even parts of at most 5"
    );
    config.max_memory = Some(100);
    let none = batchscope_train::BuiltIn::new(config).unwrap();
    assert_eq!(none.micro_batch_within(&spec(), 100), Some(0));
    assert!(matches!(
        run(&none, &spec()).outcome,
        Outcome::Infeasible { .. }
    ));
}

#[test]
fn steps_are_timed() {
    let timing = trainer().time(&spec(), 0.0, &NeverStop).unwrap().unwrap();
    assert_eq!(
        (timing.batch_size, timing.micro_batch, timing.n),
        (16, 16, 5)
    );
    assert!(timing.low <= timing.seconds && timing.seconds <= timing.high && timing.low > 0.0);
}

/// Timing a slow size takes longer than a person who pressed Ctrl-C waits.
#[test]
fn timing_stops_when_told_to() {
    struct Stop;
    impl Control for Stop {
        fn flow(&self) -> Flow {
            Flow::Interrupt
        }
    }
    assert_eq!(trainer().time(&spec(), 3600.0, &Stop).unwrap(), None);
}
