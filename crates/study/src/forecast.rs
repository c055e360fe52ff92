//! What is left to do, as far as it can be foreseen.

use batchscope_core::{Outcome, TrialRecord};

use crate::{Assessment, Progress, Stage, planner::steps_spent};

/// The trials of one part of a study at one batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// When they run. Stages of one name are one load.
    pub stage: Stage,
    /// Examples per step.
    pub batch_size: u64,
    /// How many, finished ones included.
    pub trials: u64,
    /// How many are finished.
    pub done: u64,
    /// Steps one is expected to make.
    pub expected_steps: f64,
    /// Steps one makes at most: its cap, or before the pilot the largest its cap can become.
    pub most_steps: f64,
}

/// Examples a record's trial trained on.
pub(crate) fn examples_spent(record: &TrialRecord) -> f64 {
    steps_spent(record) as f64 * record.spec.batch_size as f64
}

/// Follows progress through a stage without another assessment of the study after every trial.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    loads: Vec<Load>,
    progress: Progress,
}

impl Tracker {
    /// At the beginning of a stage.
    pub fn new(study: &Assessment, stage: &Stage) -> Self {
        let loads = study.loads.clone();
        let progress = Progress {
            stage: stage.clone(),
            done_trials: loads.iter().map(|l| l.done).sum(),
            total_trials: loads.iter().map(|l| l.trials).sum(),
            done_examples: study.records.iter().map(examples_spent).sum(),
            remaining_examples: 0.0,
        };
        let mut tracker = Self { loads, progress };
        tracker.estimate();
        tracker
    }

    /// Counts a trial of the stage that has just finished.
    pub fn finished(&mut self, record: &TrialRecord) {
        if matches!(record.outcome, Outcome::Interrupted) {
            return;
        }
        let stage = &self.progress.stage.name;
        if let Some(load) = self
            .loads
            .iter_mut()
            .find(|l| l.stage.name == *stage && l.batch_size == record.spec.batch_size)
        {
            load.done = (load.done + 1).min(load.trials);
        }
        self.progress.done_trials += 1;
        self.progress.total_trials = self.progress.total_trials.max(self.progress.done_trials);
        self.progress.done_examples += examples_spent(record);
        self.estimate();
    }

    /// How far the study is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn estimate(&mut self) {
        let left = |l: &Load| {
            l.trials.saturating_sub(l.done) as f64 * l.expected_steps * l.batch_size as f64
        };
        self.progress.remaining_examples = self.loads.iter().map(left).sum();
    }
}
