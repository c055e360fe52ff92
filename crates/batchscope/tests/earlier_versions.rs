//! Studies that earlier versions began are still theirs to go on with.
//!
//! `fixtures/batchwise-0.1.0` was written by the last version under the project's first name:
//! `batchwise study --batch-sizes 16,64 --base-batch 16 --seeds 1 --tune-trials 2 --examples 400
//! --pilot-epochs 2 --eval-examples 100 --jobs 1 --optimiser adam --model 'mlp(16)'
//! --learning-rates 0.001..0.1`.

mod support;

use std::{fs, path::Path};

use serde_json::Value;

use support::{batchscope, findings, text, timeless};

const FILES: [&str; 4] = ["study.db", "study.toml", "run.json", "findings.json"];

fn old_study() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/batchwise-0.1.0");
    for file in FILES {
        fs::copy(fixture.join(file), place.path().join(file)).unwrap();
    }
    place
}

/// A number for every trial: its steps, or how it ended.
fn trials(dir: &Path) -> Vec<Value> {
    let out = batchscope()
        .args(["trials", "--json"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_study_of_batchwise_is_read_and_gives_the_same_numbers() {
    let place = old_study();
    let mut before: Value =
        serde_json::from_slice(&fs::read(place.path().join("findings.json")).unwrap()).unwrap();
    let out = batchscope()
        .args(["report", "--json"])
        .arg(place.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let mut after: Value = serde_json::from_slice(&out.stdout).unwrap();
    // The command that would settle the bounds names the program and the folder.
    for findings in [&mut before, &mut after] {
        findings["critical_batch_size"]["tuned"]["to_settle"]["command"].take();
        // Sentences, whose words and digits may change.
        for tuning in findings["tuning"].as_array_mut().unwrap() {
            tuning["widenings"].take();
        }
    }
    for key in ["curves", "critical_batch_size", "regimes", "tuning"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(before["generalisation"], after["generalization"]);
}

#[test]
fn a_study_of_batchwise_goes_on_without_training_anything_twice() {
    let place = old_study();
    let before = trials(place.path());
    let resumed = |more: &[&str]| {
        let out = batchscope()
            .args(["study", "--quiet", "--dir"])
            .arg(place.path())
            .args(more)
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    };
    resumed(&[]);
    assert_eq!(trials(place.path()), before, "a trial was run again");
    let unchanged = timeless(place.path());
    assert!(!unchanged["curves"].as_array().unwrap().is_empty());

    // More seeds add trials, and leave the others as they are.
    resumed(&["--seeds", "2"]);
    let more = trials(place.path());
    assert_eq!(more.len(), before.len() + 2);
    assert_eq!(more[..before.len()], before[..]);
    assert_eq!(findings(place.path())["study"]["seeds"], 2);

    // What was written since is in today's spelling.
    let settings = fs::read_to_string(place.path().join("study.toml")).unwrap();
    assert!(settings.contains("optimizer = \"adam\""), "{settings}");
}

#[test]
fn another_optimizer_is_still_refused_by_name() {
    let place = old_study();
    let out = batchscope()
        .args(["study", "--optimizer", "sgd", "--dir"])
        .arg(place.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("optimizer"),
        "{}",
        text(&out.stderr)
    );
}
