//! `batchscope memory`: what it reports fits at the first try afterwards, and not much more does.

mod support;

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use support::*;

/// Runs the command and reads what it found.
fn memory(arguments: &[&str]) -> Value {
    let output = batchscope()
        .args(["memory", "--json", "--quiet", "--budget", "0"])
        .env("RAYON_NUM_THREADS", "2")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A training run whose address space the shell limits to so many bytes.
fn train_within(bytes: u64, arguments: &[&str]) -> Output {
    let quoted = |word: &str| format!("'{word}'");
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    let script = format!(
        "ulimit -v {}; exec '{}' train --quiet {}",
        bytes / 1024,
        env!("CARGO_BIN_EXE_batchscope"),
        words.join(" ")
    );
    Command::new("sh")
        .args(["-c", &script])
        .env("RAYON_NUM_THREADS", "2")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// Five models, each in as little memory as makes it the bound.
#[test]
fn training_at_the_size_that_was_found_runs_at_the_first_try() {
    for (model, megabytes) in [
        ("mlp(2048)", 290),
        ("lenet", 260),
        ("c1", 530),
        ("resnet20(ghost=16)", 300),
        ("row-lstm", 300),
    ] {
        let data = ["--data", "glyphs", "--examples", "3000", "--model", model];
        let cap = format!("{megabytes}M");
        let mut arguments = data.to_vec();
        arguments.extend(["--max-memory", &cap, "--batch-size", "1"]);
        let found = memory(&arguments);
        let largest = found["largest"].as_u64().unwrap();
        assert_eq!(found["bound"], "memory", "{model}: {largest}");
        let tried = found["tried"].as_array().unwrap();
        let of_size = |size: u64| tried.iter().find(|t| t["micro_batch"] == size);
        assert_eq!(of_size(largest).unwrap()["fits"], true);
        let not = |t: &&Value| t["fits"] == false;
        let fails = tried.iter().filter(not).map(|t| t["micro_batch"].as_u64());
        assert!(fails.flatten().all(|size| size > largest), "{model}");

        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("run").display().to_string();
        let train = |bytes: u64, size: u64| {
            let size = size.to_string();
            let mut arguments = data.to_vec();
            arguments.extend(["--batch-size", &size, "--micro-batch", &size]);
            arguments.extend(["--steps", "3", "--checkpoint", &place]);
            train_within(bytes, &arguments)
        };
        let output = train(megabytes << 20, largest);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{model} at {largest}: {said}");
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        // The limit of the tries is one: half as much again does not fit.
        let (within, more) = (
            found["within"].as_u64().unwrap(),
            largest + largest.div_ceil(2),
        );
        assert!(!train(within, more).status.success(), "{model} at {more}");
    }
}

/// A program that bears up to 37 examples at a time: it says so by its exit code, by its last words, or by an allocation.
fn program(folder: &Path, end: &str) -> String {
    let path = folder.join("train.sh");
    let script = format!(
        "if [ \"$1\" -gt 37 ]; then {end}; fi\n\
         for step in 1 2 3 4 5 6; do echo \"{{\\\"step\\\": $step, \\\"loss\\\": 1.5}}\"; sleep 0.01; done\n"
    );
    std::fs::write(&path, script).unwrap();
    path.display().to_string()
}

#[test]
fn a_programs_memory_shows_by_how_it_ends() {
    for end in [
        "exit 4",
        "echo 'RuntimeError: CUDA out of memory. Tried to allocate 2 GiB' >&2; exit 1",
        "echo 'MemoryError' >&2; exit 1",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = program(folder.path(), end);
        let arguments = ["--", "sh", &script, "{micro_batch}", "{batch_size}"];
        let found = memory(&arguments);
        assert_eq!(found["largest"], 37, "{end}: {found}");
        assert_eq!(found["bound"], "memory");
        assert_eq!(found["counted"], Value::Null);
        assert!(found["full_throughput"].as_u64().unwrap() > 8, "{found}");
        assert!(found["accumulation"]["accumulated"]["seconds"].as_f64() > Some(0.0));
    }
}

/// A program that fails for another reason is no sign of how much memory there is.
#[test]
fn another_failure_is_told_and_is_no_bound() {
    let folder = tempfile::tempdir().unwrap();
    let script = program(folder.path(), "echo 'no such file: labels.csv' >&2; exit 7");
    let output = batchscope()
        .args(["memory", "--quiet", "--", "sh", &script, "{batch_size}"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for part in ["micro-batch of 64", "not for want of memory", "labels.csv"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Batch norm may refuse a single example: larger ones are tried all the same.
#[test]
fn one_example_may_be_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("train.sh");
    std::fs::write(
        &script,
        "[ \"$1\" -eq 1 ] && { echo 'Expected more than 1 value per channel' >&2; exit 1; }\n\
         [ \"$1\" -gt 6 ] && exit 4\n\
         for step in 1 2 3 4; do echo \"step=$step loss=1\"; done\n",
    )
    .unwrap();
    let script = script.display().to_string();
    let found = memory(&["--", "sh", &script, "{batch_size}"]);
    assert_eq!(found["largest"], 6, "{found}");
    assert_eq!(found["tried"][0]["fits"], Value::Null);
    // It does not take micro-batches: nothing is known of accumulation.
    assert_eq!(found["accumulation"], Value::Null);
}

#[test]
fn what_makes_no_sense_is_refused_by_its_flag() {
    for (arguments, code, part) in [
        (
            &["--model", "lenet", "--max-memory", "1M"][..],
            2,
            "--max-memory",
        ),
        (&["--model", "nonesuch"], 2, "nonesuch"),
        (&["--data", "/no/such/file"], 2, "/no/such/file"),
        (&["--largest", "0"], 2, "--largest"),
        (&["--micro-batch", "0", "--model", "c1"], 2, "--micro-batch"),
        (
            &["--", "/no/such/program", "{batch_size}"],
            2,
            "/no/such/program",
        ),
        (&["--method", "conadv,disadv"], 2, "--method"),
        (&["--method", "disadv(norm=l2)"], 2, "epsilon=1"),
        (
            &["--slots", "2", "--", "sh", "-c", "true", "{batch_size}"],
            2,
            "--slots",
        ),
        (
            &["--clip", "1", "--", "sh", "-c", "true", "{batch_size}"],
            2,
            "--clip",
        ),
        (&["--max-memory", "100M"], 2, "--max-memory"),
        (&["--", "sh", "-c", "true"], 2, "batch_size"),
    ] {
        let output = batchscope()
            .args(["memory", "--quiet"])
            .args(arguments)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

/// A program that ends without a step, or diverges, has not shown that it fits.
#[test]
fn without_a_step_nothing_fits() {
    for (end, part) in [("exit 3", "diverged"), ("exit 0", "fails")] {
        let output = batchscope()
            .args(["memory", "--quiet", "--", "sh", "-c", end, "{batch_size}"])
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{end}: {said}");
        assert!(said.contains(part), "{end}: {said}");
    }
}

/// Where one example fails for another reason than memory, the limit stays.
#[test]
fn another_failure_does_not_lift_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (script, limits) = (folder.path().join("train.sh"), folder.path().join("limits"));
    let text_of = format!(
        "ulimit -v >> '{}'\n[ \"$1\" -eq 1 ] && exit 1\n[ \"$1\" -gt 3 ] && exit 4\n\
         for step in 1 2 3 4; do echo \"step=$step loss=1\"; done\n",
        limits.display()
    );
    std::fs::write(&script, text_of).unwrap();
    let script = script.display().to_string();
    let found = memory(&["--", "sh", &script, "{batch_size}"]);
    assert_eq!(found["largest"], 3, "{found}");
    assert!(found["within"].is_u64(), "{found}");
    let limits = std::fs::read_to_string(limits).unwrap();
    // One try is made without, to find out.
    let without = limits.lines().filter(|line| *line == "unlimited").count();
    assert!(without <= 1 && limits.lines().count() > 3, "{limits}");
}

/// A limit that a process has already is not raised.
#[test]
fn a_limit_from_outside_is_kept() {
    let within = |flags: &str| {
        let script = format!(
            "ulimit -S -v 2000000; exec '{}' memory --json --quiet --budget 0 --batch-size 1 --largest 8 --data glyphs \
             --examples 300 --model softmax {flags}",
            env!("CARGO_BIN_EXE_batchscope")
        );
        Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let output = within("");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["cap"].as_u64().unwrap() <= 2_000_000 << 10, "{found}");
    let output = within("--max-memory 3G");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("ulimit"),
        "{}",
        text(&output.stderr)
    );
}

/// Ctrl-C in a terminal goes to the whole group of processes, SIGTERM to one: both end the tries, and a program that runs in
/// one, which has its time to end.
#[test]
fn an_interrupt_leaves_nothing_behind() {
    for (signal, to_group, code) in [("-TERM", false, 143), ("-INT", true, 130)] {
        interrupted_by(signal, to_group, code);
    }
}

fn interrupted_by(signal: &str, to_group: bool, code: i32) {
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    let (script, mark) = (folder.path().join("train.sh"), folder.path().join("pid"));
    let ended = folder.path().join("ended");
    let text_of = format!(
        "trap \"sleep 1; touch '{}'; exit 1\" TERM; echo $$ > '{}'; sleep 600 & wait\n",
        ended.display(),
        mark.display()
    );
    std::fs::write(&script, text_of).unwrap();
    let script = script.display().to_string();
    let mut child = batchscope()
        .args([
            "memory",
            "--quiet",
            "--grace",
            "5",
            "--",
            "sh",
            &script,
            "{batch_size}",
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let pid = std::fs::read_to_string(&mark).ok()?;
        pid.trim().parse::<u32>().ok()
    });
    let pid = pid.expect("the program has started");
    let group = if to_group { "-" } else { "" };
    let whom = format!("{group}{}", child.id());
    let status = Command::new("kill").args([signal, "--", &whom]).status();
    assert!(status.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(code));
    let is_there = Path::new(&format!("/proc/{pid}")).exists();
    assert!(!is_there, "the program still runs");
    assert!(ended.exists(), "the program had no time to end");
}
