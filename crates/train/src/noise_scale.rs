//! The noise scale of a network as it is: steps are drawn and measured, the weights stay.

use std::path::PathBuf;

use batchscope_core::{Control, Flow, Group, Network, Purpose, StepBatch, StreamKey, TrainerError};
use batchscope_scaling::noise::{LayerEstimates, LayerReplicates, NoiseScale, Pieces, Sampling};
use serde::{Deserialize, Serialize};

use crate::{
    BatchStream, BuiltIn, GradientSource, NoiseEstimator, Portions, StepNoise, Supervised,
    TrainError, augment::Augmenter, checkpoint::load_shared, micro_batch, noise, replicas::Job,
    stop::StopSignal, update::sum_over_replicas,
};

/// Parts a step is cut into where examples cannot be told apart, or only at a cost: eight of them
/// determine `|G|²` almost as well as examples would, with a variance 8/7 of theirs where noise
/// dominates.
pub(crate) const PARTS: u64 = 8;

/// Steps before the interval is looked at, and between two looks.
const LOOK_EVERY: u64 = 8;

/// Steps before the first look may end the measurement.
const FEWEST: u64 = 16;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseRequest {
    /// Examples per step.
    pub batch_size: u64,
    /// Examples per forward pass at most; `None` chooses.
    pub micro_batch: Option<u64>,
    /// Seed of the weights and of the order of the examples.
    pub seed: u64,
    /// Whose network to measure; `None` measures freshly initialized weights.
    pub checkpoint: Option<PathBuf>,
    /// Stop once the upper end of the population's noise scale is below so many times its lower.
    pub width: f64,
    /// Stop after so many examples at the latest.
    pub max_examples: u64,
    /// Coverage of the intervals, in (0, 1).
    pub level: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseMeasurement {
    /// Examples per step.
    pub batch_size: u64,
    /// Examples per forward pass, and in a part where steps were measured by parts.
    pub micro_batch: u64,
    /// How steps were measured: `examples` or `micro-batches`.
    pub way: String,
    /// Steps measured.
    pub steps: u64,
    /// Examples in them.
    pub examples: u64,
    /// Examples in the training set, `N`.
    pub train_examples: u64,
    /// True if the interval is as narrow as was asked in the end.
    pub settled: bool,
    /// Of all parameters, and layer by layer.
    pub noise: LayerEstimates,
}

impl BuiltIn {
    /// Measures the gradient noise of a network that is not being trained. `None` if `control`,
    /// asked after every micro-batch, told it to stop; `observe` hears of the examples done and, now and
    /// then, of the estimate so far.
    ///
    /// # Errors
    /// When the sizes cannot be run or nothing can be measured, with the reason and a remedy; when
    /// the checkpoint cannot be used.
    pub fn measure_noise(
        &self,
        request: &NoiseRequest,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, Option<&NoiseScale>) + Send),
    ) -> Result<Option<NoiseMeasurement>, TrainerError> {
        let job = Job::Noise(request.clone());
        let replicas = self.replicas(&[])?;
        let measured = self.together(replicas, &job, |group| {
            self.measure_noise_here(request, group, control, observe)
        });
        match measured {
            Err(TrainError::Stopped) => Ok(None),
            measured => Ok(Some(measured?)),
        }
    }

    /// The network that a request names, with the key of its seed.
    pub(crate) fn measured_network(
        &self,
        request: &NoiseRequest,
        group: &dyn Group,
    ) -> Result<(StreamKey, Box<dyn Network>), TrainError> {
        let config = self.config();
        let key = StreamKey {
            study_seed: request.seed,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        let mut network = config.factory.build(&config.train.shape(), key)?;
        if let Some(path) = &request.checkpoint {
            load_shared(path, network.as_mut(), group)?;
        }
        Ok((key, network))
    }

    /// This member's part of the measurement; all members find the same.
    pub(crate) fn measure_noise_here(
        &self,
        request: &NoiseRequest,
        group: &dyn Group,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, Option<&NoiseScale>) + Send),
    ) -> Result<NoiseMeasurement, TrainError> {
        let config = self.config();
        let shape = config.train.shape();
        let batch_size = request.batch_size;
        let (key, mut network) = self.measured_network(request, group)?;
        let order = key.with_purpose(Purpose::Order);
        let sampler = config.train.sampler(order, batch_size)?;

        let ghost = network.ghost_size(batch_size);
        let unit = ghost.unwrap_or(1).max(1);
        let part = batch_size.div_ceil(PARTS).div_ceil(unit) * unit;
        let asked = match NoiseEstimator::of_every_step(network.as_ref(), batch_size, part) {
            NoiseEstimator::Examples { .. } => request.micro_batch,
            _ => request.micro_batch.or(Some(part)),
        };
        let within = config
            .max_memory
            .map(|bytes| self.within(bytes, &[], batch_size));
        let ceiling = config.micro_batch_ceiling;
        let micro_batch = micro_batch::choose(batch_size, asked, ghost, within, ceiling)?;
        let (way, micro_batch) =
            match NoiseEstimator::of_every_step(network.as_ref(), batch_size, micro_batch) {
                NoiseEstimator::Nothing(why) => {
                    return Err(TrainError::Refused(format!(
                        "the noise scale is undefined: {why}"
                    )));
                }
                NoiseEstimator::Examples { .. } => ("examples", micro_batch),
                NoiseEstimator::MicroBatches => ("micro-batches", micro_batch),
                NoiseEstimator::Split { first } => ("micro-batches", first),
            };

        let augmenter = Augmenter::new(&config.augment, &shape, key)?;
        let portions = Portions::of_member(micro_batch, unit, group);
        let stream = BatchStream::new(sampler, shape, portions, augmenter, key);
        let mut source = Supervised::new(stream).measuring_every_step();
        if group.size() == 1 {
            source = source.stoppable(control);
        }
        let layout = network.layout().clone();
        let names = noise::by_layer(&layout, &vec![Pieces::ZERO; layout.tensors.len()]);
        let mut table = LayerReplicates::new(names.into_iter().map(|l| l.name).collect());
        let train_examples = config.train.len();
        let sampling = Sampling::TrainingSet {
            examples: train_examples,
        };
        let most = (request.max_examples / batch_size).max(2);
        let (mut step, mut enough) = (0, false);
        let mut buffer = Vec::new();
        while step < most && !enough {
            if group.size() > 1
                && StopSignal::agreed(control, false, group)?.flow() == Flow::Interrupt
            {
                return Err(TrainError::Stopped);
            }
            let (sum, found) = source
                .measured_gradient(network.as_mut(), StepBatch::constant(step, batch_size))?;
            sum_over_replicas(network.as_mut(), group, sum, &mut buffer)?;
            let StepNoise::Parts(parts) = found else {
                return Err(TrainError::Bug("a step was not measured".to_owned()));
            };
            let pieces = parts
                .over(group)?
                .pieces(&noise::window_norms(network.as_mut())?)
                .map_err(|e| TrainError::Refused(e.to_string()))?;
            let layers: Vec<Pieces> = noise::by_layer(&layout, &pieces)
                .iter()
                .map(|layer| Pieces {
                    squared_norm: layer.squared_norm,
                    trace: layer.trace,
                    batch_size,
                })
                .collect();
            table
                .push(&layers)
                .map_err(|e| TrainError::Bug(e.to_string()))?;
            step += 1;
            if step.is_multiple_of(LOOK_EVERY) {
                let now = table.whole(sampling, request.level).population;
                enough = step >= FEWEST && narrow(&now, request.width);
                observe(step * batch_size, Some(&now));
            } else {
                observe(step * batch_size, None);
            }
        }
        let noise = table.estimate(sampling, request.level);
        Ok(NoiseMeasurement {
            batch_size,
            micro_batch,
            way: way.to_owned(),
            steps: step,
            examples: step * batch_size,
            train_examples,
            // looked at anew: the last step need not be one that is looked at
            settled: narrow(&noise.whole.population, request.width),
            noise,
        })
    }
}

/// True if the interval's ends are less than this factor apart.
fn narrow(noise: &NoiseScale, width: f64) -> bool {
    match (noise.noise_scale.low, noise.noise_scale.high) {
        (Some(low), Some(high)) => low > 0.0 && high / low <= width,
        _ => false,
    }
}
