//! Kills at random moments, of the coordinator of a study and of the programs that it runs: the study ends with the
//! numbers of one that nobody killed, and leaves nothing running.
//!
//! A few kills run with every test; many more by
//! `cargo test --release -p batchscope --test program_kills -- --ignored --nocapture`.
#![cfg(target_os = "linux")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use batchscope_core::{Purpose, StreamKey};
use rand_core::Rng;
use support::{batchscope, found_by_study, run, signal, small_program_study, text};

/// Seconds before each report of the program: a study of some seconds.
const PAUSE: &str = "0.01";

/// Processes of the programs of a study, by the mark in their environment.
fn programs(dir: &Path) -> Vec<i32> {
    let mark = format!("BATCHSCOPE_TRIAL_DIR={}/", dir.display());
    let processes = fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment);
            text.split('\0').any(|entry| entry.starts_with(&mark))
        })
        .collect()
}

fn start(dir: &Path) -> Child {
    let mut command = match dir.join("study.toml").exists() {
        true => {
            let mut command = batchscope();
            command.args(["study", "--dir"]).arg(dir);
            command
        }
        false => small_program_study(dir, PAUSE),
    };
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn survives(kills: u32) {
    let place = tempfile::tempdir().unwrap();
    let straight = place.path().join("straight");
    let began = Instant::now();
    let out = small_program_study(&straight, PAUSE).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    let (takes, expected) = (began.elapsed(), found_by_study(&straight));
    let key = StreamKey {
        study_seed: 13,
        trial: 0,
        purpose: Purpose::Simulation,
    };
    let mut draws = key.stream(u64::from(kills));
    let (mut of_coordinators, mut of_programs, mut studies) = (0, 0, 0);
    while of_coordinators + of_programs < kills {
        studies += 1;
        let dir = place.path().join(format!("round-{studies}"));
        let mut child = start(&dir);
        let mut status = None;
        while status.is_none() {
            // Some four kills in the time that a study takes.
            let share = (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            let until = Instant::now() + takes.mul_f64(0.5 * share);
            while Instant::now() < until && status.is_none() {
                std::thread::sleep(Duration::from_millis(2));
                status = child.try_wait().unwrap();
            }
            if status.is_some() || of_coordinators + of_programs >= kills {
                break;
            }
            let running = programs(&dir);
            let pick = draws.next_u64() as usize;
            if pick.is_multiple_of(2) && !running.is_empty() {
                let pid = running[pick / 2 % running.len()];
                let killed = std::process::Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .output();
                of_programs += u32::from(killed.unwrap().status.success());
            } else {
                signal(&child, ["KILL", "INT", "TERM"][pick / 2 % 3]);
                child.wait().unwrap();
                of_coordinators += 1;
                // Linux ends its programs with it.
                let gone = Instant::now() + Duration::from_secs(20);
                while !programs(&dir).is_empty() {
                    assert!(Instant::now() < gone, "programs outlive their coordinator");
                    std::thread::sleep(Duration::from_millis(10));
                }
                child = start(&dir);
            }
        }
        child.wait().unwrap();
        let out = run(&["study", "--dir", dir.to_str().unwrap()]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert_eq!(found_by_study(&dir), expected, "study {studies}");
        assert_eq!(programs(&dir), [] as [i32; 0], "study {studies}");
        fs::remove_dir_all(&dir).unwrap();
    }
    println!(
        "{of_coordinators} kills of coordinators and {of_programs} of programs in {studies} studies: the same numbers, nothing left"
    );
}

#[test]
fn a_study_of_a_program_survives_a_few_kills() {
    survives(4);
}

#[test]
#[ignore = "takes minutes"]
fn a_study_of_a_program_survives_200_kills() {
    survives(200);
}
