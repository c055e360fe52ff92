//! The planner: from the plan and the finished trials to the trials that come next.
//!
//! A pure function. It walks the stages from the beginning every time, asking for each stage's
//! trials in the stored records; the first stage with a trial missing is the one to run. Resuming
//! is therefore nothing special: the same records give the same next trials, whoever ran them,
//! wherever and in whatever order.
//!
//! Stages are barriers: a trial's spec depends only on records of earlier stages.

mod fresh;
mod pilot;
mod racing;
mod target;
mod tuning;

use std::{collections::BTreeMap, fmt};

use batchscope_core::{Outcome, Target, TrainerInfo, TrialRecord, TrialSpec};
use batchscope_scaling::TuningSummary;

use crate::{Plan, StudyError, identity};

pub(crate) use pilot::{PilotModel, pilot_cap};
pub(crate) use racing::{coarse_end, race_bound};
pub(crate) use tuning::steps_spent;

/// A part of a study whose trials can run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Finds the scale of steps-to-target, and the target when it is `auto` or `quartile`.
    Pilot,
    /// Finds the learning rates; round 0, then one round for each widening.
    Tuning {
        /// 0 for the first ranges.
        round: u32,
    },
    /// Measures, with fresh seeds.
    Fresh,
    /// Nothing is left to do.
    Done,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Pilot => f.write_str("pilot"),
            Stage::Tuning { round: 0 } => f.write_str("tuning"),
            Stage::Tuning { round } => write!(f, "tuning (widening {round})"),
            Stage::Fresh => f.write_str("fresh seeds"),
            Stage::Done => f.write_str("end"),
        }
    }
}

/// Finished trials by what they asked for.
#[derive(Debug, Clone, Default)]
pub struct Finished(BTreeMap<String, TrialRecord>);

impl Finished {
    /// Of these records, in any order. Interrupted ones are not finished.
    pub fn new(records: impl IntoIterator<Item = TrialRecord>) -> Self {
        let mut finished = Self::default();
        for record in records {
            finished.insert(record);
        }
        finished
    }

    /// Adds a record, in place of an earlier one of the same trial; not that of an interrupted trial.
    pub fn insert(&mut self, record: TrialRecord) {
        if record.outcome != Outcome::Interrupted {
            self.0.insert(identity(&record.spec), record);
        }
    }

    /// Takes a trial out: it is to be run again.
    pub fn remove(&mut self, spec: &TrialSpec) {
        self.0.remove(&identity(spec));
    }

    /// All records, in no particular order.
    pub fn records(&self) -> impl Iterator<Item = &TrialRecord> {
        self.0.values()
    }

    /// The record of what a spec asks for, as it was finished.
    pub fn record(&self, spec: &TrialSpec) -> Option<&TrialRecord> {
        self.0.get(&identity(spec))
    }

    /// The record of what a spec asks for, with the spec's curves: the plan, not the store, knows
    /// which curves look at a trial, since rules may have been added.
    pub fn get(&self, spec: &TrialSpec) -> Option<TrialRecord> {
        let found = self.record(spec)?;
        Some(TrialRecord {
            spec: TrialSpec {
                curves: spec.curves.clone(),
                ..found.spec.clone()
            },
            ..found.clone()
        })
    }
}

/// Where a study stands.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The stage to run.
    pub stage: Stage,
    /// All trials of that stage in their order, finished ones included; numbers not yet given.
    pub trials: Vec<TrialSpec>,
    /// What was decided so far, in order, a sentence each.
    pub decisions: Vec<String>,
    /// The target, once known, and where it came from.
    pub target: Option<(Target, String)>,
    /// The scale of steps-to-target, once the pilot is done.
    pub(crate) model: Option<PilotModel>,
    /// What tuning did, once it is done.
    pub tuning: Vec<TuningSummary>,
    /// Every finished trial that belongs to the plan, raced ones cut at their exact bound.
    pub records: Vec<TrialRecord>,
}

impl Assessment {
    fn new() -> Self {
        Self {
            stage: Stage::Done,
            trials: Vec::new(),
            decisions: Vec::new(),
            target: None,
            model: None,
            tuning: Vec::new(),
            records: Vec::new(),
        }
    }

    fn decide(&mut self, decision: impl Into<String>) {
        self.decisions.push(decision.into());
    }

    /// The records of a stage's trials in the order of `specs`, or `None` while some are missing;
    /// then those trials are what to run.
    fn stage(
        &mut self,
        stage: Stage,
        specs: Vec<TrialSpec>,
        finished: &Finished,
    ) -> Result<Option<Vec<TrialRecord>>, StudyError> {
        let found: Vec<Option<TrialRecord>> = specs.iter().map(|spec| finished.get(spec)).collect();
        let records: Vec<TrialRecord> = found.iter().flatten().cloned().collect();
        self.records.extend(records.iter().cloned());
        if records.len() < specs.len() {
            self.stage = stage;
            self.trials = specs;
            return Ok(None);
        }
        all_failed(stage, &records)?;
        Ok(Some(records))
    }
}

fn all_failed(stage: Stage, records: &[TrialRecord]) -> Result<(), StudyError> {
    let failures: Vec<&String> = records
        .iter()
        .filter_map(|record| match &record.outcome {
            Outcome::Failed { why } => Some(why),
            _ => None,
        })
        .collect();
    match failures.first() {
        Some(&why) if failures.len() == records.len() => Err(StudyError::AllFailed {
            stage: stage.to_string(),
            trials: records.iter().map(|record| record.spec.id).collect(),
            why: why.clone(),
        }),
        _ => Ok(()),
    }
}

/// Where the study of `plan` (resolved) on `info` stands, given its finished trials.
///
/// # Errors
/// When the pilot gives no target or does not reach it, or every trial of a stage failed.
pub fn assess(
    plan: &Plan,
    info: &TrainerInfo,
    finished: &Finished,
) -> Result<Assessment, StudyError> {
    let mut study = Assessment::new();
    let Some(pilot) = pilot::run(plan, info, finished, &mut study)? else {
        return Ok(study);
    };
    let Some(rates) = tuning::run(plan, &pilot, finished, &mut study)? else {
        return Ok(study);
    };
    fresh::run(plan, info, &pilot, &rates, finished, &mut study)?;
    Ok(study)
}
