//! A whole study through the analysis: what comes out must be the truth that went in.

mod common;

use std::collections::BTreeMap;

use batchscope_core::{Estimate, EstimateState, Metric, Outcome, TrialPurpose};
use batchscope_scaling::{AnalysisOptions, Findings, PointState, Regime, SCHEMA, analyze};
use common::{World, target};

fn analyzed(world: &World) -> Findings {
    analyze(
        world.summary(),
        world.tuning(),
        &world.records(),
        &options(),
    )
}

fn options() -> AnalysisOptions {
    AnalysisOptions {
        bootstrap: 100,
        ..AnalysisOptions::default()
    }
}

fn holds(estimate: &Estimate, truth: f64) -> bool {
    estimate.low.is_none_or(|low| low <= truth) && estimate.high.is_none_or(|high| truth <= high)
}

#[test]
fn a_study_with_its_knee_inside_the_range_is_estimated() {
    let world = World::default();
    let findings = analyzed(&world);
    assert_eq!(findings.schema, SCHEMA);
    let curve = &findings.curves[0];
    assert_eq!((curve.rule.as_str(), curve.points.len()), ("tuned", 9));
    for point in &curve.points {
        assert_eq!((point.state, point.repeats.len()), (PointState::Reached, 3));
        assert_eq!(point.outcomes, BTreeMap::from([("reached".to_owned(), 3)]));
        let ratio = point.steps.value.unwrap() / world.steps(point.batch_size);
        assert!(
            (ratio.ln() / 0.06).abs() < 2.5,
            "over 2.5 deviations of one seed off: {:?}",
            point.steps
        );
        assert_eq!(
            point.examples.value.unwrap(),
            point.steps.value.unwrap() * point.batch_size as f64
        );
        assert!(point.minimum_over_trials.is_some() && point.seconds.is_estimated());
        assert_eq!(
            (point.learning_rate.low, point.learning_rate.high),
            (Some(0.08), Some(0.13))
        );
        assert_eq!(point.warm_up_steps, 20);
    }
    assert_eq!(curve.points[0].speed_up.value, Some(1.0));
    let largest = &curve.points[8];
    assert!(
        holds(&largest.speed_up, world.steps(8) / world.steps(2048)),
        "{:?}",
        largest.speed_up
    );

    let critical = &findings.critical_batch_size["tuned"];
    assert!(critical.hyperbola.is_estimated() && holds(&critical.hyperbola, world.critical));
    assert!(critical.overhead20.is_estimated() && holds(&critical.overhead20, world.critical));
    let regimes: Vec<Regime> = findings.regimes["tuned"]
        .points
        .iter()
        .map(|p| p.regime)
        .collect();
    assert_eq!(
        (regimes[0], regimes[4], regimes[8]),
        (Regime::Linear, Regime::Diminishing, Regime::Stagnation)
    );

    assert_eq!(curve.largest_reached(), Some(2048));
    assert_eq!(curve.past_the_fit(), [0; 0]);
    assert_eq!(curve.reached_inside_warm_up(), [0; 0]);
    assert!(findings.verdict.is_empty() && findings.remarks.is_empty());
}

/// Every easier target of a power law scales all steps alike: the knee stays.
#[test]
fn easier_targets_are_answered_from_the_same_runs() {
    let world = World::default();
    let findings = analyzed(&world);
    let rows = &findings.targets["tuned"];
    assert_eq!((rows.len(), rows[0].target.clone()), (5, target()));
    assert_eq!(
        rows[0].hyperbola,
        findings.critical_batch_size["tuned"].hyperbola
    );
    for pair in rows.windows(2) {
        assert!(pair[1].target.value > pair[0].target.value);
    }
    for row in rows {
        assert_eq!(row.reached, 27);
        assert!(
            (row.hyperbola.value.unwrap() / world.critical - 1.0).abs() < 0.15,
            "{row:?}"
        );
    }
    // at a quarter of its steps a trial of error ∝ steps^−½ stands at twice the target
    assert!(
        (rows[4].target.value - 0.06).abs() < 0.003,
        "{}",
        rows[4].target
    );
}

#[test]
fn generalization_is_compared_three_ways() {
    let world = World {
        sigma: 0.02,
        ..World::default()
    };
    let found = &analyzed(&world).generalization["tuned"];
    assert_eq!(found.metric.to_string(), "val-error");
    // error = 0.03·√(S(B)/s): equal steps favor large batches, equal epochs small ones
    let ends = |at: &Option<batchscope_scaling::GeneralizationAt>| {
        let points = &at.as_ref().unwrap().points;
        assert_eq!(points.len(), 9);
        (points[0].1.value.unwrap(), points[8].1.value.unwrap())
    };
    let (small, large) = ends(&found.equal_steps);
    assert!((small / large / (world.steps(8) / world.steps(2048)).sqrt() - 1.0).abs() < 0.1);
    let (small, large) = ends(&found.equal_epochs);
    let expected = (8.0 * world.steps(8) / (2048.0 * world.steps(2048))).sqrt();
    assert!(
        (small / large / expected - 1.0).abs() < 0.1,
        "{small} {large} {expected}"
    );
    // the training loss is twice the error everywhere, so at equal loss all are equal
    let (small, large) = ends(&found.equal_loss);
    assert!((small / large - 1.0).abs() < 0.02);
    let at = found.equal_epochs.as_ref().unwrap().at;
    // the smallest batch size trained to its crossing and a factor of 1.2 to 1.4 past it
    let epochs = 8.0 * world.steps(8) / 60_000.0;
    assert!(at > 1.1 * epochs && at < 1.45 * epochs, "{at} {epochs}");
}

#[test]
fn without_a_bend_it_is_a_bound_with_a_way_to_settle_it() {
    let world = World {
        critical: 50_000.0,
        s_min: 4.0,
        batch_sizes: (3..9).map(|i| 1 << i).collect(),
        ..World::default()
    };
    let findings = analyzed(&world);
    let critical = &findings.critical_batch_size["tuned"];
    assert_eq!(critical.hyperbola.state, EstimateState::AtLeast);
    assert!(critical.hyperbola.value.unwrap() <= 256.0);
    let settle = critical.to_settle.as_ref().unwrap();
    assert_eq!(settle.batch_sizes, [512, 1024, 2048, 4096]);
    // 3 seeds and 2 tuning trials each, at no more steps than the largest batch size took
    let largest = findings.curves[0].points[5].steps.value.unwrap();
    let expected = 5.0 * largest * (512 + 1024 + 2048 + 4096) as f64;
    assert!((settle.examples / expected - 1.0).abs() < 1e-9 && settle.seconds > 0.0);
}

#[test]
fn end_states_are_counted_not_dropped() {
    let world = World::default();
    let mut records = world.records();
    let mut fresh: Vec<_> = records
        .iter_mut()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Fresh { .. }))
        .collect();
    // the largest batch size diverges, the one before is censored once, the smallest is not runnable
    for record in &mut fresh[24..27] {
        record.outcome = Outcome::Diverged { step: 40 };
    }
    let cap = fresh[21].steps().unwrap();
    fresh[21].outcome = Outcome::NotReached { cap };
    for record in &mut fresh[..3] {
        record.outcome = Outcome::Infeasible {
            why: "memory".into(),
        };
    }
    let findings = analyze(world.summary(), world.tuning(), &records, &options());
    let points = &findings.curves[0].points;
    let states: Vec<PointState> = points.iter().map(|p| p.state).collect();
    assert_eq!(
        (states[0], states[7], states[8]),
        (
            PointState::Infeasible,
            PointState::Partly,
            PointState::Diverged
        )
    );
    assert_eq!(points[8].outcomes["diverged"], 3);
    assert_eq!(
        (
            points[7].outcomes["reached"],
            points[7].outcomes["not_reached"]
        ),
        (2, 1)
    );
    assert_eq!(points[8].steps.state, EstimateState::Undefined);
    let fit = findings.curves[0].fit.as_ref().unwrap();
    assert_eq!((fit.n, fit.censored, fit.diverged), (21, 1, 3));
    let curve = &findings.curves[0];
    assert_eq!(curve.batch_sizes_in(PointState::Infeasible), [8]);
    assert_eq!(curve.largest_reached(), Some(1024));
    assert!(holds(
        &findings.critical_batch_size["tuned"].hyperbola,
        world.critical
    ));
}

/// A large batch size that misses the target although the curve says it should not.
#[test]
fn a_contradiction_of_the_fit_is_found() {
    let world = World::default();
    let mut records = world.records();
    for record in records.iter_mut().filter(|r| r.spec.batch_size == 2048) {
        record.outcome = Outcome::NotReached { cap: 5000 };
    }
    let findings = analyze(world.summary(), world.tuning(), &records, &options());
    let point = &findings.curves[0].points[8];
    assert_eq!(
        (point.state, point.steps.state),
        (PointState::NotReached, EstimateState::AtLeast)
    );
    assert_eq!(point.speed_up.state, EstimateState::AtMost);
    assert_eq!(findings.curves[0].past_the_fit(), [2048]);
}

#[test]
fn a_trial_serves_every_rule_it_names() {
    let world = World {
        curves: vec!["lsr".into(), "blr".into()],
        ..World::default()
    };
    let mut summary = world.summary();
    summary.tune = "base".into();
    let findings = analyze(summary, Vec::new(), &world.records(), &options());
    let names: Vec<&str> = findings.curves.iter().map(|c| c.rule.as_str()).collect();
    assert_eq!(names, ["blr", "lsr"]);
    assert_eq!(findings.curves[0].points, findings.curves[1].points);
}

#[test]
fn the_linearity_gap_is_a_geometric_mean() {
    let metric: Metric = "train-linearity".parse().unwrap();
    let world = World::default();
    let mut records = world.records();
    for record in &mut records {
        for (i, measurement) in record.measurements.iter_mut().enumerate() {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            measurement
                .metrics
                .insert(metric.clone(), sign * 1e-3 * record.spec.batch_size as f64);
        }
        record.measurements[0]
            .metrics
            .insert(metric.clone(), f64::INFINITY);
    }
    let findings = analyze(world.summary(), world.tuning(), &records, &options());
    assert_eq!(findings.linearity.len(), 9);
    for point in &findings.linearity {
        assert!((point.gap.value.unwrap() / (1e-3 * point.batch_size as f64) - 1.0).abs() < 1e-9);
        assert!(point.gap.reason.as_ref().unwrap().contains("overflowed"));
    }
}

#[test]
fn nothing_at_all_is_said_to_be_nothing() {
    let world = World::default();
    let findings = analyze(world.summary(), Vec::new(), &[], &options());
    assert!(findings.curves.is_empty() && findings.critical_batch_size.is_empty());
    // tuning that found no rate leaves points without steps
    let tuning: Vec<_> = world
        .records()
        .into_iter()
        .filter(|r| matches!(r.spec.purpose, TrialPurpose::Tune { .. }))
        .map(|mut r| {
            r.outcome = Outcome::Diverged { step: 3 };
            r
        })
        .collect();
    let findings = analyze(world.summary(), Vec::new(), &tuning, &options());
    assert!(
        findings.curves[0]
            .points
            .iter()
            .all(|p| p.state == PointState::Diverged && p.steps.value.is_none())
    );
    assert_eq!(
        findings.critical_batch_size["tuned"].hyperbola.state,
        EstimateState::Undefined
    );
}

#[test]
fn findings_read_back_from_json() {
    let findings = analyzed(&World::default());
    let json = serde_json::to_string(&findings).unwrap();
    assert_eq!(serde_json::from_str::<Findings>(&json).unwrap(), findings);
}

/// Every published study's findings, as the version that made them wrote them.
#[test]
fn findings_of_earlier_versions_are_read() {
    let results = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
    let mut read = 0;
    for entry in results.read_dir().unwrap() {
        let file = entry.unwrap().path().join("findings.json");
        if file.is_file() {
            let text = std::fs::read_to_string(&file).unwrap();
            let findings: Findings = serde_json::from_str(&text).unwrap();
            assert!(!findings.curves.is_empty() && !findings.generalization.is_empty());
            read += 1;
        }
    }
    assert!(read >= 7, "{read}");
}
