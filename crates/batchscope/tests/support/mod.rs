//! The program, and studies that take a second.
#![allow(dead_code)] // each test program uses some of it

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub fn batchscope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchscope"));
    command
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    batchscope()
        .args(arguments)
        .output()
        .expect("the program starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A study that takes a second or two: a linear model on few glyphs.
pub fn small_study(dir: &Path) -> Command {
    study_towards("train-loss=1.6", dir)
}

/// The same towards another target.
pub fn study_towards(target: &str, dir: &Path) -> Command {
    let mut command = batchscope();
    command.args([
        "study",
        "--data",
        "glyphs",
        "--examples",
        "1500",
        "--model",
        "softmax",
        "--batch-sizes",
        "8,32,128,512",
        "--base-batch",
        "32",
        "--target",
        target,
        "--tune-trials",
        "4",
        "--seeds",
        "2",
        "--seed",
        "7",
        "--eval-examples",
        "300",
        "--jobs",
        "2",
        "--dir",
    ]);
    command.arg(dir);
    command
}

pub fn findings(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("findings.json")).expect("findings.json");
    serde_json::from_str(&text).expect("JSON")
}

/// What a study found, without what depends on the clock.
pub fn timeless(dir: &Path) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for key in ["advice", "seconds", "verdict", "remarks", "to_settle"] {
                    map.remove(key);
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = findings(dir);
    strip(&mut value);
    value
}

/// Waits for a child that must end by itself, and soon.
pub fn finish(mut child: Child, what: &str) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Far longer than anything waited for here takes, on a machine that is busy too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a study's log says these things, one after the other.
pub fn wait_for(dir: &Path, what: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    let log = dir.join("run.log");
    let says = |log: &str| {
        let mut rest = log;
        what.iter().all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    while !std::fs::read_to_string(&log).is_ok_and(|log| says(&log)) {
        assert!(Instant::now() < deadline, "{what:?} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, by its name without SIG.
#[cfg(unix)]
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// `S = 60·(1 + 256/B)` steps to a validation error of 0.1 at the best rate, seeds 5 % apart.
pub const PROGRAM: &str = r#"BEGIN {{ srand(seed); z = 0; for (i = 0; i < 12; i++) z += rand(); z -= 6; r = log(lr * (1 + 256 / b)); S = 60 * (1 + 256 / b) * exp(0.15 * r * r + 0.05 * z); for (s = 1; s <= n; s = int(s * 1.1) + 1) {{ if (pause) system("sleep " pause); printf "step=%d examples=%d val_error=%.6f\n", s, s * b, 0.9 / (1 + 8 * s / S); fflush() }} }}"#;

/// A study of a second or two.
pub fn small_program_study(dir: &Path, pause: &str) -> Command {
    let flags = [
        "--batch-sizes",
        "32..256",
        "--tune-trials",
        "2",
        "--pilot-trials",
        "3",
        "--seeds",
        "2",
        "--time-steps",
        "off",
    ];
    study_of_a_program(dir, pause, &flags)
}

/// A study of [`PROGRAM`], which sleeps so many seconds before each report.
pub fn study_of_a_program(dir: &Path, pause: &str, flags: &[&str]) -> Command {
    let mut command = batchscope();
    command
        .args(["study", "--dir"])
        .arg(dir)
        .args(["--target", "val-error=0.1", "--learning-rates", "0.01..2"])
        .args(flags)
        .args([
            "--train-examples",
            "60000",
            "--slots",
            "4",
            "--retries",
            "20",
            "--",
            "awk",
        ])
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

/// Without what depends on the clock, and without numbers of processes.
pub fn clockless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !key.contains("seconds") && key != "notes");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

/// What a study found and how each of its trials ended, without what depends on the clock.
pub fn found_by_study(dir: &Path) -> Value {
    let out = batchscope().arg("trials").arg(dir).arg("--json").output();
    let trials: Value = serde_json::from_slice(&out.unwrap().stdout).unwrap();
    clockless(Value::Array(vec![timeless(dir), trials]))
}
