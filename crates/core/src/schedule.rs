use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of training, in optimizer steps or in passes over the training set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Optimizer updates.
    Steps(u64),
    /// Passes over the training examples; `epochs · N / B` steps, rounded up.
    Epochs(f64),
}

impl Length {
    /// True for no steps at all, at any batch size.
    pub fn is_zero(self) -> bool {
        matches!(self, Length::Steps(0) | Length::Epochs(0.0))
    }

    /// Optimizer updates at `batch_size` (0 counts as 1) on `train_examples`: `epochs · N / B`,
    /// rounded up. A result within 1e-9 of a whole number, relative to it, is that number: 0.1
    /// epochs of 60,000 examples at batch size 100 are 60 steps, though the product of floats lies
    /// just above 60.
    ///
    /// ```
    /// use batchscope_core::Length;
    /// assert_eq!(Length::Epochs(0.1).in_steps(100, 60_000), 60);
    /// assert_eq!(Length::Epochs(1.0).in_steps(128, 50_000), 391);
    /// assert_eq!(Length::Steps(200).in_steps(128, 0), 200);
    /// ```
    pub fn in_steps(self, batch_size: u64, train_examples: u64) -> u64 {
        match self {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let steps = epochs * train_examples as f64 / batch_size.max(1) as f64;
                let whole = steps.round();
                match (steps - whole).abs() <= 1e-9 * steps {
                    true => whole as u64,
                    false => steps.ceil() as u64,
                }
            }
        }
    }
}

/// Why a length could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a length: write steps (200) or epochs (2.5ep)")]
pub struct LengthError(String);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Steps(steps) => write!(f, "{steps}"),
            Length::Epochs(epochs) => write!(f, "{epochs}ep"),
        }
    }
}

/// Reads `200` (steps), `2.5ep` or `2.5epochs`.
///
/// ```
/// use batchscope_core::Length;
/// assert_eq!("200".parse(), Ok(Length::Steps(200)));
/// assert_eq!("2.5ep".parse(), Ok(Length::Epochs(2.5)));
/// ```
impl FromStr for Length {
    type Err = LengthError;

    fn from_str(text: &str) -> Result<Self, LengthError> {
        let wrong = || LengthError(text.chars().take(80).collect());
        let trimmed = text.trim();
        let epochs = trimmed
            .strip_suffix("ep")
            .or_else(|| trimmed.strip_suffix("epochs"));
        match epochs {
            Some(epochs) => match epochs.trim().parse::<f64>() {
                Ok(epochs) if epochs.is_finite() && epochs >= 0.0 => Ok(Length::Epochs(epochs)),
                _ => Err(wrong()),
            },
            None => trimmed.parse().map(Length::Steps).map_err(|_| wrong()),
        }
    }
}

/// How the learning rate climbs to its full value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmUpShape {
    /// From (almost) zero: at step `t` of `W`, `(t + 1)/W` of the full rate.
    Linear,
    /// From the base batch size's rate to the full rate, linearly (Goyal et al. 2017).
    Gradual,
}

/// Why the shape of a warm-up could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a shape: choose linear or gradual")]
pub struct WarmUpShapeError(String);

impl fmt::Display for WarmUpShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WarmUpShape::Linear => "linear",
            WarmUpShape::Gradual => "gradual",
        })
    }
}

impl FromStr for WarmUpShape {
    type Err = WarmUpShapeError;

    fn from_str(text: &str) -> Result<Self, WarmUpShapeError> {
        match text {
            "linear" => Ok(WarmUpShape::Linear),
            "gradual" => Ok(WarmUpShape::Gradual),
            other => Err(WarmUpShapeError(other.chars().take(80).collect())),
        }
    }
}

/// Warm-up: its length and shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WarmUp {
    /// How long. Zero steps is no warm-up.
    pub length: Length,
    /// From where to where.
    pub shape: WarmUpShape,
}

/// What the learning rate does after warm-up. All but `Constant` tie steps-to-target to the length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Decay {
    /// Nothing.
    Constant,
    /// Multiply by `factor` at each of the `at` marks.
    Step {
        /// Where, in increasing order.
        at: Vec<Length>,
        /// By what, in (0, 1].
        factor: f64,
    },
    /// Straight line to `floor` times the rate over `over`.
    Linear {
        /// Length measured from the end of warm-up.
        over: Length,
        /// Final fraction of the rate, in [0, 1].
        floor: f64,
    },
    /// Half a cosine to `floor` times the rate over `over`.
    Cosine {
        /// Length measured from the end of warm-up.
        over: Length,
        /// Final fraction of the rate, in [0, 1].
        floor: f64,
    },
    /// `(1 − t/T)^power`, down to `floor` times the rate.
    Polynomial {
        /// Length measured from the end of warm-up.
        over: Length,
        /// Exponent, above 0.
        power: f64,
        /// Final fraction of the rate, in [0, 1].
        floor: f64,
    },
}

impl Decay {
    /// The length over which it falls, if it falls over one.
    pub fn length_mut(&mut self) -> Option<&mut Length> {
        match self {
            Self::Linear { over, .. }
            | Self::Cosine { over, .. }
            | Self::Polynomial { over, .. } => Some(over),
            Self::Constant | Self::Step { .. } => None,
        }
    }
}

/// The learning rate of every step: a full rate, a climb to it and a decay from it.
///
/// This is the description; the arithmetic is `batchscope_rules::LearningRate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// The climb.
    pub warm_up: WarmUp,
    /// The decay.
    pub decay: Decay,
    /// The rate gradual warm-up starts from (the base batch size's); unused by linear warm-up.
    pub base_learning_rate: Option<f64>,
}

impl Schedule {
    /// Full rate from the first step on.
    pub fn constant() -> Self {
        Self {
            warm_up: WarmUp {
                length: Length::Steps(0),
                shape: WarmUpShape::Linear,
            },
            decay: Decay::Constant,
            base_learning_rate: None,
        }
    }

    /// Linear warm-up over `steps`, then constant.
    pub fn warm_up(steps: u64) -> Self {
        Self {
            warm_up: WarmUp {
                length: Length::Steps(steps),
                shape: WarmUpShape::Linear,
            },
            ..Self::constant()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_as_written() {
        for text in ["200", "0", "2.5ep"] {
            assert_eq!(text.parse::<Length>().unwrap().to_string(), text);
        }
        assert_eq!("3epochs".parse(), Ok(Length::Epochs(3.0)));
        for broken in ["", "ep", "-3", "2,5ep", "NaNep", "1e400ep", "-1ep"] {
            assert!(broken.parse::<Length>().is_err(), "{broken}");
        }
    }
}
