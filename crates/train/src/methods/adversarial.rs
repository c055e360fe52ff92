//! Adversarial training with the fast gradient sign method.
//!
//! I. J. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR
//! 2015 (arXiv 1412.6572), sections 4 and 6, with their weight `α` of the clean loss and their ε:
//!
//! ```text
//! x̃ = x + ε·sign(∇_x J(θ, x, y))
//! J̃(θ, x, y) = α·J(θ, x, y) + (1 − α)·J(θ, x̃, y)
//! ```
//!
//! `x̃` is held fixed when `J̃` is differentiated. ε is in the units the network sees: standard
//! deviations of the training inputs, where those are standardized. `J` is the loss of training
//! throughout: batch norm by its ghost batches, the same dropout masks for `x` and `x̃`; the
//! statistics of both enter the running ones. A coordinate without a slope stays where it is.

use std::{fmt, str::FromStr};

use batchscope_core::{DataShape, InputShape, Inputs, LossSum, Network, Sampler, StreamKey};
use serde::{Deserialize, Serialize};

use crate::{GradientSource, Portions, TrainError, augment::Augmenter, gradient::BatchStream};

/// Settings of adversarial training, written `EPSILON` or `EPSILON:SHARE`.
///
/// ```
/// use batchscope_train::Adversarial;
/// let setting: Adversarial = "0.25".parse()?;
/// assert_eq!(setting, Adversarial { epsilon: 0.25, share: 0.5 });
/// assert_eq!("0.1:0.7".parse::<Adversarial>()?.to_string(), "0.1:0.7");
/// assert!("0.1:1.5".parse::<Adversarial>().is_err());
/// # Ok::<(), batchscope_train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adversarial {
    /// How far every input value moves, ε, above 0.
    pub epsilon: f64,
    /// Weight of the clean loss, α, in [0, 1].
    pub share: f64,
}

impl Default for Adversarial {
    /// ε = 0.1 and equal weights, as in the paper's experiments (ε = 0.1 is theirs for CIFAR-10).
    fn default() -> Self {
        Self {
            epsilon: 0.1,
            share: 0.5,
        }
    }
}

impl Adversarial {
    /// Checks the settings, and that there are input values to move.
    pub(crate) fn check(&self, shape: &DataShape) -> Result<(), TrainError> {
        if matches!(shape.input, InputShape::Tokens { .. }) {
            return Err(TrainError::Refused(
                "adversarial examples move input values by a little, and tokens cannot be: leave \
                 --adversarial out for text"
                    .to_owned(),
            ));
        }
        self.checked().map(|_| ())
    }

    fn checked(self) -> Result<Self, TrainError> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite() && (0.0..=1.0).contains(&self.share)) {
            return Err(TrainError::Refused(format!(
                "adversarial training {self}: choose a step above 0 and a weight of the clean loss \
                 from 0 to 1, for example 0.1:0.5"
            )));
        }
        Ok(self)
    }
}

impl fmt::Display for Adversarial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epsilon, self.share)
    }
}

impl FromStr for Adversarial {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let (epsilon, share) = text.split_once(':').unwrap_or((text, "0.5"));
        let number = |text: &str| text.trim().parse().unwrap_or(f64::NAN);
        let read = Self {
            epsilon: number(epsilon),
            share: number(share),
        };
        read.checked().map_err(|_| {
            TrainError::Refused(format!(
                "'{text}' is no adversarial training: write the step of every input value, or that \
                 and the weight of the clean loss: 0.1 or 0.1:0.5"
            ))
        })
    }
}

/// The gradient of the mixed loss on clean and adversarial examples.
pub struct AdversarialSource<'a> {
    stream: BatchStream<'a>,
    settings: Adversarial,
    /// Gradient with respect to the inputs of a micro-batch, reused.
    slope: Vec<f32>,
}

impl<'a> AdversarialSource<'a> {
    /// As [`Supervised::new`](crate::Supervised::new), with the settings of the attack.
    pub fn new(
        sampler: Box<dyn Sampler + 'a>,
        shape: DataShape,
        portions: Portions,
        augmenter: Option<Augmenter>,
        key: StreamKey,
        settings: Adversarial,
    ) -> Self {
        Self {
            stream: BatchStream::new(sampler, shape, portions, augmenter, key),
            settings,
            slope: Vec::new(),
        }
    }
}

impl GradientSource for AdversarialSource<'_> {
    fn gradient(&mut self, network: &mut dyn Network, step: u64) -> Result<LossSum, TrainError> {
        let Adversarial { epsilon, share } = self.settings;
        let scale = f64::from(self.stream.scale);
        network.begin_step(self.stream.portions.batch_size);
        let mut sum = LossSum::default();
        for positions in self.stream.portions.micro_batches() {
            let batch = self.stream.fill(step, positions);
            network.input_gradient(batch, &mut self.slope)?;
            let clean = network.accumulate(batch, (share * scale) as f32)?;
            if let Inputs::Values(values) = &mut batch.inputs {
                step_by_sign(values, &self.slope, epsilon as f32);
            }
            let moved = network.accumulate(batch, ((1.0 - share) * scale) as f32)?;
            sum.loss += share * clean.loss + (1.0 - share) * moved.loss;
            sum.weight += clean.weight;
        }
        Ok(sum)
    }
}

/// `x ← x + ε·sign(g)`, with sign 0 of what is neither above nor below 0.
fn step_by_sign(x: &mut [f32], g: &[f32], epsilon: f32) {
    for (x, &g) in x.iter_mut().zip(g) {
        if g > 0.0 {
            *x += epsilon;
        } else if g < 0.0 {
            *x -= epsilon;
        }
    }
}
