//! Processes that mpirun starts: they train what threads do, to the bit, and a run outlives them.
//!
//! `cargo test -p batchscope --features mpi --test mpi` with Open MPI in the path. Without the feature there is nothing
//! here; with it, nothing is skipped.
#![cfg(all(feature = "mpi", target_os = "linux"))]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{batchscope, clockless, finish, text, timeless};

/// The program in so many processes.
fn processes(count: usize) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "-n"])
        .arg(count.to_string())
        .arg(env!("CARGO_BIN_EXE_batchscope"))
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// The program with so many replicas on threads.
fn threads(count: usize, words: &[&str]) -> Command {
    let mut command = batchscope();
    command.args(words).args(["--ranks", &count.to_string()]);
    command
}

fn ended(mut command: Command, what: &str) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    finish(child.unwrap_or_else(|e| panic!("{what}: {e}")), what)
}

fn succeeded(command: Command, what: &str) -> Value {
    let out = ended(command, what);
    assert!(out.status.success(), "{what}: {}", text(&out.stderr));
    clockless(serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{what}: {e}")))
}

/// `train` on few glyphs, so many steps of so many examples.
fn with<'a>(steps: &'a str, batch_size: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let train = [
        "train",
        "--data",
        "glyphs",
        "--examples",
        "800",
        "--eval-examples",
        "200",
        "--json",
    ];
    let length = ["--steps", steps, "--batch-size", batch_size];
    [&train[..], &length, words].concat()
}

/// The loss at the end.
fn loss(record: &Value) -> f64 {
    let last = record["measurements"].as_array().unwrap().last().unwrap();
    last["metrics"]["val-loss"].as_f64().unwrap()
}

#[test]
fn four_processes_train_as_four_threads_to_the_bit_and_as_one_to_rounding() {
    for words in [
        with(
            "40",
            "32",
            &[
                "--model",
                "mlp(32)",
                "--optimizer",
                "adam",
                "--learning-rate",
                "0.002",
            ],
        ),
        // Two groups of batch norm for four processes.
        with("5", "64", &["--model", "c1", "--micro-batch", "32"]),
        with(
            "40",
            "32",
            &[
                "--model",
                "mlp(32)",
                "--method",
                "conadv(0.1)",
                "--augment",
                "flip",
            ],
        ),
    ] {
        let mut command = processes(4);
        command.args(&words);
        let processes = succeeded(command, "mpirun -n 4");
        assert_eq!(
            processes,
            succeeded(threads(4, &words), "--ranks 4"),
            "{words:?}"
        );
        let alone = succeeded(threads(1, &words), "--ranks 1");
        let (a, b) = (loss(&processes), loss(&alone));
        assert!((a - b).abs() < 1e-3 * b, "{words:?}: {a} and {b}");
    }
}

#[test]
fn neighbors_exchange_over_mpi_what_threads_do() {
    for method in [
        "decentlam(4, ring)",
        "da-dmsgd(4, one-peer, dirichlet=0.1)",
        "qg-dmsgd(4, star)",
        "local-sgd(4, period=5)",
    ] {
        let words = with("40", "32", &["--model", "mlp(32)", "--method", method]);
        let mut command = processes(4);
        command.args(&words);
        let over_mpi = succeeded(command, method);
        let mut command = batchscope();
        command.args(&words);
        assert_eq!(over_mpi, succeeded(command, method), "{method}");
    }
    // Replicas that are not there.
    let mut command = processes(2);
    command.args(with(
        "4",
        "32",
        &["--model", "mlp(32)", "--method", "decentlam(4)"],
    ));
    let out = ended(command, "two processes for four replicas");
    assert!(
        text(&out.stderr).contains("decentlam has 4 replicas, and 2 processes"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn a_study_and_the_noise_scale_are_those_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let study = [
        "study",
        "--data",
        "glyphs",
        "--examples",
        "1500",
        "--model",
        "softmax",
        "--batch-sizes",
        "8,32,128",
        "--base-batch",
        "32",
        "--target",
        "train-loss=1.6",
        "--tune-trials",
        "2",
        "--seeds",
        "2",
        "--seed",
        "7",
        "--eval-examples",
        "300",
        "--dir",
    ];
    let found = |mut command: Command, name: &str| {
        let dir = folder.path().join(name);
        command.arg(&dir);
        let out = ended(command, name);
        assert!(out.status.success(), "{name}: {}", text(&out.stderr));
        timeless(&dir)
    };
    let mut command = processes(2);
    command.args(study);
    let over_mpi = found(command, "processes");
    let mut command = batchscope();
    command
        .args(["study", "--ranks", "2", "--jobs", "1"])
        .args(&study[1..]);
    assert_eq!(over_mpi, found(command, "threads"));

    let noise = [
        "noise",
        "--data",
        "glyphs",
        "--examples",
        "1000",
        "--model",
        "lenet",
        "--batch-size",
        "64",
        "--max-examples",
        "2000",
        "--json",
    ];
    let mut command = processes(4);
    command.args(noise);
    assert_eq!(
        succeeded(command, "noise"),
        succeeded(threads(4, &noise), "noise")
    );
}

/// Processes of a group, by their rank, that train with this checkpoint folder.
fn members(folder: &Path) -> Vec<(usize, i32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let is_ours = text(&read("cmdline")).contains(folder.to_str().unwrap());
        let environment = text(&read("environ"));
        let rank = environment
            .split('\0')
            .find_map(|v| v.strip_prefix("OMPI_COMM_WORLD_RANK="));
        if let (true, Some(rank)) = (is_ours, rank) {
            found.push((rank.parse().unwrap(), pid));
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn the_death_of_one_ends_all_and_the_run_goes_on_with_any_number() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("run");
    let words = |steps: &'static str| {
        [
            "train",
            "--data",
            "glyphs",
            "--examples",
            "800",
            "--eval-examples",
            "200",
            "--model",
            "mlp(64)",
            "--batch-size",
            "32",
            "--steps",
            steps,
            "--json",
            "--keep",
            "200",
            "--checkpoint",
        ]
    };
    let mut command = processes(4);
    command.args(words("1000000")).arg(&checkpoint);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Past a checkpoint of its own.
    let deadline = Instant::now() + support::PATIENCE;
    while !checkpoint.join("step-200.safetensors").exists() {
        assert!(Instant::now() < deadline, "no headway");
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (_, pid) = members(&checkpoint)[2];
    let killed = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let out = finish(child, "the survivors");
    assert!(!out.status.success());
    assert!(
        text(&out.stderr).contains("signal 9"),
        "{}",
        text(&out.stderr)
    );
    assert!(members(&checkpoint).is_empty());

    // Two go on, from the step that was kept.
    let kept = checkpoint.join("step-200.safetensors");
    fs::rename(&kept, checkpoint.join("run.safetensors")).unwrap();
    let mut command = processes(2);
    command.args(words("400")).arg(&checkpoint);
    let resumed = succeeded(command, "two that go on");
    let mut command = batchscope();
    command.args(words("400")).arg(folder.path().join("alone"));
    let alone = succeeded(command, "alone");
    let (a, b) = (loss(&resumed), loss(&alone));
    assert!((a - b).abs() < 1e-2 * b, "{a} and {b}");
}

/// Two processes, each in a folder of its own.
fn apart(first: &Path, second: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe"]);
    for (number, folder) in [first, second].into_iter().enumerate() {
        if number > 0 {
            command.arg(":");
        }
        command.arg("-wdir").arg(folder).args(["-n", "1"]);
        command.arg(env!("CARGO_BIN_EXE_batchscope")).args(words);
    }
    command.stdin(Stdio::null());
    ended(command, "two processes in two folders")
}

#[test]
fn processes_that_find_other_files_do_not_train_on() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for (number, folder) in [&first, &second].into_iter().enumerate() {
        fs::create_dir(folder).unwrap();
        let rows = (0..200).map(|row| format!("{},{}\n", row, (row + number) % 2));
        let table = format!("x,label\n{}", rows.collect::<String>());
        fs::write(folder.join("table.csv"), table).unwrap();
    }
    fs::write(first.join("graph.txt"), "0 1\n").unwrap();
    let table = [
        "train",
        "--data",
        "table.csv",
        "--steps",
        "5",
        "--batch-size",
        "16",
    ];
    let out = apart(&first, &second, &table);
    let said = text(&out.stderr);
    assert!(!out.status.success());
    assert!(
        said.contains("process 1 of 2") && said.contains("the same files"),
        "{said}"
    );
    // The same table; a graph that only the first finds.
    fs::copy(first.join("table.csv"), second.join("table.csv")).unwrap();
    assert!(apart(&first, &second, &table).status.success());
    let graph = [&table[..], &["--method", "dmsgd(2, file:graph.txt)"]].concat();
    let out = apart(&first, &second, &graph);
    let said = text(&out.stderr);
    assert!(!out.status.success());
    assert!(
        said.contains("process 1 of 2") && said.contains("graph.txt"),
        "{said}"
    );
}

#[test]
fn what_several_processes_cannot_do_is_said_once() {
    for (words, says) in [
        (&["report", "nowhere"][..], "this command needs one"),
        (&["train", "--no-such-flag"][..], "--no-such-flag"),
        (
            &["study", "--target", "val-error=0.5", "--", "true"][..],
            "not the built-in trainer",
        ),
        (&["train", "--data", "/nowhere"][..], "/nowhere"),
        (
            &["train", "--ranks", "3"][..],
            "3 are asked for, and 2 processes were started",
        ),
    ] {
        let mut command = processes(2);
        command.args(words);
        let out = ended(command, says);
        let said = text(&out.stderr);
        assert!(!out.status.success(), "{says}");
        assert_eq!(said.matches(says).count(), 1, "{said}");
    }
}
