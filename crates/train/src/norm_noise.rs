//! Noise scales in other norms of a network as it is: the ℓ1 norm of optimizers that go by signs, the nuclear norm of Muon.

use std::collections::BTreeMap;

use batchscope_core::{
    Control, DataShape, Flow, Group, InputShape, Metric, Network, Purpose, Quantity, SettingError,
    Solo, Split, StepBatch, TrainerError,
};
use batchscope_optim::{MuonMatrix, muon_matrices};
use batchscope_scaling::noise::{
    CoordinateSums, MatrixSums, NORM_BLOCKS, NormNoise, nuclear_noise, sign_noise,
};
use serde::{Deserialize, Serialize};

use crate::{
    BatchStream, BuiltIn, GradientSource, NoiseRequest, Portions, Run, Supervised, TrainError,
    augment::Augmenter, noise_scale::PARTS, update::sum_over_replicas,
};

/// Most parts of a block: beyond this single precision adds no more.
const MOST_PARTS: u64 = 1024;

/// The norms asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseNorms {
    /// The ℓ1 norm: keeps 64 bytes a parameter.
    pub l1: bool,
    /// The nuclear norm of Muon's matrices: keeps 32 bytes an entry, and as much for each pair of outputs.
    pub nuclear: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormNoiseMeasurement {
    /// Examples in a part.
    pub part: u64,
    /// Parts measured.
    pub parts: u64,
    /// In the ℓ1 norm, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1: Option<NormNoise>,
    /// In the nuclear norm, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nuclear: Option<NormNoise>,
}

/// Sums over the parts of a block.
#[derive(Clone)]
struct Sums {
    coordinates: Option<CoordinateSums>,
    matrices: Option<(Vec<MuonMatrix>, MatrixSums)>,
}

impl Sums {
    fn new(network: &dyn Network, norms: NoiseNorms) -> Self {
        let layout = network.layout();
        let matrices = norms.nuclear.then(|| {
            let all = muon_matrices(layout);
            let shapes: Vec<[usize; 2]> = all.iter().map(|m| [m.outputs, m.inputs]).collect();
            let sums = MatrixSums::new(&shapes);
            (all, sums)
        });
        Self {
            coordinates: norms.l1.then(|| CoordinateSums::new(layout.parameters())),
            matrices,
        }
    }

    /// Takes the gradient in the network's window.
    fn take(&mut self, network: &mut dyn Network) -> Result<(), TrainError> {
        if let Some(sums) = &mut self.coordinates {
            sums.begin();
        }
        if let Some((_, sums)) = &mut self.matrices {
            sums.begin();
        }
        let mut at = 0;
        network.visit(&mut |tensor, _, gradient| {
            if let Some(sums) = &mut self.coordinates {
                sums.add(at, gradient);
            }
            if let Some((all, sums)) = &mut self.matrices
                && let Some(number) = all.iter().position(|matrix| matrix.tensor == tensor)
            {
                sums.add(number, gradient, all[number].by_inputs);
            }
            at += gradient.len();
        })?;
        Ok(())
    }
}

impl BuiltIn {
    /// Measures the noise scales in these norms of a network that is not being trained, from the gradients of parts of a step,
    /// up to `request.max_examples`. `None` if `control`, asked after every part, told it to stop; `observe` hears of the examples
    /// done, out of how many.
    ///
    /// # Errors
    /// When there are fewer than sixteen parts, Muon moves no matrix of the network, a gradient is not finite, or the checkpoint
    /// cannot be used.
    pub fn measure_norm_noise(
        &self,
        request: &NoiseRequest,
        norms: NoiseNorms,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Option<NormNoiseMeasurement>, TrainerError> {
        let measured = self
            .pools()
            .run(|| self.measure_norms_here(request, norms, control, observe))?;
        match measured {
            Err(TrainError::Stopped) => Ok(None),
            measured => Ok(Some(measured?)),
        }
    }

    fn measure_norms_here(
        &self,
        request: &NoiseRequest,
        norms: NoiseNorms,
        control: &dyn Control,
        observe: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<NormNoiseMeasurement, TrainError> {
        let config = self.config();
        let shape = config.train.shape();
        let (key, mut network) = self.measured_network(request, &Solo)?;
        if norms.nuclear && muon_matrices(network.layout()).is_empty() {
            return Err(TrainError::Refused(
                "Muon moves no matrix of this model: its noise scale is undefined".to_owned(),
            ));
        }
        let ghost = network.ghost_size(request.batch_size);
        let unit = ghost.unwrap_or(1).max(1);
        let part = request.batch_size.div_ceil(PARTS).div_ceil(unit) * unit;
        let blocks = NORM_BLOCKS as u64;
        let each = (request.max_examples.min(config.train.len()) / (blocks * part)).min(MOST_PARTS);
        if each < 2 {
            return Err(TrainError::Refused(format!(
                "the noise scales in other norms need sixteen parts of {part} examples: allow more, or choose a smaller batch size"
            )));
        }
        let sampler = config
            .train
            .sampler(key.with_purpose(Purpose::Order), part)?;
        let augmenter = Augmenter::new(&config.augment, &shape, key)?;
        let stream = BatchStream::new(sampler, shape, Portions::whole(part), augmenter, key);
        let mut source = Supervised::new(stream);
        let parts = blocks * each;
        let steps = Steps {
            first: StepBatch::constant(0, part),
            parts,
        };
        measured(
            network.as_mut(),
            &mut source,
            &Solo,
            &steps,
            (norms, request.level),
            &mut |done| {
                observe(done * part, parts * part);
                match control.flow() {
                    Flow::Interrupt => Err(TrainError::Stopped),
                    Flow::Continue => Ok(()),
                }
            },
        )
    }
}

/// The parts that are measured, one after the other in the order of training.
struct Steps {
    first: StepBatch,
    parts: u64,
}

/// The noise scales of a network from the gradients of parts; `each` hears of every part that is done.
fn measured(
    network: &mut dyn Network,
    source: &mut dyn GradientSource,
    group: &dyn Group,
    steps: &Steps,
    (norms, level): (NoiseNorms, f64),
    each: &mut dyn FnMut(u64) -> Result<(), TrainError>,
) -> Result<NormNoiseMeasurement, TrainError> {
    let (blocks, part) = (NORM_BLOCKS as u64, steps.first.batch_size);
    let mut sums = vec![Sums::new(network, norms); NORM_BLOCKS];
    let mut buffer = Vec::new();
    for number in 0..steps.parts {
        let batch = StepBatch {
            step: steps.first.step + number,
            first_draw: steps.first.first_draw + number * part,
            batch_size: part,
        };
        let sum = source.gradient(network, batch)?;
        sum_over_replicas(network, group, sum, &mut buffer)?;
        // Neighbors in order go to different blocks: text is read in streams.
        sums[(number % blocks) as usize].take(network)?;
        each(number + 1)?;
    }
    let refused =
        |error: batchscope_scaling::noise::NoiseError| TrainError::Refused(error.to_string());
    let (coordinates, matrices): (Vec<_>, Vec<_>) = sums
        .into_iter()
        .map(|sums| (sums.coordinates, sums.matrices.map(|(_, sums)| sums)))
        .unzip();
    let coordinates: Option<Vec<CoordinateSums>> = coordinates.into_iter().collect();
    let matrices: Option<Vec<MatrixSums>> = matrices.into_iter().collect();
    Ok(NormNoiseMeasurement {
        part,
        parts: steps.parts,
        l1: coordinates
            .map(|sums| sign_noise(&sums, part, level))
            .transpose()
            .map_err(refused)?,
        nuclear: matrices
            .map(|sums| nuclear_noise(&sums, part, level))
            .transpose()
            .map_err(refused)?,
    })
}

/// Examples of a part that is measured along a run, unless batch norm or a text asks for more.
const PART_ALONG: u64 = 16;
/// Parts of a block that are measured along a run.
const PARTS_ALONG: u64 = 8;
/// Level of the intervals along a run.
const LEVEL: f64 = 0.95;

/// The parts that are measured along a run whose steps have so many examples, `first` the next of them.
fn steps_along(ghost: Option<u64>, shape: &DataShape, first: StepBatch) -> Steps {
    let unit = ghost.unwrap_or(1).max(1);
    Steps {
        first: StepBatch {
            batch_size: match shape.input {
                // Text is read in as many streams as a step has examples.
                InputShape::Tokens { .. } => first.batch_size,
                _ => PART_ALONG.div_ceil(unit) * unit,
            },
            ..first
        },
        parts: PARTS_ALONG * NORM_BLOCKS as u64,
    }
}

/// Refuses to measure along a run where the parts would hold examples twice.
///
/// # Errors
/// Key `l1`.
pub(crate) fn check_along(
    ghost: Option<u64>,
    shape: &DataShape,
    batch_size: u64,
    examples: u64,
) -> Result<(), TrainError> {
    let steps = steps_along(ghost, shape, StepBatch::constant(0, batch_size));
    let needed = steps.parts.saturating_mul(steps.first.batch_size);
    if examples >= needed {
        return Ok(());
    }
    let why = format!(
        "takes the gradients of {needed} examples at each evaluation, and the training set has {examples}: measure at the end, by `noise --l1 --checkpoint`"
    );
    Err(SettingError::new("l1", why).into())
}

/// [`batchscope_core::Diagnostic::SIGN_NOISE`]: nothing is reported where a gradient is not finite.
pub(crate) fn measure_along(
    run: &mut Run<'_>,
    metrics: &mut BTreeMap<Metric, f64>,
) -> Result<(), TrainError> {
    let next = run.controller.at(run.driver.step()).batch;
    let ghost = run.network.ghost_size(next.batch_size);
    let steps = steps_along(ghost, &run.evaluator.shape, next);
    let norms = NoiseNorms {
        l1: true,
        nuclear: false,
    };
    let found = measured(
        run.network.as_mut(),
        run.source.as_mut(),
        run.group,
        &steps,
        (norms, LEVEL),
        &mut |_| Ok(()),
    );
    let scale = match found {
        Ok(found) => found.l1.map(|l1| l1.noise_scale),
        Err(TrainError::Refused(_)) => None,
        Err(error) => return Err(error),
    };
    let Some(scale) = scale else {
        return Ok(());
    };
    let value = scale.value.filter(|_| scale.is_estimated());
    let low = scale.low.or(scale.value);
    for (name, value) in [("", value), ("_low", low), ("_high", scale.high)] {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let quantity = Quantity::Other(format!("noise_l1{name}"));
            metrics.insert(Metric::new(Split::Train, quantity), value);
        }
    }
    Ok(())
}
