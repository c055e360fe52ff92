//! What the trainer adds to a program's own time: `cargo bench -p batchscope-command`.
//!
//! * A trial: a program that reports once and ends, led through a trial, less the same program started and waited
//!   for alone. Medians over pairs, run one after the other.
//! * A line: a program that prints many reports, less the same program whose output is read and thrown away.

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    io::Read,
    process::{Command, Stdio},
    time::Instant,
};

use batchscope_command::CommandTrainer;
use batchscope_core::{NeverStop, Trainer, TrialSpec, statistics::quantile};

/// Pairs behind a median.
const PAIRS: usize = 40;
/// Reports of the program that prints many.
const LINES: u64 = 200_000;

/// Seconds of a trial of a script.
fn led(script: &str, cap: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let trainer = CommandTrainer::new(common::config(script, folder.path())).expect("a trainer");
    let spec = TrialSpec {
        cap,
        ..common::spec()
    };
    let clock = Instant::now();
    let record = trainer
        .run(&spec, &NeverStop, &mut |_| {})
        .expect("a trial");
    assert_eq!(record.outcome.last_step(), Some(cap));
    clock.elapsed().as_secs_f64()
}

/// Seconds of the script alone, its output read.
fn alone(script: &str) -> f64 {
    let clock = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut output = Vec::new();
    let pipe = child.stdout.as_mut().expect("its output");
    pipe.read_to_end(&mut output).expect("its output");
    child.wait().expect("its end");
    clock.elapsed().as_secs_f64()
}

/// The median and quartiles of what leading a script adds, in seconds.
fn added(script: &str, cap: u64, pairs: usize) -> (f64, f64, f64) {
    let mut differences: Vec<f64> = (0..pairs)
        .map(|_| led(script, cap) - alone(script))
        .collect();
    differences.sort_by(f64::total_cmp);
    let at = |p: f64| quantile(&differences, p);
    (at(0.5), at(0.25), at(0.75))
}

fn main() {
    let one = "echo step=10 val_error=0.5";
    let (median, low, high) = added(one, 10, PAIRS);
    println!(
        "a trial: {:.1} ms ({:.1}–{:.1}) beyond the program's own time",
        1e3 * median,
        1e3 * low,
        1e3 * high
    );
    let many = format!(
        "awk 'BEGIN {{ for (s = 1; s <= {LINES}; s++) printf \"step=%d val_error=%.6f\\n\", s, 0.5 }}'"
    );
    let (median, low, high) = added(&many, LINES, 5);
    let each = |seconds: f64| 1e6 * seconds / LINES as f64;
    println!(
        "a line: {:.2} µs ({:.2}–{:.2}) beyond reading it",
        each(median),
        each(low),
        each(high)
    );
}
