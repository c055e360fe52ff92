use serde::{Deserialize, Serialize};

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
    /// Parts into which a spacing is divided near the target; 1 is no finer evaluations.
    pub refine: u32,
}

impl Default for EvaluationPlan {
    fn default() -> Self {
        Self {
            first: 5,
            ratio: 1.2,
            examples: 1000,
            refine: 2,
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

    /// The steps strictly between the evaluated steps `after` and `step` that are evaluated too
    /// where the target is near, increasing.
    pub fn finer_steps(&self, after: u64, step: u64) -> Vec<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_steps_lie_between_the_evaluated_ones() {
        let plan = EvaluationPlan {
            refine: 8,
            ..EvaluationPlan::default()
        };
        assert_eq!(plan.finer_steps(5, 6), Vec::<u64>::new());
        let steps = plan.finer_steps(100, 120);
        assert_eq!(steps.len(), 7);
        assert!(steps.windows(2).all(|w| w[0] < w[1]) && steps[0] > 100 && steps[6] < 120);
        assert_eq!(EvaluationPlan::default().finer_steps(100, 120), [110]);
    }
}
