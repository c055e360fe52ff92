//! The course of a trial by the driver alone: closed cases, and any interruption and resume.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use batchscope_core::{
    Cadence, Control, Driving, Evaluate, Evaluation, EvaluationCost, Event, Flow, Located,
    Measurement, Metric, NeverStop, Next, Outcome, Progress, Quantity, Split, TrialDriver,
    TrialPurpose, TrialRecord, TrialSpec,
};
use proptest::prelude::*;

fn spec() -> TrialSpec {
    serde_json::from_value(serde_json::json!({
        "id": 0, "purpose": {"kind": "single"}, "curves": [], "batch_size": 10,
        "micro_batch": null, "learning_rate": 0.1, "clip": null, "study_seed": 0, "seed": 0,
        "schedule": {"warm_up": {"length": {"steps": 0}, "shape": "linear"},
                     "decay": {"kind": "constant"}, "base_learning_rate": null},
        "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": false, "weight_decay": 0.0},
        "target": {"metric": "val-loss", "value": 0.1, "direction": "lower"},
        "evaluation": {"first": 5, "ratio": 1.2, "examples": 1, "refine": 8},
        "cap": 200, "diagnostics": []
    }))
    .unwrap()
}

fn whole() -> Driving {
    Driving {
        looks_at_test: true,
        ..Driving::default()
    }
}

fn loss(split: Split) -> Metric {
    Metric::new(split, Quantity::Loss)
}

/// A trainer without a model: its state is the number of steps done.
struct Steps<F> {
    step: u64,
    /// The loss after so many steps.
    loss: F,
    asked: Vec<Evaluate>,
    measured: Vec<Measurement>,
}

/// How a session ended.
enum End {
    Interrupted,
    At(Outcome),
}

impl<F: Fn(u64) -> f64> Steps<F> {
    fn new(loss: F) -> Self {
        Self {
            step: 0,
            loss,
            asked: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// One session with `driver`.
    fn session(&mut self, driver: &mut TrialDriver<'_>, control: &dyn Control) -> End {
        let heard = &mut self.measured;
        let mut events = |event: Event| {
            if let Event::Measured(measurement) = event {
                heard.push(measurement);
            }
        };
        driver.start(&mut events);
        loop {
            match driver.next(control) {
                Next::Step { step } => {
                    assert_eq!(step, self.step, "the trainer stands elsewhere");
                    self.step += 1;
                    driver.stepped((self.loss)(self.step), 0.1, 1.0, &mut events);
                }
                Next::Evaluate(what) => {
                    assert_eq!(driver.step(), self.step);
                    self.asked.push(what);
                    let splits: &[Split] = match &what {
                        Evaluate::Whole => &[Split::Train, Split::Val],
                        Evaluate::Only(split) => &[*split],
                        Evaluate::Rest(_) => &[Split::Train],
                        Evaluate::Test => &[Split::Test],
                    };
                    let value = (self.loss)(self.step);
                    let metrics = splits.iter().map(|&split| (loss(split), value));
                    driver.measured(Evaluation::new(metrics.collect(), 0.1), &mut events);
                }
                Next::Interrupt => return End::Interrupted,
                Next::End(outcome) => return End::At(outcome),
            }
        }
    }
}

/// The record of an undisturbed run, and what was asked for on the way.
fn run(
    spec: &TrialSpec,
    driving: Driving,
    control: &dyn Control,
    loss: impl Fn(u64) -> f64,
) -> (TrialRecord, Vec<Evaluate>) {
    let mut trainer = Steps::new(loss);
    let mut driver = TrialDriver::new(spec, driving);
    let End::At(outcome) = trainer.session(&mut driver, control) else {
        panic!("nobody interrupted it");
    };
    let record = driver.record(outcome, 10);
    let raced = matches!(record.outcome, Outcome::Raced { .. });
    assert!(raced || trainer.measured == record.measurements);
    (record, trainer.asked)
}

/// Falls below 0.1 after 40 steps.
fn falling(step: u64) -> f64 {
    4.0 / step as f64
}

fn regular(record: &TrialRecord) -> Vec<u64> {
    let regular = record.measurements.iter().filter(|m| !m.finer);
    regular.map(|m| m.step).collect()
}

fn located(outcome: &Outcome) -> (u64, u64, Located) {
    match *outcome {
        Outcome::Reached {
            step,
            after,
            located: Some(located),
        } => (step, after, located),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_crossing_is_located_between_evaluations_that_are_finer_near_it() {
    let spec = spec();
    let (record, asked) = run(&spec, whole(), &NeverStop, falling);
    let (step, after, at) = located(&record.outcome);
    assert!((at.crossing / 40.0).ln().abs() < 0.01, "{at:?}");
    assert_eq!(step, at.crossing.ceil() as u64);
    assert!((35..step).contains(&after), "{after}");
    // Trained a factor of 1.2 to 1.3 past it.
    assert!((46..=55).contains(&at.found), "{at:?}");
    assert_eq!(record.outcome.last_step(), Some(at.found));
    assert_eq!(record.seconds, at.found as f64);
    // The regular ones are as planned, but for the one that found it.
    let mut steps = regular(&record);
    assert_eq!(steps.pop(), Some(at.found));
    assert_eq!(steps, [5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40]);
    // The finer ones look at the target's split alone, near the target alone.
    let finer = record.measurements.iter().filter(|m| m.finer);
    let finer: Vec<u64> = finer.map(|m| m.step).collect();
    assert!(!finer.is_empty() && finer[0] > 20, "{finer:?}");
    let val: Vec<Metric> = vec![loss(Split::Val)];
    let mut alone = record.measurements.iter().filter(|m| m.finer);
    assert!(alone.all(|m| m.metrics.keys().eq(&val)));
    // The test examples are looked at once, last, beside all others.
    assert_eq!(asked.last(), Some(&Evaluate::Test));
    assert!(!asked[..asked.len() - 1].contains(&Evaluate::Test));
    assert_eq!(record.measurements.last().unwrap().metrics.len(), 3);
    let sorted = |w: &[Measurement]| w[0].step < w[1].step && w[0].seconds < w[1].seconds;
    assert!(record.measurements.windows(2).all(sorted));
}

/// A trainer that evaluates as planned and nowhere else says as much where there is no noise.
#[test]
fn without_finer_evaluations_the_crossing_is_the_same() {
    let mut spec = spec();
    spec.evaluation.refine = 1;
    let (record, asked) = run(&spec, Driving::default(), &NeverStop, falling);
    let (_, _, at) = located(&record.outcome);
    assert!((at.crossing / 40.0).ln().abs() < 0.01, "{at:?}");
    assert!(asked.iter().all(|what| *what == Evaluate::Whole));
    assert!(record.measurements.iter().all(|m| !m.finer));
}

/// A target that is passed just before the cap leaves no room to train past it: the last line is
/// read to its end, and nothing is trained beyond the cap.
#[test]
fn a_crossing_before_the_cap_counts_however_little_follows_it() {
    for (cap, reached) in [(38, false), (42, true), (46, true)] {
        let mut spec = spec();
        spec.cap = cap;
        let (record, _) = run(&spec, whole(), &NeverStop, falling);
        if reached {
            let (_, _, at) = located(&record.outcome);
            assert!((at.crossing / 40.0).ln().abs() < 0.03, "{at:?}");
            assert!(at.crossing <= at.found as f64 && at.found <= cap);
        } else {
            assert_eq!(record.outcome, Outcome::NotReached { cap });
        }
    }
}

/// Nothing is known of the time before the first evaluation.
#[test]
fn a_target_met_from_the_first_evaluation_on_lies_before_it() {
    let (record, _) = run(&spec(), whole(), &NeverStop, |_| 0.05);
    let (step, after, at) = located(&record.outcome);
    assert_eq!((step, after), (5, 0));
    assert!(at.found <= 8, "{at:?}");
}

/// Progress that was saved by the first versions holds a watch of their own, which is not read.
#[test]
fn the_progress_of_older_versions_is_read() {
    let spec = spec();
    let mut driver = TrialDriver::new(&spec, Driving::default());
    let control = After(AtomicU64::new(25));
    let mut trainer = Steps::new(falling);
    assert!(matches!(
        trainer.session(&mut driver, &control),
        End::Interrupted
    ));
    let mut saved = serde_json::to_value(driver.progress()).unwrap();
    saved["crossing"] = serde_json::json!({
        "target": {"metric": "val-loss", "value": 0.1, "direction": "lower"},
        "smoother": {"state": [22, 0.2]}, "last": 22
    });
    let mut driver = TrialDriver::new(&spec, Driving::default());
    driver.resume(serde_json::from_value(saved).unwrap());
    let End::At(outcome) = trainer.session(&mut driver, &NeverStop) else {
        panic!("nobody interrupted it");
    };
    let (undisturbed, _) = run(&spec, Driving::default(), &NeverStop, falling);
    assert_eq!(outcome, undisturbed.outcome);
}

#[test]
fn without_a_crossing_a_trial_ends_at_its_cap_with_an_evaluation_there() {
    let mut spec = spec();
    spec.cap = 37;
    let (record, asked) = run(&spec, whole(), &NeverStop, |_| 1.0);
    assert_eq!(record.outcome, Outcome::NotReached { cap: 37 });
    assert_eq!(regular(&record), [5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 37]);
    assert_eq!(asked.last(), Some(&Evaluate::Test));
    spec.target = None;
    let every = Driving {
        cadence: Cadence::Every(20),
        ..Driving::default()
    };
    let (record, asked) = run(&spec, every, &NeverStop, |_| 1.0);
    assert_eq!(record.outcome, Outcome::Completed { step: 37 });
    assert_eq!(regular(&record), [20, 37]);
    assert_eq!(asked, [Evaluate::Whole; 2]);
}

#[test]
fn a_loss_that_is_not_finite_is_a_divergence_where_it_is_seen() {
    let spec = spec();
    let blown_up = |step: u64| if step < 9 { 1.0 } else { f64::NAN };
    let (record, _) = run(&spec, whole(), &NeverStop, blown_up);
    assert_eq!(record.outcome, Outcome::Diverged { step: 9 });
    assert_eq!(regular(&record), [5, 6, 8]);
    // Seen by an evaluation alone: that one is recorded, the test examples are not looked at.
    let mut driver = TrialDriver::new(&spec, whole());
    let events = &mut |_: Event| {};
    driver.start(events);
    let outcome = loop {
        match driver.next(&NeverStop) {
            Next::Step { .. } => driver.stepped(1.0, 0.1, 0.0, events),
            Next::Evaluate(Evaluate::Whole) => {
                let metrics = BTreeMap::from([(loss(Split::Train), f64::INFINITY)]);
                driver.measured(Evaluation::new(metrics, 0.1), events);
            }
            Next::End(outcome) => break outcome,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(outcome, Outcome::Diverged { step: 5 });
    assert_eq!(driver.next(&NeverStop), Next::End(outcome));
    assert_eq!(driver.progress().measurements.len(), 1);
}

#[test]
fn a_loss_far_above_that_of_knowing_nothing_is_a_divergence_where_it_is_watched() {
    let spec = spec();
    let end = |watched: bool| {
        let mut driver = TrialDriver::new(&spec, Driving::default());
        if watched {
            driver.watch_divergence(1.0);
        }
        match Steps::new(|_| 1e6).session(&mut driver, &NeverStop) {
            End::At(outcome) => outcome,
            End::Interrupted => panic!("nobody interrupted it"),
        }
    };
    assert!(matches!(end(true), Outcome::Diverged { step } if step < 30));
    assert_eq!(end(false), Outcome::NotReached { cap: 200 });
}

#[test]
fn a_target_reached_during_warm_up_is_remarked_upon() {
    let spec = spec();
    let notes = |warm_up_steps| {
        let driving = Driving {
            warm_up_steps,
            ..Driving::default()
        };
        run(&spec, driving, &NeverStop, falling).0.notes
    };
    assert_eq!(notes(5), Vec::<String>::new());
    assert_eq!(notes(1000).len(), 1);
}

fn costs(target: u64) -> EvaluationCost {
    EvaluationCost {
        target,
        whole: 2 * target,
    }
}

/// Where evaluations are dear, what is left out is what the crossing does not need: planned steps
/// while the target is out of sight, other splits, finer evaluations.
#[test]
fn evaluations_take_a_fifth_of_the_multiply_adds_or_are_what_must_be() {
    let spec = TrialSpec {
        batch_size: 256,
        cap: 1000,
        ..spec()
    };
    let falling = |step: u64| 0.1 * (80.0 / step as f64).powf(0.6);
    let driving = |target| Driving {
        cost: costs(target),
        ..Driving::default()
    };
    let passed = |asked: &[Evaluate], target: u64| -> u64 {
        asked.iter().map(|&what| costs(target).of(what)).sum()
    };
    // A thousand examples of each split: what can be afforded is within the fifth.
    let (record, asked) = run(&spec, driving(1000), &NeverStop, falling);
    let (_, _, at) = located(&record.outcome);
    assert!((at.crossing / 80.0).ln().abs() < 0.01, "{at:?}");
    let (trained, evaluated) = (256 * at.found, passed(&asked, 1000));
    assert!(2 * evaluated <= trained, "{evaluated} for {trained}");
    assert_eq!(regular(&record)[..5], [5, 10, 18, 33, 40]);
    // Ten times as dear: as few as must be, and as good.
    let (dear, asked) = run(&spec, driving(10_000), &NeverStop, falling);
    assert!((located(&dear.outcome).2.crossing / 80.0).ln().abs() < 0.01);
    assert!(asked.len() < 14, "{asked:?}");
    let val = [loss(Split::Val)];
    let (last, before) = dear.measurements.split_last().unwrap();
    assert!(before.iter().all(|m| m.metrics.keys().eq(&val)));
    assert_eq!(last.metrics.len(), 2);
    assert_eq!(asked.last(), Some(&Evaluate::Rest(Split::Val)));
    // Without a target, every third within half of the multiply-adds.
    let aimless = TrialSpec {
        target: None,
        cap: 80,
        ..spec.clone()
    };
    for (examples, expected) in [(1000, vec![5, 10, 18, 33, 58, 80]), (10_000, vec![5, 80])] {
        let (record, asked) = run(&aimless, driving(examples), &NeverStop, falling);
        assert_eq!(
            (regular(&record), asked.len()),
            (expected.clone(), expected.len())
        );
    }
    // A pilot's points make targets and caps.
    let pilot = TrialSpec {
        purpose: TrialPurpose::Pilot { index: 0 },
        ..aimless.clone()
    };
    let (record, _) = run(&pilot, driving(10_000), &NeverStop, falling);
    assert_eq!(regular(&record), [5, 10, 18, 33, 58, 80]);
    // Who asks for a cadence gets it.
    let every = Driving {
        cadence: Cadence::Every(20),
        ..driving(10_000)
    };
    let (record, _) = run(&aimless, every, &NeverStop, falling);
    assert_eq!(regular(&record), [20, 40, 60, 80]);
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
fn a_race_is_decided_at_evaluations_and_cut_at_its_bound() {
    for (refine, seed) in (1..9).flat_map(|refine| [0, 1, 2].map(|seed| (refine, seed))) {
        // Evaluations that are free, or so dear that most are left out.
        let whole = || Driving {
            cost: costs(25 * (u64::from(refine) % 3)),
            ..whole()
        };
        let mut spec = spec();
        spec.evaluation.refine = refine;
        let loss = |step: u64| falling(step) * (1.0 + 0.1 * ((seed * step * step) as f64).sin());
        let (unbounded, _) = run(&spec, whole(), &NeverStop, loss);
        let found = located(&unbounded.outcome).2.found;
        for bound in (1..=found + 10).chain([u64::MAX]) {
            let (record, _) = run(&spec, whole(), &Bound(bound), loss);
            let (cut, expected) = (record.cut(bound), unbounded.clone().cut(bound));
            assert_eq!(cut.outcome, expected.outcome, "{refine} {seed} {bound}");
            assert_eq!(cut.measurements, expected.measurements, "{bound}");
            let raced = matches!(cut.outcome, Outcome::Raced { .. });
            assert_eq!(raced, bound < found, "{bound}");
        }
    }
}

/// Interrupts at the question of this number.
struct After(AtomicU64);

impl Control for After {
    fn flow(&self) -> Flow {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            1 => Flow::Interrupt,
            _ => Flow::Continue,
        }
    }
}

proptest! {
    /// A noisy loss, any cadence, and sessions of any lengths, each with a progress that went
    /// through a file: the record is that of the undisturbed run.
    #[test]
    fn interrupted_anywhere_and_resumed_the_record_is_the_same(
        seed in 0u64..1000,
        sessions in proptest::collection::vec(1u64..30, 1..6),
        refine in 1u32..9,
        cap in 1u64..150,
        every in proptest::option::of(1u64..20),
        diverges in proptest::option::of(20u64..100),
        dear in 0u64..200,
    ) {
        let mut spec = spec();
        spec.evaluation.refine = refine;
        spec.cap = cap;
        let driving = Driving {
            cadence: every.map_or(Cadence::Planned, Cadence::Every),
            looks_at_test: seed % 2 == 0,
            warm_up_steps: 30,
            cost: costs(dear),
        };
        let loss = move |step: u64| {
            let jitter = 1.0 + 0.3 * ((seed + step * step) as f64).sin();
            if diverges.is_some_and(|at| step >= at) { f64::NAN } else { falling(step) * jitter }
        };
        let (expected, _) = run(&spec, driving, &NeverStop, loss);

        let mut trainer = Steps::new(loss);
        let mut saved: Option<Progress> = None;
        let mut lengths = sessions.iter().cycle();
        let record = loop {
            let mut driver = TrialDriver::new(&spec, driving);
            if let Some(progress) = saved.take() {
                let json = serde_json::to_string(&progress).unwrap();
                driver.resume(serde_json::from_str(&json).unwrap());
            }
            let control = After(AtomicU64::new(*lengths.next().unwrap()));
            match trainer.session(&mut driver, &control) {
                End::Interrupted => saved = Some(driver.progress().clone()),
                End::At(outcome) => break driver.record(outcome, 10),
            }
        };
        // A measurement that is not a number is not equal to itself.
        prop_assert_eq!(format!("{record:?}"), format!("{expected:?}"));
    }
}
