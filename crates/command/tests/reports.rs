//! What programs report, and by which way.

mod common;

use batchscope_command::{CommandTrainer, Template};
use batchscope_core::{NeverStop, Outcome, Trainer};
use batchscope_tensorboard::Writer;
use common::{LEARNS, config, record, record_of, spec};

/// `0.9/(1 + 8·s/160)` crosses 0.1 after 160 steps.
fn crosses(outcome: &Outcome) -> bool {
    outcome
        .crossing()
        .is_some_and(|at| (at / 160.0 - 1.0).abs() < 0.02)
}

#[test]
fn names_and_values_on_standard_output() {
    let record = record(LEARNS);
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
    assert_eq!(record.micro_batch, 32);
    assert!(
        record
            .measurements
            .iter()
            .all(|m| m.examples == 32 * m.step)
    );
    assert!(
        record
            .notes
            .iter()
            .any(|note| note.starts_with("not checked")),
        "{:?}",
        record.notes
    );
}

#[test]
fn objects_in_a_file_of_events() {
    let script = LEARNS.replace(
        "printf \"step=%d val_error=%.6f\\n\"",
        "printf \"{\\\"step\\\": %d, \\\"eval\\\": {\\\"err\\\": %.6f}}\\n\"",
    );
    let record = record(&format!("{script} >\"$BATCHSCOPE_EVENTS\"; echo done"));
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
}

#[test]
fn rows_of_a_csv_file() {
    let folder = tempfile::tempdir().unwrap();
    let script = LEARNS.replace("step=%d val_error=%.6f", "%d,%.6f");
    let path = "$BATCHSCOPE_CHECKPOINT_DIR/log.csv";
    let mut config = config(
        &format!("(echo step,val_error; {script}) >{path}"),
        folder.path(),
    );
    config.csv = Some(Template::new(&["{checkpoint_dir}/log.csv"]).unwrap());
    let record = record_of(config);
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
}

#[test]
fn a_pattern_reads_lines_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    let script = LEARNS.replace("step=%d val_error=%.6f", "it %d of many | dev %.6f wrong");
    let mut config = config(&script, folder.path());
    config.pattern = Some(r"it (?<step>\d+) .* dev (?<val_error>\S+)".parse().unwrap());
    let record = record_of(config);
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
}

#[test]
fn names_of_the_programs_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&LEARNS.replace("val_error", "dev/wrong"), folder.path());
    config.names.metrics = vec![("val-error".parse().unwrap(), "dev/wrong".to_owned())];
    assert!(crosses(&record_of(config).outcome));
}

#[test]
fn examples_and_epochs_stand_for_steps() {
    let examples = LEARNS.replace(
        "step=%d val_error=%.6f\\n\", s,",
        "samples=%d val_error=%.6f\\n\", 32 * s,",
    );
    assert!(crosses(&record(&examples).outcome));
    let epochs = LEARNS.replace(
        "step=%d val_error=%.6f\\n\", s,",
        "epoch=%.9f val_error=%.6f\\n\", 32 * s / 60000,",
    );
    assert!(crosses(&record(&epochs).outcome));
}

/// A program that trains with another batch size than it was told counts other examples.
#[test]
fn another_batch_size_than_told_is_found_out() {
    let honest = LEARNS.replace(
        "step=%d val_error=%.6f\\n\", s,",
        "step=%d examples=%d val_error=%.6f\\n\", s, 32 * s,",
    );
    let notes = record(&honest).notes;
    assert!(notes.is_empty(), "{notes:?}");
    let other = honest.replace("32 * s", "64 * s");
    let notes = record(&other).notes;
    assert!(
        notes.iter().any(|note| note.contains("in doubt")),
        "{notes:?}"
    );
}

#[test]
fn values_of_one_step_may_come_in_several_lines() {
    let script = LEARNS.replace(
        "printf \"step=%d val_error=%.6f\\n\", s,",
        "printf \"step=%d train_loss=1\\nval_error=%.6f\\n\", s,",
    );
    let record = record(&script);
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
    assert!(
        record.measurements.iter().all(|m| m.metrics.len() == 2),
        "{:?}",
        record.measurements[0]
    );
}

#[test]
fn a_program_that_ends_early_is_censored_where_it_ended() {
    let record = record(&LEARNS.replace("ENVIRON[\"BATCHSCOPE_MAX_STEPS\"]", "100"));
    let Outcome::NotReached { cap } = record.outcome else {
        panic!("{:?}", record.outcome)
    };
    assert!((80..=100).contains(&cap), "{cap}");
}

#[test]
fn a_program_that_reports_another_metric_has_failed() {
    let outcome = record(&LEARNS.replace("val_error", "train_loss")).outcome;
    let Outcome::Failed { why } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("val-error"), "{why}");
}

#[test]
fn the_words_carry_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "sh",
        "-c",
        "echo \"step=1 val_error=0.9 got=$*\" >&2; exit 3",
        "sh",
        "{batch_size}",
        "{learning_rate}",
        "{momentum}",
        "{max_steps}",
        "--resume",
        "{resume_from}",
    ];
    let mut config = config("", folder.path());
    config.template = Template::new(&words).unwrap();
    let record = record_of(config);
    assert_eq!(record.outcome, Outcome::Diverged { step: 0 });
    let logs = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().join("output.log"));
    let log = std::fs::read_to_string(logs.last().unwrap()).unwrap();
    assert!(log.contains("got=32 0.125 0.9 1000\n"), "{log}");
    // The words that ran stand above what they wrote.
    assert!(log.starts_with("$ sh -c"), "{log}");
}

#[test]
fn a_program_that_is_not_told_the_batch_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("true", folder.path());
    config.template = Template::new(&["true"]).unwrap();
    let error = CommandTrainer::new(config).unwrap_err();
    assert!(error.why.contains("{batch_size}"), "{error}");
}

#[test]
fn what_was_stored_is_forgotten_and_the_log_kept() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = CommandTrainer::new(config(LEARNS, folder.path())).unwrap();
    trainer.run(&spec(), &NeverStop, &mut |_| {}).unwrap();
    trainer.forget(&spec());
    let trial = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let left: Vec<_> = std::fs::read_dir(trial)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["output.log"]);
}

/// Reports of a program that ends at once are taken once.
#[test]
fn a_program_that_ends_at_once_is_read_once() {
    let outcome = record(
        "for s in 1 2 3 4 6 8; do echo \"{\\\"step\\\": $s, \\\"val_error\\\": 0.9}\" >>$BATCHSCOPE_EVENTS; done",
    )
    .outcome;
    assert_eq!(outcome, Outcome::NotReached { cap: 8 });
}

/// Losses on standard output, validation in the file of events: neither is ahead of the other for long.
#[test]
fn two_ways_of_reporting_go_together() {
    let script = r#"awk 'BEGIN { for (s = 1; s <= 400; s = int(s * 1.1) + 1) {
        printf "step=%d train_loss=%.6f\n", s, 1 / s; fflush();
        printf "{\"step\": %d, \"val_error\": %.6f}\n", s, 0.9 / (1 + 8 * s / 160) >>ENVIRON["BATCHSCOPE_EVENTS"]; fflush()
    } }'"#;
    let record = record(script);
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
    let both = record
        .measurements
        .iter()
        .filter(|m| m.metrics.len() == 2)
        .count();
    assert!(
        2 * both > record.measurements.len(),
        "{both} of {}",
        record.measurements.len()
    );
}

/// Once an epoch, and the target met within the third: between the reports about it, not at the first.
#[test]
fn a_target_met_between_two_rare_reports_lies_between_them() {
    let script = "echo step=750 val_error=0.2233; echo step=850 val_error=0.1275; echo step=950 val_error=0.0892; exit 0";
    let at = record(script).outcome.crossing().unwrap();
    assert!((850.0..950.0).contains(&at), "{at}");
}

#[test]
fn numbers_that_json_does_not_have_are_divergences() {
    let outcome =
        record("echo '{\"step\": 5, \"val_error\": NaN}' >$BATCHSCOPE_EVENTS; sleep 30").outcome;
    assert_eq!(outcome, Outcome::Diverged { step: 5 });
}

#[test]
fn a_last_row_without_its_end_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let script = "printf 'step,val_error\n10,0.5\n20,0.4' >$BATCHSCOPE_CHECKPOINT_DIR/log.csv";
    let mut config = config(script, folder.path());
    config.csv = Some(Template::new(&["{checkpoint_dir}/log.csv"]).unwrap());
    assert_eq!(record_of(config).outcome, Outcome::NotReached { cap: 20 });
}

#[test]
fn event_files_of_tensorboard_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prepared");
    let mut writer = Writer::new(std::fs::File::create(&file).unwrap(), 0.0).unwrap();
    for step in 1..=20 {
        let error = 0.3 - 0.02 * f64::from(step);
        writer.scalar("val/error", error, step.into(), 0.0).unwrap();
    }
    // A run of its own below the folder, as Lightning lays them out; and a program that goes on until it is stopped.
    let script = format!(
        "mkdir -p $BATCHSCOPE_CHECKPOINT_DIR/version_0; cp {} $BATCHSCOPE_CHECKPOINT_DIR/version_0/events.out.tfevents.1; sleep 60",
        file.display()
    );
    let mut config = config(&script, folder.path());
    config.tensorboard = Some(Template::new(&["{checkpoint_dir}"]).unwrap());
    let record = record_of(config);
    let at = record.outcome.crossing().unwrap();
    assert!((9.0..=11.0).contains(&at), "{:?}", record.outcome);
}

#[test]
fn places_that_trials_share_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shared = || Some(Template::new(&["log"]).unwrap());
    let mut csv = config("true", folder.path());
    csv.csv = shared();
    assert_eq!(CommandTrainer::new(csv).unwrap_err().key, "report-csv");
    let mut events = config("true", folder.path());
    events.tensorboard = shared();
    let error = CommandTrainer::new(events).unwrap_err();
    assert_eq!(error.key, "report-tensorboard");
}

#[test]
fn values_without_a_step_are_said_to_be_so() {
    let outcome = record("echo val_error=0.05").outcome;
    assert!(
        matches!(&outcome, Outcome::Failed { why } if why.contains("no step")),
        "{outcome:?}"
    );
    let notes = record("echo epoch: 0 val_error=0.5; echo epoch: 0.5 val_error=0.4").notes;
    assert!(
        notes.iter().any(|note| note.contains("epochs from 0")),
        "{notes:?}"
    );
}

/// A report a step is more than a crossing needs.
#[test]
fn reports_that_lie_close_are_thinned() {
    let record = record(&LEARNS.replace("int(s * 1.1) + 1", "s + 1"));
    assert!(crosses(&record.outcome), "{:?}", record.outcome);
    let steps: Vec<u64> = record.measurements.iter().map(|m| m.step).collect();
    assert!(
        steps.windows(2).all(|w| w[1] as f64 >= 1.005 * w[0] as f64),
        "{steps:?}"
    );
    assert_eq!(&steps[..5], [1, 2, 3, 4, 5]);
}
