//! `batchscope reproduce`: what there is, a small part of it, and stopping.

mod support;

use std::{path::Path, process::Command};

use serde_json::Value;
use support::{batchscope, run, text};

/// Two short runs and the slices between them.
fn slices(dir: &Path) -> Command {
    let mut command = batchscope();
    command.args([
        "reproduce",
        "keskar-2016",
        "--network",
        "f1",
        "--data",
        "glyphs",
        "--examples",
        "300",
        "--epochs",
        "2",
        "--starts",
        "1",
        "--part",
        "slices",
        "--sharpness-examples",
        "40",
        "--eval-examples",
        "60",
        "--dir",
    ]);
    command.arg(dir);
    command
}

fn results(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("results.json")).expect("results.json");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn without_a_name_it_lists_what_there_is() {
    let out = run(&["reproduce"]);
    assert!(out.status.success());
    let said = text(&out.stdout);
    assert!(
        said.contains("keskar-2016") && said.contains("1609.04836"),
        "{said}"
    );
}

#[test]
fn a_part_leaves_results_a_page_and_figures() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("experiment");
    let out = slices(&dir).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stderr);
    assert!(
        said.contains("small batches of 3, large ones of 30"),
        "{said}"
    );
    assert!(said.contains("of work is left"), "{said}");
    let found = results(&dir);
    assert_eq!(found["setting"]["large"], 30);
    let points = found["slices"][0]["straight"]["points"].as_array().unwrap();
    assert_eq!(points.len(), 25);
    assert!(points.iter().all(|p| p["train_accuracy"].is_number()));
    for file in [
        "report.html",
        "figures/slice-loss.svg",
        "figures/slice-loss.png",
        "figures/slice-accuracy.svg",
        "figures/runs.svg",
    ] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    // Done is done: the same command only reports, and other settings are not mixed in.
    let again = slices(&dir).arg("--json").output().unwrap();
    assert!(again.status.success(), "{}", text(&again.stderr));
    let printed: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(printed, found);
    assert!(!text(&again.stderr).contains("train b3-s0:"));
    let other = slices(&dir)
        .args(["--learning-rate", "0.01"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("learning_rate"),
        "{}",
        text(&other.stderr)
    );
}

/// F2 on frames of speech, in text archives that are made here, with both kinds of slices.
#[test]
fn f2_runs_on_archives_of_kaldi_s() {
    use std::fmt::Write as _;

    let place = tempfile::tempdir().unwrap();
    let (data, dir) = (place.path().join("speech"), place.path().join("experiment"));
    for (split, utterances) in [("train", 6), ("test", 2)] {
        let (mut features, mut labels) = (String::new(), String::new());
        for u in 0..utterances {
            write!(features, "u{u} [").unwrap();
            write!(labels, "u{u}").unwrap();
            for frame in 0..45 {
                let class = (frame / 9 + u) % 5;
                // The parts are spoken differently: copies of training examples test nothing.
                let own = if split == "train" { 0.1 } else { 0.15 };
                let level = |i: usize| {
                    if i % 5 == class {
                        1.0
                    } else {
                        own * (frame % 4) as f32
                    }
                };
                let row: Vec<String> = (0..24).map(|i| level(i).to_string()).collect();
                write!(features, "\n  {}", row.join(" ")).unwrap();
                write!(labels, " {class}").unwrap();
            }
            features += " ]\n";
            labels += "\n";
        }
        let folder = data.join(split);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("features.ark"), features).unwrap();
        std::fs::write(folder.join("pdfs.ark"), labels).unwrap();
    }
    let mut command = batchscope();
    command.args([
        "reproduce",
        "keskar-2016",
        "--network",
        "f2",
        "--examples",
        "200",
    ]);
    command.args([
        "--epochs",
        "1",
        "--starts",
        "1",
        "--part",
        "slices",
        "--statistics",
        "both",
    ]);
    command.args([
        "--sharpness-examples",
        "20",
        "--eval-examples",
        "30",
        "--data",
    ]);
    let out = command.arg(&data).arg("--dir").arg(&dir).output().unwrap();
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    for line in [
        "an example is 15 frames of 24 numbers",
        "the labels are of 5 classes, the paper's of 1973",
        "f2, 1766917 parameters, 200 training examples",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let found = results(&dir);
    let slices = found["slices"].as_array().unwrap();
    assert_eq!(slices.len(), 2);
    assert_eq!(slices[0]["statistics"], "interpolated");
    assert_eq!(slices[1]["statistics"], "estimated");
    assert_ne!(
        slices[0]["straight"]["points"],
        slices[1]["straight"]["points"]
    );
    assert!(dir.join("figures/slice-loss-estimated.svg").is_file());
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_runs_nothing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("experiment");
    let out = slices(&dir).arg("--dry-run").output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("of work is left"));
    assert!(!dir.join("results.json").exists());
    assert_eq!(std::fs::read_dir(dir.join("runs")).unwrap().count(), 0);
}

#[test]
fn wrong_flags_are_named() {
    for (arguments, flag) in [
        // the built-in characters are no frames of speech
        (&["--network", "f2"][..], "data"),
        (&["--network", "vgg"], "network"),
        (&["--part", "tables"], "part"),
        (&["--starts", "0"], "starts"),
        (&["--other-starts", "0"], "other-starts"),
        (&["--other-starts", "6"], "other-starts"),
        (&["--epochs", "0"], "epochs"),
        (&["--examples", "100"], "examples"),
        (&["--jobs", "0", "--examples", "300"], "jobs"),
        (&["--minutes", "-1", "--examples", "300"], "minutes"),
        (&["--ghost", "0"], "ghost"),
        (&["--learning-rate", "0"], "learning-rate"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let out = batchscope()
            .args(["reproduce", "keskar-2016", "--data", "glyphs", "--dir"])
            .arg(place.path().join("experiment"))
            .args(arguments)
            .output()
            .unwrap();
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(&format!("--{flag}")), "{arguments:?}: {said}");
    }
    assert_eq!(run(&["reproduce", "keskar-2017"]).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done_and_the_same_command_goes_on() {
    use std::time::{Duration, Instant};

    let place = tempfile::tempdir().unwrap();
    let (straight, broken) = (place.path().join("straight"), place.path().join("broken"));
    assert!(slices(&straight).output().unwrap().status.success());
    let child = slices(&broken)
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + support::PATIENCE;
    while std::fs::read_dir(broken.join("runs")).map_or(0, Iterator::count) == 0 {
        assert!(Instant::now() < deadline, "no run was ever stored");
        std::thread::sleep(Duration::from_millis(2));
    }
    support::signal(&child, "INT");
    let out = support::finish(child, "the experiment");
    // It may have been done in the same moment.
    assert!(
        matches!(out.status.code(), Some(130 | 0)),
        "{}",
        text(&out.stderr)
    );
    assert!(slices(&broken).output().unwrap().status.success());
    let timeless = |dir: &Path| {
        let mut found = results(dir);
        for run in found["runs"].as_array_mut().unwrap() {
            run["seconds"] = Value::Null;
        }
        found
    };
    assert_eq!(timeless(&broken), timeless(&straight));
}
