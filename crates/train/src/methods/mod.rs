//! How a step uses its gradient source and its update: one method a file.
//!
//! A method that only changes which gradient a step takes is a [`GradientSource`]
//! ([`AdversarialSource`]); one that takes several gradients or updates is a [`StepMethod`].

mod adversarial;
mod conservative;
mod plain;

use batchscope_core::{Group, LossSum, Network, NoiseRecord};

pub use adversarial::{Adversarial, AdversarialSource};
pub use conservative::Conservative;
pub use plain::Plain;

use crate::{GradientSource, TrainError, UpdateRule};

/// Makes one optimizer step of gradients and updates.
pub trait StepMethod: Send {
    /// Changes the parameters as step `context.step` does, and returns the loss sum over this
    /// replica's part of the batch, at the parameters the step began with.
    ///
    /// Depends on the network, the update rule's memory and the step's number alone, so that a step
    /// may be done again from a snapshot.
    ///
    /// # Errors
    /// When the network, its device or the group fails.
    fn take(&self, context: StepContext<'_>) -> Result<LossSum, TrainError>;
}

/// What a step is made with.
pub struct StepContext<'a> {
    /// The network in training.
    pub network: &'a mut dyn Network,
    /// Where gradients come from.
    pub source: &'a mut dyn GradientSource,
    /// How they change the parameters.
    pub rule: &'a mut dyn UpdateRule,
    /// The replicas that make the step together.
    pub group: &'a dyn Group,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// The step's number, from 0.
    pub step: u64,
    /// Where gradient noise is recorded, if it is watched.
    pub noise: Option<NoiseWatch<'a>>,
}

/// The gradient noise of the steps since the last evaluation.
pub struct NoiseWatch<'a> {
    /// What they told so far.
    pub record: &'a mut Option<NoiseRecord>,
    /// Whether layers are kept apart.
    pub layers: bool,
}
