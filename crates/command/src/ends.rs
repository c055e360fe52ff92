//! What a reader of a record must know of how a program ended.

use std::path::Path;

use batchscope_core::{Outcome, TrialDriver};

use crate::trial::Remarks;

/// A program that failed to say how far it was, rather than how well it did.
pub(crate) fn said_no_step(outcome: Outcome, remarks: &Remarks) -> Outcome {
    match outcome {
        Outcome::Failed { .. } if remarks.without_step > 0 => Outcome::Failed {
            why: format!(
                "the program reported values {} times and no step, examples or epochs that they belong to",
                remarks.without_step
            ),
        },
        outcome => outcome,
    }
}

/// What a reader of the record must know of the reports.
pub(crate) fn remark(driver: &mut TrialDriver<'_>, remarks: &Remarks) {
    if remarks.long_lines > 0 {
        driver.note(format!(
            "{} lines of its output were too long to be read",
            remarks.long_lines
        ));
    }
    if remarks.without_step > 0 {
        driver.note(format!(
            "{} reports came without a step and before any",
            remarks.without_step
        ));
    }
    if let Some(why) = &remarks.unreadable {
        driver.note(format!("a file of reports could not be read: {why}"));
    }
    if remarks.before_training > 0 {
        driver.note(format!(
            "{} reports of no step done are left out; if the program counts epochs from 0, let it report steps",
            remarks.before_training
        ));
    }
    match &remarks.examples_differ {
        Some(why) => driver.note(format!("its batch size is in doubt: {why}")),
        None if !remarks.examples_checked => {
            driver.note("not checked: it reports no examples, so its batch size is believed");
        }
        None => {}
    }
}

/// A program that ended without a result: how, and with what last words.
pub(crate) fn failed(ended: &str, words: &str, log: &Path) -> Outcome {
    let why = match words.trim() {
        "" => format!("{ended}, and it wrote nothing"),
        words => {
            let last = words
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            format!("{ended}; its last line: {}", shortened(last))
        }
    };
    Outcome::Failed {
        why: format!("{why} (log: {})", log.display()),
    }
}

/// A line as a message bears it.
pub(crate) fn shortened(line: &str) -> String {
    const LONGEST: usize = 300;
    let line = line.trim();
    match line.chars().count() {
        long if long > LONGEST => line.chars().take(LONGEST).chain(['…']).collect(),
        _ => line.to_owned(),
    }
}
