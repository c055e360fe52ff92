//! Comparisons of methods, on the trainer without a model.

use batchscope_core::{Choice, Decay, Length, Outcome, Schedule, TrialPurpose, TrialRecord};
use batchscope_rules::CONTROLLERS;
use batchscope_scaling::{ContrastVerdict, Endpoint, contrasts};
use batchscope_study::{
    Comparison, ComparisonPlanner, FakeTrainer, MemoryStore, Method, Plan, RateRange, StopToken,
    StudyError, StudyResult, TargetChoice, run_with,
};

fn method(name: &str) -> Method {
    let (optimizer, rule) = name.split_once('+').unwrap();
    Method {
        name: name.to_owned(),
        optimizer: Choice::new(optimizer, [("momentum", 0.9.into())]),
        rule: (rule != "tuned").then(|| rule.parse().unwrap()),
        steps: Vec::new(),
        controller: None,
        rates: RateRange {
            low: 0.01,
            high: 1.0,
        },
    }
}

fn plan(methods: &[&str], endpoint: Endpoint) -> Plan {
    Plan {
        batch_sizes: vec![64, 256, 1024],
        seeds: 4,
        tune_trials: 8,
        target: match &endpoint {
            Endpoint::Steps(target) => TargetChoice::Fixed(target.clone()),
            Endpoint::Metric(metric) => TargetChoice::Auto {
                metric: metric.clone(),
            },
        },
        schedule: Schedule::constant(),
        comparison: Some(Comparison {
            run_examples: None,
            methods: methods.iter().map(|name| method(name)).collect(),
            epochs: 1.0,
            endpoint,
            tune_warm_up: false,
        }),
        ..Plan::default()
    }
}

fn by_metric() -> Endpoint {
    Endpoint::Metric("val-error".parse().unwrap())
}

fn run(plan: &Plan) -> Result<StudyResult, StudyError> {
    let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
    run_with(
        &ComparisonPlanner,
        plan,
        &trainer,
        &mut store,
        &StopToken::new(),
        &[],
    )
}

fn fresh(result: &StudyResult) -> usize {
    let fresh =
        |r: &&batchscope_core::TrialRecord| matches!(r.spec.purpose, TrialPurpose::Fresh { .. });
    result.records.iter().filter(fresh).count()
}

/// The fake's best rate grows from 0.2 at 64 to 0.8 at 1024: a rate that stays is too low there, and
/// linear scaling, to 3.2, beyond what diverges at 4.8 or near it; square root is right.
#[test]
fn methods_are_told_apart_at_the_largest_batch_size() {
    let plan = plan(&["sgd+srsr", "sgd+blr", "sgd+tuned"], by_metric());
    let result = run(&plan).unwrap();
    let names = plan.comparison.as_ref().unwrap().names();
    // sgd is tuned once for both rules at 64, and at the three batch sizes for itself: 64 is shared.
    let tuning = result
        .records
        .iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Tune { round: 0, .. }));
    assert_eq!(tuning.count(), 3 * 8);
    // At 64 all three are the same runs.
    assert_eq!(fresh(&result), 4 + 2 * 3 * 4);
    assert!(result.records.iter().all(|r| {
        r.spec.cap == 20_000u64.div_ceil(r.spec.batch_size)
            && matches!(
                r.outcome,
                Outcome::Completed { .. } | Outcome::Diverged { .. }
            )
    }));
    let found = contrasts(
        &names,
        &by_metric(),
        &plan.batch_sizes,
        &result.records,
        0.95,
    );
    assert_eq!(
        (found.baseline.as_str(), found.batch_size),
        ("sgd+srsr", 1024)
    );
    assert_eq!(found.points.len(), 9);
    let of = |name: &str| found.primary.iter().find(|c| c.method == name).unwrap();
    assert_eq!(of("sgd+blr").verdict, ContrastVerdict::Worse, "{found:?}");
    assert!(of("sgd+blr").difference.value.unwrap() > 0.0);
    assert!(of("sgd+blr").p_holm.unwrap() >= of("sgd+blr").p.unwrap());
    assert!(of("sgd+blr").detectable.unwrap() > 0.0);
}

/// A controller that finds the rate is not tuned; one that changes the batch size ends after as many examples, in fewer
/// steps; one that decides on the way is capped by examples.
#[test]
fn controllers_lead_the_runs_of_a_method() {
    let mut plan = plan(
        &["sgd+tuned", "sgd+srsr", "sgd+blr", "sgd+sqrt"],
        by_metric(),
    );
    plan.schedule = Schedule {
        decay: Decay::Cosine {
            over: Length::Epochs(1.0),
            floor: 0.0,
        },
        ..Schedule::warm_up(2)
    };
    let methods = &mut plan.comparison.as_mut().unwrap().methods;
    for (at, controller) in [
        (1, "late_switch(0.5ep, 4)"),
        (2, "autowu"),
        (3, "cabs(16, 2048)"),
    ] {
        let (_, choice) = CONTROLLERS.read(controller).unwrap();
        methods[at].controller = Some(choice);
        methods[at].name = controller.to_owned();
    }
    methods[2].rule = None;
    let result = run(&plan).unwrap();
    let of = |name: &str| -> Vec<&TrialRecord> {
        let is_own = |r: &&TrialRecord| r.spec.curves.iter().any(|curve| curve == name);
        result.records.iter().filter(is_own).collect()
    };
    let (switched, found, open) = (
        of("late_switch(0.5ep, 4)"),
        of("autowu"),
        of("cabs(16, 2048)"),
    );
    assert!(
        found
            .iter()
            .all(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. })
                && r.spec.learning_rate == 1.0
                && r.spec.schedule.warm_up.length.is_zero()
                && r.spec.max_examples.is_none())
    );
    assert_eq!(found.len(), 3 * 4);
    // Half the examples in steps of 64, half in steps of 256.
    let at_64 = switched.iter().find(|r| r.spec.batch_size == 64).unwrap();
    assert_eq!(at_64.spec.cap, 157 + (20_032 - 157 * 64u64).div_ceil(256));
    assert!(open.iter().all(|r| {
        let examples = r.spec.max_examples.unwrap();
        examples >= 20_000 && r.spec.cap == examples.div_ceil(16)
    }));
    // Searches of the same optimizer are not shared where other controllers lead them.
    let tuning = |records: &[&TrialRecord]| {
        let tuned = |r: &&&TrialRecord| matches!(r.spec.purpose, TrialPurpose::Tune { .. });
        records.iter().filter(tuned).count()
    };
    assert!(tuning(&switched) >= 8 && tuning(&open) >= 8);
    let methods = &mut plan.comparison.as_mut().unwrap().methods;
    methods[3].controller = Some(CONTROLLERS.read("adascale(128)").unwrap().1);
    let refused = run(&plan).unwrap_err().to_string();
    assert!(
        refused.contains("adascale(base=128) at batch size 64"),
        "{refused}"
    );
}

/// In runs of equal length the warm-up's length is searched beside the rate, and the decay ends with the run.
#[test]
fn the_warm_up_can_be_tuned() {
    let mut plan = plan(&["sgd+tuned", "sgd+legw"], by_metric());
    plan.schedule.decay = Decay::Cosine {
        over: Length::Epochs(1.0),
        floor: 0.0,
    };
    plan.comparison.as_mut().unwrap().tune_warm_up = true;
    let result = run(&plan).unwrap();
    let warm_up = |r: &TrialRecord| {
        let length = r.spec.schedule.warm_up.length;
        let steps = length.in_steps(r.spec.batch_size, 20_000);
        let decay = &r.spec.schedule.decay;
        let Decay::Cosine {
            over: Length::Steps(over),
            ..
        } = *decay
        else {
            panic!("{decay:?}");
        };
        assert_eq!(over, r.spec.cap.saturating_sub(steps).max(1));
        steps
    };
    let at = |batch_size: u64, fresh: bool| {
        let is_of = move |r: &&TrialRecord| {
            r.spec.batch_size == batch_size
                && matches!(r.spec.purpose, TrialPurpose::Fresh { .. }) == fresh
        };
        result.records.iter().filter(is_of)
    };
    let mut searched: Vec<u64> = at(64, false).map(warm_up).collect();
    searched.sort_unstable();
    searched.dedup();
    assert!(
        searched.len() >= 6 && searched[0] < 20 && searched[searched.len() - 1] > 60,
        "{searched:?}"
    );
    for batch_size in [64, 256, 1024] {
        assert!(at(batch_size, true).all(|r| warm_up(r) >= 1));
    }
    let endpoint = Endpoint::Steps("val-error=0.2".parse().unwrap());
    plan.comparison.as_mut().unwrap().endpoint = endpoint;
    assert!(
        run(&plan)
            .unwrap_err()
            .to_string()
            .contains("runs of equal length")
    );
}

/// The same seeds, so the same runs, at the same rate: no difference, and none that could be tested.
#[test]
fn equal_methods_are_not_told_apart() {
    let mut plan = plan(&["sgd+blr", "sgd+none"], by_metric());
    if let Some(comparison) = &mut plan.comparison {
        comparison.methods[1].rule = Some("surge(noise_scale=1e9)".parse().unwrap());
        comparison.methods[1].name = "other".to_owned();
        plan.batch_sizes = vec![64];
    }
    let result = run(&plan).unwrap();
    let names = plan.comparison.as_ref().unwrap().names();
    let found = contrasts(
        &names,
        &by_metric(),
        &plan.batch_sizes,
        &result.records,
        0.95,
    );
    let contrast = &found.primary[0];
    assert_eq!(contrast.difference.value, Some(0.0));
    assert_eq!(
        (contrast.p, contrast.verdict),
        (None, ContrastVerdict::Undecided)
    );
}

/// On the way to a target the length of the decay is tuned beside the rate, and alone where a rule
/// gives the rate.
#[test]
fn steps_to_a_target_tune_the_decay() {
    let endpoint = Endpoint::Steps("val-error=0.2".parse().unwrap());
    let mut plan = plan(&["sgd+srsr", "sgd+tuned"], endpoint.clone());
    plan.schedule.decay = Decay::Linear {
        over: Length::Epochs(1.0),
        floor: 0.0,
    };
    if let Some(comparison) = &mut plan.comparison {
        comparison.epochs = 4.0;
    }
    let result = run(&plan).unwrap();
    let decays: std::collections::BTreeSet<String> = result
        .records
        .iter()
        .map(|r| format!("{:?}", r.spec.schedule.decay))
        .collect();
    assert!(decays.len() > 16, "{decays:?}");
    let names = plan.comparison.as_ref().unwrap().names();
    let found = contrasts(&names, &endpoint, &plan.batch_sizes, &result.records, 0.95);
    assert!(
        found.points.iter().all(|point| point.with_value == 4),
        "{found:?}"
    );
    // Every method had as many trials at every batch size.
    for batch_size in [64, 256, 1024] {
        let tuned = |rate_of_rule: bool| {
            let of = |r: &&batchscope_core::TrialRecord| {
                matches!(r.spec.purpose, TrialPurpose::Tune { round: 0, .. })
                    && r.spec.batch_size == batch_size
            };
            let all: Vec<_> = result.records.iter().filter(of).collect();
            let rates: std::collections::BTreeSet<u64> =
                all.iter().map(|r| r.spec.learning_rate.to_bits()).collect();
            if rate_of_rule { all.len() } else { rates.len() }
        };
        let expected = if batch_size == 64 { (8, 8) } else { (16, 9) };
        assert_eq!((tuned(true), tuned(false)), expected, "{batch_size}");
    }
}

/// Stopped after any number of trials and taken up again: the same records.
#[test]
fn a_comparison_in_pieces_is_the_comparison_in_one_go() {
    let plan = Plan {
        seeds: 2,
        tune_trials: 3,
        ..plan(&["sgd+srsr", "sgd+lsr", "adam+blr"], by_metric())
    };
    let whole = run(&plan).unwrap();
    struct StopAfter(StopToken, std::sync::atomic::AtomicUsize);
    impl batchscope_study::Observer for StopAfter {
        fn observe(&self, event: &batchscope_study::StudyEvent) {
            if matches!(event, batchscope_study::StudyEvent::TrialFinished { .. })
                && self.1.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
            {
                self.0.stop();
            }
        }
    }
    let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
    let mut pieces = 0;
    let result = loop {
        let stop = StopToken::new();
        let observer = StopAfter(stop.clone(), 5.into());
        let result = run_with(
            &ComparisonPlanner,
            &plan,
            &trainer,
            &mut store,
            &stop,
            &[&observer],
        )
        .unwrap();
        pieces += 1;
        if !result.interrupted {
            break result;
        }
    };
    assert!(pieces > 3);
    let bare = |result: &StudyResult| -> Vec<_> {
        result
            .records
            .iter()
            .map(batchscope_study::without_times)
            .collect()
    };
    assert_eq!(bare(&result), bare(&whole));
    assert_eq!(result.decisions, whole.decisions);
}

#[test]
fn comparisons_that_make_no_sense_are_refused_before_anything_runs() {
    type Spoil = fn(&mut Plan, &mut Comparison);
    let cases: [(&str, &str, Spoil); 5] = [
        ("methods", "fewer than two", |_, c| c.methods.truncate(1)),
        ("methods", "twice", |_, c| {
            c.methods[1].name = c.methods[0].name.clone()
        }),
        ("epochs", "above 0", |_, c| c.epochs = 0.0),
        ("methods", "sde", |_, c| {
            c.methods[1].rule = Some("sde".parse().unwrap())
        }),
        ("schedule", "steps", |plan, c| {
            plan.schedule.decay = Decay::Step {
                at: vec![Length::Epochs(1.0)],
                factor: 0.1,
            };
            c.endpoint = Endpoint::Steps("val-error=0.2".parse().unwrap());
        }),
    ];
    for (key, why, spoil) in cases {
        let mut plan = plan(&["sgd+srsr", "sgd+blr"], by_metric());
        let mut comparison = plan.comparison.take().unwrap();
        spoil(&mut plan, &mut comparison);
        plan.comparison = Some(comparison);
        let error = plan.check().unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.why.contains(why), "{error}");
    }
}
