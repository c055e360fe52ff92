//! A whole study through the analysis: what comes out must be the truth that went in.

mod common;

use batchwise_core::{Estimate, EstimateState, Outcome};
use batchwise_scaling::{AnalysisOptions, Findings, PointState, Regime, analyse};
use common::World;

fn analysed(world: &World) -> Findings {
    analyse(
        world.summary(),
        world.tuning(),
        &world.records(),
        &AnalysisOptions::default(),
    )
}

fn holds(estimate: &Estimate, truth: f64) -> bool {
    estimate.low.is_none_or(|low| low <= truth) && estimate.high.is_none_or(|high| truth <= high)
}

#[test]
fn a_study_with_its_knee_inside_the_range_is_estimated() {
    let world = World::default();
    let findings = analysed(&world);
    println!(
        "{}",
        serde_json::to_string_pretty(&findings.critical_batch_size).unwrap()
    );
    println!("{}", findings.verdict);
    for remark in &findings.remarks {
        println!("- {remark}");
    }
    println!(
        "{}",
        serde_json::to_string_pretty(&findings.targets).unwrap()
    );
    println!(
        "{}",
        serde_json::to_string(&findings.generalisation).unwrap()
    );
    println!(
        "{}",
        serde_json::to_string_pretty(&findings.curves[0].points[3]).unwrap()
    );
    println!(
        "{}",
        serde_json::to_string_pretty(&findings.regimes).unwrap()
    );
}
