//! Programs that misbehave: each has a defined end, and none leaves anything running.

mod common;

use std::{path::Path, sync::atomic::AtomicU64, time::Duration};

use batchscope_command::{CommandTrainer, Template, end_orphans};
use batchscope_core::{NeverStop, Outcome, Trainer, TrainerError};
use common::{LEARNS, StopAfter, config, record, record_of, spec};

fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { why } | Outcome::Infeasible { why } => why,
        other => panic!("{other:?}"),
    }
}

/// Processes whose environment names this folder.
fn left_in(folder: &Path) -> usize {
    end_orphans(folder, &[])
}

#[test]
fn garbage_around_the_reports_does_no_harm() {
    let noise = r#"head -c 100000 /dev/urandom; printf '\n=:=:{"step":\n{{{\n\0\0\n'; "#;
    let outcome = record(&format!("{noise}{LEARNS}")).outcome;
    assert!(matches!(outcome, Outcome::Reached { .. }), "{outcome:?}");
}

#[test]
fn a_line_of_a_gigabyte_takes_neither_memory_nor_the_trial() {
    let record = record(&format!("head -c 1000000000 /dev/zero; echo; {LEARNS}"));
    assert!(
        matches!(record.outcome, Outcome::Reached { .. }),
        "{:?}",
        record.outcome
    );
    assert!(
        record.notes.iter().any(|note| note.contains("too long")),
        "{:?}",
        record.notes
    );
}

#[test]
fn a_last_line_without_its_end_is_a_line() {
    let outcome = record("printf 'step=10 val_error=0.5\nstep=1000 val_error=0.4'").outcome;
    assert_eq!(outcome, Outcome::NotReached { cap: 1000 });
}

#[test]
fn a_loss_that_blows_up_is_a_divergence() {
    let outcome = record("echo step=5 val_error=0.5; echo step=10 val_error=nan; sleep 60").outcome;
    assert_eq!(outcome, Outcome::Diverged { step: 10 });
    let outcome =
        record("echo step=5 val_error=0.5; echo step=10 train_loss=inf; sleep 60").outcome;
    assert_eq!(outcome, Outcome::Diverged { step: 10 });
}

#[test]
fn steps_that_go_backwards_are_an_error() {
    let outcome =
        record("echo step=50 val_error=0.5; echo step=20 val_error=0.4; sleep 60").outcome;
    assert!(why(&outcome).contains("backwards"), "{outcome:?}");
}

#[test]
fn codes_have_their_meaning() {
    assert_eq!(
        record("echo step=7 val_error=0.8; exit 3").outcome,
        Outcome::Diverged { step: 7 }
    );
    assert!(why(&record("echo KeyError >&2; exit 1").outcome).contains("KeyError"));
    assert!(matches!(
        record("exit 4").outcome,
        Outcome::Infeasible { .. }
    ));
    // Code 75 is run again, twice, and then has failed.
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let outcome = record(&format!("echo x >>{}; exit 75", count.display())).outcome;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\nx\nx\n");
}

#[test]
fn a_program_that_is_killed_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!(
        "if [ ! -e {0} ]; then echo x >{0}; kill -9 $$; fi; {LEARNS}",
        count.display()
    );
    let record = record(&script);
    assert!(
        matches!(record.outcome, Outcome::Reached { .. }),
        "{:?}",
        record.outcome
    );
    assert!(
        record.notes.iter().any(|note| note.contains("run again")),
        "{:?}",
        record.notes
    );
}

/// Memory runs out above micro-batches of 8: the trial is trained at its own batch size with them.
#[test]
fn a_smaller_micro_batch_follows_where_memory_ran_out() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "if [ $BATCHSCOPE_MICRO_BATCH -gt 8 ]; then echo 'torch.OutOfMemoryError: CUDA out of memory.' >&2; exit 1; fi; {LEARNS}"
    );
    let trainer = CommandTrainer::new(config(&script, folder.path())).unwrap();
    let record = trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap();
    assert_eq!((record.micro_batch, record.spec.batch_size), (8, 32));
    assert!(
        matches!(record.outcome, Outcome::Reached { .. }),
        "{:?}",
        record.outcome
    );
    // The next trial begins with what fits.
    let again = trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap();
    assert!(
        !again.notes.iter().any(|note| note.contains("memory")),
        "{:?}",
        again.notes
    );
    // A program that takes no micro-batch cannot be helped.
    let mut fixed = config("", folder.path());
    fixed.template =
        Template::new(&["sh", "-c", "echo MemoryError >&2; exit 1", "{batch_size}"]).unwrap();
    let outcome = record_of(fixed).outcome;
    assert!(why(&outcome).contains("{micro_batch}"), "{outcome:?}");
}

#[test]
fn a_program_that_ignores_being_told_to_stop_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("trap '' TERM; {LEARNS}; while :; do sleep 0.05; done");
    let outcome = record_of(config(&script, folder.path())).outcome;
    assert!(matches!(outcome, Outcome::Reached { .. }), "{outcome:?}");
    assert_eq!(left_in(folder.path()), 0);
}

#[test]
fn what_a_program_forks_ends_with_it() {
    // One child in the group, one in a session of its own, one that outlives the program's own end.
    for script in [
        format!("sleep 1000 & setsid sleep 1000 & {LEARNS}"),
        "echo step=1000 val_error=0.9; sleep 1000 & setsid sleep 1000 & exit 0".to_owned(),
        "echo step=5 val_error=0.9; setsid sleep 1000 & exit 1".to_owned(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        record_of(config(&script, folder.path()));
        assert_eq!(left_in(folder.path()), 0, "{script}");
    }
}

#[test]
fn a_program_that_takes_too_long_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(
        "while :; do echo step=1 val_error=0.9; sleep 0.01; done",
        folder.path(),
    );
    config.timeout = Some(Duration::from_millis(300));
    let outcome = record_of(config).outcome;
    assert!(why(&outcome).contains("took more than"), "{outcome:?}");
    assert_eq!(left_in(folder.path()), 0);
}

#[test]
fn a_program_that_says_nothing_has_failed() {
    assert!(why(&record("true").outcome).contains("never reported"));
    assert!(why(&record("echo hello; exit 9").outcome).contains("exit code 9"));
}

#[test]
fn there_is_no_such_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("", folder.path());
    config.template = Template::new(&["no-such-program-here", "{batch_size}"]).unwrap();
    let trainer = CommandTrainer::new(config).unwrap();
    let error = trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap_err();
    assert!(
        matches!(&error, TrainerError::Setting(e) if e.key == "command"),
        "{error}"
    );
}

/// Interrupted at its first report; the program saves itself and goes on from there.
#[test]
fn an_interrupted_program_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        from=0; [ -n "$BATCHSCOPE_RESUME_FROM" ] && from=$(cat $BATCHSCOPE_RESUME_FROM/step)
        trap 'echo $s >$BATCHSCOPE_CHECKPOINT_DIR/step; exit 75' TERM
        s=$from
        while [ $s -lt 400 ]; do
            s=$((s + 10)); echo "from=$from step=$s val_error=$(awk "BEGIN { print 0.9 / (1 + 8 * $s / 160) }")"; sleep 0.02
        done"#;
    let trainer = CommandTrainer::new(config(script, folder.path())).unwrap();
    let part = trainer
        .run(&spec(), &StopAfter(AtomicU64::new(8)), &mut |_| {})
        .unwrap();
    assert_eq!(part.outcome, Outcome::Interrupted);
    let reached = part.measurements.last().unwrap().step;
    assert!((10..200).contains(&reached), "{reached}");
    let rest = trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap();
    let crossing = rest.outcome.crossing().unwrap();
    assert!((crossing / 160.0 - 1.0).abs() < 0.03, "{crossing}");
    let steps: Vec<u64> = rest.measurements.iter().map(|m| m.step).collect();
    assert!(
        steps.windows(2).all(|w| w[0] < w[1]) && steps[0] == 10,
        "{steps:?}"
    );
}

/// What a program leaves behind may go on writing: it is ended, and not listened to for ever.
#[test]
fn a_descendant_that_writes_on_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let script = "(while :; do echo hello; done) & echo step=1000 val_error=0.9";
    let outcome = record_of(config(script, folder.path())).outcome;
    assert_eq!(outcome, Outcome::NotReached { cap: 1000 });
    assert_eq!(left_in(folder.path()), 0);
}

/// The words are those of this run: neither the command line nor an earlier run's.
#[test]
fn last_words_are_the_runs_own() {
    let outcome = record("echo boom; exit 1").outcome;
    assert!(why(&outcome).contains("boom"), "{outcome:?}");
    assert!(why(&record("exit 1").outcome).contains("wrote nothing"));
    // Memory may run out on standard output, too.
    let outcome = record("echo 'CUDA out of memory.'; exit 1").outcome;
    assert!(matches!(outcome, Outcome::Infeasible { .. }), "{outcome:?}");
    // A fault of another kind after memory ran out is that fault.
    let script = "if [ $BATCHSCOPE_MICRO_BATCH = 32 ]; then echo MemoryError >&2; else echo KeyError >&2; fi; exit 1";
    let record = record(script);
    assert!(
        why(&record.outcome).contains("KeyError"),
        "{:?}",
        record.outcome
    );
    assert_eq!(record.micro_batch, 16);
}
