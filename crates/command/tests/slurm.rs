//! Trials that a real Slurm runs: `SLURM_CONF=$(bash tests/slurm/node start FOLDER) cargo test --test slurm`. Without
//! a Slurm that answers they are skipped, visibly; with `BATCHSCOPE_SLURM` set they fail.

mod common;

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use batchscope_command::{Child, CommandConfig, CommandTrainer, Template, end_orphans};
use batchscope_core::Outcome;
use batchscope_study::{MemoryStore, Plan, RateRange, StopToken, TargetChoice, run};
use common::{config, one_line, record_of, target};

/// One test at a time has the node. `None` is said on standard error.
fn slurm() -> Option<MutexGuard<'static, ()>> {
    static NODE: Mutex<()> = Mutex::new(());
    let answers = Command::new("sinfo")
        .output()
        .is_ok_and(|out| out.status.success());
    if !answers {
        assert!(
            std::env::var_os("BATCHSCOPE_SLURM").is_none(),
            "no Slurm answers"
        );
        eprintln!("skipped: no Slurm answers");
        return None;
    }
    let held = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    ask("scancel", &["--me"]);
    wait_until("old jobs are gone", || jobs().is_empty());
    Some(held)
}

fn ask(command: &str, options: &[&str]) -> String {
    let output = Command::new(command).args(options).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Running jobs.
fn jobs() -> Vec<String> {
    let listed = ask(
        "squeue",
        &["--me", "--noheader", "--states=running", "--format=%i"],
    );
    listed.lines().map(|id| id.trim().to_owned()).collect()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "waited in vain until {what}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// `srun -n1 sh -c SCRIPT`, with the settings in the environment, which Slurm passes on.
fn in_a_job(script: &str, folder: &Path) -> CommandConfig {
    let mut config = config(script, folder);
    let script = script.replace('{', "{{").replace('}', "}}");
    let words = ["srun", "-n1", "--quiet", "sh", "-c", &script];
    config.template = Template::new(&words).unwrap().reading_environment(true);
    config.grace = Duration::from_secs(20);
    config
}

/// Runs a trial, and does something to its first job once that is running.
fn disturbed(script: &str, disturb: impl Fn(&str) + Sync) -> batchscope_core::TrialRecord {
    let folder = tempfile::tempdir().unwrap();
    let config = in_a_job(script, folder.path());
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the job runs", || !jobs().is_empty());
            // Long enough for its program to have begun.
            thread::sleep(Duration::from_millis(500));
            disturb(&jobs()[0]);
        });
        record_of(config)
    })
}

/// Hangs in its first run, and learns in the second.
const HANGS_ONCE: &str = "cd $BATCHSCOPE_CHECKPOINT_DIR/..; echo >>runs; [ $(wc -l <runs) = 2 ] || exec sleep 200; for s in 10 20 30 40 50; do echo step=$s val_error=$(awk \"BEGIN { print 0.4 - 0.01 * $s }\"); done";

fn is_retried(record: &batchscope_core::TrialRecord, why: &str) {
    let at = record.outcome.crossing();
    assert!(
        at.is_some_and(|at| (25.0..=35.0).contains(&at)),
        "{record:?}"
    );
    assert!(
        record.notes.iter().any(|note| note.contains(why)),
        "{:?}",
        record.notes
    );
}

#[test]
fn a_job_that_is_cancelled_is_run_again() {
    let Some(_node) = slurm() else { return };
    let record = disturbed(HANGS_ONCE, |id| drop(ask("scancel", &[id])));
    is_retried(
        &record,
        "its job was cancelled, and it was run again (1 of 2)",
    );
}

#[test]
fn a_program_that_obeys_when_its_job_is_cancelled_has_not_trained_to_its_end() {
    let Some(_node) = slurm() else { return };
    let obeys = HANGS_ONCE.replace(
        "exec sleep 200",
        "{ trap 'exit 0' TERM; for i in $(seq 999); do sleep 0.1; done; }",
    );
    let record = disturbed(&obeys, |id| drop(ask("scancel", &[id])));
    is_retried(&record, "its job was cancelled");
}

#[test]
fn a_job_whose_node_goes_down_is_run_again_once_it_is_back() {
    let Some(_node) = slurm() else { return };
    let node = ask("sinfo", &["--noheader", "--format=%n"])
        .trim()
        .to_owned();
    let name = format!("NodeName={node}");
    let record = disturbed(HANGS_ONCE, |_| {
        ask("scontrol", &["update", &name, "State=DOWN", "Reason=test"]);
        // It drains until somebody takes it back into service; the next job waits for that.
        thread::sleep(Duration::from_secs(1));
        ask("scontrol", &["update", &name, "State=RESUME"]);
    });
    is_retried(&record, "its job's node failed");
}

#[test]
fn a_job_that_runs_out_of_time_is_run_again() {
    let Some(_node) = slurm() else { return };
    let record = disturbed(HANGS_ONCE, |id| {
        let job = format!("JobId={id}");
        let shown = ask("date", &["-d", "+1 second", "+EndTime=%Y-%m-%dT%H:%M:%S"]);
        ask("scontrol", &["update", &job, "TimeLimit=1"]);
        ask("scontrol", &["update", &job, shown.trim()]);
    });
    is_retried(&record, "its job ran out of time");
}

#[test]
fn a_program_is_told_to_stop_when_its_trial_has_ended() {
    let Some(_node) = slurm() else { return };
    let folder = tempfile::tempdir().unwrap();
    // It goes on after the target, until it is told.
    let script = "trap 'echo told >$BATCHSCOPE_CHECKPOINT_DIR/told; exit 0' TERM; s=0; while :; do s=$((s + 10)); echo step=$s val_error=$(awk \"BEGIN { print 0.4 - 0.01 * $s }\"); sleep 0.05; done";
    let record = record_of(in_a_job(script, folder.path()));
    assert!(
        matches!(record.outcome, Outcome::Reached { .. }),
        "{record:?}"
    );
    let told = walk(folder.path())
        .iter()
        .any(|path| path.ends_with("told"));
    assert!(told, "{:?}", walk(folder.path()));
    // By SIGTERM alone: a job that had to be cancelled after its grace would be called so.
    let ends = ask(
        "squeue",
        &[
            "--me",
            "--noheader",
            "--states=all",
            "--sort=-i",
            "--format=%T",
        ],
    );
    assert_eq!(
        ends.lines().next().map(str::trim),
        Some("COMPLETED"),
        "{ends}"
    );
    assert_eq!(jobs(), [] as [String; 0]);
}

fn walk(folder: &Path) -> Vec<String> {
    let out = ask("find", &[folder.to_str().unwrap()]);
    out.lines().map(str::to_owned).collect()
}

#[test]
fn jobs_of_a_coordinator_that_was_killed_are_ended() {
    let Some(_node) = slurm() else { return };
    let folder = tempfile::tempdir().unwrap();
    let words = ["srun", "-n1", "sleep", "200"].map(str::to_owned);
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mark = folder.path().join("trial").display().to_string();
    let (child, _output) = Child::start(&words, &[], None, log, &mark).unwrap();
    wait_until("the job runs", || !jobs().is_empty());
    // As the kernel would: the client and its guard, without a word to Slurm.
    ask("pkill", &["-KILL", "-x", "srun"]);
    std::mem::forget(child);
    assert_eq!(jobs().len(), 1, "the job outlives its client");
    assert_eq!(end_orphans(&folder.path().join("elsewhere"), &words), 0);
    // The job, and its program where that is still there: this node is the job's.
    assert!(end_orphans(folder.path(), &words) >= 1);
    wait_until("the job is gone", || jobs().is_empty());
}

/// Runs a study, and returns how each trial ended.
fn study(launcher: &[&str], jobs: usize) -> Vec<(u64, u64, Option<f64>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("", folder.path());
    // Slow enough for its jobs to be cancelled.
    let launcher = launcher.iter().map(|&word| word.to_owned());
    let words: Vec<String> = launcher.chain(one_line("0.02")).collect();
    config.template = Template::new(&words).unwrap();
    config.retries = 10;
    config.grace = Duration::from_secs(20);
    let trainer = CommandTrainer::new(config).unwrap();
    let plan = Plan {
        batch_sizes: (4..10).map(|i| 1 << i).collect(),
        target: TargetChoice::Fixed(target()),
        learning_rates: RateRange {
            low: 0.02,
            high: 1.0,
        },
        pilot_trials: 4,
        tune_trials: 4,
        seeds: 3,
        max_widenings: 0,
        jobs,
        ..Plan::default()
    };
    let result = run(
        &plan,
        &trainer,
        &mut MemoryStore::new(),
        &StopToken::new(),
        &[],
    )
    .unwrap();
    let failed = result
        .records
        .iter()
        .find(|r| matches!(r.outcome, Outcome::Failed { .. }));
    assert!(failed.is_none(), "{failed:?}");
    let ends = result
        .records
        .iter()
        .map(|r| (r.spec.id, r.spec.batch_size, r.outcome.crossing()));
    ends.collect()
}

#[test]
fn a_study_whose_jobs_are_cancelled_finds_what_one_without_slurm_finds() {
    let Some(_node) = slurm() else { return };
    let alone = study(&[], 1);
    assert!(alone.len() >= 40, "{} trials", alone.len());
    let done = AtomicBool::new(false);
    let (disturbed, cancelled) = thread::scope(|scope| {
        let canceller = scope.spawn(|| cancel_at_random(10, &done));
        let ends = study(&["srun", "-n1", "--quiet"], 4);
        done.store(true, Ordering::Relaxed);
        (ends, canceller.join().unwrap())
    });
    assert_eq!(cancelled, 10, "the study was over before");
    assert_eq!(disturbed, alone);
    let numbers: BTreeSet<u64> = disturbed.iter().map(|(id, ..)| *id).collect();
    assert_eq!(
        numbers.len(),
        disturbed.len(),
        "every trial is counted once"
    );
    wait_until("no job is left", || jobs().is_empty());
}

/// Cancels so many jobs while a study runs, each drawn from those that run. Returns how many.
fn cancel_at_random(most: usize, done: &AtomicBool) -> usize {
    let mut cancelled = BTreeSet::new();
    let mut draw: u64 = 1;
    while cancelled.len() < most && !done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(400));
        let running = jobs();
        // A linear congruential generator (Knuth, MMIX).
        draw = draw
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if let Some(id) = running.get((draw >> 33) as usize % running.len().max(1)) {
            ask("scancel", &[id]);
            cancelled.insert(id.clone());
        }
    }
    cancelled.len()
}

#[test]
fn a_client_that_does_not_wait_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        ["sbatch", "job.sh", "{batch_size}"],
        ["srun", "--job-name=mine", "{batch_size}"],
    ] {
        let mut config = config("", folder.path());
        config.template = Template::new(&words).unwrap();
        assert_eq!(CommandTrainer::new(config).unwrap_err().key, "command");
    }
}
