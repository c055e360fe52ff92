//! What the tasks leave in the folder.

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use super::task::{Quantity, RunId, Shape, StateId, Statistics};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum Ended {
    /// The training loss stopped improving.
    Plateau,
    /// The cap of epochs came first.
    Cap,
    /// The loss blew up: nothing is measured of it.
    Diverged,
    /// It could not be begun.
    Skipped {
        /// The reason, in words.
        why: String,
    },
}

/// The training loss after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochLoss {
    /// Epochs done.
    pub epoch: u32,
    /// Mean loss of the evaluated training examples.
    pub train_loss: f64,
}

/// Loss and accuracy of a network on the evaluated examples.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Epochs done.
    pub epoch: u32,
    /// Mean training loss.
    pub train_loss: f64,
    /// Fraction of the training examples classified correctly.
    pub train_accuracy: f64,
    /// Mean test loss.
    pub test_loss: f64,
    /// Fraction of the test examples classified correctly.
    pub test_accuracy: f64,
}

impl Snapshot {
    /// The same with the largest number for a loss that is not finite, which JSON could not hold.
    pub(crate) fn storable(self) -> Self {
        let finite = |loss: f64| if loss.is_finite() { loss } else { f64::MAX };
        Self {
            train_loss: finite(self.train_loss),
            test_loss: finite(self.test_loss),
            ..self
        }
    }
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run that this records.
    pub run: RunId,
    /// How it ended.
    pub ended: Ended,
    /// Where it ended; `None` unless something can be measured of it.
    pub last: Option<Snapshot>,
    /// `‖x − x₀‖` over the parameters, from where it started.
    pub distance: f64,
    /// The loss after every epoch.
    pub epochs: Vec<EpochLoss>,
    /// States kept on the way.
    pub kept: Vec<Snapshot>,
    /// Optimizer steps done.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Remarks.
    pub notes: Vec<String>,
}

/// A sharpness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharpnessRecord {
    /// The state whose sharpness it is.
    pub state: StateId,
    /// The measure of sharpness.
    pub quantity: Quantity,
    /// In per cent: mean over the starts of the maximization. Undefined where there is no state.
    pub phi: Estimate,
    /// Searches whose convergence test was met, of those that [`SharpnessRecord::phi`] is the mean of;
    /// `None` in records of before it was kept.
    #[serde(default)]
    pub converged: Option<u64>,
    /// Loss at the center, on the examples of the measurement.
    pub loss: Option<f64>,
    /// Evaluations of loss and gradient.
    pub evaluations: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// A point of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SlicePoint {
    /// 0 at the small-batch minimum, 1 at the large-batch one.
    pub alpha: f64,
    /// Mean training loss; `None` where it is not finite.
    pub train_loss: Option<f64>,
    /// Fraction of the training examples classified correctly.
    pub train_accuracy: f64,
    /// Mean test loss.
    pub test_loss: Option<f64>,
    /// Fraction of the test examples classified correctly.
    pub test_accuracy: f64,
}

/// A slice, finished or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Its start.
    pub start: u32,
    /// Its shape.
    pub shape: Shape,
    /// Where batch norm's statistics come from.
    #[serde(default)]
    pub statistics: Statistics,
    /// Its points in order; `None` where not measured yet.
    pub points: Vec<Option<SlicePoint>>,
    /// Why there are none.
    pub missing: Option<String>,
}

impl SliceRecord {
    /// Whether nothing is left to measure.
    pub fn finished(&self) -> bool {
        self.missing.is_some() || self.points.iter().all(Option::is_some)
    }
}
