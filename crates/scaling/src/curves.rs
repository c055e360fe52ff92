//! Records grouped into curves: which fresh trials serve which learning-rate policy.

use std::collections::BTreeMap;

use batchscope_core::{Outcome, TrialPurpose, TrialRecord};

use crate::findings::{PointState, Repeat};
use crate::laws::read_size;
use crate::sample::Sample;

/// The trials of one curve, by batch size, each in the order of their numbers.
#[derive(Debug, Clone)]
pub(crate) struct CurveTrials<'a> {
    pub name: String,
    pub by_batch: BTreeMap<u64, Vec<&'a TrialRecord>>,
}

impl<'a> CurveTrials<'a> {
    /// All fresh trials.
    pub fn trials(&self) -> impl Iterator<Item = &'a TrialRecord> + '_ {
        self.by_batch.values().flatten().copied()
    }

    /// One sample per batch size, increasing.
    pub fn samples(&self) -> Vec<Sample> {
        self.by_batch
            .iter()
            .map(|(&batch_size, trials)| {
                let mut sample = Sample::new(batch_size);
                trials.iter().for_each(|record| sample.add(record));
                sample
            })
            .collect()
    }
}

/// The curves that the fresh trials serve: `tuned` first, then the rules by name. A batch size of a
/// tuned study that has tuning trials and no fresh ones (no rate reached the target there) is kept
/// as a point without trials.
pub(crate) fn curves<'a>(
    records: &[&'a TrialRecord],
    tuned_everywhere: bool,
) -> Vec<CurveTrials<'a>> {
    let mut curves: BTreeMap<String, BTreeMap<u64, Vec<&TrialRecord>>> = BTreeMap::new();
    for &record in records {
        match record.spec.purpose {
            TrialPurpose::Fresh { .. } => {
                let mut names: Vec<&String> = record.spec.curves.iter().collect();
                names.sort();
                names.dedup();
                for name in names {
                    let batches = curves.entry(name.clone()).or_default();
                    batches
                        .entry(record.spec.batch_size)
                        .or_default()
                        .push(record);
                }
            }
            TrialPurpose::Tune { .. } if tuned_everywhere => {
                curves
                    .entry(TUNED.to_owned())
                    .or_default()
                    .entry(record.spec.batch_size)
                    .or_default();
            }
            _ => {}
        }
    }
    let mut curves: Vec<CurveTrials> = curves
        .into_iter()
        .map(|(name, by_batch)| CurveTrials { name, by_batch })
        .collect();
    curves.sort_by_key(|curve| curve.name != TUNED); // stable: the rest stays by name
    // Names that are sizes, 85M and 1.2B, go by those.
    if curves.iter().all(|curve| read_size(&curve.name).is_some()) {
        let size = |curve: &CurveTrials| read_size(&curve.name).unwrap_or(0.0);
        curves.sort_by(|a, b| size(a).total_cmp(&size(b)));
    }
    curves
}

/// Name of the curve whose rate was tuned at every batch size.
pub(crate) const TUNED: &str = "tuned";

/// A fresh trial as a row of its point; `None` for trials that did not run to an end.
pub(crate) fn repeat(record: &TrialRecord) -> Option<Repeat> {
    let steps = record.steps().or_else(|| record.outcome.last_step())?;
    let after = match record.outcome {
        Outcome::Reached { after, .. } => after,
        _ => steps,
    };
    Some(Repeat {
        trial: record.spec.id,
        steps,
        after,
        state: record.outcome.name().to_owned(),
    })
}

/// How a point stands: by its fresh trials, or by the tuning trials where it has none.
pub(crate) fn point_state(fresh: &[&TrialRecord], tuning: &[&TrialRecord]) -> PointState {
    let trials = if fresh.is_empty() { tuning } else { fresh };
    let count = |wanted: fn(&Outcome) -> bool| trials.iter().filter(|r| wanted(&r.outcome)).count();
    let reached = if fresh.is_empty() {
        0
    } else {
        count(|o| matches!(o, Outcome::Reached { .. }))
    };
    let ran = count(|o| {
        !matches!(
            o,
            Outcome::Infeasible { .. } | Outcome::Failed { .. } | Outcome::Interrupted
        )
    });
    let diverged = count(|o| matches!(o, Outcome::Diverged { .. }));
    match (reached, ran) {
        (_, 0) if count(|o| matches!(o, Outcome::Infeasible { .. })) > 0 => PointState::Infeasible,
        (_, 0) => PointState::NotReached,
        (reached, ran) if reached == ran => PointState::Reached,
        (0, ran) if diverged == ran => PointState::Diverged,
        (0, _) => PointState::NotReached,
        _ => PointState::Partly,
    }
}

/// Steps of warm-up of a trial, `epochs · N / B` rounded up; epochs without a training set are none.
pub(crate) fn warm_up_steps(record: &TrialRecord, train_examples: Option<u64>) -> u64 {
    let length = record.spec.schedule.warm_up.length;
    length.in_steps(record.spec.batch_size, train_examples.unwrap_or(0))
}
