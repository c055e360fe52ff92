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
    Choice, Descriptor, Kind, LossSum, Mode, Network, Parameter, ParameterDefault, Range, StepBatch,
};

use super::{
    Extra, MethodKind, Part, SourceParts,
    attack::{self, Attack, Mixture},
};
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
            attack::CLEAN_WEIGHT,
        ],
    },
    check: attack::check,
    part: Part::Gradient(|choice, parts| Ok(AdversarialSource::made(choice, parts, false))),
    beside: |_| Extra::NOTHING,
};

/// The gradient of the mixed loss on clean examples and on those moved by the weights of the step.
pub struct AdversarialSource<'a> {
    stream: BatchStream<'a>,
    attack: Attack,
    mixture: Mixture,
    /// Gradient with respect to the inputs of a micro-batch, reused.
    slope: Vec<f32>,
}

impl<'a> AdversarialSource<'a> {
    /// That of a method.
    pub(super) fn made(
        choice: &Choice,
        parts: SourceParts<'a, '_>,
        mixed_norm: bool,
    ) -> Box<dyn GradientSource + 'a> {
        let (attack, mixture) = (Attack::of(choice), Mixture::of(choice, mixed_norm));
        Box::new(Self::new(parts.stream, attack, mixture))
    }

    /// On the examples of a stream.
    pub fn new(stream: BatchStream<'a>, attack: Attack, mixture: Mixture) -> Self {
        Self {
            stream,
            attack,
            mixture,
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
        let Self { stream, slope, .. } = self;
        (self.mixture).gradient(network, stream, step, |network, batch, _| {
            network.input_gradient(batch, Mode::Training, slope)?;
            let examples = batch.len;
            self.attack.shift(attack::values(batch), slope, examples);
            Ok(())
        })
    }
}
