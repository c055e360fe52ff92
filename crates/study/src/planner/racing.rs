//! Racing that does not depend on who finished first.
//!
//! A tuning trial cannot be chosen once a lower-numbered one of its batch size has reached the
//! target earlier. Its exact bound is the least, over *lower-numbered* trials, of the regularly
//! evaluated step by which they were found at the target: not of the crossing itself, which a trial
//! learns of only later, nor of a finer evaluation, which others need not have made. So trials that
//! cross between the same two evaluations are told apart by where they cross.
//!
//! While trials run side by side a bound may become known late, and a trial stops past its exact
//! bound. Records are stored as trainers give them; [`finalize`] cuts them at their exact bounds, to
//! what a run in order would have left.

use batchscope_core::{EvaluationPlan, Outcome, TrialPurpose, TrialRecord, TrialSpec};

use super::Finished;

/// The regularly evaluated step by which a record's trial was found at its target; `None` if it was
/// not.
pub(crate) fn coarse_end(record: &TrialRecord) -> Option<u64> {
    record.steps()?;
    let found = record.outcome.last_step()?;
    Some(evaluated_from(&record.spec.evaluation, found).min(record.spec.cap))
}

/// [`coarse_end`], where it may end the race of others: not where the reports around it lie more than a factor of two
/// apart, so that it says little of when the target was met. Evaluations that follow a plan are closer.
fn race_end(record: &TrialRecord) -> Option<u64> {
    let end = coarse_end(record)?;
    let found = record.outcome.last_step()?;
    let mut before = record
        .measurements
        .iter()
        .rev()
        .map(|m| m.step)
        .filter(|&step| step < found);
    before
        .next()
        .is_none_or(|step| step.saturating_mul(2) >= found)
        .then_some(end)
}

/// The first evaluated step at or after `step`.
fn evaluated_from(plan: &EvaluationPlan, step: u64) -> u64 {
    let mut at = 0;
    while at < step {
        at = plan.next_after(at);
    }
    at
}

/// The bound of trial `index` given what is known of the others of its batch size, as
/// (index, [`coarse_end`]).
fn exact_bound(index: u32, known: impl IntoIterator<Item = (u32, u64)>) -> Option<u64> {
    known
        .into_iter()
        .filter(|&(other, _)| other < index)
        .map(|(_, end)| end)
        .min()
}

/// The bound of a trial as known now: with records missing it may be higher than the exact one,
/// never lower. `None` outside tuning, and while no rival is known to have reached the target.
pub(super) fn race_bound(spec: &TrialSpec, finished: &Finished) -> Option<u64> {
    let TrialPurpose::Tune { index, .. } = spec.purpose else {
        return None;
    };
    let rivals = finished.records().filter(|r| {
        r.spec.batch_size == spec.batch_size && matches!(r.spec.purpose, TrialPurpose::Tune { .. })
    });
    exact_bound(
        index,
        rivals.filter_map(|r| Some((race_index(r), race_end(r)?))),
    )
}

/// The index by which a trial races.
fn race_index(record: &TrialRecord) -> u32 {
    match record.spec.purpose {
        TrialPurpose::Tune { index, .. } => index,
        _ => 0,
    }
}

/// The tuning records of one batch size, each cut at its exact bound: the one place where a record is
/// cut. Idempotent.
pub(super) fn finalize(records: &mut [TrialRecord]) {
    let ends: Vec<(u32, u64)> = records
        .iter()
        .filter_map(|r| Some((race_index(r), race_end(r)?)))
        .collect();
    for record in records {
        if let Some(bound) = exact_bound(race_index(record), ends.iter().copied()) {
            *record = record.clone().cut(bound);
        }
        if matches!(record.outcome, Outcome::Raced { .. }) {
            // Remarks about the part beyond the bound would depend on where it stopped.
            record.notes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_found_at_the_evaluated_step_after_it() {
        let plan = EvaluationPlan {
            first: 5,
            ratio: 1.2,
            ..EvaluationPlan::default()
        };
        for (step, found) in [(1, 5), (5, 5), (9, 10), (10, 10), (11, 12), (13, 15)] {
            assert_eq!(evaluated_from(&plan, step), found, "{step}");
        }
    }

    #[test]
    fn only_lower_numbers_bound() {
        let known = [(0, 50), (2, 20), (5, 10)];
        assert_eq!(exact_bound(0, known), None);
        assert_eq!(exact_bound(2, known), Some(50));
        assert_eq!(exact_bound(3, known), Some(20));
        assert_eq!(exact_bound(9, known), Some(10));
    }
}
