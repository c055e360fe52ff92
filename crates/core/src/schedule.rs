use serde::{Deserialize, Serialize};

/// A length of training, in optimizer steps or in passes over the training set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Optimizer updates.
    Steps(u64),
    /// Passes over the training examples; `epochs · N / B` steps, rounded up.
    Epochs(f64),
}

/// How the learning rate climbs to its full value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmUpShape {
    /// From (almost) zero: at step `t` of `W`, `(t + 1)/W` of the full rate.
    Linear,
    /// From the base batch size's rate to the full rate, linearly (Goyal et al. 2017).
    Gradual,
}

/// Warm-up: its length and shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// How long. Zero steps is no warm-up.
    pub length: Length,
    /// From where to where.
    pub shape: WarmUpShape,
}

/// What the learning rate does after warm-up. All but `Constant` tie steps-to-target to the length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// The learning rate of every step: a full rate, a climb to it and a decay from it.
///
/// This is the description; the arithmetic is `batchscope_rules::LearningRate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// An optimizer and its constants. Weight decay is not part of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OptimizerSpec {
    /// Stochastic gradient descent: `v ← m·v + (g + wd·w)`, `w ← w − η·v` (dampening 0), and
    /// with Nesterov `w ← w − η·(g + wd·w + m·v)`.
    Sgd {
        /// `m`, in [0, 1).
        momentum: f64,
        /// Look ahead along the momentum.
        nesterov: bool,
        /// L2 weight decay, coupled (added to the gradient).
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015), bias-corrected; weight decay coupled (added to the gradient).
    Adam {
        /// First-moment decay.
        beta1: f64,
        /// Second-moment decay.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// L2 weight decay, coupled.
        weight_decay: f64,
    },
    /// AdamW (Loshchilov and Hutter 2019): Adam with decoupled weight decay `w ← w − η·wd·w`.
    Adamw {
        /// First-moment decay.
        beta1: f64,
        /// Second-moment decay.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
}
