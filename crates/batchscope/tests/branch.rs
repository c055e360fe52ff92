//! `batchscope branch`: critical batch sizes along a run, from its checkpoints.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{batchscope, run, text};

/// Trains a small network and keeps three checkpoints of it; their paths.
fn trained(folder: &Path) -> [String; 2] {
    let dir = folder.to_str().unwrap();
    let out = run(&[
        "train",
        "--quiet",
        "--examples",
        "1500",
        "--model",
        "softmax",
        "--batch-size",
        "16",
        "--learning-rate",
        "0.02",
        "--steps",
        "120",
        "--schedule",
        "linear(120)",
        "--checkpoint",
        dir,
        "--keep",
        "20,90",
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    [20, 90].map(|step| format!("{dir}/step-{step}.safetensors"))
}

fn branch<'a>(dir: &'a str, more: &[&'a str]) -> std::process::Output {
    let words = [
        "branch",
        "--json",
        "--examples",
        "1500",
        "--branch-examples",
        "1000",
        "--seeds",
        "2",
        "--dir",
        dir,
    ];
    run(&[&words[..], more].concat())
}

fn found(out: &std::process::Output) -> Value {
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// From training to a curve, a schedule that `train` follows, and a folder that the other commands understand; done again
/// from the folder alone, nothing is trained and nothing changes.
#[test]
fn a_run_is_branched_from_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let [early, late] = trained(&folder.path().join("run"));
    let dir = folder.path().join("branches");
    let dir = dir.to_str().unwrap();
    // In whatever order.
    let asked = ["--factors", "1,2,4,8", "--tolerance", "500"];
    let out = branch(dir, &[&asked[..], &[&late, &early]].concat());
    let first = found(&out);
    let said = text(&out.stderr);
    assert!(said.contains("by lsr, as usual for sgd"), "{said}");
    let checkpoints = first["checkpoints"].as_array().unwrap();
    assert_eq!(checkpoints.len(), 2);
    for (at, step) in checkpoints.iter().zip([20, 90]) {
        assert_eq!(at["start"]["step"], step);
        assert_eq!(at["examples"], step * 16);
        assert_eq!(at["batch_size"], 16);
        // Whole steps of 128.
        assert_eq!(at["branch_examples"], 1024);
        let rate = at["learning_rate"].as_f64().unwrap();
        let expected = 0.02 * (1.0 - step as f64 / 120.0);
        assert!((rate - expected).abs() < 1e-9, "{rate} {expected}");
        assert_eq!(at["points"].as_array().unwrap().len(), 4);
        assert!(at["noise_scale"]["state"].is_string(), "{at}");
        // Nothing costs 500 here: the largest batch size is a bound.
        assert_eq!(at["critical_batch_size"]["state"], "at_least");
        assert_eq!(at["critical_batch_size"]["value"], 128.0);
    }
    // So it is proposed from the first checkpoint on, at the run's rate there times 8.
    let rows = first["schedule"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["step"], &rows[0]["batch_size"]),
        (&0.into(), &16.into())
    );
    let grown = rows.iter().find(|row| row["batch_size"] == 128).unwrap();
    assert_eq!(grown["step"], 20);
    let rate = grown["learning_rate"].as_f64().unwrap();
    assert!(
        (rate - 8.0 * 0.02 * (1.0 - 20.0 / 120.0)).abs() < 1e-9,
        "{rate}"
    );
    let table = format!("table:{dir}/schedule.csv");
    let words = [
        "train",
        "--quiet",
        "--examples",
        "1500",
        "--model",
        "softmax",
    ];
    let followed = run(&[&words[..], &["--controller", &table, "--epochs", "1.2"]].concat());
    assert!(followed.status.success(), "{}", text(&followed.stderr));
    for file in [
        "branch.json",
        "trials.csv",
        "report.html",
        "study.toml",
        "figures/branches.svg",
    ] {
        assert!(Path::new(dir).join(file).exists(), "{file}");
    }

    let trials = || found(&run(&["trials", "--json", dir]));
    let stored = trials();
    let again = run(&["branch", "--quiet", "--json", "--dir", dir]);
    assert_eq!(found(&again), first);
    assert_eq!(trials(), stored);
    let reported = run(&["report", "--quiet", "--json", dir]);
    assert_eq!(found(&reported), first);
    let exported = found(&run(&["export", "--to", "json", dir]));
    assert_eq!(exported["trials"].as_array().map(Vec::len), Some(16));
    // Judged otherwise, by the same branches.
    let strict = run(&[
        "branch",
        "--quiet",
        "--json",
        "--dir",
        dir,
        "--tolerance",
        "1e-9",
    ]);
    let strict = found(&strict);
    assert_eq!(strict["tolerance"], 1e-9);
    assert_eq!(
        strict["checkpoints"][0]["points"],
        first["checkpoints"][0]["points"]
    );
    assert_eq!(trials(), stored);
    let other_rule = run(&["branch", "--quiet", "--dir", dir, "--rule", "srsr"]);
    assert_eq!(other_rule.status.code(), Some(1));
    let said = text(&other_rule.stderr);
    assert!(
        said.contains("rule = lsr") && said.contains("srsr"),
        "{said}"
    );
    // A study is another thing.
    let other = run(&["study", "--quiet", "--dir", dir]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("batchscope branch"));
}

#[test]
fn what_cannot_be_branched_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let [early, late] = trained(&folder.path().join("run"));
    let dir = folder.path().join("branches");
    let dir = dir.to_str().unwrap();
    let refused = |more: &[&str], what: &str| {
        let out = branch(dir, more);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{more:?}: {}",
            text(&out.stderr)
        );
        let said = text(&out.stderr);
        assert!(said.contains(what), "{more:?}: {said}");
    };
    refused(&[], "--keep STEPS");
    refused(&["nowhere.safetensors"], "nowhere.safetensors");
    refused(&[&early, &early], "twice");
    refused(&[&early, "--factors", "1,3,4"], "--factors");
    refused(&[&early, "--batch-size", "16"], "--batch-size");
    refused(&[&early, "--fraction", "0.5"], "cannot be used with");
    refused(&[&early, "--augment", "flip"], "--other-data");
    refused(&[&early, "--factors", "1,64,128"], "training set");
    refused(
        &[&early, "--", "sh", "-c", "true {batch_size}"],
        "--batch-size",
    );
    let other = folder.path().join("other");
    let [foreign, _] = trained(&other);
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "optimizer = 'adam'\n").unwrap();
    refused(&[&early, "--config", file.to_str().unwrap()], "--optimizer");
    // The same run, made twice, is the same run.
    let out = branch(dir, &["--factors", "1,2", &foreign, &late]);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

/// A program that takes the checkpoint to go on from, and counts on from its step.
#[test]
fn a_programs_run_is_branched_too() {
    let folder = tempfile::tempdir().unwrap();
    // Losses that rise by 0.02 a doubling beyond 32, of the batch size times the rate that the rule gives.
    let script = r#"awk -v from="$1" -v b="$2" -v n="$3" -v lr="$4" 'BEGIN { if (from != "ckpt-40") exit 1; k = log(b / 32) / log(2); for (s = 41; s <= n; s++) printf "step=%d train_loss=%.6f rate=%s\n", s, 1 + (k > 0 ? 0.02 * k : 0) + (s % 2 ? 0.001 : -0.001), lr }'"#;
    let program = folder.path().join("program.sh");
    std::fs::write(&program, script).unwrap();
    let dir = folder.path().join("branches");
    let dir = dir.to_str().unwrap();
    let words = [
        "branch",
        "--json",
        "--quiet",
        "ckpt-40",
        "--at-steps",
        "40",
        "--batch-size",
        "16",
        "--learning-rate",
        "0.1",
        "--rule",
        "srsr",
        "--factors",
        "1,2,4,8",
        "--branch-examples",
        "1024",
        "--seeds",
        "2",
        "--dir",
        dir,
        "--",
        "sh",
    ];
    let program = program.to_str().unwrap();
    let told = [
        program,
        "{resume_from}",
        "{batch_size}",
        "{max_steps}",
        "{learning_rate}",
    ];
    let found = found(&run(&[&words[..], &told].concat()));
    let at = &found["checkpoints"][0];
    let critical = at["critical_batch_size"]["value"].as_f64().unwrap();
    // 0.01 is half of the first doubling beyond 32.
    assert!(
        (critical / (32.0 * 2f64.sqrt()) - 1.0).abs() < 0.02,
        "{critical}"
    );
    // From its own step on, at the batch size that is a power of two within it.
    assert_eq!(
        found["schedule"],
        serde_json::json!([
            { "step": 0, "batch_size": 16, "learning_rate": 0.1 },
            { "step": 40, "batch_size": 32, "learning_rate": 0.1 * 2f64.sqrt() },
        ])
    );
}

/// Programs that do not do what they are said to do are found out, rather than compared.
#[test]
fn programs_that_do_otherwise_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    // Begins at $1, ends after step $2, where it is not cut short at $4 by a batch size below 16; $3 is the batch size.
    let script = r#"awk -v from="$1" -v n="$2" -v b="$3" -v short="$4" 'BEGIN { if (b < 16 && short) n = from + short; for (s = from + 1; s <= n; s++) printf "step=%d train_loss=1\n", s }'"#;
    let program = folder.path().join("program.sh");
    std::fs::write(&program, script).unwrap();
    let program = program.to_str().unwrap();
    let mut number = 0;
    let mut branched = |from: &str, short: &str, more: &[&str]| {
        number += 1;
        let dir = folder.path().join(number.to_string());
        let words = [
            "branch",
            "--json",
            "--quiet",
            "ckpt",
            "--at-steps",
            "100",
            "--batch-size",
            "8",
            "--learning-rate",
            "0.1",
            "--rule",
            "lsr",
            "--factors",
            "1,2,4",
            "--branch-examples",
            "1600",
            "--seeds",
            "2",
            "--dir",
            dir.to_str().unwrap(),
        ];
        let told = [
            "--",
            "sh",
            program,
            from,
            "{max_steps}",
            "{batch_size}",
            short,
            "{learning_rate}",
            "{resume_from}",
        ];
        run(&[&words[..], more, &told].concat())
    };
    let fine = found(&branched("100", "", &[]));
    assert_eq!(fine["checkpoints"][0]["critical_batch_size"]["value"], 32.0);
    let fine = found(&branched("0", "", &["--counts-anew"]));
    assert_eq!(fine["checkpoints"][0]["critical_batch_size"]["value"], 32.0);
    let mut failed = |from: &str, short: &str, more: &[&str], what: &str| {
        let out = branched(from, short, more);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        let said = text(&out.stderr);
        assert!(said.contains(what), "{said}");
    };
    failed("0", "", &[], "--counts-anew");
    failed("100", "", &["--counts-anew"], "cannot be told");
    failed("100", "3", &[], "is of step 3 of 200");
    let out = run(&[
        "branch",
        "ckpt",
        "--at-steps",
        "100",
        "--batch-size",
        "8",
        "--learning-rate",
        "0.1",
        "--rule",
        "lsr",
        "--",
        "sh",
        program,
        "{momentum}",
        "{batch_size}",
        "{learning_rate}",
        "{resume_from}",
    ]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr).contains("{momentum}"),
        "{}",
        text(&out.stderr)
    );
}

/// A folder of branches that was begun with relative paths is gone on with from anywhere, by itself.
#[test]
fn branches_are_gone_on_with_from_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    trained(&folder.path().join("run"));
    let words = [
        "branch",
        "--quiet",
        "--json",
        "run/step-20.safetensors",
        "--examples",
        "1500",
        "--factors",
        "1,4",
        "--branch-examples",
        "256",
        "--seeds",
        "2",
        "--dir",
        "branches",
    ];
    let here = batchscope()
        .args(words)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let first = found(&here);
    let dir = folder.path().join("branches");
    let elsewhere = tempfile::tempdir().unwrap();
    let words = ["branch", "--quiet", "--json", "--seeds", "3", "--dir"];
    let there = batchscope()
        .args(words)
        .arg(&dir)
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let more = found(&there);
    assert_eq!(more["seeds"], 3);
    assert_eq!(
        more["checkpoints"][0]["start"],
        first["checkpoints"][0]["start"]
    );
    let out = run(&["trials", "--json", dir.to_str().unwrap()]);
    assert_eq!(found(&out).as_array().map(Vec::len), Some(6));
}
