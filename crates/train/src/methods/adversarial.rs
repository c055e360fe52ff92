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

use batchscope_core::{
    Descriptor, InputShape, Inputs, Kind, LossSum, Network, Parameter, ParameterDefault, Range,
    SettingError, StepBatch,
};

use super::{MethodKind, Part};
use crate::{BatchStream, GradientSource, TrainError};

pub(super) static ADVERSARIAL: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "adversarial",
        aliases: &[],
        about: "Trains on examples moved by the fast gradient sign method too",
        source: "Goodfellow et al. 2015, arXiv 1412.6572",
        parameters: &[
            Parameter {
                name: "epsilon",
                about: "How far every input value moves, ε",
                kind: Kind::Number(Range::POSITIVE),
                // Theirs for CIFAR-10.
                default: ParameterDefault::Number(0.1),
            },
            Parameter {
                name: "clean_weight",
                about: "Weight of the clean loss, α",
                kind: Kind::Number(Range::UNIT),
                default: ParameterDefault::Number(0.5),
            },
        ],
    },
    check: |shape| match shape.input {
        InputShape::Tokens { .. } => Err(SettingError::new(
            "method",
            "adversarial examples move input values by a little, and tokens cannot be: train on \
             text without them",
        )
        .into()),
        _ => Ok(()),
    },
    part: Part::Gradient(|choice, stream| {
        let number = |key, default| choice.number(key).unwrap_or(default);
        Box::new(AdversarialSource::new(
            stream,
            number("epsilon", 0.1),
            number("clean_weight", 0.5),
        ))
    }),
};

/// The gradient of the mixed loss on clean and adversarial examples.
pub struct AdversarialSource<'a> {
    stream: BatchStream<'a>,
    /// How far every input value moves, ε, above 0.
    epsilon: f64,
    /// Weight of the clean loss, α, in [0, 1].
    clean_weight: f64,
    /// Gradient with respect to the inputs of a micro-batch, reused.
    slope: Vec<f32>,
}

impl<'a> AdversarialSource<'a> {
    /// On the examples of a stream, moved by `epsilon` above 0; the clean loss has the weight
    /// `clean_weight` in [0, 1].
    pub fn new(stream: BatchStream<'a>, epsilon: f64, clean_weight: f64) -> Self {
        Self {
            stream,
            epsilon,
            clean_weight,
            slope: Vec::new(),
        }
    }
}

impl GradientSource for AdversarialSource<'_> {
    fn gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<LossSum, TrainError> {
        let (epsilon, share) = (self.epsilon, self.clean_weight);
        let scale = f64::from(self.stream.scale(step));
        network.begin_step(step.batch_size);
        let mut sum = LossSum::default();
        for positions in self.stream.portions().micro_batches(step.batch_size) {
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
