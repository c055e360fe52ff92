//! When a run has diverged.
//!
//! A non-finite loss is a divergence at once. Otherwise the loss of every step goes, cut at ten
//! times the limit so that a single spike is survived, into an exponential average of
//! [`MEMORY`] steps; a run whose average lies above the limit for [`PATIENCE`] steps on end has
//! diverged. The limit is `3·L₀ + 1`, with `L₀` the loss of knowing nothing: `ln C` for a choice
//! among `C` classes or tokens, the untrained network's loss for regression. A network that merely
//! fails to learn stays near `L₀`, and warm-up or early overshoot comes back within the patience:
//! neither is taken for divergence.

use crate::{DataShape, InputShape, Task};
use serde::{Deserialize, Serialize};

/// Time constant of the exponential average of the losses, in steps.
pub const MEMORY: f64 = 16.0;

/// Steps on end that the average must lie above the limit.
pub const PATIENCE: u32 = 16;

/// Watches the training loss for divergence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    limit: f64,
    average: f64,
    above: u32,
}

impl Divergence {
    /// Starts from `L₀`, the loss of knowing nothing.
    pub fn new(uninformed: f64) -> Self {
        let limit = if uninformed.is_finite() {
            3.0 * uninformed + 1.0
        } else {
            f64::MAX / 10.0
        };
        Self {
            limit,
            average: uninformed.min(limit),
            above: 0,
        }
    }

    /// `L₀` where the task alone tells it.
    pub fn uninformed(shape: &DataShape) -> Option<f64> {
        match (shape.task, shape.input) {
            (Task::Classify { classes } | Task::Segment { classes }, _) => {
                Some((classes.max(1) as f64).ln())
            }
            (Task::NextToken, InputShape::Tokens { vocabulary, .. }) => {
                Some((vocabulary.max(1) as f64).ln())
            }
            _ => None,
        }
    }

    /// Takes the mean loss of a step; true once the run has diverged.
    pub fn observe(&mut self, loss: f64) -> bool {
        if !loss.is_finite() {
            return true;
        }
        self.average += (loss.min(10.0 * self.limit) - self.average) / MEMORY;
        self.above = if self.average > self.limit {
            self.above + 1
        } else {
            0
        };
        self.above >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const L0: f64 = std::f64::consts::LN_10;

    fn first_diverged(losses: impl IntoIterator<Item = f64>) -> Option<usize> {
        let mut watch = Divergence::new(L0);
        losses.into_iter().position(|loss| watch.observe(loss))
    }

    #[test]
    fn a_loss_that_is_no_number_diverges_at_once() {
        assert_eq!(first_diverged([L0, f64::NAN]), Some(1));
        assert_eq!(first_diverged([L0, f64::INFINITY]), Some(1));
    }

    #[test]
    fn learning_failing_to_learn_and_a_spike_are_no_divergence() {
        assert_eq!(
            first_diverged((1..5000).map(|k| L0 / (k as f64).sqrt())),
            None
        );
        assert_eq!(first_diverged(vec![L0; 5000]), None);
        let spike = (0..1000).map(|k| if k == 3 { 1e9 } else { 2.0 });
        assert_eq!(first_diverged(spike), None);
    }

    #[test]
    fn a_loss_that_stays_far_above_the_start_is_divergence() {
        let blown_up = (0..1000).map(|k| if k < 100 { 1.0 } else { 60.0 });
        let noticed = first_diverged(blown_up).unwrap();
        assert!((115..140).contains(&noticed), "{noticed}");
    }

    #[test]
    fn regression_on_a_large_scale_starts_from_its_own_loss() {
        let mut watch = Divergence::new(1e10);
        assert!((0..1000).all(|_| !watch.observe(2.5e10)));
        assert!((0..1000).any(|_| watch.observe(9e10)));
    }
}
