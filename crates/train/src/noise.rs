//! Gradient noise along training, from the gradients that training makes anyway.
//!
//! A step's mean gradient `g_B` is a sum of parts: its micro-batches, or its examples. The squared
//! norms of the parts and of the whole give unbiased estimates of `tr Σ` and `|G|²`
//! ([`batchscope_scaling::noise::Pieces`]), with no pass more than the step needs. A step is measured
//! in one of three ways:
//!
//! * from the norms of every example's gradient, where the network tells examples apart
//!   ([`batchscope_core::Network::measures_per_example_grad_norms`]): the training run stays what it was, to the bit.
//!   In a network of plain linear layers it costs next to nothing, in one of convolutions up to a
//!   third of the step ([`batchscope_core::Network::example_norms_cost`]);
//! * from those of the micro-batches, where the step has several: to the bit too;
//! * from two halves the step is split into. That moves its result by rounding, as accumulation
//!   does, and costs a second, smaller pass' overhead.
//!
//! **Which one** is cheapest at equal variance, by counts ([`NoiseEstimator::of`]). Where noise dominates,
//! the estimate of `|G|²`, on which the noise scale's interval hangs, is a mean of products of
//! different parts' gradients, and with `k` equal parts its variance is `k/(k − 1)` times that of the
//! finest cut there is: examples are worth at most twice two halves. A way is measured as rarely as its
//! cost demands ([`NoiseEstimator::every`]), so that all cost about the same, and the one whose steps times
//! variance are fewest is taken. So examples win at small batches, where a second pass' overhead
//! weighs, and in networks where they are nearly free; halves or micro-batches win in convolutional
//! networks at large batches.
//!
//! With batch norm an example's gradient depends on its neighbors: the smallest unit is then a
//! ghost batch, halves are multiples of it, and `Σ` is that of ghost batches times their size.
//!
//! Not every step is measured: one in [`NoiseEstimator::every`], chosen to keep the cost under 3 % of
//! training by counting passes over parameters and multiply-adds; `cargo bench -p batchscope -- noise`
//! measures it, `cargo run --release -p batchscope --example noise_ways` the ways beside each other.
//! Which steps follows from counts alone, never from a clock, so that the same study gives the same
//! numbers.
//!
//! Of several replicas each tells the norms of its own parts, one at least, before the gradients are summed.
//!
//! The gradient is taken as it is before clipping and without weight decay, which is no noise.

use batchscope_core::{
    Group, GroupError, LayerNoise, Network, NoiseMoments, NoiseRecord, NormsOf, ParameterLayout,
};
use batchscope_scaling::noise::{NoiseError, Pieces};

use crate::{TrainError, update::sum_in_order};

/// Share of training's multiply-adds that the norms of examples may take: 1.25 % by counts leave room
/// for the 3 % of time that is allowed, since the norms are computed less evenly than a pass. With
/// 2 % by counts LeNet's steps of 32 took 3.1 % longer.
const BUDGET: f64 = 0.0125;

/// How the steps of a run are measured.
#[derive(Debug, Clone, PartialEq)]
pub enum NoiseEstimator {
    /// From every example's gradient.
    Examples {
        /// What the norms cost beside a step, as its share
        /// ([`batchscope_core::Network::example_norms_cost`]).
        cost: f64,
    },
    /// From the micro-batches a step has.
    MicroBatches,
    /// From two parts, the first of so many examples.
    Split {
        /// Examples of the first part.
        first: u64,
    },
    /// Not at all: why, and what would help.
    Nothing(String),
}

impl NoiseEstimator {
    /// The way for steps of `batch_size` examples in micro-batches of at most `micro_batch`, all of
    /// them this network's: the one of least variance for what it costs in training, where a way
    /// that costs more is used on fewer steps.
    pub fn of(network: &dyn Network, batch_size: u64, micro_batch: u64) -> Self {
        let cost = |way: &Self| way.every(batch_size, micro_batch) as f64;
        Self::cheapest(network, batch_size, micro_batch, cost)
    }

    /// As [`NoiseEstimator::of`], for steps that are made only to be measured, as in
    /// [`BuiltIn::measure_noise`](crate::BuiltIn::measure_noise): the cost of a way is then that of
    /// the whole step.
    pub fn of_every_step(network: &dyn Network, batch_size: u64, micro_batch: u64) -> Self {
        let cost = |way: &Self| match way {
            Self::Examples { cost } => 1.0 + cost,
            _ => 1.0,
        };
        Self::cheapest(network, batch_size, micro_batch, cost)
    }

    fn cheapest(
        network: &dyn Network,
        batch_size: u64,
        micro_batch: u64,
        cost: impl Fn(&Self) -> f64,
    ) -> Self {
        let parts = Self::of_parts(network, batch_size, micro_batch);
        if batch_size < 2 || !network.measures_per_example_grad_norms() {
            return parts;
        }
        let examples = Self::Examples {
            cost: network.example_norms_cost(),
        };
        let at_equal_variance = |way: &Self| cost(way) * way.variance(batch_size, micro_batch);
        match parts {
            // To the bit, where it costs no more.
            parts if at_equal_variance(&parts) < at_equal_variance(&examples) => parts,
            _ => examples,
        }
    }

    /// The way that parts of the step are.
    fn of_parts(network: &dyn Network, batch_size: u64, micro_batch: u64) -> Self {
        if batch_size < 2 {
            return Self::Nothing(
                "a step of one example cannot tell signal from noise: choose a batch size of at least 2"
                    .to_owned(),
            );
        }
        let unit = network.ghost_size(batch_size).unwrap_or(1).max(1);
        if !batch_size.is_multiple_of(unit) {
            return Self::Nothing(format!(
                "a batch size of {batch_size} leaves a smaller batch-norm group than the {unit} of the others: choose a multiple of {unit}"
            ));
        }
        if micro_batch < batch_size {
            return Self::MicroBatches;
        }
        let first = (batch_size / 2).div_ceil(unit) * unit;
        if first >= batch_size {
            return Self::Nothing(format!(
                "batch norm over all {batch_size} examples of a step leaves no part with a gradient of its own: choose at least two ghost batches a step"
            ));
        }
        Self::Split { first }
    }

    /// One step in so many is measured; 0 where none can be.
    ///
    /// The norms cost a few passes over the parameters, whatever the batch size, the step itself
    /// several passes for each example: so from 512 examples a pass on every step is measured, and
    /// with fewer proportionally fewer, one in 16 at least. A split also costs the overhead of a
    /// second pass: four times as rarely. The norms of examples meet every layer's activations too,
    /// which weighs in small networks: half as often. What they cost besides is proportional to
    /// the step; they are taken on so few steps that it stays within 1.25 % of training by counts
    /// (one step in 27 where it is a third).
    pub fn every(&self, batch_size: u64, micro_batch: u64) -> u64 {
        let full = |examples: u64| {
            let pass = micro_batch.min(batch_size).max(1);
            examples.div_ceil(pass).clamp(1, 16)
        };
        match self {
            Self::Examples { cost } => full(1024).max((cost / BUDGET).ceil() as u64),
            Self::MicroBatches => full(512),
            Self::Split { .. } => 4 * full(512),
            Self::Nothing(_) => 0,
        }
    }

    /// Variance of a step's estimate of `|G|²` where noise dominates, in units of that from as many
    /// parts as one likes: `k/(k − 1)` with `k` equal parts. Infinite where nothing is measured.
    fn variance(&self, batch_size: u64, micro_batch: u64) -> f64 {
        let parts = match self {
            Self::Examples { .. } => batch_size,
            Self::MicroBatches => batch_size.div_ceil(micro_batch.max(1)),
            Self::Split { .. } => 2,
            Self::Nothing(_) => return f64::INFINITY,
        };
        parts as f64 / (parts as f64 - 1.0)
    }
}

/// The squared norms of a step's parts.
#[derive(Debug, Clone, PartialEq)]
pub struct PartNorms {
    batch_size: u64,
    /// `Σ_j b_j|g_j|²` over the parts, for each tensor: `g_j` is the mean gradient of `b_j` examples.
    weighted: Vec<f64>,
    parts: u64,
}

impl PartNorms {
    /// No part yet of a step of `batch_size` examples.
    pub fn new(batch_size: u64, tensors: usize) -> Self {
        Self {
            batch_size,
            weighted: vec![0.0; tensors],
            parts: 0,
        }
    }

    /// Takes in what [`batchscope_core::Network::accumulate_measured`] found of a micro-batch of
    /// `examples`, whose gradients are in the window as shares of the step's mean: a part of `b`
    /// examples has added `b/B·g`.
    pub fn add(&mut self, of: NormsOf, examples: u64, squared_norms: &[f64]) {
        let (whole, part) = (self.batch_size as f64, examples as f64);
        let (factor, parts) = match of {
            NormsOf::MicroBatch => (whole * whole / part, 1),
            NormsOf::Examples => (whole * whole, examples),
        };
        for (sum, &norm) in self.weighted.iter_mut().zip(squared_norms) {
            *sum += factor * norm;
        }
        self.parts += parts;
    }

    /// The parts of all replicas of a group, each of which has told its own.
    ///
    /// # Errors
    /// When the group fails.
    pub fn over(mut self, group: &dyn Group) -> Result<Self, GroupError> {
        let mut sums = std::mem::take(&mut self.weighted);
        sums.push(self.parts as f64);
        sum_in_order(group, &mut sums)?;
        self.parts = sums.pop().unwrap_or_default() as u64;
        self.weighted = sums;
        Ok(self)
    }

    /// The pieces of every tensor, from the squared norms of the step's mean gradient.
    ///
    /// # Errors
    /// With fewer than two parts, or norms that are not finite.
    pub fn pieces(&self, whole: &[f64]) -> Result<Vec<Pieces>, NoiseError> {
        self.weighted
            .iter()
            .zip(whole)
            .map(|(&weighted, &whole)| {
                Pieces::from_parts(weighted, self.parts, self.batch_size, whole)
            })
            .collect()
    }
}

/// What a step told of its noise.
#[derive(Debug, Clone, PartialEq)]
pub enum StepNoise {
    /// It was not one of those that are measured.
    Passed,
    /// The norms of its parts; the whole is in the network's gradient window.
    Parts(PartNorms),
    /// It cannot be measured: why.
    Undefined(String),
}

/// Squared norms of the gradient window, tensor by tensor.
///
/// # Errors
/// When the device fails.
pub fn window_norms(network: &mut dyn Network) -> Result<Vec<f64>, TrainError> {
    let mut norms = Vec::with_capacity(network.layout().tensors.len());
    let isa = batchscope_kernels::Isa::best();
    network.visit(&mut |_, _, gradient| {
        norms.push(batchscope_kernels::squared_norm(isa, gradient));
    })?;
    Ok(norms)
}

/// Records that a stretch cannot be measured, and why, unless something has been measured in it.
pub(crate) fn undefined(record: &mut Option<NoiseRecord>, why: &str) {
    record.get_or_insert_with(|| NoiseRecord::Undefined {
        why: why.to_owned(),
    });
}

/// Takes a step into the record of its stretch, of what every replica has found; `layers` says whether to keep them apart.
pub(crate) fn observe(
    record: &mut Option<NoiseRecord>,
    network: &mut dyn Network,
    noise: StepNoise,
    layers: bool,
    group: &dyn Group,
) -> Result<(), TrainError> {
    let parts = match noise {
        StepNoise::Passed => return Ok(()),
        StepNoise::Parts(parts) => parts.over(group)?,
        StepNoise::Undefined(why) => {
            undefined(record, &why);
            return Ok(());
        }
    };
    let pieces = match parts.pieces(&window_norms(network)?) {
        Ok(pieces) => pieces,
        Err(error) => {
            // A gradient that overflowed: the watch for divergence will see it.
            undefined(record, &error.to_string());
            return Ok(());
        }
    };
    let whole: Pieces = pieces.iter().copied().sum();
    let step = NoiseMoments {
        steps: 1,
        trace: whole.trace,
        squared_norm: whole.squared_norm,
        layers: match layers {
            true => by_layer(network.layout(), &pieces),
            false => Vec::new(),
        },
        ..NoiseMoments::new(parts.batch_size)
    };
    NoiseRecord::merge(record, NoiseRecord::Measured(step));
    Ok(())
}

/// The pieces of each layer: its tensors share their names up to the last part.
pub fn by_layer(layout: &ParameterLayout, pieces: &[Pieces]) -> Vec<LayerNoise> {
    let mut layers: Vec<LayerNoise> = Vec::new();
    for (tensor, pieces) in layout.tensors.iter().zip(pieces) {
        let name = tensor
            .name
            .rsplit_once('.')
            .map_or(tensor.name.as_str(), |(layer, _)| layer);
        let layer = match layers.iter().position(|l| l.name == name) {
            Some(place) => &mut layers[place],
            None => {
                layers.push(LayerNoise {
                    name: name.to_owned(),
                    trace: 0.0,
                    squared_norm: 0.0,
                });
                layers.last_mut().expect("pushed")
            }
        };
        layer.trace += pieces.trace;
        layer.squared_norm += pieces.squared_norm;
    }
    layers
}
