//! Where the gradient of a step comes from.
//!
//! One step's mean gradient is accumulated over micro-batches of at most `b` examples. Every
//! micro-batch adds `1/W · ∇ Σ loss`, with `W` the weight (examples, tokens or pixels) of the *whole*
//! step over all replicas, so the window ends up holding the gradient of the mean over the step
//! whatever `b` is, ragged last micro-batch included: never a mean of means.

use std::ops::Range;

use batchscope_core::{
    Batch, Control, DataShape, Flow, InputShape, LossSum, Network, NetworkError, NormsOf, Purpose,
    Sampler, StateTensor, StepBatch, StreamKey, Task,
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
    /// Examples per forward pass at most.
    micro_batch: u64,
}

impl Portions {
    /// The whole step in micro-batches.
    pub fn whole(micro_batch: u64) -> Self {
        Self::of_rank(micro_batch, 0, 1)
    }

    /// The contiguous part of replica `rank` among `size`; parts differ by one example at most.
    pub fn of_rank(micro_batch: u64, rank: usize, size: usize) -> Self {
        Self {
            rank,
            size,
            micro_batch,
        }
    }

    /// Positions within a step of `batch_size` examples that are this replica's.
    pub fn share(&self, batch_size: u64) -> Range<u64> {
        let cut = |r: usize| (u128::from(batch_size) * r as u128 / self.size as u128) as u64;
        cut(self.rank)..cut(self.rank + 1)
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
        self.sampler.fill(step, positions, &mut self.batch);
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
        let micro_batch = portions.micro_batch;
        let way = match portions.size == 1 {
            true if self.measure_all => {
                NoiseEstimator::of_every_step(network, batch_size, micro_batch)
            }
            true => NoiseEstimator::of(network, batch_size, micro_batch),
            false => NoiseEstimator::Nothing("it is not measured on several replicas".to_owned()),
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
            NoiseEstimator::Split { first } => Portions::whole(first),
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
    use super::*;

    #[test]
    fn micro_batches_cover_the_share_once_and_only_the_last_is_ragged() {
        let all: Vec<_> = Portions::whole(4).micro_batches(10).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);
        let mut whole = Portions::whole(u64::MAX).micro_batches(4);
        assert_eq!((whole.next(), whole.next()), (Some(0..4), None));
    }

    #[test]
    fn ranks_split_a_batch_into_contiguous_parts() {
        let shares: Vec<_> = (0..3)
            .map(|rank| Portions::of_rank(4, rank, 3).share(10))
            .collect();
        assert_eq!(shares, [0..3, 3..6, 6..10]);
    }
}
