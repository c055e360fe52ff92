//! The scripts in examples/, which know nothing of batchscope, lead through a small study each. They need Python with
//! NumPy and scikit-learn (`BATCHSCOPE_PYTHON`, or `python3`); without them they are skipped, visibly.

mod common;

use std::process::Command;

use batchscope_command::{CommandTrainer, Template};
use batchscope_core::{Metric, Outcome};
use batchscope_study::{MemoryStore, Plan, RateRange, StopToken, StudyResult, TargetChoice, run};
use common::config;

/// The Python that has a module; `None` is said on standard error.
fn python(module: &str) -> Option<String> {
    let python = std::env::var("BATCHSCOPE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if has.is_ok_and(|out| out.status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var_os("BATCHSCOPE_PYTHON").is_none(),
        "{python} has no {module}"
    );
    eprintln!("skipped: {python} has no {module}");
    None
}

fn script(name: &str) -> String {
    format!(
        "{}/../../examples/{name}/train.py",
        env!("CARGO_MANIFEST_DIR")
    )
}

fn study(words: &[&str], in_environment: bool, plan: Plan) -> StudyResult {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("", folder.path());
    config.template = Template::new(words)
        .unwrap()
        .reading_environment(in_environment);
    config.names.wanted = vec![plan.target.metric().clone()];
    config.train_examples = Some(1497);
    let trainer = CommandTrainer::new(config).unwrap();
    let result = run(
        &plan,
        &trainer,
        &mut MemoryStore::new(),
        &StopToken::new(),
        &[],
    )
    .unwrap();
    for record in &result.records {
        assert!(
            !matches!(record.outcome, Outcome::Failed { .. }),
            "{:?}",
            record.outcome
        );
    }
    result
}

fn plan(target: &str, rates: (f64, f64)) -> Plan {
    Plan {
        batch_sizes: vec![8, 32, 128],
        base_batch: 32,
        pilot_trials: 3,
        tune_trials: 2,
        seeds: 2,
        max_widenings: 0,
        target: TargetChoice::Fixed(target.parse().unwrap()),
        learning_rates: RateRange {
            low: rates.0,
            high: rates.1,
        },
        jobs: 2,
        ..Plan::default()
    }
}

fn reached(result: &StudyResult, metric: &str) -> usize {
    let metric: Metric = metric.parse().unwrap();
    let reached = result
        .records
        .iter()
        .filter(|r| matches!(r.outcome, Outcome::Reached { .. }));
    reached
        .filter(|r| {
            r.measurements
                .iter()
                .all(|m| m.metrics.contains_key(&metric))
        })
        .count()
}

#[test]
fn a_numpy_script_that_reads_its_environment() {
    let Some(python) = python("numpy") else {
        return;
    };
    let result = study(
        &[&python, &script("numpy")],
        true,
        plan("val-loss=0.3", (0.02, 0.3)),
    );
    assert!(reached(&result, "val-loss") >= 6, "{:?}", result.decisions);
    let checked = |note: &String| !note.starts_with("not checked");
    assert!(result.records.iter().flat_map(|r| &r.notes).all(checked));
}

#[test]
fn a_scikit_learn_script_that_prints() {
    let Some(python) = python("sklearn") else {
        return;
    };
    let script = script("scikit-learn");
    let words = [
        &python,
        &script,
        "{batch_size}",
        "{learning_rate}",
        "{seed}",
        "{max_steps}",
    ];
    let result = study(&words, false, plan("val-accuracy=0.85", (0.02, 0.5)));
    assert!(
        reached(&result, "val-accuracy") >= 6,
        "{:?}",
        result.decisions
    );
}
