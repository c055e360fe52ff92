//! Planners: from the plan and the finished trials to the trials that come next.
//!
//! A planner is a pure function. It walks the stages from the beginning every time, asking for each
//! stage's trials in the stored records; the first stage with a trial missing is the one to run.
//! Resuming is therefore nothing special: the same records give the same next trials, whoever ran
//! them, wherever and in whatever order.
//!
//! Stages are barriers: a trial's spec depends only on records of earlier stages.

mod branches;
mod comparison;
mod fresh;
mod loads;
mod pilot;
mod racing;
mod target;
mod tuned;
mod tuning;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use batchscope_core::{Outcome, Target, TrainerInfo, TrialRecord, TrialSpec};
use batchscope_scaling::TuningSummary;
use serde::{Deserialize, Serialize};

use crate::{Load, Plan, StudyError, identity};

pub use branches::BranchPlanner;
pub use comparison::{ComparisonPlanner, controlled_runs};
pub use tuned::TunedPlanner;

pub(crate) use racing::coarse_end;
pub(crate) use tuning::steps_spent;

/// Decides what a study runs next, and when a trial has lost its race.
///
/// Everything follows from the plan and the records: no clock, no randomness, nothing kept from call
/// to call. One runner or a thousand then give the same study.
///
/// A planner of your own makes the specs of its trials with [`Plan::trial`]. Their *purpose* says what the analysis does
/// with them: only [`Fresh`](batchscope_core::TrialPurpose::Fresh) trials enter reported estimates,
/// and only [`Tune`](batchscope_core::TrialPurpose::Tune) trials may be raced. Their *seeds* come
/// from [`crate::seed`], with a kind of the planner's own ([`crate::SeedKind::own`]), so that no two
/// trials of a study share one. [`Assessment::records_of`] asks for a stage's trials:
///
/// ```
/// use batchscope_core::{TrainerInfo, TrialPurpose, TrialSpec};
/// use batchscope_study::*;
///
/// /// Measures every batch size at the lowest rate of the plan's range, for `max_steps` steps.
/// struct LowestRate;
///
/// impl Planner for LowestRate {
///     fn assess(
///         &self,
///         plan: &Plan,
///         _: &TrainerInfo,
///         finished: &Finished,
///     ) -> Result<Assessment, StudyError> {
///         let kind = SeedKind::own(0).expect("there are four");
///         let rate = plan.learning_rates.low;
///         let trial = |(index, batch_size)| TrialSpec {
///             seed: seed(kind, index, batch_size),
///             ..plan.trial(TrialPurpose::Fresh { index }, batch_size, rate)
///         };
///         let sizes = &plan.batch_sizes;
///         let trials = (0..plan.seeds).flat_map(|i| sizes.iter().map(move |&b| (i, b)));
///         let mut study = Assessment::default();
///         study.records_of(&Stage::new("lowest rate"), trials.map(trial).collect(), finished)?;
///         Ok(study)
///     }
/// }
///
/// let plan = Plan { batch_sizes: vec![32, 128], max_steps: Some(200), ..Plan::default() };
/// let (trainer, mut store) = (FakeTrainer::default(), MemoryStore::new());
/// let result = run_with(&LowestRate, &plan, &trainer, &mut store, &StopToken::new(), &[])?;
/// assert_eq!(result.records.len(), 2 * 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Planner: Sync {
    /// Where the study of `plan` (resolved) on `info` stands, given its finished trials.
    ///
    /// # Errors
    /// When the study cannot go on: its pilot gives no target or does not reach it, or every trial
    /// of a stage failed.
    fn assess(
        &self,
        plan: &Plan,
        info: &TrainerInfo,
        finished: &Finished,
    ) -> Result<Assessment, StudyError>;

    /// Steps beyond which a trial can no longer win, as far as these records tell: `None` is no
    /// bound. With more records it may only fall. [`assess`](Planner::assess) must cut the records
    /// of raced trials ([`TrialRecord::cut`]) at the bound that all records together give, since a
    /// trial may have stopped later than there.
    fn race_bound(&self, _spec: &TrialSpec, _finished: &Finished) -> Option<u64> {
        None
    }
}

/// A part of a study whose trials can run side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name. Stages that go on with one another's work, such as the rounds of a search, share a
    /// name: their trials are counted together.
    pub name: Cow<'static, str>,
    /// What people read: the name, or more.
    pub label: Cow<'static, str>,
}

impl Stage {
    /// A stage that is shown by its name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        Self {
            label: name.clone(),
            name,
        }
    }

    /// The stage with another label.
    #[must_use]
    pub fn labeled(self, label: impl Into<Cow<'static, str>>) -> Self {
        Self {
            label: label.into(),
            ..self
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
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

    /// True if no trial has finished.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a trial out: it is to be run again.
    pub fn remove(&mut self, spec: &TrialSpec) {
        self.0.remove(&identity(spec));
    }

    /// All records, in no particular order.
    pub fn records(&self) -> impl Iterator<Item = &TrialRecord> {
        self.0.values()
    }

    /// True for a study of a version up to 0.1.0 ([`Outcome::is_by_smoothing`]). Its decisions are
    /// read as they were made, and it cannot be continued.
    pub fn is_by_smoothing(&self) -> bool {
        let mut records = self.records();
        records.any(|record| record.outcome.is_by_smoothing())
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
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// The stage to run; `None` when nothing is left to do.
    pub stage: Option<Stage>,
    /// All trials of that stage in their order, finished ones included; numbers not yet given.
    pub trials: Vec<TrialSpec>,
    /// What was decided so far, in order, a sentence each.
    pub decisions: Vec<String>,
    /// The target, once known, and where it came from.
    pub target: Option<(Target, String)>,
    /// What tuning did, once it is done.
    pub tuning: Vec<TuningSummary>,
    /// Every finished trial that belongs to the plan, raced ones cut at their exact bound.
    pub records: Vec<TrialRecord>,
    /// The whole study's work as far as it can be foreseen, for progress and cost; may be empty.
    pub loads: Vec<Load>,
    /// True once the loads' expected steps come from the study's own trials; before, they are
    /// guesses.
    pub modeled: bool,
}

impl Assessment {
    /// Adds a decision.
    pub fn decide(&mut self, decision: impl Into<String>) {
        self.decisions.push(decision.into());
    }

    /// The records of a stage's trials in the order of `specs`, or `None` while some are missing;
    /// then those trials are what to run. The records become part of the study.
    ///
    /// # Errors
    /// When every trial of the stage failed.
    pub fn records_of(
        &mut self,
        stage: &Stage,
        specs: Vec<TrialSpec>,
        finished: &Finished,
    ) -> Result<Option<Vec<TrialRecord>>, StudyError> {
        let found: Vec<Option<TrialRecord>> = specs.iter().map(|spec| finished.get(spec)).collect();
        let records: Vec<TrialRecord> = found.iter().flatten().cloned().collect();
        self.records.extend(records.iter().cloned());
        if records.len() < specs.len() {
            self.stage = Some(stage.clone());
            self.trials = specs;
            return Ok(None);
        }
        all_failed(stage, &records)?;
        Ok(Some(records))
    }
}

fn all_failed(stage: &Stage, records: &[TrialRecord]) -> Result<(), StudyError> {
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
