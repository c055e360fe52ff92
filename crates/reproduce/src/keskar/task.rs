//! The pieces of work, and the names of their files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// ADAM on the batch.
    Plain,
    /// On augmented images.
    Augmented,
    /// Each step a proximal problem.
    Conservative,
    /// On adversarial examples too.
    Adversarial,
}

impl Method {
    /// What the paper tries against sharp minima.
    pub const REMEDIES: [Self; 3] = [Self::Augmented, Self::Conservative, Self::Adversarial];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Plain => "plain",
            Method::Augmented => "augmented",
            Method::Conservative => "conservative",
            Method::Adversarial => "adversarial",
        }
    }
}

/// A training run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId {
    /// Examples per step.
    pub batch_size: u64,
    /// Number of the random start, from 0: initial weights and the order of the examples.
    pub start: u32,
    /// How it is trained.
    pub method: Method,
    /// Epochs of small batches from whose state it starts, where not from random weights.
    pub warm: Option<u32>,
}

impl RunId {
    /// The run of a batch size from a start, plainly.
    pub fn plain(batch_size: u64, start: u32) -> Self {
        Self {
            batch_size,
            start,
            method: Method::Plain,
            warm: None,
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}-s{}", self.batch_size, self.start)?;
        if self.method != Method::Plain {
            write!(f, "-{}", self.method.name())?;
        }
        if let Some(epoch) = self.warm {
            write!(f, "-warm{epoch}")?;
        }
        Ok(())
    }
}

/// The state of a network in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateId {
    /// The run.
    pub run: RunId,
    /// After so many epochs; `None` at its end.
    pub epoch: Option<u32>,
}

impl StateId {
    /// The state a run ends with.
    pub fn last(run: RunId) -> Self {
        Self { run, epoch: None }
    }

    /// The state after an epoch of a run.
    pub fn after(run: RunId, epoch: u32) -> Self {
        Self {
            run,
            epoch: Some(epoch),
        }
    }
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{}-epoch{epoch}", self.run),
            None => write!(f, "{}", self.run),
        }
    }
}

/// Where sharpness is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// All parameters.
    Full,
    /// A random subspace.
    Random,
}

/// A measure of sharpness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Quantity {
    /// Keskar's φ.
    Phi {
        /// The space that is searched.
        space: Space,
        /// ε.
        epsilon: f64,
    },
    /// Keskar's φ in the full space, its searches led on until they converge.
    Converged {
        /// ε.
        epsilon: f64,
    },
    /// The scale-aware companion: the same in a box of this relative half-width.
    Adaptive {
        /// Relative half-width.
        radius: f64,
    },
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Phi { space, epsilon } => {
                let space = match space {
                    Space::Full => "full",
                    Space::Random => "random",
                };
                write!(f, "phi-{space}-{epsilon:e}")
            }
            Quantity::Converged { epsilon } => write!(f, "phi-converged-{epsilon:e}"),
            Quantity::Adaptive { radius } => write!(f, "adaptive-{radius:e}"),
        }
    }
}

/// Shape of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The line through both minima.
    Straight,
    /// The curved path.
    Curved,
}

impl Shape {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Straight => "straight",
            Shape::Curved => "curved",
        }
    }
}

/// Where the running statistics of batch norm come from at a point of a slice: the two minima's own
/// fit neither the points between them nor those beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistics {
    /// Between those of the minima: means on the line through both, variances on the line of their
    /// logarithms.
    #[default]
    Interpolated,
    /// Estimated anew at every point from the training examples that losses are taken on.
    Estimated,
}

/// A piece of work, which leaves one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    /// A training run: its record, and its states.
    Train(RunId),
    /// A sharpness of a state.
    Sharpness {
        /// The state that is measured.
        state: StateId,
        /// The measure of sharpness.
        quantity: Quantity,
    },
    /// A slice between the minima of a start.
    Slice {
        /// The start.
        start: u32,
        /// Along which path.
        shape: Shape,
        /// With which batch-norm statistics.
        statistics: Statistics,
    },
}

impl Task {
    /// Its name, unique in the experiment.
    pub fn name(&self) -> String {
        match self {
            Task::Train(run) => format!("train {run}"),
            Task::Sharpness { state, quantity } => format!("{quantity} of {state}"),
            Task::Slice {
                start,
                shape,
                statistics,
            } => {
                let how = match statistics {
                    Statistics::Interpolated => "",
                    Statistics::Estimated => ", statistics estimated",
                };
                format!("{} slice of s{start}{how}", shape.name())
            }
        }
    }

    /// The file it leaves.
    pub fn file(&self) -> String {
        match self {
            Task::Train(run) => run_file(run),
            Task::Sharpness { state, quantity } => sharpness_file(state, quantity),
            Task::Slice {
                start,
                shape,
                statistics,
            } => slice_file(*start, *shape, *statistics),
        }
    }
}

/// The record of a run.
pub(crate) fn run_file(run: &RunId) -> String {
    format!("runs/{run}.json")
}

/// A run under way.
pub(crate) fn checkpoint_file(run: &RunId) -> String {
    format!("runs/{run}.unfinished.safetensors")
}

/// A state.
pub(crate) fn state_file(state: &StateId) -> String {
    format!("states/{state}.safetensors")
}

/// A sharpness.
pub(crate) fn sharpness_file(state: &StateId, quantity: &Quantity) -> String {
    format!("measured/{state}-{quantity}.json")
}

/// A sharpness whose searches are under way.
pub(crate) fn searches_file(state: &StateId, quantity: &Quantity) -> String {
    format!("measured/{state}-{quantity}.unfinished.json")
}

/// A slice.
pub(crate) fn slice_file(start: u32, shape: Shape, statistics: Statistics) -> String {
    let how = match statistics {
        Statistics::Interpolated => "",
        Statistics::Estimated => "-estimated",
    };
    format!("measured/slice-{}-s{start}{how}.json", shape.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_what_they_hold() {
        let run = RunId {
            batch_size: 1000,
            start: 2,
            method: Method::Conservative,
            warm: None,
        };
        assert_eq!(run_file(&run), "runs/b1000-s2-conservative.json");
        let warm = RunId {
            method: Method::Plain,
            warm: Some(8),
            ..run
        };
        let state = StateId::after(warm, 3);
        let quantity = Quantity::Phi {
            space: Space::Random,
            epsilon: 5e-4,
        };
        assert_eq!(
            sharpness_file(&state, &quantity),
            "measured/b1000-s2-warm8-epoch3-phi-random-5e-4.json"
        );
    }
}
