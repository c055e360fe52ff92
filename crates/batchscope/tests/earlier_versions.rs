//! Studies of earlier versions are read, and gone on with where their numbers are of today's kind.
//!
//! `fixtures/batchwise-0.1.0` was written by the last version under the project's first name:
//! `batchwise study --batch-sizes 16,64 --base-batch 16 --seeds 1 --tune-trials 2 --examples 400
//! --pilot-epochs 2 --eval-examples 100 --jobs 1 --optimiser adam --model 'mlp(16)'
//! --learning-rates 0.001..0.1`.

mod support;

use std::{fs, path::Path};

use serde_json::Value;

use support::{batchscope, text};

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
    for key in ["regimes", "tuning"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    // Intervals follow today's analysis; what was measured does not change.
    for key in [
        "batch_size",
        "state",
        "learning_rate",
        "warm_up_steps",
        "repeats",
        "outcomes",
    ] {
        assert_eq!(points(&before, key), points(&after, key), "{key}");
    }
    let values = |findings| -> Vec<Value> {
        let steps = points(findings, "steps").into_iter();
        steps.map(|mut steps| steps["value"].take()).collect()
    };
    assert_eq!(values(&before), values(&after));
    // As it was, but for the wording of one reason.
    let generalization = before["generalisation"].to_string().replace(
        "one seed each, so there is no variance to make an interval from",
        "every batch size has one seed, so there is no variance for an interval",
    );
    assert_eq!(generalization, after["generalization"].to_string());
}

/// One key of every point of every curve.
fn points(findings: &Value, key: &str) -> Vec<Value> {
    let curves = findings["curves"].as_array().unwrap().iter();
    curves
        .flat_map(|curve| curve["points"].as_array().unwrap())
        .map(|point| point[key].clone())
        .collect()
}

/// Its steps to the target are those of a smoothed metric, 7 to 16 % after the crossing: trials
/// added today would be compared with them, and the difference taken for one of batch sizes.
#[test]
fn a_study_of_batchwise_does_not_go_on_with_steps_of_another_kind() {
    let place = old_study();
    let before = trials(place.path());
    let out = batchscope()
        .args(["study", "--quiet", "--seeds", "2", "--dir"])
        .arg(place.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    for part in ["earlier version", "`report`", "--dir"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(trials(place.path()), before);
}
