//! Signals, kills and what is left to resume.
#![cfg(unix)]

mod support;

use std::{
    path::Path,
    process::{Child, Output, Stdio},
};

use serde_json::Value;
use support::{
    batchscope, finish, run, signal, small_study, study_towards, text, timeless, wait_for,
};

/// Starts a study that only its standard error tells of.
fn start(command: &mut std::process::Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A study that is sure to be running when it is interrupted: its target is out of reach.
fn endless_study(dir: &Path) -> std::process::Command {
    let mut command = study_towards("train-loss=0.0001", dir);
    command.args(["--pilot-epochs", "100000"]);
    command
}

fn finished_trials(dir: &Path) -> usize {
    let out = run(&["trials", dir.to_str().unwrap(), "--json"]);
    let trials: Value = serde_json::from_slice(&out.stdout).unwrap();
    trials.as_array().unwrap().len()
}

#[test]
fn a_killed_study_resumes_to_the_same_findings() {
    let place = tempfile::tempdir().unwrap();
    let straight = place.path().join("straight");
    assert!(small_study(&straight).output().unwrap().status.success());
    // Each kind of trial, after one of it has been stored; the timing; the report.
    for moment in [
        &["stage: pilot", " of training"][..],
        &["stage: tuning", " of training"],
        &["stage: fresh seeds", " of training"],
        &["stage: timing"],
        &["stage: report"],
    ] {
        let killed = place.path().join(moment[0].replace(": ", "-"));
        let mut child = start(&mut small_study(&killed));
        wait_for(&killed, moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let out = small_study(&killed).output().unwrap();
        assert!(out.status.success(), "{moment:?}: {}", text(&out.stderr));
        assert_eq!(timeless(&killed), timeless(&straight), "{moment:?}");
    }
}

#[test]
fn ctrl_c_ends_with_130_and_the_command_that_resumes() {
    let place = tempfile::tempdir().unwrap();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = place.path().join(name);
        let child = start(&mut endless_study(&folder));
        wait_for(&folder, &["started: batch size"]);
        signal(&child, name);
        let out = finish(child, name);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(
            said.contains("batchscope study --dir") && said.contains("are left"),
            "{said}"
        );
    }
}

/// The last trial is stored, and the tool is busy with what comes after.
#[test]
fn a_signal_during_the_final_timing_ends_the_study_cleanly() {
    let place = tempfile::tempdir().unwrap();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = place.path().join(name);
        let child = start(&mut small_study(&folder));
        wait_for(&folder, &["stage: timing"]);
        signal(&child, name);
        let out = finish(child, name);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        for part in ["every trial is stored", "report", "batchscope study --dir"] {
            assert!(said.contains(part), "'{part}' in: {said}");
        }
        let trials = finished_trials(&folder);
        let again = small_study(&folder).output().unwrap();
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert!(folder.join("report.html").is_file());
        assert_eq!(
            finished_trials(&folder),
            trials,
            "nothing was trained again"
        );
    }
}

/// Both signals wait for a process that is stopped, and arrive before it can react to the first.
#[test]
fn a_second_signal_ends_the_program_at_once() {
    let place = tempfile::tempdir().unwrap();
    let child = start(&mut endless_study(place.path()));
    wait_for(place.path(), &["started: batch size"]);
    for name in ["STOP", "INT", "TERM", "CONT"] {
        signal(&child, name);
    }
    let out = finish(child, "the second signal");
    assert!(
        matches!(out.status.code(), Some(130 | 143)),
        "{:?}",
        out.status
    );
    let said = text(&out.stderr);
    assert!(!said.contains("resume"), "left at once: {said}");
    // Nothing finished is lost by it: the store is whole.
    assert!(
        run(&["trials", place.path().to_str().unwrap()])
            .status
            .success()
    );
}

#[test]
fn an_interrupted_run_resumes_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = |steps: &'static str, folder: &Path| {
        let mut command = batchscope();
        command.args([
            "train",
            "--data",
            "glyphs",
            "--examples",
            "1000",
            "--model",
            "mlp(16)",
            "--batch-size",
            "32",
        ]);
        command
            .args([
                "--steps",
                steps,
                "--evaluate-every",
                "20",
                "--eval-examples",
                "200",
                "--json",
                "--checkpoint",
            ])
            .arg(folder);
        command
    };
    let metrics = |out: &Output| -> Value {
        let record: Value = serde_json::from_slice(&out.stdout).unwrap();
        record["measurements"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["metrics"].clone())
            .collect()
    };
    let straight = arguments("120", &dir.path().join("a")).output().unwrap();
    assert!(
        arguments("60", &dir.path().join("b"))
            .output()
            .unwrap()
            .status
            .success()
    );
    let resumed = arguments("120", &dir.path().join("b")).output().unwrap();
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert!(
        text(&resumed.stderr).contains("resumed after step 60"),
        "{}",
        text(&resumed.stderr)
    );
    let (straight, resumed) = (metrics(&straight), metrics(&resumed));
    assert_eq!(
        straight.as_array().unwrap().last(),
        resumed.as_array().unwrap().last()
    );
}
