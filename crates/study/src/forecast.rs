//! What is left to do, as far as it can be foreseen.

use batchscope_core::{Outcome, TrainerInfo, TrialPurpose, TrialRecord};

use crate::{
    Plan, Progress, Stage, Tune,
    planner::{Assessment, pilot_cap, steps_spent},
};

/// Trials of one kind at one batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// When they run.
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

/// The loads of a study, stage by stage, from where it stands.
///
/// Expected steps come from the pilot's model; before it there is none, and the base batch size is
/// taken to reach its target with half of the pilot's examples (which is what `auto` targets
/// make true), in steps that fall with the batch size to half of that.
pub(crate) fn loads(plan: &Plan, info: &TrainerInfo, study: &Assessment) -> Vec<Load> {
    let base = plan.base_batch;
    let bound = pilot_cap(plan, info, base) as f64;
    let limit = plan.max_steps.map_or(f64::INFINITY, |most| most as f64);
    let expected = |b: u64| match study.model {
        Some(model) => model.steps(b),
        None => bound / 4.0 * (1.0 + base as f64 / b as f64),
    };
    let most = |b: u64| match study.model {
        Some(model) => model.cap(plan, b) as f64,
        None => (plan.cap_factor * bound * (1.0 + base as f64 / b as f64)).min(limit),
    };
    let done = |b: u64, is: fn(TrialPurpose) -> bool| {
        study
            .records
            .iter()
            .filter(|r| r.spec.batch_size == b && is(r.spec.purpose))
            .count() as u64
    };

    let mut loads = Vec::new();
    let pilots = [Some(base), plan.pilot_batch.filter(|&b| b != base)];
    for b in pilots.into_iter().flatten() {
        let cap = pilot_cap(plan, info, b) as f64;
        loads.push(Load {
            stage: Stage::Pilot,
            batch_size: b,
            trials: u64::from(plan.pilot_trials),
            done: done(b, |p| matches!(p, TrialPurpose::Pilot { .. })),
            expected_steps: cap,
            most_steps: cap,
        });
    }
    for b in plan.tuned_sizes() {
        let begun = study
            .records
            .iter()
            .chain([])
            .filter(|r| {
                r.spec.batch_size == b && matches!(r.spec.purpose, TrialPurpose::Tune { .. })
            })
            .count() as u64;
        let round = match study.stage {
            Stage::Tuning { round } => study
                .trials
                .iter()
                .any(|t| t.batch_size == b)
                .then_some(u64::from(round) + 1),
            _ => None,
        };
        let per_round = u64::from(plan.tune_trials);
        let rounds = round.unwrap_or(1).max(begun.div_ceil(per_round));
        loads.push(Load {
            stage: Stage::Tuning { round: 0 },
            batch_size: b,
            trials: rounds * per_round,
            done: begun,
            expected_steps: expected(b).min(most(b)),
            most_steps: most(b),
        });
    }
    let fresh_wanted = |b: u64| match study.stage {
        Stage::Fresh => study.trials.iter().filter(|t| t.batch_size == b).count() as u64,
        _ => {
            // At the base batch size all rules agree.
            let curves = if plan.tune == Tune::Every || b == base {
                1
            } else {
                plan.rules.len() as u64
            };
            u64::from(plan.seeds) * curves
        }
    };
    for &b in &plan.batch_sizes {
        let done = done(b, |p| matches!(p, TrialPurpose::Fresh { .. }));
        loads.push(Load {
            stage: Stage::Fresh,
            batch_size: b,
            trials: fresh_wanted(b).max(done),
            done,
            expected_steps: expected(b).min(most(b)),
            most_steps: most(b),
        });
    }
    loads
}

/// Examples a record's trial trained on.
pub(crate) fn examples_spent(record: &TrialRecord) -> f64 {
    steps_spent(record) as f64 * record.spec.batch_size as f64
}

/// Follows progress through a stage without assessing the study anew after every trial.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    loads: Vec<Load>,
    progress: Progress,
}

impl Tracker {
    pub fn new(plan: &Plan, info: &TrainerInfo, study: &Assessment) -> Self {
        let loads = loads(plan, info, study);
        let progress = Progress {
            stage: study.stage,
            done_trials: loads.iter().map(|l| l.done).sum(),
            total_trials: loads.iter().map(|l| l.trials).sum(),
            done_examples: study.records.iter().map(examples_spent).sum(),
            remaining_examples: 0.0,
        };
        let mut tracker = Self { loads, progress };
        tracker.estimate();
        tracker
    }

    /// Counts a trial that has just finished.
    pub fn finished(&mut self, record: &TrialRecord) {
        if matches!(record.outcome, Outcome::Interrupted) {
            return;
        }
        let stage = match record.spec.purpose {
            TrialPurpose::Pilot { .. } => Stage::Pilot,
            TrialPurpose::Tune { .. } => Stage::Tuning { round: 0 },
            _ => Stage::Fresh,
        };
        if let Some(load) = self
            .loads
            .iter_mut()
            .find(|l| l.stage == stage && l.batch_size == record.spec.batch_size)
        {
            load.done = (load.done + 1).min(load.trials);
        }
        self.progress.done_trials += 1;
        self.progress.total_trials = self.progress.total_trials.max(self.progress.done_trials);
        self.progress.done_examples += examples_spent(record);
        self.estimate();
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn estimate(&mut self) {
        let left = |l: &Load| {
            l.trials.saturating_sub(l.done) as f64 * l.expected_steps * l.batch_size as f64
        };
        self.progress.remaining_examples = self.loads.iter().map(left).sum();
    }
}
