//! Where the gradient of a step comes from.
//!
//! One step's mean gradient is accumulated over micro-batches of at most `b` examples. Every
//! micro-batch adds `1/W · ∇ Σ loss`, with `W` the weight (examples, tokens or pixels) of the *whole*
//! step over all replicas, so the window ends up holding the gradient of the mean over the step
//! whatever `b` is, ragged last micro-batch included: never a mean of means.

use std::ops::Range;

use batchscope_core::{
    Batch, Control, DataShape, Flow, Group, InputShape, LossSum, Network, NetworkError, NormsOf,
    Purpose, Sampler, Solo, StateTensor, StepBatch, StreamKey, Task,
};

use crate::{NoiseEstimator, PartNorms, StepNoise, TrainError, augment::Augmenter};

/// Puts the mean gradient of a step into the network's gradient window.
pub trait GradientSource: Send {
    /// Opens the window and fills it with this replica's part of a step's gradient. Summed over the
    /// replicas of the group, the windows hold the mean over the whole batch. Returns the sum of
    /// the losses over this replica's part.
    ///
    /// Depends on `step`, the network and [`GradientSource::state`] alone, so that a step may be done again from a
    /// checkpoint.
    ///
    /// # Errors
    /// When the network does.
    fn gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<LossSum, TrainError>;

    /// As [`GradientSource::gradient`], and on some steps the squared norms of the gradient's parts.
    /// Which steps, and how they are cut for it, depends on `step`, the network and the sizes alone.
    ///
    /// # Errors
    /// When the network does.
    fn measured_gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<(LossSum, StepNoise), TrainError> {
        let why = "the gradients of this kind of training are not those of its examples".to_owned();
        Ok((self.gradient(network, step)?, StepNoise::Undefined(why)))
    }

    /// Everything remembered between steps, in canonical layout; nothing, by default.
    fn state(&self) -> Vec<StateTensor> {
        Vec::new()
    }

    /// Scalars that a state holds at most.
    fn state_len(&self) -> u64 {
        0
    }

    /// Takes over a state made by [`GradientSource::state`].
    ///
    /// # Errors
    /// When it belongs to another source or network; nothing is changed then.
    fn load(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        match state.first() {
            None => Ok(()),
            Some(tensor) => Err(NetworkError::State(format!(
                "tensor {} belongs to another way to take gradients",
                tensor.name
            ))),
        }
    }
}

/// Which part of every step a replica computes, in which portions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portions {
    /// The replica among `size`.
    rank: usize,
    /// Replicas that make a step together.
    size: usize,
    /// Examples that stay together, at least 1: the group that batch norm normalizes over.
    unit: u64,
    /// Examples per forward pass at most.
    micro_batch: u64,
}

impl Portions {
    /// The whole step in micro-batches.
    pub fn whole(micro_batch: u64) -> Self {
        Self::of_member(micro_batch, 1, &Solo)
    }

    /// The contiguous part of a member of a group, in whole units of `unit` examples; parts differ by one unit at
    /// most. A step of fewer units than members leaves some without a part.
    pub fn of_member(micro_batch: u64, unit: u64, group: &dyn Group) -> Self {
        Self {
            rank: group.rank(),
            size: group.size(),
            unit: unit.max(1),
            micro_batch,
        }
    }

    /// Positions within a step of `batch_size` examples that are this replica's.
    pub fn share(&self, batch_size: u64) -> Range<u64> {
        let units = u128::from(batch_size.div_ceil(self.unit));
        let cut = |r: usize| {
            let before = units * r as u128 / self.size as u128;
            (before * u128::from(self.unit)).min(u128::from(batch_size)) as u64
        };
        cut(self.rank)..cut(self.rank + 1)
    }

    /// Examples that a forward pass of some replica takes at most.
    fn largest_pass(&self, batch_size: u64) -> u64 {
        let units = batch_size.div_ceil(self.unit).div_ceil(self.size as u64);
        self.micro_batch.min(units.saturating_mul(self.unit))
    }

    /// The micro-batches of a step of `batch_size` examples, in order.
    pub fn micro_batches(&self, batch_size: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let (share, micro_batch) = (self.share(batch_size), self.micro_batch.max(1));
        share
            .clone()
            .step_by(micro_batch.try_into().unwrap_or(usize::MAX))
            .map(move |from| from..from.saturating_add(micro_batch).min(share.end))
    }
}

/// The labeled examples of every step, augmented: what the gradient sources share.
pub struct BatchStream<'a> {
    sampler: Box<dyn Sampler + 'a>,
    portions: Portions,
    augmenter: Option<Augmenter>,
    noise: StreamKey,
    /// Losses summed for each example: tokens, pixels, or one.
    per_example: f64,
    batch: Batch,
    /// This one among so many streams whose steps are parts of the run's: rank and size.
    part: (u64, u64),
}

impl<'a> BatchStream<'a> {
    /// Draws examples from `sampler`; `key` is any key of the trial's. Images are augmented when there
    /// is an augmenter.
    pub fn new(
        sampler: Box<dyn Sampler + 'a>,
        shape: DataShape,
        portions: Portions,
        augmenter: Option<Augmenter>,
        key: StreamKey,
    ) -> Self {
        let per_example = match (shape.task, shape.input) {
            (Task::NextToken, InputShape::Tokens { sequence, .. }) => sequence as f64,
            (Task::Segment { .. }, input) => input.pixels() as f64,
            _ => 1.0,
        };
        Self {
            sampler,
            portions,
            augmenter,
            noise: key.with_purpose(Purpose::Network),
            per_example,
            batch: Batch::empty(shape),
            part: (0, 1),
        }
    }

    /// The same stream as that of a member of a group each of whom draws examples of its own. Augmentation and dropout
    /// are then other ones for each.
    #[must_use]
    pub fn of_member(self, group: &dyn Group) -> Self {
        Self {
            part: (group.rank() as u64, group.size() as u64),
            ..self
        }
    }

    /// Which part of every step is drawn, in which portions.
    pub fn portions(&self) -> Portions {
        self.portions
    }

    /// What a loss counts for in the mean over a step: `1 / W`.
    pub fn scale(&self, step: StepBatch) -> f32 {
        (1.0 / (step.batch_size as f64 * self.per_example)) as f32
    }

    /// The examples at these positions of a step.
    pub fn fill(&mut self, step: StepBatch, positions: Range<u64>) -> &mut Batch {
        let first = positions.start;
        self.sampler.fill(step, positions, &mut self.batch);
        if let (rank, size @ 2..) = self.part {
            let before = (step.first_draw * size).saturating_add(rank * step.batch_size);
            self.batch.first_draw = before.saturating_add(first);
        }
        self.batch.noise = Some(self.noise);
        if let Some(augmenter) = &self.augmenter {
            augmenter.apply(&mut self.batch);
        }
        &mut self.batch
    }
}

/// The gradient of the training loss on labeled examples.
pub struct Supervised<'a> {
    stream: BatchStream<'a>,
    /// Measure the noise of every step rather than of those training can afford.
    measure_all: bool,
    /// Asked after every micro-batch.
    control: Option<&'a dyn Control>,
}

impl<'a> Supervised<'a> {
    /// On the examples of a stream.
    pub fn new(stream: BatchStream<'a>) -> Self {
        Self {
            stream,
            measure_all: false,
            control: None,
        }
    }

    /// Measures the noise of every step that is asked for, whatever it costs.
    pub fn measuring_every_step(self) -> Self {
        Self {
            measure_all: true,
            ..self
        }
    }

    /// Asks `control` after every micro-batch, since a step may be the whole training set; told to
    /// stop, the gradient ends as [`TrainError::Stopped`].
    pub fn stoppable(self, control: &'a dyn Control) -> Self {
        Self {
            control: Some(control),
            ..self
        }
    }
}

impl Supervised<'_> {
    /// Draws the first micro-batch of a step for nothing: an epoch's order and the memory, made
    /// at the first draw, are no part of a gradient's seconds.
    pub(crate) fn warm_up(&mut self, step: StepBatch) {
        let mut micro_batches = self.stream.portions.micro_batches(step.batch_size);
        if let Some(positions) = micro_batches.next() {
            self.stream.fill(step, positions);
        }
    }

    /// Fills the window from these micro-batches; with `norms`, the squared norms go there.
    fn fill(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
        micro_batches: impl Iterator<Item = Range<u64>>,
        mut norms: Option<(NormsOf, &mut PartNorms)>,
    ) -> Result<LossSum, TrainError> {
        let scale = self.stream.scale(step);
        network.begin_step(step.batch_size);
        let mut sum = LossSum::default();
        for positions in micro_batches {
            let batch = self.stream.fill(step, positions);
            let part = match &mut norms {
                None => network.accumulate(batch, scale)?,
                Some((of, norms)) => {
                    let mut found = vec![0.0; network.layout().tensors.len()];
                    let part = network.accumulate_measured(batch, scale, *of, &mut found)?;
                    norms.add(*of, batch.len as u64, &found);
                    part
                }
            };
            sum.loss += part.loss;
            sum.weight += part.weight;
            if let Some(control) = self.control
                && control.flow() == Flow::Interrupt
            {
                return Err(TrainError::Stopped);
            }
        }
        Ok(sum)
    }
}

impl GradientSource for Supervised<'_> {
    fn gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<LossSum, TrainError> {
        let micro_batches = self.stream.portions.micro_batches(step.batch_size);
        self.fill(network, step, micro_batches, None)
    }

    fn measured_gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<(LossSum, StepNoise), TrainError> {
        let (portions, batch_size) = (self.stream.portions, step.batch_size);
        // Of several replicas, each has a part of its own at least.
        let micro_batch = portions.largest_pass(batch_size);
        let way = match self.measure_all {
            true => NoiseEstimator::of_every_step(network, batch_size, micro_batch),
            false => NoiseEstimator::of(network, batch_size, micro_batch),
        };
        let of = match &way {
            NoiseEstimator::Nothing(why) => {
                let noise = StepNoise::Undefined(why.clone());
                return Ok((self.gradient(network, step)?, noise));
            }
            NoiseEstimator::Examples { .. } => NormsOf::Examples,
            NoiseEstimator::MicroBatches | NoiseEstimator::Split { .. } => NormsOf::MicroBatch,
        };
        if !self.measure_all && !step.step.is_multiple_of(way.every(batch_size, micro_batch)) {
            return Ok((self.gradient(network, step)?, StepNoise::Passed));
        }
        let portions = match way {
            NoiseEstimator::Split { first } => Portions {
                micro_batch: first,
                ..portions
            },
            _ => portions,
        };
        let mut norms = PartNorms::new(batch_size, network.layout().tensors.len());
        let measured = Some((of, &mut norms));
        let sum = self.fill(network, step, portions.micro_batches(batch_size), measured)?;
        Ok((sum, StepNoise::Parts(norms)))
    }
}

#[cfg(test)]
mod tests {
    use batchscope_group::ThreadGroup;

    use super::*;

    #[test]
    fn micro_batches_cover_the_share_once_and_only_the_last_is_ragged() {
        let all: Vec<_> = Portions::whole(4).micro_batches(10).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);
        let mut whole = Portions::whole(u64::MAX).micro_batches(4);
        assert_eq!((whole.next(), whole.next()), (Some(0..4), None));
    }

    #[test]
    fn ranks_split_a_batch_into_contiguous_parts_of_whole_groups() {
        let shares = |unit, size, batch_size| -> Vec<_> {
            let members = ThreadGroup::members(size);
            let portions = members.iter().map(|m| Portions::of_member(4, unit, m));
            portions.map(|p| p.share(batch_size)).collect()
        };
        assert_eq!(shares(1, 3, 10), [0..3, 3..6, 6..10]);
        assert_eq!(shares(4, 3, 18), [0..4, 4..12, 12..18]);
        assert_eq!(shares(8, 3, 10), [0..0, 0..8, 8..10]);
    }
}
