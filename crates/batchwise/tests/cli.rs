//! The program as a user meets it: exit codes, streams, study folders, interruption and resume.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

fn batchwise() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchwise"));
    command
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    batchwise()
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A study that takes a second or two: a linear model on few glyphs.
fn small_study(dir: &Path) -> Command {
    study_towards("train-loss=1.6", dir)
}

/// The same towards another target.
fn study_towards(target: &str, dir: &Path) -> Command {
    let mut command = batchwise();
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

fn findings(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("findings.json")).expect("findings.json");
    serde_json::from_str(&text).expect("JSON")
}

/// What a study found, without what depends on the clock.
fn timeless(dir: &Path) -> Value {
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

#[test]
fn usage_errors_exit_with_2_and_name_the_flag() {
    let cases: &[(&[&str], &str)] = &[
        (&["study", "--bach-sizes", "8"], "--bach-sizes"),
        (&["study", "--batch-sizes", "eight"], "batch-sizes"),
        (&["study", "--target", "val-eror=0.1"], "target"),
        (&["study", "--optimiser", "sdg"], "optimiser"),
        (
            &["study", "--optimiser", "adam", "--momentum", "0.9"],
            "momentum",
        ),
        (&["study", "--model", "lenett"], "model"),
        (&["study", "--schedule", "cosine"], "schedule"),
        (&["study", "--seeds", "0"], "seeds"),
        (&["train", "--batch-size", "0"], "batch-size"),
        (&["train", "--learning-rate", "-1"], "learning-rate"),
        (&["trials", "/nonexistent"], "/nonexistent"),
    ];
    for (arguments, named) in cases {
        let out = run(arguments);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&out.stderr)
        );
        assert!(
            text(&out.stderr).contains(named),
            "{arguments:?}: {}",
            text(&out.stderr)
        );
        assert!(out.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_broken_data_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("table.csv");
    std::fs::write(&csv, "a,b,label\n1,2,x\n3,oops,y\n").unwrap();
    let out = batchwise()
        .args(["data", "check"])
        .arg(&csv)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("table.csv"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn completions_and_manual_come_from_the_arguments() {
    for shell in ["bash", "zsh", "fish"] {
        let out = run(&["completions", shell]);
        assert!(
            out.status.success() && text(&out.stdout).contains("batch-sizes"),
            "{shell}"
        );
    }
    let out = run(&["man"]);
    assert!(out.status.success() && text(&out.stdout).contains(".TH batchwise"));
}

#[test]
fn a_study_writes_the_folder_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let out = small_study(dir.path()).arg("--json").output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    for file in [
        "study.toml",
        "study.db",
        "trials.csv",
        "findings.json",
        "report.html",
        "run.log",
    ] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    assert!(dir.path().join("figures").read_dir().unwrap().count() >= 8);

    // `--json` prints what the file holds, and nothing else.
    let printed: Value = serde_json::from_slice(&out.stdout).expect("only JSON on standard output");
    assert_eq!(printed, findings(dir.path()));
    assert!(
        printed["schema"]
            .as_str()
            .unwrap()
            .starts_with("batchwise.findings/1")
    );
    let curve = &printed["curves"][0];
    assert_eq!(curve["rule"], "tuned");
    assert_eq!(curve["points"].as_array().unwrap().len(), 4);
    for key in ["batch_size", "state", "steps", "examples", "learning_rate"] {
        assert!(curve["points"][0].get(key).is_some(), "{key}");
    }
    for definition in ["hyperbola", "overhead20", "plateau"] {
        let estimate = &printed["critical_batch_size"]["tuned"][definition];
        for key in ["value", "low", "high", "level", "n", "state", "reason"] {
            assert!(estimate.get(key).is_some(), "{definition} {key}");
        }
    }

    // The folder serves the other commands.
    let folder = dir.path().to_str().unwrap();
    let trials: Value = serde_json::from_slice(&run(&["trials", folder, "--json"]).stdout).unwrap();
    assert!(trials.as_array().unwrap().len() >= 4 * 4 + 4 * 2);
    let csv = run(&["export", folder, "--format", "csv"]);
    assert!(text(&csv.stdout).lines().count() > 20);
    let parquet = run(&["export", folder, "--format", "parquet"]);
    assert_eq!(&parquet.stdout[..4], b"PAR1");
    let advice: Value =
        serde_json::from_slice(&run(&["advise", folder, "--json", "--budget", "0.05"]).stdout)
            .unwrap();
    assert!(advice["recommended"]["batch_size"].as_u64().is_some());

    // Budgets are totals: the same command again trains nothing, in no time, and finds the same.
    let before = timeless(dir.path());
    let again = batchwise()
        .args(["study", "--dir", folder])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(timeless(dir.path()), before);

    // Another question is refused for this folder, by the name of what differs.
    let other = batchwise()
        .args(["study", "--model", "mlp(8)", "--dir", folder])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("model"),
        "{}",
        text(&other.stderr)
    );
}

#[test]
fn a_dry_run_prints_a_price_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("study");
    let out = small_study(&target)
        .args(["--dry-run", "--price-per-hour", "2", "--watts", "65"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    assert!(
        printed.contains("money") && printed.contains("kWh"),
        "{printed}"
    );
    assert!(!target.exists());
}

#[cfg(unix)]
#[test]
fn a_killed_study_resumes_to_the_same_findings() {
    let dir = tempfile::tempdir().unwrap();
    let (straight, killed) = (dir.path().join("straight"), dir.path().join("killed"));
    assert!(small_study(&straight).output().unwrap().status.success());
    // Killed at several moments, whatever it is doing; then left to finish.
    for milliseconds in [300, 500, 700, 900] {
        let mut child = small_study(&killed)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let out = small_study(&killed).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(timeless(&killed), timeless(&straight));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_the_command_that_resumes() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = dir.path().join(signal);
        // A target out of reach within the time: the study is sure to be running when interrupted.
        let child = study_towards("train-loss=0.0001", &folder)
            .args(["--pilot-epochs", "100000"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(2));
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(code), "{}", text(&out.stderr));
        assert!(
            text(&out.stderr).contains("batchwise study --dir"),
            "{}",
            text(&out.stderr)
        );
    }
}

#[test]
fn micro_batches_train_the_same_network() {
    let train = |micro: &str| -> Value {
        let out = run(&[
            "train",
            "--data",
            "glyphs",
            "--examples",
            "1000",
            "--model",
            "mlp(32)",
            "--batch-size",
            "48",
            "--steps",
            "30",
            "--micro-batch",
            micro,
            "--eval-examples",
            "200",
            "--json",
        ]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let loss = |record: &Value| {
        record["measurements"].as_array().unwrap().last().unwrap()["metrics"]["train-loss"]
            .as_f64()
            .unwrap()
    };
    let whole = loss(&train("48"));
    for micro in ["1", "7", "16"] {
        let split = loss(&train(micro));
        assert!(
            (split - whole).abs() < 1e-4 * whole,
            "{micro}: {split} against {whole}"
        );
    }
}

#[test]
fn an_interrupted_run_resumes_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = |steps: &'static str, folder: &Path| {
        let mut command = batchwise();
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
