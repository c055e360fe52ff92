//! How a mean gradient changes the parameters.

use batchscope_core::{Group, GroupError, LossSum, Network, NetworkError, StateTensor};
use batchscope_optim::{Optimizer, StateError, clip_factor, sum_of_squares};

use crate::TrainError;

/// Changes the parameters from the gradient window, communicating where replicas must agree.
///
/// A step is [`UpdateRule::agree`], once the window holds this replica's part of the gradient, then
/// [`UpdateRule::update`].
pub trait UpdateRule: Send {
    /// Brings together what the replicas have of a step: the gradient windows and batch norm's statistics become their
    /// sums over the replicas. Returns the loss sum over all of them; `sum` is this replica's.
    ///
    /// # Errors
    /// When the device or the group fails.
    fn agree(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        sum: LossSum,
    ) -> Result<LossSum, TrainError>;

    /// Ends with the same parameters on every replica that started with the same ones, where
    /// [`UpdateRule::is_synchronous`]; updated at `learning_rate`. `step` counts from 0.
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

    /// True where all replicas hold the same parameters after every step.
    fn is_synchronous(&self) -> bool {
        true
    }

    /// True where a run is judged by other parameters than those in training.
    fn averages(&self) -> bool {
        false
    }

    /// Replaces the parameters by those that the run is judged by, the same on every replica. The caller keeps those in
    /// training.
    ///
    /// # Errors
    /// When the device or the group fails.
    fn average(
        &mut self,
        _network: &mut dyn Network,
        _group: &dyn Group,
    ) -> Result<(), TrainError> {
        Ok(())
    }

    /// Root mean square distance of the replicas' parameters from their mean, when they were last averaged; `None` where all
    /// hold the same.
    fn consensus(&self) -> Option<f64> {
        None
    }

    /// Bytes that `replicas` send for a step of so many parameters, all together: `2(n − 1)` times the vector in a sum over
    /// `n` replicas.
    fn bytes_sent(&self, parameters: u64, replicas: u64, _step: u64) -> u64 {
        4 * parameters * 2 * replicas.saturating_sub(1)
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
    /// What is summed over the replicas, reused.
    window: Vec<f32>,
}

impl Synchronous {
    /// An optimizer, behind clipping of the mean gradient's norm to `clip` if given.
    pub fn new(optimizer: Box<dyn Optimizer>, clip: Option<f64>) -> Self {
        Self {
            optimizer,
            clip,
            before: 0,
            window: Vec::new(),
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
    fn agree(
        &mut self,
        network: &mut dyn Network,
        group: &dyn Group,
        sum: LossSum,
    ) -> Result<LossSum, TrainError> {
        sum_over_replicas(network, group, sum, &mut self.window)
    }

    fn update(
        &mut self,
        network: &mut dyn Network,
        _group: &dyn Group,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TrainError> {
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

    fn average(&mut self, network: &mut dyn Network, _group: &dyn Group) -> Result<(), TrainError> {
        let optimizer = &self.optimizer;
        Ok(network.visit(&mut |tensor, parameters, _| optimizer.average(tensor, parameters))?)
    }

    fn state(&self) -> Vec<StateTensor> {
        self.optimizer.state()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        self.optimizer.load(state)
    }
}

/// Sums over the replicas, in one message of all: the gradient windows, batch norm's statistics of the step, and the
/// losses, which are returned. `buffer` is reused.
///
/// # Errors
/// When the device or the group fails.
pub(crate) fn sum_over_replicas(
    network: &mut dyn Network,
    group: &dyn Group,
    sum: LossSum,
    buffer: &mut Vec<f32>,
) -> Result<LossSum, TrainError> {
    if group.size() == 1 {
        return Ok(sum);
    }
    buffer.clear();
    network.visit(&mut |_, _, gradient| buffer.extend_from_slice(gradient))?;
    let parameters = buffer.len();
    buffer.extend(network.step_statistics()?);
    let statistics = buffer.len();
    // Each replica's losses have places of their own, in which nothing is rounded but their halves.
    let halves = [halves(sum.loss), halves(sum.weight)].concat();
    buffer.resize(statistics + halves.len() * group.size(), 0.0);
    let mine = statistics + halves.len() * group.rank();
    buffer[mine..mine + halves.len()].copy_from_slice(&halves);

    group.all_reduce_sum(buffer)?;

    let mut from = 0;
    network.visit(&mut |_, _, gradient| {
        gradient.copy_from_slice(&buffer[from..from + gradient.len()]);
        from += gradient.len();
    })?;
    network.set_step_statistics(&buffer[parameters..statistics])?;
    let mut all = LossSum::default();
    for part in buffer[statistics..].chunks(halves.len()) {
        all.loss += f64::from(part[0]) + f64::from(part[1]);
        all.weight += f64::from(part[2]) + f64::from(part[3]);
    }
    Ok(all)
}

/// Replaces numbers by their sums over the members of a group, made in rank order.
///
/// # Errors
/// When the group fails.
pub(crate) fn sum_in_order(group: &dyn Group, sums: &mut [f64]) -> Result<(), GroupError> {
    if group.size() > 1 {
        let all = group.all_gather(sums)?;
        sums.fill(0.0);
        for member in all.chunks(sums.len().max(1)) {
            sums.iter_mut().zip(member).for_each(|(sum, x)| *sum += x);
        }
    }
    Ok(())
}

/// A number as two of single precision, whose sum has 48 of its bits.
fn halves(x: f64) -> [f32; 2] {
    let high = x as f32;
    match high.is_finite() {
        true => [high, (x - f64::from(high)) as f32],
        false => [high, 0.0],
    }
}

/// `‖g‖²` over all tensors of the gradient window.
pub(crate) fn squared_gradient_norm(network: &mut dyn Network) -> Result<f64, NetworkError> {
    let mut sum = 0.0;
    network.visit(&mut |_, _, gradient| sum += sum_of_squares(gradient))?;
    Ok(sum)
}
