//! How a mean gradient changes the parameters.

use batchscope_core::{Group, Network, NetworkError, StateTensor};
use batchscope_optim::{Optimizer, StateError, clip_factor, sum_of_squares};

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

    /// True where a run is judged by other parameters than those in training.
    fn averages(&self) -> bool {
        false
    }

    /// Replaces the parameters by those that the run is judged by. The caller keeps those in training.
    ///
    /// # Errors
    /// When the device fails.
    fn average(&self, _network: &mut dyn Network) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Everything remembered between steps, in canonical layout.
    fn state(&self) -> Vec<StateTensor>;

    /// Takes over a state made by [`UpdateRule::state`].
    ///
    /// # Errors
    /// When it belongs to another rule or network; nothing is changed then.
    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError>;
}

/// Synchronous descent: gradients summed over the group, clipped by their global norm, handed to
/// an optimizer.
pub struct Synchronous {
    optimizer: Box<dyn Optimizer>,
    clip: Option<f64>,
    /// Steps made by the run that the optimizer's memory comes from.
    before: u64,
}

impl Synchronous {
    /// An optimizer, behind clipping of the mean gradient's norm to `clip` if given.
    pub fn new(optimizer: Box<dyn Optimizer>, clip: Option<f64>) -> Self {
        Self {
            optimizer,
            clip,
            before: 0,
        }
    }

    /// The same rule, whose memory holds so many steps already: corrections of a moment's bias go on from there.
    #[must_use]
    pub fn after(self, steps: u64) -> Self {
        Self {
            before: steps,
            ..self
        }
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
        self.optimizer.begin_step(learning_rate, self.before + step);
        network.visit(&mut |tensor, parameters, gradient| {
            if let Some(factor) = factor {
                gradient.iter_mut().for_each(|g| *g *= factor);
            }
            self.optimizer.update(tensor, parameters, gradient);
        })?;
        Ok(())
    }

    fn averages(&self) -> bool {
        self.optimizer.averages()
    }

    fn average(&self, network: &mut dyn Network) -> Result<(), NetworkError> {
        network.visit(&mut |tensor, parameters, _| self.optimizer.average(tensor, parameters))
    }

    fn state(&self) -> Vec<StateTensor> {
        self.optimizer.state()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        self.optimizer.load(state)
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
