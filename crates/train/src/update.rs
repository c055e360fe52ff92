//! How a mean gradient changes the parameters.

use batchwise_core::{Group, Network, NetworkError, StateTensor};
use batchwise_optim::{Optimiser, StateError, clip_factor, sum_of_squares};

use crate::TrainError;

/// Changes the parameters from the gradient window, communicating where replicas must agree.
pub trait UpdateRule: Send {
    /// Ends with the same parameters on every replica that started with the same ones (gossip
    /// rules aside), updated at `learning_rate`; `step` counts from 0.
    ///
    /// # Errors
    /// When the device or the group fails.
    fn update(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TrainError>;

    /// Everything remembered between steps, in canonical layout.
    fn state(&self) -> Vec<StateTensor>;

    /// Takes over a state made by [`UpdateRule::state`].
    ///
    /// # Errors
    /// When it belongs to another rule or network; nothing is changed then.
    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError>;
}

/// Synchronous descent: gradients summed over the group, clipped by their global norm, handed to
/// an optimiser.
pub struct Synchronous {
    optimiser: Box<dyn Optimiser>,
    clip: Option<f64>,
}

impl Synchronous {
    /// An optimiser, behind clipping of the mean gradient's norm to `clip` if given.
    pub fn new(optimiser: Box<dyn Optimiser>, clip: Option<f64>) -> Self {
        Self { optimiser, clip }
    }
}

impl UpdateRule for Synchronous {
    fn update(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TrainError> {
        if group.size() > 1 {
            all_reduce_gradient(network, group)?;
        }
        let factor = match self.clip {
            Some(clip) => clip_factor(squared_gradient_norm(network)?, clip),
            None => None,
        };
        self.optimiser.begin_step(learning_rate, step);
        network.visit(&mut |tensor, parameters, gradient| {
            if let Some(factor) = factor {
                gradient.iter_mut().for_each(|g| *g *= factor);
            }
            self.optimiser.update(tensor, parameters, gradient);
        })?;
        Ok(())
    }

    fn state(&self) -> Vec<StateTensor> {
        self.optimiser.state()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        self.optimiser.load(state)
    }
}

/// Sums the gradient windows of all replicas, tensor by tensor.
fn all_reduce_gradient(network: &mut dyn Network, group: &dyn Group) -> Result<(), TrainError> {
    let mut result = Ok(());
    network.visit(&mut |_, _, gradient| {
        if result.is_ok() {
            result = group.all_reduce_sum(gradient);
        }
    })?;
    Ok(result?)
}

/// `‖g‖²` over all tensors of the gradient window.
pub(crate) fn squared_gradient_norm(network: &mut dyn Network) -> Result<f64, NetworkError> {
    let mut sum = 0.0;
    network.visit(&mut |_, _, gradient| sum += sum_of_squares(gradient))?;
    Ok(sum)
}
