use serde::{Deserialize, Serialize};

use crate::Target;

/// Time constant of the smoothing, in natural log of steps: one default evaluation spacing.
///
/// A metric moves on a log-step scale, so the smoothing has its memory there: every batch size is
/// smoothed alike, and the lag (at most one spacing) is the same factor at all of them, which
/// leaves ratios between batch sizes alone.
pub const SMOOTHING_LOG_STEPS: f64 = 0.182_321_556_793_954_6; // ln 1.2

/// When a trial is evaluated and on how much: steps spaced geometrically.
///
/// ```
/// use batchscope_core::EvaluationPlan;
/// let plan = EvaluationPlan { first: 5, ratio: 1.2, ..EvaluationPlan::default() };
/// let mut step = 0;
/// let due: Vec<u64> = std::iter::from_fn(|| { step = plan.next_after(step); Some(step) }).take(6).collect();
/// assert_eq!(due, [5, 6, 8, 10, 12, 15]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluationPlan {
    /// The first evaluated step, at least 1.
    pub first: u64,
    /// Each evaluated step is this factor above the last (above 1), rounded up.
    pub ratio: f64,
    /// At most this many examples of each split are evaluated (a fixed subset).
    pub examples: u64,
    /// Sub-intervals into which the replay of a crossing divides its bracket; 1 is no replay.
    pub refine: u32,
}

impl Default for EvaluationPlan {
    fn default() -> Self {
        Self {
            first: 5,
            ratio: 1.2,
            examples: 2000,
            refine: 8,
        }
    }
}

impl EvaluationPlan {
    /// The first evaluated step after `step` (which is 0 or itself an evaluated step).
    pub fn next_after(&self, step: u64) -> u64 {
        if step < self.first {
            return self.first.max(1);
        }
        ((step as f64 * self.ratio).ceil() as u64).max(step + 1)
    }

    /// The steps strictly between `after` and `step` at which a replay evaluates, increasing.
    pub fn replay_steps(&self, after: u64, step: u64) -> Vec<u64> {
        let (low, high) = (after.max(1) as f64, step as f64);
        let mut steps: Vec<u64> = (1..self.refine)
            .map(|j| {
                (low * (high / low).powf(f64::from(j) / f64::from(self.refine))).round() as u64
            })
            .filter(|&s| s > after && s < step)
            .collect();
        steps.dedup();
        steps
    }
}

/// Exponential smoothing in log-steps: `m̃ ← m̃ + (1 − e^{−Δ ln s/τ})(m − m̃)`, τ =
/// [`SMOOTHING_LOG_STEPS`]. Irregular spacing is allowed, so a finer replay continues from a
/// coarse history. Non-finite values stick: a diverged metric never smooths away.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Smoother {
    /// The last observed step and the smoothed value there.
    state: Option<(u64, f64)>,
}

impl Smoother {
    /// Takes the value at `step` (after the last) and returns the smoothed one.
    pub fn observe(&mut self, step: u64, value: f64) -> f64 {
        let smoothed = match self.state {
            None => value,
            Some((last, old)) => {
                let gap = (step.max(1) as f64).ln() - (last.max(1) as f64).ln();
                old + (1.0 - (-gap / SMOOTHING_LOG_STEPS).exp()) * (value - old)
            }
        };
        self.state = Some((step, smoothed));
        smoothed
    }

    /// The smoothed value so far.
    pub fn value(&self) -> Option<f64> {
        self.state.map(|(_, value)| value)
    }
}

/// Watches a metric for the first step at which, smoothed, it is as good as the target.
///
/// ```
/// use batchscope_core::Crossing;
/// let mut crossing = Crossing::new("val-error=0.1".parse().unwrap());
/// assert_eq!(crossing.observe(10, 0.5), None);
/// assert_eq!(crossing.observe(100, 0.05), Some((10, 100))); // in (10, 100]
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    target: Target,
    smoother: Smoother,
    last: u64,
}

impl Crossing {
    /// Nothing observed yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            smoother: Smoother::default(),
            last: 0,
        }
    }

    /// The target watched for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Takes the raw metric at `step`; returns the bracket `(after, step]` of a crossing.
    pub fn observe(&mut self, step: u64, value: f64) -> Option<(u64, u64)> {
        let after = self.last;
        self.last = step;
        self.target
            .is_met(self.smoother.observe(step, value))
            .then_some((after, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_is_a_function_of_log_steps_only() {
        let curve = |scale: u64| {
            let mut smoother = Smoother::default();
            [5, 6, 8, 10, 12].map(|s| smoother.observe(s * scale, 1.0 / s as f64))
        };
        for (a, b) in curve(1).iter().zip(curve(1000)) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn a_constant_is_its_own_smoothing_and_a_nan_sticks() {
        let mut smoother = Smoother::default();
        assert_eq!(smoother.observe(1, 0.25), 0.25);
        assert_eq!(smoother.observe(7, 0.25), 0.25);
        smoother.observe(8, f64::NAN);
        assert!(smoother.observe(9, 0.0).is_nan());
    }

    #[test]
    fn replay_steps_lie_inside_the_bracket() {
        let plan = EvaluationPlan::default();
        assert_eq!(plan.replay_steps(5, 6), Vec::<u64>::new());
        let steps = plan.replay_steps(100, 120);
        assert_eq!(steps.len(), 7);
        assert!(steps.windows(2).all(|w| w[0] < w[1]) && steps[0] > 100 && steps[6] < 120);
    }
}
