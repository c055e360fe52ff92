//! Kills at random moments: whatever is running, it ends with the numbers of a run that nobody killed,
//! and leaves no file that such a run does not leave.
//!
//! A few kills of each command run with every test; many more by
//! `cargo test --release --test kills -- --ignored`.
#![cfg(unix)]

mod support;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use batchscope_core::{Purpose, StreamKey};
use rand_core::Rng;
use serde_json::Value;
use support::{batchscope, small_study, text};

/// A command that works in a folder, and what it is to leave there.
struct Work {
    name: &'static str,
    /// The command, with the folder it works in.
    command: fn(&Path) -> Command,
    /// What it found, from its output on standard output and the folder.
    found: fn(&Path, &[u8]) -> Value,
}

const STUDY: Work = Work {
    name: "study",
    command: |dir| small_study(dir),
    found: |dir, _| support::found_by_study(dir),
};

const TRAIN: Work = Work {
    name: "train",
    command: |dir| {
        let mut command = batchscope();
        command.args(["train", "--data", "glyphs", "--examples", "1000"]);
        command.args([
            "--model",
            "mlp(64)",
            "--steps",
            "1500",
            "--batch-size",
            "32",
        ]);
        command.args(["--eval-examples", "200", "--target", "train-loss=0.01"]);
        command.args(["--json", "--checkpoint"]).arg(dir);
        command
    },
    found: |_, out| support::clockless(serde_json::from_slice(out).unwrap()),
};

const LANDSCAPE: Work = Work {
    name: "landscape",
    command: |dir| {
        // Made once, beside the folder, by a run that is not killed.
        let checkpoint = dir.with_file_name("checkpoint");
        if !checkpoint.join("run.safetensors").exists() {
            let mut command = batchscope();
            command.args(["train", "--data", "glyphs", "--examples", "600"]);
            command.args(["--model", "softmax", "--steps", "40", "-q", "--checkpoint"]);
            assert!(command.arg(&checkpoint).output().unwrap().status.success());
        }
        let mut command = batchscope();
        command.arg("landscape").arg(checkpoint);
        command.args(["--train-examples", "600", "--loss-examples", "120"]);
        command.args(["--sharpness", "--spectrum", "--json", "--dir"]);
        command.arg(dir);
        command
    },
    found: |_, out| support::clockless(serde_json::from_slice(out).unwrap()),
};

const REPRODUCE: Work = Work {
    name: "reproduce",
    command: |dir| {
        let mut command = batchscope();
        command.args(["reproduce", "keskar-2016", "--network", "f1"]);
        command.args(["--data", "glyphs", "--examples", "300", "--epochs", "2"]);
        command.args(["--starts", "1", "--part", "table,slices"]);
        command.args(["--sharpness-examples", "40", "--sharpness-starts", "1"]);
        command.args(["--search-iterations", "12", "--eval-examples", "60"]);
        command.args(["--json", "--dir"]).arg(dir);
        command
    },
    found: |_, out| support::clockless(serde_json::from_slice(out).unwrap()),
};

/// The files of a folder and of the folders in it.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    fn walk(dir: &Path, top: &Path, files: &mut BTreeSet<PathBuf>) {
        for entry in dir.read_dir().unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, top, files),
                false => {
                    files.insert(path.strip_prefix(top).unwrap().to_owned());
                }
            }
        }
    }
    let mut all = BTreeSet::new();
    walk(dir, dir, &mut all);
    all
}

/// Runs the work to its end; returns its output.
fn finished(work: &Work, dir: &Path) -> Vec<u8> {
    let out = (work.command)(dir).output().unwrap();
    let said = text(&out.stderr);
    assert!(out.status.success(), "{}: {said}", work.name);
    out.stdout
}

/// Kills the work so many times, at moments spread over the time it takes, starting anew in another
/// folder whenever it got to its end.
fn survives(work: &Work, kills: u32) {
    let place = tempfile::tempdir().unwrap();
    let straight = place.path().join("straight");
    let began = Instant::now();
    let out = finished(work, &straight);
    let takes = began.elapsed();
    let (found, left) = ((work.found)(&straight, &out), files(&straight));
    let key = StreamKey {
        study_seed: 12,
        trial: 0,
        purpose: Purpose::Simulation,
    };
    let mut moments = key.stream(u64::from(kills));
    let mut killed = 0;
    for round in 0.. {
        let dir = place.path().join(format!("round-{round}"));
        // At most so many in a folder: a run that is killed before its first checkpoint, each time,
        // would never end.
        for _ in 0..10 {
            if killed >= kills {
                break;
            }
            let mut child = (work.command)(&dir)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let share = (moments.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            let deadline = Instant::now() + takes.mul_f64(share);
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
        let out = finished(work, &dir);
        let name = work.name;
        assert_eq!((work.found)(&dir, &out), found, "{name}, round {round}");
        assert_eq!(files(&dir), left, "{name}, round {round}");
        std::fs::remove_dir_all(&dir).unwrap();
        if killed >= kills {
            break;
        }
    }
    println!("{}: {killed} kills, the same numbers", work.name);
}

#[test]
fn a_study_survives_a_few_kills() {
    survives(&STUDY, 6);
}

#[test]
fn a_run_survives_a_few_kills() {
    survives(&TRAIN, 4);
}

#[test]
fn measurements_survive_a_few_kills() {
    survives(&LANDSCAPE, 3);
}

#[test]
fn an_experiment_survives_a_few_kills() {
    survives(&REPRODUCE, 2);
}

#[test]
#[ignore = "takes half an hour"]
fn a_study_survives_500_kills() {
    survives(&STUDY, 500);
}

#[test]
#[ignore = "takes minutes"]
fn the_others_survive_50_kills() {
    for work in [&TRAIN, &LANDSCAPE, &REPRODUCE] {
        survives(work, 50);
    }
}
