//! `batchscope study -- PROGRAM`: somebody's training program, studied end to end.

mod support;

use std::{path::Path, process::Command};

use support::{findings, run, signal, small_program_study, study_of_a_program, text, wait_for};

fn study(dir: &Path, pause: &str) -> Command {
    study_of_a_program(
        dir,
        pause,
        &["--batch-sizes", "8..1024:x2", "--tune-trials", "4"],
    )
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
    // Four ran at a time, so each batch size was timed by a run of its own, alone.
    let timed = found["advice"]["timings"].as_array().unwrap();
    assert_eq!(timed.len(), 8, "{timed:?}");
    // Its folder alone resumes it: nothing is run again.
    let dir = dir.to_str().unwrap();
    let again = run(&["study", "--dir", dir]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    for key in ["critical_batch_size", "advice"] {
        assert_eq!(findings(Path::new(dir))[key], found[key], "{key}");
    }
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
    assert!(
        small_program_study(&whole, "")
            .output()
            .unwrap()
            .status
            .success()
    );
    for name in ["INT", "KILL"] {
        let dir = folder.path().join(name);
        let mut child = small_program_study(&dir, "0.01").spawn().unwrap();
        wait_for(&dir, &["trial 8 started"]);
        signal(&child, name);
        let status = child.wait().unwrap();
        assert!(!status.success());
        if name == "INT" {
            assert_eq!(status.code(), Some(130));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let left =
            batchscope_command::end_orphans(&std::path::absolute(dir.join("trials")).unwrap(), &[]);
        assert_eq!(left, 0, "after SIG{name}");
        let out = small_program_study(&dir, "").output().unwrap();
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
