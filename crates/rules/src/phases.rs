//! Stretches of training at one batch size each, known before the run.

use batchscope_core::StepBatch;

use crate::{BatchSizes, Controller, LearningRate, StepSetting};

/// A stretch of steps at one batch size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Phase {
    /// Its first step.
    pub step: u64,
    /// Examples before it.
    pub first_draw: u64,
    /// Examples per step in it.
    pub batch_size: u64,
    /// What the schedule's rate is multiplied by.
    pub factor: f64,
    /// Why it begins.
    why: String,
}

/// Leads a run through phases. The schedule counts examples: after `n` of them the rate is the one that a run at the first
/// batch size has after `n` examples, times the phase's factor.
pub(crate) struct Phases {
    rates: LearningRate,
    /// By their first steps; the first begins at 0.
    phases: Vec<Phase>,
}

impl Phases {
    /// One phase at the batch size that a run begins with.
    pub fn new(rates: LearningRate, batch_size: u64) -> Self {
        Self {
            rates,
            phases: vec![Phase {
                step: 0,
                first_draw: 0,
                batch_size,
                factor: 1.0,
                why: String::new(),
            }],
        }
    }

    /// Begins a phase with the first step at or past `draw` examples.
    pub fn push(&mut self, draw: u64, batch_size: u64, factor: f64, why: String) {
        let last = self.last();
        let passed = draw
            .saturating_sub(last.first_draw)
            .div_ceil(last.batch_size.max(1));
        let phase = Phase {
            step: last.step.saturating_add(passed),
            first_draw: last
                .first_draw
                .saturating_add(passed.saturating_mul(last.batch_size)),
            batch_size,
            factor,
            why,
        };
        // Two marks within one step: the later counts.
        if phase.step == last.step && self.phases.len() > 1 {
            self.phases.pop();
        }
        self.phases.push(phase);
    }

    /// The last phase.
    pub fn last(&self) -> &Phase {
        &self.phases[self.phases.len() - 1]
    }

    #[cfg(test)]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }
}

impl Controller for Phases {
    fn at(&self, step: u64) -> StepSetting {
        let next = self.phases.partition_point(|phase| phase.step <= step);
        let phase = &self.phases[next - 1];
        let drawn = (step - phase.step).saturating_mul(phase.batch_size);
        let first_draw = phase.first_draw.saturating_add(drawn);
        StepSetting {
            learning_rate: self.rates.at(first_draw / self.phases[0].batch_size.max(1))
                * phase.factor,
            batch: StepBatch {
                step,
                first_draw,
                batch_size: phase.batch_size,
            },
        }
    }

    fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }

    fn batch_sizes(&self) -> Option<BatchSizes> {
        BatchSizes::of(self.phases.iter().map(|phase| phase.batch_size))
    }

    fn decision(&self, step: u64) -> Option<String> {
        let phase = self.phases.iter().find(|phase| phase.step == step)?;
        (!phase.why.is_empty()).then(|| phase.why.clone())
    }
}
