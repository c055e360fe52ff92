//! A whole study of a program of one line.

mod common;

use batchscope_command::{CommandTrainer, Template};
use batchscope_core::Outcome;
use batchscope_scaling::{AnalysisOptions, analyze};
use batchscope_study::{MemoryStore, Plan, RateRange, StopToken, TargetChoice, run};
use common::{config, one_line, target};

fn study(jobs: usize) -> (f64, Vec<(u64, Option<f64>)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("", folder.path());
    config.template = Template::new(&one_line("")).unwrap();
    let trainer = CommandTrainer::new(config).unwrap();
    let plan = Plan {
        batch_sizes: (3..12).map(|i| 1 << i).collect(),
        target: TargetChoice::Fixed(target()),
        learning_rates: RateRange {
            low: 0.005,
            high: 2.0,
        },
        tune_trials: 6,
        jobs,
        ..Plan::default()
    };
    let mut store = MemoryStore::new();
    let result = run(&plan, &trainer, &mut store, &StopToken::new(), &[]).unwrap();
    let ends = result
        .records
        .iter()
        .map(|r| (r.spec.id, r.outcome.crossing()));
    let ends = ends.collect();
    assert!(
        !result
            .records
            .iter()
            .any(|r| matches!(r.outcome, Outcome::Failed { .. }))
    );
    let findings = analyze(
        result.summary.unwrap(),
        result.tuning,
        &result.records,
        &AnalysisOptions::default(),
    );
    let critical = &findings.critical_batch_size["tuned"].hyperbola;
    assert!(
        critical.low.unwrap() < 256.0 && 256.0 < critical.high.unwrap(),
        "{critical}"
    );
    (critical.value.unwrap(), ends)
}

/// The order in which trials come back changes nothing.
#[test]
fn one_line_of_awk_is_studied_like_any_trainer() {
    assert_eq!(study(1), study(4));
}
