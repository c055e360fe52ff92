//! `batchscope compare`: methods over batch sizes.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{run, text};

const SMALL: [&str; 15] = [
    "compare",
    "--quiet",
    "--data",
    "glyphs",
    "--examples",
    "1500",
    "--model",
    "softmax",
    "--batch-sizes",
    "16,128",
    "--base-batch",
    "16",
    "--tune-trials",
    "3",
    "--max-widenings=1",
];

fn compared(dir: &Path, more: &[&str]) -> Value {
    let dir = dir.to_str().unwrap();
    let out = run(&[&SMALL[..], &["--json", "--dir", dir], more].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn trials(dir: &Path) -> usize {
    let out = run(&["trials", "--json", dir.to_str().unwrap()]);
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    all.as_array().unwrap().len()
}

/// One endpoint at the largest batch size against the first method, every value beside it, and a folder that the other
/// commands understand.
#[test]
fn methods_are_compared_after_equally_many_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let methods = "sgd+lsr, sgd(momentum=0.5)+tuned, adamw+sqrt";
    let found = compared(dir, &["--methods", methods, "--epochs", "2"]);
    assert_eq!(found["baseline"], "sgd+lsr");
    assert_eq!(found["batch_size"], 128);
    assert_eq!(
        found["endpoint"],
        serde_json::json!({ "metric": "val-error" })
    );
    let primary = found["primary"].as_array().unwrap();
    let names: Vec<&str> = primary
        .iter()
        .map(|c| c["method"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sgd(momentum=0.5)+tuned", "adamw+srsr"]);
    for contrast in primary {
        assert_eq!(contrast["difference"]["n"], 3);
        let [p, holm] = ["p", "p_holm"].map(|key| contrast[key].as_f64().unwrap());
        assert!(p <= holm && holm <= 1.0);
    }
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    assert!(points.iter().all(|point| point["with_value"] == 3));
    // A search of three trials and at most one widening by three: one for a rule, two for a rate tuned at both batch sizes.
    let trials_of = |at: usize| found["budgets"][at]["trials"].as_u64().unwrap();
    assert!(
        [3, 6].contains(&trials_of(0)) && [3, 6].contains(&trials_of(2)),
        "{found}"
    );
    assert!([6, 9, 12].contains(&trials_of(1)), "{found}");
    // sgd+lsr has 8 times the rate at 8 times the batch.
    let rate = |at: usize| points[at]["learning_rate"].as_f64().unwrap();
    assert!((rate(1) / rate(0) - 8.0).abs() < 1e-9);
    for file in [
        "comparison.json",
        "report.html",
        "study.db",
        "study.toml",
        "figures/methods.svg",
    ] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    // Again, by the folder alone: nothing is run, the same is found.
    let before = trials(dir);
    let again = run(&[
        "compare",
        "--quiet",
        "--json",
        "--dir",
        dir.to_str().unwrap(),
    ]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(
        serde_json::from_slice::<Value>(&again.stdout).unwrap(),
        found
    );
    assert_eq!(trials(dir), before);
    let report = run(&["report", "--json", dir.to_str().unwrap()]);
    assert_eq!(
        serde_json::from_slice::<Value>(&report.stdout).unwrap(),
        found
    );
    // More seeds are added.
    let more = compared(
        dir,
        &["--methods", methods, "--epochs", "2", "--seeds", "4"],
    );
    assert_eq!(more["primary"][0]["difference"]["n"], 4);
    assert_eq!(trials(dir), before + 3 * 2);
    // A study is something else.
    let other = run(&["study", "--dir", dir.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        text(&other.stderr).contains("batchscope compare"),
        "{}",
        text(&other.stderr)
    );
    let advise = run(&["advise", dir.to_str().unwrap()]);
    assert!(
        text(&advise.stderr).contains("comparison of methods"),
        "{}",
        text(&advise.stderr)
    );
    // In words.
    let words = run(&["report", dir.to_str().unwrap()]);
    let said = text(&words.stdout);
    for part in [
        "At batch size 128",
        "Holm",
        "adamw+srsr",
        "Tuning trials were not equal in number",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn methods_are_compared_by_their_steps_to_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let found = compared(
        folder.path(),
        &[
            "--methods",
            "sgd+srsr,sgd+tuned",
            "--target",
            "train-loss=1.8",
            "--epochs",
            "20",
            "--schedule",
            "cosine(1ep)",
        ],
    );
    assert_eq!(found["endpoint"]["steps"]["value"], 1.8);
    let difference = &found["primary"][0]["difference"];
    assert!(difference["value"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(
        found["budgets"][0]["tuned"],
        serde_json::json!(["rate", "length of the decay"])
    );
    // At 128 the rule's decay has a search of its own, of three trials.
    let trials_of = |at: usize| found["budgets"][at]["trials"].as_u64().unwrap();
    assert!([6, 9].contains(&trials_of(0)), "{found}");
    assert!([6, 9, 12].contains(&trials_of(1)), "{found}");
    let curves = found["curves"].as_array().unwrap();
    assert!(
        curves
            .iter()
            .all(|curve| curve["s_min"].is_object() && curve["critical_batch_size"].is_object())
    );
}

#[test]
fn comparisons_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    for (arguments, flag, says) in [
        (&["--methods", "sgd+lsr"][..], "--methods", "fewer than two"),
        (
            &["--methods", "sgd, adam+lsr"],
            "--methods",
            "names no rule",
        ),
        (
            &["--methods", "sdg+lsr, adam+lsr"],
            "--methods",
            "did you mean sgd",
        ),
        (
            &["--methods", "sgd+lsrr, adam+lsr"],
            "--methods",
            "did you mean lsr",
        ),
        (&["--methods", "sgd+lsr, sgd+linear"], "--methods", "twice"),
        (&["--methods", "sgd+lsr, sgd+sde"], "--methods", "sde"),
        (
            &["--methods", "sgd+lsr, adam+lsr", "--target", "auto"],
            "--target",
            "fixed beforehand",
        ),
        (
            &["--methods", "sgd+lsr, adam+lsr", "--epochs", "0"],
            "--epochs",
            "0",
        ),
        (
            &["--methods", "sgd+lsr, adam+lsr", "--metric", "val-f1"],
            "val-f1",
            "val-error",
        ),
        (&[], "--methods", "missing"),
    ] {
        let out = run(&[&SMALL[..], &["--dir", dir.to_str().unwrap()], arguments].concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(flag) && said.contains(says),
            "{arguments:?}: {said}"
        );
        assert!(!dir.exists());
    }
}

/// AutoWU finds the rate of its runs, so it has no tuning trials, and that is said; against it a rate and a warm-up are tuned.
#[test]
fn a_method_may_be_led_by_a_controller() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let methods = "sgd+tuned, sgd+autowu, sgd+lsr+late_switch(1ep,2)";
    let more = [
        "--methods",
        methods,
        "--epochs",
        "2",
        "--tune-warm-up",
        "--schedule",
        "cosine(2ep)",
    ];
    let found = compared(dir, &more);
    let budgets = found["budgets"].as_array().unwrap();
    assert_eq!(budgets[1]["method"], "sgd+autowu");
    assert_eq!(budgets[1]["trials"], 0);
    assert_eq!(budgets[1]["tuned"], serde_json::json!([]));
    assert_eq!(
        budgets[0]["tuned"],
        serde_json::json!(["rate", "length of the warm-up"])
    );
    assert_eq!(budgets[2]["method"], "sgd+lsr+late_switch(at=1ep,growth=2)");
    let report = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(report.contains("Tuning trials were not equal in number"));
    // A batch that grows is no larger than its micro-batch at first: no run fails for it.
    let points = found["points"].as_array().unwrap();
    assert!(
        points.iter().all(|point| point["with_value"] == 3),
        "{found}"
    );
    // What was found goes with the trials.
    let out = run(&["export", "--to", "json", dir.to_str().unwrap()]);
    let exported: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(exported["findings"]["baseline"], "sgd+tuned");
    let led = exported["trials"].as_array().unwrap().iter();
    assert!(led.filter(|t| t["decisions"].is_array()).count() >= 4);
    let trials = std::fs::read_to_string(dir.join("trials.csv")).unwrap();
    assert!(
        trials.lines().next().unwrap().contains("controller"),
        "{trials}"
    );
    assert!(
        trials.contains("late_switch(at=1ep,growth=2,rate=1)"),
        "{trials}"
    );
}

#[test]
fn methods_that_contradict_themselves_are_refused() {
    for (methods, what) in [
        ("sgd+tuned, sgd+lsr+autowu", "its controller finds one"),
        ("sgd+tuned, sgd+lsr+tuned", "carries it by a rule"),
        ("sgd+tuned, sgd+grow", "names no rule"),
        ("sgd+tuned, sgd+lsr+grow+cabs", "names two controllers"),
    ] {
        let out = run(&["compare", "--methods", methods]);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    }
}

/// Controllers that end a run by its examples, or by their own count: neither is a failed trial, and what cannot follow at some
/// batch size is refused before anything runs.
#[test]
fn runs_that_end_before_their_cap_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let methods = "sgd+blr, sgd+blr+cabs(8,512), sgd+blr+adascale(16)";
    let found = compared(
        folder.path(),
        &[
            "--methods",
            methods,
            "--epochs",
            "2",
            "--schedule",
            "cosine(2ep)",
        ],
    );
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    assert!(
        points.iter().all(|point| point["with_value"] == 3),
        "{found}"
    );
    for (methods, more, what) in [
        ("sgd+blr, sgd+blr+cabs", [].as_slice(), "more than the 1500"),
        (
            "sgd+blr, sgd+blr+late_switch(1ep,2)",
            &["--target", "val-error=0.3"],
            "leave out the target",
        ),
        ("sgd+blr, sgd+autowu", &[], "autowu needs to know how long"),
    ] {
        let refused = tempfile::tempdir().unwrap();
        let dir = refused.path().to_str().unwrap();
        let out = run(&[
            &SMALL[..],
            &["--dir", dir, "--methods", methods, "--epochs", "2"],
            more,
        ]
        .concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    }
}
