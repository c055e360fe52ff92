//! A whole study of a program of one line.

mod common;

use batchscope_command::{CommandTrainer, Template};
use batchscope_core::Outcome;
use batchscope_scaling::{AnalysisOptions, analyze};
use batchscope_study::{MemoryStore, Plan, RateRange, StopToken, TargetChoice, run};
use common::{config, target};

/// `S = 60·(1 + 256/B)` steps to 0.1 at the best rate `1/(1 + 256/B)`, and seeds that differ by 5 %.
const ONE_LINE: &str = r#"BEGIN { srand(seed); z = 0; for (i = 0; i < 12; i++) z += rand(); z -= 6; r = log(lr * (1 + 256 / b)); S = 60 * (1 + 256 / b) * exp(0.15 * r * r + 0.05 * z); for (s = 1; s <= n; s = int(s * 1.1) + 1) printf "step=%d val_error=%.6f\n", s, 0.9 / (1 + 8 * s / S) }"#;

fn study(jobs: usize) -> (f64, Vec<(u64, Option<f64>)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("", folder.path());
    let program = ONE_LINE.replace('{', "{{").replace('}', "}}");
    config.template = Template::new(&[
        "awk",
        "-v",
        "b={batch_size}",
        "-v",
        "lr={learning_rate}",
        "-v",
        "seed={seed}",
        "-v",
        "n={max_steps}",
        &program,
    ])
    .unwrap();
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
