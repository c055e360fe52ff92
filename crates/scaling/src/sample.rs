//! What the statistics see of the fresh trials of one batch size.

use batchscope_core::{Outcome, TrialRecord};

use crate::tobit::{Censored, Group};

/// The ends of one batch size's trials, on the log scale.
///
/// ```
/// use batchscope_scaling::Sample;
/// let mut sample = Sample::new(64);
/// sample.reached(980, 1000.0);
/// sample.not_reached(4000.0);
/// assert_eq!(sample.trials(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Examples per step.
    pub batch_size: u64,
    /// `ln` of the steps to the target of each trial that reached it.
    pub ln_steps: Vec<f64>,
    /// Mean variance, on the log scale, left by the brackets of the crossings.
    pub bracket_variance: f64,
    /// `ln` of the cap of each trial that did not reach it.
    pub ln_caps: Vec<f64>,
    /// Trials that diverged: counted, in no fit.
    pub diverged: u64,
}

impl Sample {
    /// No trial yet.
    pub fn new(batch_size: u64) -> Self {
        Self {
            batch_size,
            ln_steps: Vec::new(),
            bracket_variance: 0.0,
            ln_caps: Vec::new(),
            diverged: 0,
        }
    }

    /// Adds a trial that reached the target at `steps`, located no finer than the whole steps
    /// after `after`: the crossing is uniform (in log) over `after + 1 ..= steps`, which leaves
    /// variance `ln²(steps/(after + 1))/12`.
    pub fn reached(&mut self, after: u64, steps: f64) {
        let steps = steps.max(1.0);
        let width = (steps / (after.saturating_add(1) as f64).min(steps)).ln();
        self.push(steps.ln(), width);
    }

    /// Adds a trial whose steps to the target were rounded to an interval of `width` steps with `middle` in
    /// its middle: the crossing is uniform (in log) over it.
    pub fn rounded(&mut self, middle: f64, width: f64) {
        let low = (middle - 0.5 * width).max(1.0);
        let high = (middle + 0.5 * width).max(low);
        self.push(middle.max(1.0).ln(), (high / low).ln());
    }

    /// Adds `ln` steps that lie anywhere within an interval of `width` on the log scale.
    fn push(&mut self, ln_steps: f64, width: f64) {
        let n = self.ln_steps.len() as f64;
        self.bracket_variance = (self.bracket_variance * n + width * width / 12.0) / (n + 1.0);
        self.ln_steps.push(ln_steps);
    }

    /// Adds a trial that had not reached the target when it ended at `cap` steps.
    pub fn not_reached(&mut self, cap: f64) {
        self.ln_caps.push(cap.max(1.0).ln());
    }

    /// Adds a finished trial. Trials that say nothing of reaching (infeasible, failed, raced,
    /// interrupted, without a target) are left out.
    pub fn add(&mut self, record: &TrialRecord) {
        match record.outcome {
            // The first evaluation met it: nothing is known of the steps before.
            Outcome::Reached { step, after: 0, .. } => self.reached(0, step as f64),
            Outcome::Reached {
                located: Some(at), ..
            } if at.rounding > 0.0 => self.rounded(at.crossing, at.rounding),
            // What is left of the noise of evaluations is part of the scatter between seeds.
            Outcome::Reached {
                located: Some(at), ..
            } => self.reached(u64::MAX, at.crossing),
            Outcome::Reached { step, after, .. } => self.reached(after, step as f64),
            Outcome::NotReached { cap } => self.not_reached(cap as f64),
            Outcome::Diverged { .. } => self.diverged += 1,
            _ => {}
        }
    }

    /// Trials that reached the target or were censored.
    pub fn trials(&self) -> u64 {
        (self.ln_steps.len() + self.ln_caps.len()) as u64
    }

    /// Number that reached it.
    pub fn n_reached(&self) -> usize {
        self.ln_steps.len()
    }

    /// Mean and sum of squares about it of the reached trials' `ln` steps.
    pub(crate) fn moments(&self) -> (f64, f64) {
        let n = self.ln_steps.len() as f64;
        let mean = self.ln_steps.iter().sum::<f64>() / n;
        (mean, self.ln_steps.iter().map(|y| (y - mean).powi(2)).sum())
    }

    /// As a group with its own location. Needs a reached trial.
    pub(crate) fn group(&self) -> Group {
        let (center, squares) = self.moments();
        let n = self.ln_steps.len() as f64;
        let censored = self.ln_caps.iter().map(|c| Censored {
            cap: c - center,
            count: 1.0,
            scale: 1.0,
        });
        Group {
            n,
            weight: n,
            center,
            squares,
            censored: censored.collect(),
        }
    }
}
