//! Processes that a program has left behind.
//!
//! A process group holds what a program starts, unless it starts a session of its own, and a coordinator that
//! is killed kills nobody. So every program has a mark in its environment, which its descendants inherit. On
//! Linux `/proc` shows the environment of the processes of the same user; elsewhere only groups are ended.

use std::{fs, path::Path};

use crate::slurm;

/// The variable that marks the processes of a trial: the folder of the trial.
pub(crate) const MARK: &str = "BATCHSCOPE_TRIAL_DIR";

/// Kills every process whose mark is this one.
pub(crate) fn kill_marked(mark: &str) {
    sweep(&|found| found == mark);
}

/// Kills marked processes until none is seen, and returns how many there were. A process that is just being
/// started shows no environment for a moment: so it is looked twice.
fn sweep(wanted: &dyn Fn(&str) -> bool) -> usize {
    const LOOKS: usize = 50;
    let mut killed = std::collections::BTreeSet::new();
    for look in 0..LOOKS {
        let found = marked(wanted);
        found.iter().for_each(|&pid| kill(pid));
        let done = found.is_empty() && look > 0;
        killed.extend(found);
        if done {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    killed.len()
}

/// Kills the processes of trials whose folder lies in `folder`, and ends their jobs where `command` begins with a
/// client of Slurm. Returns how many there were: what a coordinator that was killed has left behind. Nobody else may
/// run trials there.
pub fn end_orphans(folder: &Path, command: &[String]) -> usize {
    let jobs = match command.first().is_some_and(|word| slurm::is_client(word)) {
        true => slurm::end_orphans(folder),
        false => 0,
    };
    jobs + sweep(&|mark| Path::new(mark).starts_with(folder))
}

/// The processes with a mark for which `wanted` holds, this one aside.
fn marked(wanted: &dyn Fn(&str) -> bool) -> Vec<u32> {
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let prefix = format!("{MARK}=");
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&b| b == 0).any(|entry| {
            let entry = String::from_utf8_lossy(entry);
            entry.strip_prefix(&prefix).is_some_and(wanted)
        })
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(is_marked)
        .collect()
}

#[cfg(unix)]
fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_: u32) {}
