//! A trainer of somebody's own, chosen by a setting: study, report and advice, through the same
//! command line as the built-in one.

#[path = "../examples/own_trainer/noisy_quadratic.rs"]
mod noisy_quadratic;

use std::{fs, path::Path, process::ExitCode};

use noisy_quadratic::NOISY_QUADRATIC;
use serde_json::Value;

/// Runs a command line of the program that has the trainer; true if it ended well.
fn run(words: &[&str]) -> bool {
    let words = ["own", "-q"].iter().chain(words);
    batchscope::run_with(&[&NOISY_QUADRATIC], words) == ExitCode::SUCCESS
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_trainer_chosen_by_a_setting_is_studied_reported_and_advised_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("study");
    let at = dir.to_str().unwrap();
    let study = [
        "study",
        "--trainer",
        "noisy-quadratic(dimensions=12)",
        "--momentum",
        "0",
        "--target",
        "train-loss=0.1",
        "--batch-sizes",
        "4..1024:x4",
        "--base-batch",
        "64",
        "--learning-rates",
        "0.01..1.5",
        "--tune-width",
        "full",
        "--warm-up",
        "0",
        "--tune-trials",
        "4",
        "--seeds",
        "2",
        "--max-steps",
        "20000",
        "--dir",
        at,
    ];
    assert!(run(&[&study[..], &["--dry-run"]].concat()));
    assert!(!dir.exists(), "a dry run writes nothing");
    assert!(run(&study));

    let findings = json(&dir.join("findings.json"));
    let summary = &findings["study"];
    assert_eq!(summary["model"], "noisy quadratic in 12 dimensions");
    assert_eq!(summary["train_examples"], Value::Null);
    assert_eq!(findings["curves"][0]["points"].as_array().unwrap().len(), 5);
    assert!(findings["advice"]["recommended"]["batch_size"].is_u64());
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("noisy quadratic in 12 dimensions"));
    let settings = fs::read_to_string(dir.join("study.toml")).unwrap();
    assert!(
        settings.contains("trainer = \"noisy-quadratic(dimensions=12)\""),
        "{settings}"
    );
    assert!(!settings.contains("\ndata ="), "{settings}");

    // Resumed from its folder alone, nothing is trained again and nothing changes.
    let before = findings["critical_batch_size"].clone();
    assert!(run(&["study", "--dir", at]));
    assert_eq!(
        json(&dir.join("findings.json"))["critical_batch_size"],
        before
    );
    assert!(run(&["report", at]));
    assert!(run(&["advise", at, "--budget", "0.05"]));
}

#[test]
fn what_a_trainer_does_not_understand_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("study");
    let at = at.to_str().unwrap();
    let own = [
        "study",
        "--dir",
        at,
        "--max-steps",
        "10",
        "--target",
        "train-loss=0.1",
        "--trainer",
    ];
    for wrong in [
        // Momentum 0.9 is the default, and this trainer has none.
        &["noisy-quadratic"][..],
        &["noisy-quadratic", "--momentum", "0", "--model", "lenet"],
        &[
            "noisy-quadratic",
            "--momentum",
            "0",
            "--method",
            "conservative",
        ],
        &["noisy-quadratic(dimensions=0)", "--momentum", "0"],
        &["noisy", "--momentum", "0"],
    ] {
        assert!(!run(&[&own[..], wrong].concat()), "{wrong:?}");
    }
    assert!(!Path::new(at).join("study.db").exists());
}
