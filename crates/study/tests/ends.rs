//! The ways a study can go: targets from the pilot, widened ranges, batch sizes that are censored or
//! diverge, trainers that fail, panic or lie.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use batchscope_core::{
    Control, Direction, Event, Located, Outcome, Smoother, StepTiming, Trainer, TrainerError,
    TrainerInfo, TrialPurpose, TrialRecord, TrialSpec,
};
use batchscope_study::{
    FakeTrainer, MemoryStore, Plan, Prices, Queue, RateRange, Remedy, StopToken, Store, StudyError,
    StudyResult, TrialState, estimate, resume_plan, run, without_times,
};

fn plan() -> Plan {
    Plan {
        batch_sizes: vec![16, 64, 256, 1024],
        target: "val-error=0.1".parse().unwrap(),
        learning_rates: RateRange {
            low: 0.01,
            high: 3.0,
        },
        tune_trials: 6,
        study_seed: 5,
        ..Plan::default()
    }
}

fn study(
    plan: &Plan,
    trainer: &dyn Trainer,
    store: &mut dyn Queue,
) -> Result<StudyResult, StudyError> {
    run(plan, trainer, store, &StopToken::new(), &[])
}

fn once(plan: &Plan) -> Result<StudyResult, StudyError> {
    study(plan, &FakeTrainer::default(), &mut MemoryStore::new())
}

fn of(
    result: &StudyResult,
    batch_size: u64,
    purpose: fn(TrialPurpose) -> bool,
) -> Vec<&TrialRecord> {
    result
        .records
        .iter()
        .filter(|r| r.spec.batch_size == batch_size && purpose(r.spec.purpose))
        .collect()
}

fn pilot(purpose: TrialPurpose) -> bool {
    matches!(purpose, TrialPurpose::Pilot { .. })
}

fn tune(purpose: TrialPurpose) -> bool {
    matches!(purpose, TrialPurpose::Tune { .. })
}

fn fresh(purpose: TrialPurpose) -> bool {
    matches!(purpose, TrialPurpose::Fresh { .. })
}

fn ends(records: &[&TrialRecord]) -> Vec<&'static str> {
    records.iter().map(|r| r.outcome.name()).collect()
}

/// The smoothed trace of a metric, from the measurements alone.
fn trace(record: &TrialRecord, metric: &str) -> Vec<(u64, f64)> {
    let metric = metric.parse().unwrap();
    let mut smoother = Smoother::default();
    record
        .measurements
        .iter()
        .map(|m| (m.step, smoother.observe(m.step, m.metrics[&metric])))
        .collect()
}

#[test]
fn an_auto_target_is_nine_tenths_of_the_best_runs_improvement() {
    for (metric, direction) in [
        ("val-error", Direction::Lower),
        ("val-accuracy", Direction::Higher),
    ] {
        let result = once(&Plan {
            target: format!("auto:{metric}").parse().unwrap(),
            ..plan()
        })
        .unwrap();
        let summary = result.summary.as_ref().unwrap();
        assert_eq!(summary.target.as_ref().unwrap().direction, direction);
        assert!(
            summary.target_origin.contains("pilot at batch size 64"),
            "{}",
            summary.target_origin
        );
        let runs = of(&result, 64, pilot)
            .into_iter()
            .filter(|r| matches!(r.outcome, Outcome::Completed { .. }))
            .map(|r| trace(r, metric));
        let (first, best) = runs
            .map(|trace| {
                let values = trace.iter().map(|&(_, value)| value);
                let best = values.reduce(|a, b| if direction.better(b, a) { b } else { a });
                (trace[0].1, best.unwrap())
            })
            .reduce(|a, b| if direction.better(b.1, a.1) { b } else { a })
            .unwrap();
        // Two digits, and not harder.
        let (value, exact) = (
            summary.target.as_ref().unwrap().value,
            best + 0.1 * (first - best),
        );
        assert!(
            !direction.better(value, exact) && (value - exact).abs() < 0.1 * exact,
            "{value} from {exact}"
        );
        assert!(
            format!("{value}").trim_start_matches(['0', '.']).len() <= 2,
            "{value}"
        );
        assert!(of(&result, 64, fresh).iter().all(|r| r.steps().is_some()));
    }
}

#[test]
fn a_quartile_target_comes_from_the_largest_batch() {
    let result = once(&Plan {
        target: "quartile:train-loss".parse().unwrap(),
        pilot_epochs: 30.0,
        ..plan()
    })
    .unwrap();
    let summary = result.summary.as_ref().unwrap();
    assert!(
        summary.target_origin.contains("1024") && summary.target_origin.contains("Golmant"),
        "{}",
        summary.target_origin
    );
    let best = of(&result, 1024, pilot)
        .into_iter()
        .filter(|r| matches!(r.outcome, Outcome::Completed { .. }))
        .map(|r| {
            // The fake's loss only falls, so that its lowest quartile of steps is its last quarter.
            let wanted = r.spec.cap as f64 * 0.75;
            trace(r, "train-loss")
                .into_iter()
                .find(|&(step, _)| step as f64 >= wanted)
                .unwrap()
                .1
        })
        .fold(f64::INFINITY, f64::min);
    assert!(
        summary.target.as_ref().unwrap().value >= best
            && summary.target.as_ref().unwrap().value < best * 1.02,
        "{} from {best}",
        summary.target.as_ref().unwrap().value
    );
}

#[test]
fn a_target_out_of_reach_is_an_error_that_says_how_near_and_the_study_can_be_planned_anew() {
    let mut store = MemoryStore::new();
    let hard = Plan {
        target: "val-error=0.001".parse().unwrap(),
        pilot_epochs: 3.0,
        ..plan()
    };
    let error = study(&hard, &FakeTrainer::default(), &mut store).unwrap_err();
    let StudyError::TargetNotReached {
        best: Some(best),
        batch_size: 64,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(*best > 0.001 && *best < 0.9, "{best}");
    let keys: Vec<&str> = error
        .remedies()
        .iter()
        .map(|remedy| match remedy {
            Remedy::ChangeSetting { key, .. } => *key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, ["target", "pilot-epochs", "learning-rates"]);
    let easier = Plan {
        target: "val-error=0.2".parse().unwrap(),
        ..hard
    };
    let result = study(&easier, &FakeTrainer::default(), &mut store).unwrap();
    let whole = once(&easier).unwrap();
    assert_eq!(result.tuning, whole.tuning);
    assert_eq!(
        result.records.len(),
        whole.records.len(),
        "trials of the plan that failed are not part of this one"
    );
}

#[test]
fn a_pilot_that_only_diverges_says_so() {
    let wild = Plan {
        target: "auto:val-error".parse().unwrap(),
        learning_rates: RateRange {
            low: 50.0,
            high: 100.0,
        },
        ..plan()
    };
    let error = once(&wild).unwrap_err();
    assert!(
        matches!(error, StudyError::NoTarget { .. }) && error.to_string().contains("diverged"),
        "{error}"
    );
}

#[test]
fn a_range_is_widened_where_the_best_sits_on_its_edge() {
    let low = Plan {
        learning_rates: RateRange {
            low: 0.004,
            high: 0.02,
        },
        tune_width: Some(3.0),
        max_widenings: 3,
        pilot_epochs: 100.0,
        ..plan()
    };
    // A steep response without noise: the best rate tried is the nearest to the optimum.
    let fake = FakeTrainer {
        noise: 0.0,
        curvature: 0.5,
        ..FakeTrainer::default()
    };
    let result = study(&low, &fake, &mut MemoryStore::new()).unwrap();
    for summary in &result.tuning {
        assert!(
            !summary.widenings.is_empty() && summary.widenings[0].contains("upper edge"),
            "{summary:?}"
        );
        assert_eq!(
            summary.trials,
            6 * (1 + summary.widenings.len() as u64),
            "a round as large as the first"
        );
        assert!(!summary.on_edge, "{summary:?}");
        let ratio = summary.chosen.unwrap() / fake.best_rate_at(summary.batch_size);
        assert!((0.3..3.0).contains(&ratio), "{ratio}");
        assert!(
            result
                .decisions
                .iter()
                .any(|d| d.contains(&summary.widenings[0]))
        );
    }
    let narrow = Plan {
        max_widenings: 0,
        ..low
    };
    let never = study(&narrow, &fake, &mut MemoryStore::new()).unwrap();
    assert!(
        never
            .tuning
            .iter()
            .all(|t| t.on_edge && t.widenings.is_empty() && t.trials == 6)
    );
}

#[test]
fn a_batch_size_that_cannot_reach_the_target_is_censored_not_dropped() {
    // Batch 16 needs about 1,000 steps.
    let result = once(&Plan {
        max_steps: Some(500),
        ..plan()
    })
    .unwrap();
    let small = result.tuning.iter().find(|t| t.batch_size == 16).unwrap();
    assert_eq!((small.chosen, small.indistinct), (None, None));
    assert_eq!(ends(&of(&result, 16, fresh)), ["not_reached"; 3]);
    assert!(
        of(&result, 16, fresh)
            .iter()
            .all(|r| r.outcome == Outcome::NotReached { cap: 500 })
    );
    assert_eq!(ends(&of(&result, 64, fresh)), ["reached"; 3]);
    assert!(
        result
            .decisions
            .iter()
            .any(|d| d.starts_with("batch size 16: no tuning trial reached"))
    );
    // The least bad rate is near the best one all the same.
    let ratio =
        of(&result, 16, fresh)[0].spec.learning_rate / FakeTrainer::default().best_rate_at(16);
    assert!((0.4..2.5).contains(&ratio), "{ratio}");
}

/// A trainer that misbehaves where `fault` says so.
struct Faulty<F> {
    inner: FakeTrainer,
    fault: F,
}

impl<F> Trainer for Faulty<F>
where
    F: Fn(&TrialSpec) -> Option<Result<Outcome, TrainerError>> + Send + Sync,
{
    fn info(&self) -> TrainerInfo {
        self.inner.info()
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let honest = self.inner.run(spec, control, events)?;
        match (self.fault)(spec) {
            None => Ok(honest),
            Some(Err(error)) => Err(error),
            Some(Ok(outcome)) => Ok(TrialRecord { outcome, ..honest }),
        }
    }

    fn forget(&self, spec: &TrialSpec) {
        self.inner.forget(spec);
    }
}

fn faulty<F>(fault: F) -> Faulty<F>
where
    F: Fn(&TrialSpec) -> Option<Result<Outcome, TrainerError>> + Send + Sync,
{
    Faulty {
        inner: FakeTrainer::default(),
        fault,
    }
}

#[test]
fn a_batch_size_that_always_diverges_is_measured_as_such() {
    let trainer =
        faulty(|spec| (spec.batch_size == 256).then_some(Ok(Outcome::Diverged { step: 9 })));
    let result = study(&plan(), &trainer, &mut MemoryStore::new()).unwrap();
    let tuning = result.tuning.iter().find(|t| t.batch_size == 256).unwrap();
    assert_eq!((tuning.chosen, tuning.widenings.len()), (None, 2));
    assert!(
        tuning.widenings.iter().all(|w| w.contains("lower edge")),
        "only lower rates can help: {tuning:?}"
    );
    assert_eq!(ends(&of(&result, 256, fresh)), ["diverged"; 3]);
    assert_eq!(ends(&of(&result, 1024, fresh)), ["reached"; 3]);
    assert_eq!(
        result.summary.unwrap().trials["diverged"] as usize,
        result
            .records
            .iter()
            .filter(|r| r.outcome.name() == "diverged")
            .count()
    );
}

#[test]
fn single_failures_and_panics_are_counted_and_the_study_goes_on() {
    let trainer = faulty(|spec| match spec.purpose {
        TrialPurpose::Tune { index: 1, .. } => {
            Some(Err(TrainerError::Refused("no such rate".to_owned())))
        }
        TrialPurpose::Fresh { index: 1 } if spec.batch_size == 64 => panic!("out of luck"),
        _ => None,
    });
    let result = study(
        &Plan { jobs: 2, ..plan() },
        &trainer,
        &mut MemoryStore::new(),
    )
    .unwrap();
    let failed: Vec<&TrialRecord> = result
        .records
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Failed { .. }))
        .collect();
    assert!(failed.len() > 4, "one for each batch size and one panic");
    let why = |text: &str| {
        failed
            .iter()
            .filter(|r| matches!(&r.outcome, Outcome::Failed { why } if why.contains(text)))
            .count()
    };
    assert_eq!(
        (why("no such rate"), why("out of luck")),
        (failed.len() - 1, 1)
    );
    assert!(result.tuning.iter().all(|t| t.chosen.is_some()));
}

#[test]
fn where_everything_fails_the_study_stops_and_tries_again_once_mended() {
    let broken = AtomicBool::new(true);
    let trainer = faulty(|spec| {
        let hit = broken.load(Ordering::SeqCst) && tune(spec.purpose);
        hit.then(|| Err(TrainerError::Refused("python: not found".to_owned())))
    });
    let mut store = MemoryStore::new();
    for _ in 0..2 {
        let error = study(&plan(), &trainer, &mut store).unwrap_err();
        assert!(
            matches!(&error, StudyError::AllFailed { stage, .. } if stage == "tuning"),
            "{error}"
        );
        assert!(error.to_string().contains("python: not found"), "{error}");
    }
    broken.store(false, Ordering::SeqCst);
    let mended = study(&plan(), &trainer, &mut store).unwrap();
    assert_eq!(mended.records, once(&plan()).unwrap().records);
}

#[test]
fn a_failing_disk_is_not_the_trials_fault() {
    let trials = AtomicU64::new(0);
    let trainer = faulty(|_| {
        let hit = trials.fetch_add(1, Ordering::SeqCst) == 20;
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        hit.then(|| {
            Err(TrainerError::File {
                what: "cannot write checkpoint",
                path: "trial.ckpt".into(),
                source,
            })
        })
    });
    let mut store = MemoryStore::new();
    let error = study(&Plan { jobs: 3, ..plan() }, &trainer, &mut store).unwrap_err();
    assert!(error.to_string().contains("trial.ckpt"), "{error}");
    let states = store.trials().unwrap();
    assert!(
        states
            .iter()
            .filter(|t| matches!(t.state, TrialState::Finished(_)))
            .count()
            >= 18
    );
    assert!(!states.iter().any(|t| matches!(&t.state, TrialState::Finished(r) if matches!(r.outcome, Outcome::Failed { .. }))));
    // Side by side, a raced trial's seconds are those until it heard of it.
    let resumed = study(&plan(), &trainer, &mut store).unwrap();
    let but_for_times =
        |result: StudyResult| result.records.iter().map(without_times).collect::<Vec<_>>();
    assert_eq!(
        but_for_times(resumed),
        but_for_times(once(&plan()).unwrap())
    );
}

#[test]
fn records_that_make_no_sense_are_failures() {
    fn reached(step: u64, after: u64, located: Option<(f64, u64)>) -> Outcome {
        Outcome::Reached {
            step,
            after,
            located: located.map(|(crossing, found)| Located {
                crossing,
                found,
                ..Located::default()
            }),
        }
    }
    let lies: [fn(&TrialSpec) -> Outcome; 11] = [
        |s| reached(s.cap + 1, 0, None),
        |_| reached(7, 7, None),
        |_| reached(0, 0, None),
        |_| reached(7, 6, Some((7.5, 8))),
        |_| reached(7, 6, Some((f64::NAN, 8))),
        |_| reached(7, 6, Some((6.5, 6))),
        |s| reached(7, 6, Some((6.5, s.cap + 1))),
        |_| Outcome::Raced { at: 3 },
        |s| Outcome::NotReached { cap: s.cap - 1 },
        |s| Outcome::Completed { step: s.cap },
        |_| Outcome::Interrupted,
    ];
    for (i, lie) in lies.into_iter().enumerate() {
        let trainer = faulty(move |spec| {
            (fresh(spec.purpose) && spec.batch_size == 64).then(|| Ok(lie(spec)))
        });
        let result = study(&plan(), &trainer, &mut MemoryStore::new()).unwrap();
        assert_eq!(ends(&of(&result, 64, fresh)), ["failed"; 3], "lie {i}");
    }
}

/// A trainer whose measurements are altered before the study sees them.
struct Forger(FakeTrainer, fn(&mut TrialRecord));

impl Trainer for Forger {
    fn info(&self) -> TrainerInfo {
        self.0.info()
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let mut record = self.0.run(spec, control, events)?;
        if fresh(spec.purpose) && spec.batch_size == 64 {
            (self.1)(&mut record);
        }
        Ok(record)
    }
}

#[test]
fn measurements_that_make_no_sense_are_failures() {
    let forgeries: [fn(&mut TrialRecord); 4] = [
        |r| r.measurements.reverse(),
        |r| r.measurements.last_mut().unwrap().step = u64::MAX,
        |r| r.measurements[0].examples = u64::MAX,
        |r| r.micro_batch = u64::MAX,
    ];
    for (i, forge) in forgeries.into_iter().enumerate() {
        let result = study(
            &plan(),
            &Forger(FakeTrainer::default(), forge),
            &mut MemoryStore::new(),
        )
        .unwrap();
        assert_eq!(ends(&of(&result, 64, fresh)), ["failed"; 3], "forgery {i}");
    }
    // Another trial's spec in the record is of no consequence: the study knows what it asked for.
    let other = Forger(FakeTrainer::default(), |r| r.spec.batch_size = 7);
    assert_eq!(
        study(&plan(), &other, &mut MemoryStore::new())
            .unwrap()
            .records,
        once(&plan()).unwrap().records
    );
}

#[test]
fn a_batch_larger_than_the_data_is_refused_before_anything_runs() {
    let mut store = MemoryStore::new();
    for (key, plan) in [
        (
            "batch-sizes",
            Plan {
                batch_sizes: vec![64, 40_000],
                ..plan()
            },
        ),
        (
            "base-batch",
            Plan {
                base_batch: 30_000,
                ..plan()
            },
        ),
        (
            "target",
            Plan {
                target: "val-perplexity=3".parse().unwrap(),
                ..plan()
            },
        ),
    ] {
        match study(&plan, &FakeTrainer::default(), &mut store) {
            Err(StudyError::Plan(error)) => assert_eq!(error.key, key, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(store.header().unwrap().is_none() && store.trials().unwrap().is_empty());
}

#[test]
fn an_estimate_bounds_what_the_study_then_takes() {
    let trainer = FakeTrainer::default();
    let info = trainer.info();
    let plan = Plan {
        max_widenings: 0,
        ..plan()
    };
    let step = |batch_size: u64| {
        let seconds = 1e-3 + 1e-5 * batch_size as f64;
        Some(StepTiming {
            batch_size,
            micro_batch: batch_size,
            seconds,
            low: 0.9 * seconds,
            high: 1.2 * seconds,
            n: 5,
        })
    };
    let prices = Prices {
        per_hour: Some(3.6),
        watts: Some(1000.0),
    };
    let before = estimate(&plan, &info, step, &[], prices).unwrap();
    assert!(!before.modeled);
    let result = once(&plan).unwrap();
    let spent: f64 = result
        .records
        .iter()
        .map(|r| r.measurements.last().map_or(0.0, |m| m.examples as f64))
        .sum();
    assert!(
        spent < before.examples.most && before.examples.expected < before.examples.most,
        "{spent} {before:?}"
    );
    for (end, factor) in [(before.seconds.low, 0.9), (before.seconds.high, 1.2)] {
        assert!((end / before.seconds.expected - factor).abs() < 1e-9);
    }
    assert!((before.money.unwrap().most - before.seconds.most / 1000.0).abs() < 1e-9);
    assert!((before.energy.unwrap().most - before.seconds.most / 3600.0).abs() < 1e-9);
    assert_eq!(
        before.rows.iter().map(|row| row.load.trials).sum::<u64>() as usize,
        result.records.len()
    );

    let pilots: Vec<TrialRecord> = result
        .records
        .iter()
        .filter(|r| pilot(r.spec.purpose))
        .cloned()
        .collect();
    let after_pilot = estimate(&plan, &info, step, &pilots, prices).unwrap();
    let rest: f64 = result
        .records
        .iter()
        .filter(|r| !pilot(r.spec.purpose))
        .map(|r| r.measurements.last().map_or(0.0, |m| m.examples as f64))
        .sum();
    assert!(
        after_pilot.modeled && rest < after_pilot.examples.most,
        "{rest} {after_pilot:?}"
    );
    assert!(
        (0.3..3.0).contains(&(rest / after_pilot.examples.expected)),
        "{rest} {after_pilot:?}"
    );

    let done = estimate(&plan, &info, step, &result.records, prices).unwrap();
    assert_eq!((done.examples.most, done.seconds.most), (0.0, 0.0));
}

/// A larger batch size would have given a new study another pilot; this one has had its own.
#[test]
fn the_estimate_of_an_extended_study_keeps_its_choices() {
    let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
    let first = Plan {
        batch_sizes: vec![16, 64, 256],
        ..plan()
    };
    let result = study(&first, &trainer, &mut store).unwrap();
    let mut extended = first.clone();
    extended.batch_sizes.push(1024);
    assert_ne!(
        extended.resolved(None).pilot_batch,
        result.plan.pilot_batch,
        "the test needs a plan whose pilot depends on the range"
    );
    let info = trainer.info();
    let resumed = resume_plan(&extended, &info, &store).unwrap();
    assert_eq!(resumed.pilot_batch, result.plan.pilot_batch);
    let left = estimate(
        &resumed,
        &info,
        |_| None,
        &result.records,
        Prices::default(),
    )
    .unwrap();
    let pilots = left.rows.iter().filter(|r| r.load.stage.name == "pilot");
    for row in pilots {
        assert_eq!(row.load.done, row.load.trials, "{row:?}");
    }
    // Asking changed nothing: the study is still the one of the first plan.
    assert_eq!(store.header().unwrap().unwrap().plan, result.plan);
}
