//! Whether a trainer's record can be true. Trainers may be anybody's program.

use batchscope_core::{Located, Outcome, TrialPurpose, TrialRecord, TrialSpec};

/// More examples than any trial trains on: what JSON and SQLite both hold exactly.
const MOST_EXAMPLES: u64 = 1 << 53;

/// A record as the study takes it: of the trial that was asked for, with an end that trial can
/// have. Any other becomes the record of a failed trial. Where it `may_end_early`, a trial ends at its cap or
/// before: a program may stop when it likes, and what it did not reach by then is censored there.
pub(crate) fn audit(spec: &TrialSpec, record: TrialRecord, may_end_early: bool) -> TrialRecord {
    match impossible_end(spec, &record.outcome, may_end_early)
        .or_else(|| impossible_course(spec, &record))
    {
        Some(fault) => failed(spec, format!("invalid trial record: {fault}")),
        None => TrialRecord {
            spec: spec.clone(),
            ..record
        },
    }
}

/// The record of a trial that failed.
pub(crate) fn failed(spec: &TrialSpec, why: String) -> TrialRecord {
    let micro_batch = spec.micro_batch.unwrap_or(spec.batch_size);
    TrialRecord {
        spec: spec.clone(),
        outcome: Outcome::Failed { why },
        measurements: Vec::new(),
        micro_batch,
        seconds: 0.0,
        decisions: Vec::new(),
        schedule: Vec::new(),
        notes: Vec::new(),
    }
}

/// What is wrong with a trial's end, if anything.
fn impossible_end(spec: &TrialSpec, outcome: &Outcome, may_end_early: bool) -> Option<String> {
    let in_a_race = matches!(spec.purpose, TrialPurpose::Tune { .. });
    let cap = spec.cap;
    // A controller may end a run by its examples, or by its own count.
    let may_end_early = may_end_early || spec.controller.is_some();
    let is_end = |step: u64| step == cap || may_end_early && step > 0 && step < cap;
    match *outcome {
        Outcome::Reached { step, after, .. } if step == 0 || step > cap || after >= step => {
            Some(format!(
                "it says that the target was reached after step {after} and by step {step}, of \
                 {cap} at most"
            ))
        }
        Outcome::Reached {
            step,
            located: Some(Located {
                crossing, found, ..
            }),
            ..
        } if crossing.ceil() != step as f64 || found < step || found > cap => Some(format!(
            "crossed after {crossing} steps, by step {step}, found at {found} of {cap}"
        )),
        Outcome::Reached { .. } if spec.target.is_none() => {
            Some("reached a target it was not given".to_owned())
        }
        Outcome::NotReached { cap: at } if !is_end(at) || spec.target.is_none() => Some(format!(
            "it ended as not reached at step {at}; only a trial with a target does, at its cap \
                 ({cap})"
        )),
        Outcome::Completed { step } if !is_end(step) || spec.target.is_some() => Some(format!(
            "it completed {step} steps; only a trial without a target completes, at its cap \
                 ({cap})"
        )),
        Outcome::Diverged { step } if step > cap => {
            Some(format!("diverged at {step}, beyond the cap {cap}"))
        }
        Outcome::Raced { .. } if !in_a_race => Some("raced, but it ran in no race".to_owned()),
        _ => None,
    }
}

/// What is wrong with a trial's measurements, if anything.
fn impossible_course(spec: &TrialSpec, record: &TrialRecord) -> Option<String> {
    let measured = &record.measurements;
    if !measured.windows(2).all(|w| w[0].step <= w[1].step) {
        return Some("its measurements are out of order".to_owned());
    }
    let beyond = |step, examples| step > spec.cap || examples > MOST_EXAMPLES;
    if measured.iter().any(|m| beyond(m.step, m.examples)) {
        return Some("it was measured beyond its cap".to_owned());
    }
    // A controller may make the batches larger than the first.
    (spec.controller.is_none() && record.micro_batch > spec.batch_size).then(|| {
        format!(
            "micro-batches of {} in a batch of {}",
            record.micro_batch, spec.batch_size
        )
    })
}
