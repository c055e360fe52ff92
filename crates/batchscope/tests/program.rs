//! `batchscope study -- PROGRAM`: somebody's training program, studied end to end.

mod support;

use std::{path::Path, process::Command};

use support::{batchscope, findings, run, signal, text, wait_for};

/// `S = 60·(1 + 256/B)` steps to a validation error of 0.1 at the best rate, seeds 5 % apart.
const PROGRAM: &str = r#"BEGIN {{ srand(seed); z = 0; for (i = 0; i < 12; i++) z += rand(); z -= 6; r = log(lr * (1 + 256 / b)); S = 60 * (1 + 256 / b) * exp(0.15 * r * r + 0.05 * z); for (s = 1; s <= n; s = int(s * 1.1) + 1) {{ if (pause) system("sleep " pause); printf "step=%d examples=%d val_error=%.6f\n", s, s * b, 0.9 / (1 + 8 * s / S); fflush() }} }}"#;

fn study(dir: &Path, pause: &str) -> Command {
    study_of(
        dir,
        pause,
        &["--batch-sizes", "8..1024:x2", "--tune-trials", "4"],
    )
}

/// A study of a second or two.
fn small(dir: &Path, pause: &str) -> Command {
    let flags = [
        "--batch-sizes",
        "32..256",
        "--tune-trials",
        "2",
        "--pilot-trials",
        "3",
        "--seeds",
        "2",
    ];
    study_of(dir, pause, &flags)
}

fn study_of(dir: &Path, pause: &str, flags: &[&str]) -> Command {
    let mut command = batchscope();
    command
        .args(["study", "--dir"])
        .arg(dir)
        .args(["--target", "val-error=0.1", "--learning-rates", "0.01..2"])
        .args(flags)
        .args(["--train-examples", "60000", "--slots", "4", "--", "awk"])
        .args([
            "-v",
            "b={batch_size}",
            "-v",
            "lr={learning_rate}",
            "-v",
            "seed={seed}",
            "-v",
            "n={max_steps}",
        ])
        .args(["-v", &format!("pause={pause}"), PROGRAM]);
    command
}

#[test]
fn a_program_is_studied_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("study");
    let out = study(&dir, "").output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let found = findings(&dir);
    let critical = &found["critical_batch_size"]["tuned"]["hyperbola"];
    let (low, high) = (
        critical["low"].as_f64().unwrap(),
        critical["high"].as_f64().unwrap(),
    );
    assert!(low < 256.0 && 256.0 < high, "{critical}");
    let verdict = found["verdict"].as_str().unwrap();
    assert!(
        verdict.contains("optimizer and schedule of the program") && !verdict.contains("SGD"),
        "{verdict}"
    );
    let settings = std::fs::read_to_string(dir.join("study.toml")).unwrap();
    assert!(
        settings.contains("trainer = \"command\"") && settings.contains("{batch_size}"),
        "{settings}"
    );
    // Its folder alone resumes it: nothing is run again.
    let dir = dir.to_str().unwrap();
    let again = run(&["study", "--dir", dir]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(
        findings(Path::new(dir))["critical_batch_size"],
        found["critical_batch_size"]
    );
    for command in [
        &["report", dir][..],
        &["trials", dir],
        &["export", dir, "--format", "csv"],
    ] {
        let out = run(command);
        assert!(out.status.success(), "{}", text(&out.stderr));
    }
}

/// Interrupted and killed in the middle, it comes to the same numbers, and nothing runs on.
#[test]
fn a_study_that_is_stopped_leaves_no_program_behind() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert!(small(&whole, "").output().unwrap().status.success());
    for name in ["INT", "KILL"] {
        let dir = folder.path().join(name);
        let mut child = small(&dir, "0.01").spawn().unwrap();
        wait_for(&dir, &["trial 8 started"]);
        signal(&child, name);
        let status = child.wait().unwrap();
        assert!(!status.success());
        if name == "INT" {
            assert_eq!(status.code(), Some(130));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let left =
            batchscope_command::end_orphans(&std::path::absolute(dir.join("trials")).unwrap());
        assert_eq!(left, 0, "after SIG{name}");
        let out = small(&dir, "").output().unwrap();
        assert!(
            !out.status.success(),
            "another program is another study: {}",
            text(&out.stderr)
        );
        let out = run(&["study", "--dir", dir.to_str().unwrap()]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert_eq!(
            findings(&dir)["curves"][0]["fit"]["e_min"],
            findings(&whole)["curves"][0]["fit"]["e_min"]
        );
    }
}

#[test]
fn what_the_program_is_not_told_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("study");
    let dir = dir.to_str().unwrap();
    let study = [
        "study",
        "--dir",
        dir,
        "--target",
        "val-error=0.1",
        "--max-steps",
        "100",
    ];
    for (flags, says) in [
        (&["--", "train"][..], "{batch_size}"),
        (&["--", "awk", "{batch_size}"], "{learning_rate}"),
        (
            &["--", "awk", "{batchsize}", "{learning_rate}"],
            "{batchsize}",
        ),
        (
            &[
                "--momentum",
                "0.5",
                "--",
                "awk",
                "{batch_size}",
                "{learning_rate}",
            ],
            "--momentum",
        ),
        (
            &[
                "--warm-up",
                "5",
                "--",
                "awk",
                "{batch_size}",
                "{learning_rate}",
            ],
            "--warm-up",
        ),
        (
            &[
                "--clip",
                "1",
                "--",
                "awk",
                "{batch_size}",
                "{learning_rate}",
            ],
            "--clip",
        ),
        (
            &[
                "--model",
                "lenet",
                "--",
                "awk",
                "{batch_size}",
                "{learning_rate}",
            ],
            "--model",
        ),
        (
            &["--devices", "cuda:0,cuda:0", "--", "awk", "{batch_size}"],
            "twice",
        ),
        (
            &["--pattern", "(", "--", "awk", "{batch_size}"],
            "regular expression",
        ),
        (&["--slots", "2"], "--slots"),
        (&["--trainer", "command"], "no program"),
        (
            &["--", "no-such-program", "{batch_size}", "{learning_rate}"],
            "no-such-program",
        ),
    ] {
        let out = run(&[&study[..], flags].concat());
        assert!(!out.status.success(), "{flags:?}");
        assert!(
            text(&out.stderr).contains(says),
            "{flags:?}: {}",
            text(&out.stderr)
        );
    }
}
