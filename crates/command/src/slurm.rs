//! Programs that Slurm runs: `srun -n1 python train.py …`.
//!
//! What this process starts is then only Slurm's client. The job itself is reached through Slurm, by its name: to be
//! told to stop, to be ended where the client was killed, and to be asked how it ended.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use batchscope_core::SettingError;

use crate::Exit;

/// Clients of Slurm that wait for what they start; `sbatch` does with `--wait`.
const CLIENTS: [&str; 3] = ["srun", "salloc", "sbatch"];
/// How long Slurm's own commands may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the names of our jobs begin with.
const OURS: &str = "batchscope";

/// The job of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    name: String,
    /// A script runs the program, rather than a step of its own.
    is_batch: bool,
}

/// States of jobs that are no fault of the program.
const LOST: [(&str, &str); 7] = [
    ("CANCELLED", "its job was cancelled"),
    ("TIMEOUT", "its job ran out of time"),
    ("DEADLINE", "its job ran out of time"),
    ("NODE_FAIL", "its job's node failed"),
    ("BOOT_FAIL", "its job's node failed"),
    ("PREEMPTED", "its job was preempted"),
    ("REVOKED", "its job was revoked"),
];

impl Job {
    /// The job of the trial with this folder, where its words begin with a client of Slurm.
    pub fn of(words: &[String], folder: &Path) -> Option<Self> {
        let trial = folder.file_name()?.to_string_lossy();
        let client = words.first().filter(|word| is_client(word))?;
        Some(Self {
            name: format!("{}{trial}", prefix(folder.parent().unwrap_or(folder))),
            is_batch: client.ends_with("sbatch"),
        })
    }

    /// The words with the job's name among them.
    pub fn named(&self, mut words: Vec<String>) -> Vec<String> {
        words.insert(1, format!("--job-name={}", self.name));
        words
    }

    /// Sends SIGTERM to the program. Slurm sends signals to the steps of a job; `--full` means a batch script and what
    /// it started instead, and reaches no step of `srun`.
    pub fn terminate(&self) {
        let full = self.is_batch.then_some("--full");
        for id in self.ids() {
            let options: Vec<&str> = full.into_iter().chain(["--signal=TERM", &id]).collect();
            slurm("scancel", &options);
        }
    }

    /// Ends the job, whatever it does.
    pub fn kill(&self) {
        for id in self.ids() {
            slurm("scancel", &[&id]);
        }
    }

    /// Jobs and steps of this name that have not ended.
    fn ids(&self) -> Vec<String> {
        running(&|name| name == self.name)
    }

    /// What the end of its client with `status` and last `words` means, where Slurm ended it; `None` where its program
    /// did, or Slurm does not know any more.
    pub fn end(&self, status: ExitStatus, words: &str) -> Option<Exit> {
        let in_words = end_in_words(words);
        // A program that is told to stop may end without a fault: then only the words say that it was told.
        if status.success() && in_words.is_none() {
            return None;
        }
        let until = Instant::now() + PATIENCE;
        let state = loop {
            let state = self.state().unwrap_or_default();
            let is_ending = ["COMPLETING", "RUNNING", "PENDING"].contains(&state.as_str());
            if !is_ending || Instant::now() > until {
                break state;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        match state.as_str() {
            "OUT_OF_MEMORY" => Some(Exit::OutOfMemory),
            state => LOST
                .iter()
                .find(|(lost, _)| *lost == state)
                .map(|(_, why)| Exit::TryAgain(why))
                .or(in_words),
        }
    }

    /// The state of its last run.
    fn state(&self) -> Option<String> {
        let name = format!("--name={}", self.name);
        let all = [
            "--me",
            "--noheader",
            "--states=all",
            &name,
            "--sort=-i",
            "--format=%T",
        ];
        let states = slurm("squeue", &all)?;
        states.lines().next().map(|state| state.trim().to_owned())
    }
}

/// The end that Slurm's client and its daemon print: a step within an allocation has no state of its own.
fn end_in_words(words: &str) -> Option<Exit> {
    let says = |part: &str| {
        let by_slurm = |line: &&str| line.starts_with("srun: ") || line.starts_with("slurmstepd");
        words
            .lines()
            .filter(by_slurm)
            .any(|line| line.contains(part))
    };
    let lost = |why| Some(Exit::TryAgain(why));
    match () {
        () if says("DUE TO TIME LIMIT") => lost("its job ran out of time"),
        () if says("DUE TO PREEMPTION") => lost("its job was preempted"),
        () if says("NODE FAILURE") || says("Node failure") => lost("its job's node failed"),
        () if says("CANCELLED AT") => lost("its job was cancelled"),
        () => None,
    }
}

/// Ends the jobs of trials whose folders lie in `folder`: what a coordinator that was killed has left. Returns how
/// many there were.
pub(crate) fn end_orphans(folder: &Path) -> usize {
    let prefix = prefix(folder);
    let ids = running(&|name| name.starts_with(&prefix));
    for id in &ids {
        slurm("scancel", &[id]);
    }
    ids.len()
}

/// Jobs that have not ended; within an allocation its steps too, which end alone.
fn running(is_wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut ids = Vec::new();
    let mut add = |options: &[&str]| {
        let listed = slurm("squeue", options).unwrap_or_default();
        let pairs = listed
            .lines()
            .filter_map(|line| line.trim().split_once(' '));
        ids.extend(
            pairs
                .filter(|(_, name)| is_wanted(name.trim()))
                .map(|(id, _)| id.to_owned()),
        );
    };
    add(&["--me", "--noheader", "--format=%i %j"]);
    if std::env::var_os("SLURM_JOB_ID").is_some() {
        add(&["--me", "--noheader", "--steps", "--format=%i %j"]);
    }
    ids
}

/// What the names of the jobs of a study begin with: `batchscope-`, and the folder of its trials as a number.
fn prefix(folder: &Path) -> String {
    let path = folder.as_os_str().as_encoded_bytes();
    // FNV-1a: the same number for every version of this program.
    let number = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |x, &byte| {
        (x ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{OURS}-{:08x}-", number >> 32)
}

/// True for the name of one of Slurm's clients, with or without its folder.
pub(crate) fn is_client(word: &str) -> bool {
    let name = Path::new(word).file_name().unwrap_or_default();
    CLIENTS.iter().any(|client| name == *client)
}

/// Refuses words by which a job could not be found again, or would not be waited for.
///
/// # Errors
/// Which.
pub(crate) fn check(words: &[String]) -> Result<(), SettingError> {
    let Some(client) = words.first().filter(|word| is_client(word)) else {
        return Ok(());
    };
    let wrong = |why: &str| Err(SettingError::new("command", why.to_owned()));
    // Options may have values of their own, so where the program's words begin is not known.
    let mut options = words[1..].iter();
    let is_name = |word: &String| {
        word == "--job-name" || word.starts_with("--job-name=") || word.starts_with("-J")
    };
    if options.clone().any(is_name) {
        return wrong(
            "names its job itself: leave --job-name out, since batchscope finds its jobs by the names it gives",
        );
    }
    let waits = |word: &String| word == "--wait" || word.starts_with("-W");
    if client.ends_with("sbatch") && !options.any(waits) {
        return wrong("does not wait for its job: give sbatch --wait");
    }
    Ok(())
}

/// Runs one of Slurm's commands and returns what it prints; `None` where it fails, or takes too long.
fn slurm(command: &str, options: &[&str]) -> Option<String> {
    use std::io::Read;
    let started = Command::new(command)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.ok()?;
    let mut output = child.stdout.take()?;
    let until = Instant::now() + PATIENCE;
    let reader = std::thread::Builder::new().spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let reader = reader.ok()?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let text = reader.join().ok()?.ok()?;
                return status.success().then_some(text);
            }
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn jobs_are_named_by_study_and_trial() {
        let folder = Path::new("/a/study/trials/b32-lr0.1-s7");
        let job = Job::of(&words("/usr/bin/srun -n1 true"), folder).unwrap();
        assert!(job.name.starts_with(&prefix(Path::new("/a/study/trials"))));
        assert!(job.name.ends_with("-b32-lr0.1-s7"), "{}", job.name);
        let named = job.named(words("srun -n1 true"));
        assert_eq!(named[1], format!("--job-name={}", job.name));
        assert_ne!(prefix(Path::new("/a/study")), prefix(Path::new("/b/study")));
        assert_eq!(Job::of(&words("python train.py srun"), folder), None);
    }

    #[test]
    fn words_that_hide_a_job_are_refused() {
        for bad in [
            "srun -J mine true",
            "srun -n 1 --job-name=x true",
            "sbatch job.sh",
        ] {
            assert!(check(&words(bad)).is_err(), "{bad}");
        }
        for good in [
            "srun -n1 true --jobs",
            "sbatch -n 1 --wait job.sh",
            "python -J",
        ] {
            assert_eq!(check(&words(good)), Ok(()), "{good}");
        }
    }

    #[test]
    fn ends_are_read_off_slurms_own_lines() {
        // As Slurm 22.05 printed them.
        let time = "slurmstepd-vm: error: *** STEP 8.0 ON vm CANCELLED AT 2026-11-27T00:35:53 DUE TO TIME LIMIT ***";
        assert_eq!(
            end_in_words(time),
            Some(Exit::TryAgain("its job ran out of time"))
        );
        let node = "slurmstepd-vm: error: *** STEP 7.0 ON vm CANCELLED AT 2026-11-27T00:35:29 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***\nsrun: error: Node failure on vm";
        assert_eq!(
            end_in_words(node),
            Some(Exit::TryAgain("its job's node failed"))
        );
        let cancelled =
            "slurmstepd-vm: error: *** STEP 2.0 ON vm CANCELLED AT 2026-11-27T00:34:25 ***";
        assert_eq!(
            end_in_words(cancelled),
            Some(Exit::TryAgain("its job was cancelled"))
        );
        // A program may say so of something else.
        assert_eq!(end_in_words("order 7 CANCELLED AT noon"), None);
    }
}
