//! Simulated coverage of definitions (b) and (c), whole analysis, bootstrap and all, and how often the
//! definitions are said to differ on exact hyperbolas.
//!
//! Nominal 95 %; of 250 studies binomial noise alone is ±2.8 %, so 91–99 % passes.

mod common;

use batchscope_core::{Estimate, EstimateState};
use batchscope_scaling::{Agreement, AnalysisOptions, analyze};
use common::World;

const STUDIES: u64 = 250;

fn holds(estimate: &Estimate, truth: f64) -> bool {
    estimate.state != EstimateState::Undefined
        && estimate.low.is_none_or(|low| low <= truth)
        && estimate.high.is_none_or(|high| truth <= high)
}

/// (Coverage of (b), of (c), share of each that is estimated, share of studies in which the definitions are
/// said to differ, share of intervals of each with two ends), in %.
fn coverage(world: &World, studies: u64) -> [f64; 7] {
    let options = AnalysisOptions {
        bootstrap: 150,
        ..AnalysisOptions::default()
    };
    let closed = |e: &Estimate| e.low.is_some() && e.high.is_some();
    let mut held = [0.0; 7];
    for study_seed in 0..studies {
        let world = World {
            study_seed,
            ..world.clone()
        };
        let findings = analyze(world.summary(), Vec::new(), &world.records(), &options);
        let found = &findings.critical_batch_size["tuned"];
        held[0] += f64::from(holds(&found.overhead20, world.critical));
        held[1] += f64::from(holds(&found.plateau, world.critical));
        held[2] += f64::from(found.overhead20.is_estimated());
        held[3] += f64::from(found.plateau.is_estimated());
        let agreement = findings.agreement("tuned");
        let differ = matches!(agreement, Some(Agreement::Exclude | Agreement::LackOfFit));
        held[4] += f64::from(differ);
        held[5] += f64::from(closed(&found.overhead20));
        held[6] += f64::from(closed(&found.plateau));
    }
    held.map(|h| 100.0 * h / studies as f64)
}

#[test]
fn measured_definitions_hold_the_truth() {
    let wide: Vec<u64> = (2..14).map(|i| 1 << i).collect();
    for (critical, seeds, sigma) in [(200.0, 3, 0.06), (100.0, 5, 0.12)] {
        let world = World {
            critical,
            seeds,
            sigma,
            batch_sizes: wide.clone(),
            ..World::default()
        };
        let measured = coverage(&world, STUDIES);
        println!("B_c {critical}, {seeds} seeds, sigma {sigma}: {measured:.1?}");
        assert!(
            measured[..2].iter().all(|c| (91.0..=99.0).contains(c)),
            "{measured:?}"
        );
        // Two standard errors of binomial noise above the level of the test.
        assert!(measured[4] <= 5.0 + 2.8, "{measured:?}");
        assert!(
            measured[2..4].iter().all(|c| *c > 95.0),
            "a knee well inside is a number: {measured:?}"
        );
    }
}

/// Equal deviations, ones that rise as a ResNet-20's did or fall, and scatter between batch sizes or caps.
/// Of 1,000 studies each the intervals hold the truth in 95.6–99.3 %: they lean to the wide side where
/// deviations are large, for an end that leaves the range of batch sizes is left open. On exact hyperbolas the
/// definitions are said to differ in 2.2–4.0 % (from point estimates, it was 4–75 %).
#[test]
fn measured_definitions_hold_the_truth_where_deviations_differ() {
    differing(100);
}

/// The same to ±1.4 %: `cargo test -p batchscope-scaling --test definitions -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn measured_definitions_hold_the_truth_in_a_thousand_studies() {
    differing(1000);
}

fn differing(studies: u64) {
    let mut failures = Vec::new();
    // two standard errors of binomial noise
    let noise = 2.0 * (5.0 * 95.0 / studies as f64).sqrt();
    let slope = (0.61f64 / 0.13).ln() / 2048f64.ln();
    for (sigma, sigma_slope, between, cap) in [
        (0.07, 0.0, 0.0, 4.0),
        (0.12, 0.0, 0.0, 4.0),
        (0.22, 0.0, 0.0, 4.0),
        (0.40, 0.0, 0.0, 4.0),
        (0.28, slope, 0.0, 4.0),
        (0.28, -slope, 0.0, 4.0),
        (0.28, slope, 0.12, 4.0),
        (0.28, -slope, 0.12, 4.0),
        (0.28, slope, 0.0, 1.5),
        (0.28, -slope, 0.0, 1.5),
    ] {
        let world = World {
            critical: 200.0,
            sigma,
            sigma_slope,
            between,
            cap,
            batch_sizes: (2..14).map(|i| 1 << i).collect(),
            ..World::default()
        };
        let measured = coverage(&world, studies);
        let line = format!(
            "sigma {sigma}, slope {sigma_slope:.2}, between {between}, cap {cap}: {measured:.1?}"
        );
        println!("{line}");
        let held = measured[..2].iter().all(|c| *c >= 92.0 - noise);
        let truthful = between > 0.0 || measured[4] <= 5.0 + noise;
        if !held || !truthful {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
