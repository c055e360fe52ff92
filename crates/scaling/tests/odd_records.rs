//! Records that no study should produce: the analysis answers all the same.

mod common;

use batchscope_core::{Estimate, EstimateState, Located, Outcome, TrialRecord};
use batchscope_scaling::{AnalysisOptions, Findings, analyze};
use common::World;
use proptest::prelude::*;

fn options() -> AnalysisOptions {
    AnalysisOptions {
        bootstrap: 10,
        ..AnalysisOptions::default()
    }
}

fn reached(step: u64, after: u64, crossing: Option<f64>) -> Outcome {
    let located = crossing.map(|crossing| Located {
        crossing,
        found: step,
        rounding: 0.0,
    });
    Outcome::Reached {
        step,
        after,
        located,
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let step = || prop_oneof![0u64..5000, Just(u64::MAX), Just(0)];
    prop_oneof![
        (step(), step()).prop_map(|(step, after)| reached(step, after, None)),
        (step(), step(), any::<f64>()).prop_map(|(found, after, crossing)| reached(
            found,
            after,
            Some(crossing)
        )),
        step().prop_map(|cap| Outcome::NotReached { cap }),
        step().prop_map(|step| Outcome::Completed { step }),
        step().prop_map(|at| Outcome::Raced { at }),
        step().prop_map(|step| Outcome::Diverged { step }),
        Just(Outcome::Infeasible { why: String::new() }),
        Just(Outcome::Failed { why: String::new() }),
        Just(Outcome::Interrupted),
    ]
}

/// What may be done to a record: another end, batch size, time, metric value.
fn mangled() -> impl Strategy<Value = Vec<(usize, Outcome, u64, f64, f64)>> {
    let number = || {
        prop_oneof![
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(0.0),
            Just(-1.0),
            0.0..1e3f64
        ]
    };
    let batch = prop_oneof![Just(0u64), Just(1), Just(u64::MAX), 1u64..5000];
    proptest::collection::vec(
        (0usize..45, any_outcome(), batch, number(), number()),
        0..40,
    )
}

fn mangle(
    mut records: Vec<TrialRecord>,
    by: Vec<(usize, Outcome, u64, f64, f64)>,
) -> Vec<TrialRecord> {
    for (index, outcome, batch_size, seconds, value) in by {
        let record = &mut records[index];
        record.outcome = outcome;
        record.spec.batch_size = batch_size;
        record.seconds = seconds;
        for measurement in record.measurements.iter_mut().skip(index % 7) {
            measurement.metrics.values_mut().for_each(|v| *v = value);
        }
    }
    records
}

/// Every end of every interval is a number on its side of the value.
fn sound(findings: &Findings) -> Result<(), TestCaseError> {
    let critical = findings.critical_batch_size.values().flat_map(|c| {
        [
            &c.hyperbola,
            &c.overhead20,
            &c.plateau,
            &c.overhead20_batch,
            &c.plateau_batch,
        ]
    });
    let points = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .flat_map(|p| [&p.steps, &p.examples, &p.speed_up]);
    let all: Vec<&Estimate> = critical.chain(points).collect();
    for estimate in all {
        for x in [estimate.value, estimate.low, estimate.high]
            .into_iter()
            .flatten()
        {
            prop_assert!(!x.is_nan() && x >= 0.0, "{estimate:?}");
        }
        if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
            prop_assert!(low <= high, "{estimate:?}");
        }
    }
    Ok(())
}

/// A property found records whose likelihoods differ, at easier targets, by more than a ratio of
/// numbers can hold: one batch size lies so far off that its seeds' deviation all but vanishes. No node
/// was then inside any interval, which was a panic. Nothing is bounded there, and that is what it says.
#[test]
fn a_likelihood_ratio_beyond_all_numbers_bounds_nothing() {
    let world = World::default();
    let odd = [
        (2, 1, 298.0),
        (3, 1, 446.0),
        (13, 1, 517.0),
        (22, u64::MAX, f64::NAN),
        (32, 1, 0.0),
    ];
    let empty = [7, 8, 12, 17, 24, 27, 28, 37].map(|index| (index, 0, f64::NAN));
    let by = odd
        .into_iter()
        .chain(empty)
        .map(|(index, batch_size, value)| {
            (index, reached(0, 0, Some(0.0)), batch_size, 1.0, value)
        });
    let records = mangle(world.records(), by.collect());
    let findings = analyze(world.summary(), world.tuning(), &records, &options());
    sound(&findings).unwrap();
    let mut rows = findings.targets.values().flatten();
    let undefined = |e: &Estimate| e.state == EstimateState::Undefined;
    assert!(rows.any(|row| undefined(&row.hyperbola)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_panics(by in mangled(), level in prop_oneof![Just(0.95), Just(f64::NAN), Just(0.0), Just(1.0), Just(0.5)]) {
        let world = World::default();
        let records = mangle(world.records(), by);
        let findings = analyze(world.summary(), world.tuning(), &records, &AnalysisOptions { level, ..options() });
        sound(&findings)?;
    }

    #[test]
    fn the_order_of_records_does_not_matter(order in Just((0..45usize).collect::<Vec<_>>()).prop_shuffle()) {
        let world = World::default();
        let records = world.records();
        let shuffled: Vec<TrialRecord> = order.iter().map(|&i| records[i].clone()).collect();
        let one = analyze(world.summary(), world.tuning(), &records, &options());
        let other = analyze(world.summary(), world.tuning(), &shuffled, &options());
        prop_assert_eq!(one, other);
    }
}
