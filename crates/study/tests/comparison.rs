//! Comparisons of methods, on the trainer without a model.

use batchscope_core::{Choice, Decay, Length, Outcome, Schedule, TrialPurpose};
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
            methods: methods.iter().map(|name| method(name)).collect(),
            epochs: 1.0,
            endpoint,
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
