//! What every number of the experiment depends on.

use std::fmt;

use batchscope_core::{Choice, Value};
use serde::{Deserialize, Serialize};

/// When training stops.
///
/// The loss on a fixed subset of the training set, in evaluation, is looked at after every epoch.
/// Training stops as soon as none of the last `patience` epochs has brought it below the lowest of
/// all epochs before them by the larger of `relative` times that lowest and `absolute`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Epochs that may pass without an improvement.
    pub patience: u32,
    /// Smallest improvement that counts, as a fraction of the lowest loss.
    pub relative: f64,
    /// Smallest improvement that counts.
    pub absolute: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            patience: 5,
            relative: 0.01,
            absolute: 1e-4,
        }
    }
}

impl Plateau {
    /// Whether training stops after epochs with these losses.
    ///
    /// ```
    /// use batchscope_reproduce::keskar::Plateau;
    /// let rule = Plateau { patience: 2, relative: 0.1, absolute: 0.0 };
    /// assert!(!rule.reached(&[1.0, 0.5, 0.48]));
    /// assert!(rule.reached(&[1.0, 0.5, 0.48, 0.47]));
    /// assert!(!rule.reached(&[1.0, 0.5, 0.48, 0.44]));
    /// ```
    pub fn reached(&self, losses: &[f64]) -> bool {
        let Some(before) = losses.len().checked_sub(self.patience as usize) else {
            return false;
        };
        let (before, lately) = losses.split_at(before);
        let lowest = |losses: &[f64]| losses.iter().copied().fold(f64::INFINITY, f64::min);
        let best = lowest(before);
        !before.is_empty() && lowest(lately) > best - (self.relative * best).max(self.absolute)
    }
}

/// How sharpness is measured; see [`batchscope_landscape::sharpness`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharpening {
    /// Training examples whose loss it is, the first of the stored (random) order.
    pub examples: u64,
    /// Random starts of each maximization.
    pub starts: u32,
    /// Iterations of L-BFGS-B; where the loss is all but zero they may end far from the maximum, so
    /// φ in the full space is measured by searches that go on too.
    pub iterations: u64,
    /// Iterations after which a search that is to converge ends nevertheless.
    #[serde(default = "patience", skip_serializing_if = "is_usual")]
    pub patience: u64,
    /// Half-widths of the box, ε.
    pub epsilons: Vec<f64>,
    /// Dimension of the random subspace.
    pub dimension: usize,
    /// Relative half-width of the scale-aware companion's box.
    pub adaptive: f64,
}

/// The patience of every folder that does not say.
fn patience() -> u64 {
    Sharpening::PATIENCE
}

fn is_usual(patience: &u64) -> bool {
    *patience == Sharpening::PATIENCE
}

impl Sharpening {
    /// The usual patience.
    pub const PATIENCE: u64 = 200;
}

/// Everything that the numbers depend on. A folder holds results of one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The paper's name of the network: `f1`, `f2`, `c1` to `c4`.
    pub network: String,
    /// The model with its settings.
    pub model: String,
    /// The data, with their settings.
    pub data: String,
    /// Training examples, `N`.
    pub examples: u64,
    /// The small batch: 256 in the paper.
    pub small: u64,
    /// The large batch: a tenth of the examples in the paper.
    pub large: u64,
    /// ADAM's rate.
    pub learning_rate: f64,
    /// Epochs after which a run ends whether it improves or not.
    pub epochs: u32,
    /// When it ends before.
    pub plateau: Plateau,
    /// Examples of the training and of the test set on which losses and accuracies are taken.
    pub evaluation: u64,
    /// Sharpness.
    pub sharpness: Sharpening,
    /// Augmentation of the training images for the first remedy; empty for data that have none.
    pub augment: String,
    /// Proximal weight and iterations of conservative training.
    pub conservative: Conservative,
    /// Adversarial training.
    pub adversarial: Adversarial,
    /// Seed of everything random.
    pub seed: u64,
}

/// Conservative training as the paper has it: λ = 1e-3, three iterations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conservative {
    /// Weight of the squared distance to the step's start, λ.
    pub lambda: f64,
    /// Updates per step.
    pub iterations: u64,
}

impl Default for Conservative {
    fn default() -> Self {
        Self {
            lambda: 1e-3,
            iterations: 3,
        }
    }
}

impl Conservative {
    /// As a step method.
    pub(crate) fn method(&self) -> Choice {
        Choice::new(
            "conservative",
            [
                ("lambda", Value::from(self.lambda)),
                ("iterations", Value::from(self.iterations)),
            ],
        )
    }
}

impl fmt::Display for Conservative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lambda, self.iterations)
    }
}

/// Adversarial training: ε and the clean loss's weight α.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adversarial {
    /// How far every input value moves, ε.
    pub epsilon: f64,
    /// Weight of the clean loss, α.
    pub share: f64,
}

impl Default for Adversarial {
    /// ε = 0.1, which Goodfellow et al. take for CIFAR-10, and their equal weights.
    fn default() -> Self {
        Self {
            epsilon: 0.1,
            share: 0.5,
        }
    }
}

impl Adversarial {
    /// As a step method.
    pub(crate) fn method(&self) -> Choice {
        Choice::new(
            "adversarial",
            [
                ("epsilon", Value::from(self.epsilon)),
                ("clean_weight", Value::from(self.share)),
            ],
        )
    }
}

impl fmt::Display for Adversarial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epsilon, self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_is_no_improvement_for_so_many_epochs() {
        let rule = Plateau::default();
        let falling: Vec<f64> = (0..40).map(|e| 2.0 * 0.9f64.powi(e)).collect();
        let stopped = (0..falling.len()).find(|&n| rule.reached(&falling[..n]));
        // It falls by a tenth each epoch: only the absolute bound ends it, once the loss is so low.
        assert_eq!(stopped, None);
        assert!(rule.reached(&[1e-5, 2e-5, 1e-5, 9e-6, 1e-5, 3e-5]));
        assert!(!rule.reached(&[1.0, 1.0, 1.0, 1.0, 1.0]));
        assert!(rule.reached(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.995]));
    }
}
