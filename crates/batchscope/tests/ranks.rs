//! `--ranks`: runs whose steps several threads make together, from the command line.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{batchscope, clockless, run, text};

/// A text of 6,000 words that repeat in a pattern with errors.
fn words(path: &Path) {
    let mut state = 1u64;
    let words = (0..6000).map(|place: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let other = state >> 33;
        format!(
            "w{}",
            if other.is_multiple_of(3) {
                other % 20
            } else {
                place * place % 20
            }
        )
    });
    fs::write(path, words.collect::<Vec<_>>().join(" ")).unwrap();
}

fn train(dir: &Path, ranks: &str, steps: &str, data: &Path) -> Value {
    let mut command = batchscope();
    command.args([
        "train",
        "--model",
        "lstm(width=16)",
        "--sequence",
        "8",
        "--batch-size",
        "7",
    ]);
    command.args([
        "--learning-rate",
        "0.5",
        "--eval-examples",
        "40",
        "--evaluate-every",
        "9",
    ]);
    command.args(["--keep", "11", "--json", "--ranks", ranks, "--steps", steps]);
    let out = command
        .arg("--data")
        .arg(data)
        .arg("--checkpoint")
        .arg(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    clockless(serde_json::from_slice(&out.stdout).unwrap())
}

fn losses(record: &Value) -> Vec<f64> {
    let measured = record["measurements"].as_array().unwrap().iter();
    measured
        .map(|m| m["metrics"]["val-loss"].as_f64().unwrap())
        .collect()
}

#[test]
fn streams_of_a_text_go_on_where_another_rank_carried_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("words.txt");
    words(&data);
    let dir = |name: &str| folder.path().join(name);
    let whole = train(&dir("whole"), "3", "40", &data);
    let alone = train(&dir("alone"), "1", "40", &data);
    // Seven streams on three ranks; then on as many, and on two and four.
    for ranks in ["3", "2", "4"] {
        let taken_up = dir(ranks);
        fs::create_dir(&taken_up).unwrap();
        fs::copy(
            dir("whole").join("step-11.safetensors"),
            taken_up.join("run.safetensors"),
        )
        .unwrap();
        let resumed = train(&taken_up, ranks, "40", &data);
        if ranks == "3" {
            assert_eq!(resumed["measurements"], whole["measurements"]);
        }
        for (a, b) in losses(&resumed).iter().zip(losses(&alone)) {
            assert!((a - b).abs() < 1e-4 * b, "{ranks} ranks: {a} and {b}");
        }
    }
}

#[test]
fn a_wrong_number_of_ranks_is_refused_by_its_flag() {
    for (words, says) in [
        (&["train", "--ranks", "0"][..], "--ranks"),
        (&["train", "--ranks", "99999"][..], "--ranks"),
        (&["memory", "--ranks", "2"][..], "--ranks: is of a run"),
        (
            &["memory", "--method", "dmsgd"][..],
            "--method: has several replicas",
        ),
        (
            &["train", "--ranks", "3", "--method", "dmsgd(4)"][..],
            "--ranks: 3 are asked for",
        ),
        (
            &["study", "--ranks", "2", "--dry-run", "--", "true"][..],
            "--ranks",
        ),
    ] {
        let out = run(words);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{words:?}: {}",
            text(&out.stderr)
        );
        assert!(
            text(&out.stderr).contains(says),
            "{words:?}: {}",
            text(&out.stderr)
        );
    }
}

#[test]
fn processes_that_cannot_train_together_do_not_train_apart() {
    // What a launcher tells a program that was built without MPI, or with another one.
    let mut command = batchscope();
    command.args(["train", "--steps", "1"]);
    command.envs([("PMI_SIZE", "4"), ("PMI_RANK", "0")]);
    let out = command.output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.contains("4 processes were started"), "{said}");
}

#[test]
fn a_study_of_replicas_asks_for_batches_that_they_can_share_before_it_trains() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = batchscope();
    command.args([
        "study",
        "--data",
        "glyphs",
        "--model",
        "softmax",
        "--batch-sizes",
        "8,32,100",
    ]);
    command
        .args(["--base-batch", "32", "--target", "val-error=0.5", "--dir"])
        .arg(folder.path().join("study"));
    let out = command.args(["--method", "dmsgd(8)"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    let said = text(&out.stderr);
    assert!(
        said.contains("--batch-sizes") && said.contains("a multiple of 8"),
        "{said}"
    );
    assert!(!folder.path().join("study").join("study.db").exists());
}
