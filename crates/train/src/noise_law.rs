//! The `1/√B` law, measured: how far the gradient of `B` examples is from that of all of them, and
//! what it costs (I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning", 2016, section 8.1.3).
//!
//! The error falls as the root of the batch size, the seconds grow with the batch size: a hundred
//! times the work for ten times the accuracy. Drawn without replacement from `N` examples, the
//! expected squared error is `tr Σ·(1/B − 1/N)`.

use std::time::Instant;

use batchscope_core::{
    Control, Estimate, Network, Purpose, Solo, StepBatch, StreamKey, Task, TrainerError,
};
use batchscope_scaling::noise::{Pieces, mean_square_error};
use serde::{Deserialize, Serialize};

use crate::{
    BatchStream, BuiltIn, GradientSource, NoiseRequest, Portions, StepNoise, Supervised,
    TrainError, augment::Augmenter, noise::window_norms,
};

/// Batches drawn at each size, at least and at most; between them as many as hold `N` examples.
const DRAWS: (u64, u64) = (4, 32);

/// Parts whose norms determine `tr Σ`, at least, where examples cannot be told apart.
const PARTS: u64 = 64;

/// The law at every power of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseLaw {
    /// Examples whose gradient counts as the truth.
    pub examples: u64,
    /// `|G_N|`, the norm of their mean gradient.
    pub gradient_norm: f64,
    /// `tr Σ` over them.
    pub trace: f64,
    /// Seconds of their gradient, on this machine.
    pub seconds: f64,
    /// One row for each batch size, increasing.
    pub points: Vec<LawPoint>,
}

/// The law at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LawPoint {
    /// Examples in the gradient, `B`.
    pub batch_size: u64,
    /// Root mean square of `|g_B − G_N|`.
    pub error: Estimate,
    /// What the law says: `√(tr Σ·(1/B − 1/N))`.
    pub predicted: f64,
    /// Median seconds of the gradient, on this machine.
    pub seconds: f64,
}

impl BuiltIn {
    /// Measures the law for the network that `request` names, at its seed. `None` if `control`,
    /// asked after every micro-batch, told it to stop; `observe` hears of the batch sizes done, out
    /// of how many.
    ///
    /// # Errors
    /// For text, whose windows continue each other; where nothing can be measured, with the reason;
    /// when the checkpoint cannot be used.
    pub fn measure_law(
        &self,
        request: &NoiseRequest,
        control: &dyn Control,
        observe: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Option<NoiseLaw>, TrainerError> {
        let measured = self
            .pools()
            .run(|| self.measure_law_here(request, control, observe))?;
        match measured {
            Err(TrainError::Stopped) => Ok(None),
            measured => Ok(Some(measured?)),
        }
    }

    fn measure_law_here(
        &self,
        request: &NoiseRequest,
        control: &dyn Control,
        observe: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<NoiseLaw, TrainError> {
        let config = self.config();
        let shape = config.train.shape();
        if shape.task == Task::NextToken {
            return Err(TrainError::Refused(
                "windows of text continue each other, so no order of them is that of independent examples: measure the law on images, masks or tables".to_owned(),
            ));
        }
        let (key, mut network) = self.measured_network(request, &Solo)?;
        let unit = network.ghost_size(u64::MAX).unwrap_or(1).max(1);
        let examples = config.train.len() / unit * unit;
        let source =
            |batch_size: u64, draw: u64, most: u64| -> Result<Supervised<'_>, TrainError> {
                // A trial of its own for every draw, so that all are independent: the steps of one
                // order share its epochs, whose halves, say, are as far from their mean on either side.
                let key = StreamKey {
                    trial: batch_size * DRAWS.1 + draw,
                    ..key
                };
                let order = key.with_purpose(Purpose::Order);
                let sampler = config.train.sampler(order, batch_size)?;
                let augmenter = Augmenter::new(&config.augment, &shape, key)?;
                let most = most.clamp(unit, config.micro_batch_ceiling.max(unit)) / unit * unit;
                let micro_batch = request.micro_batch.unwrap_or(most).min(batch_size);
                let portions = Portions::whole(micro_batch);
                let stream = BatchStream::new(sampler, shape, portions, augmenter, key);
                let mut source = Supervised::new(stream)
                    .measuring_every_step()
                    .stoppable(control);
                source.warm_up(StepBatch::constant(0, batch_size));
                Ok(source)
            };

        let mut everything = source(examples, 0, examples / PARTS)?;
        let begun = Instant::now();
        let (_, found) =
            everything.measured_gradient(network.as_mut(), StepBatch::constant(0, examples))?;
        let seconds = begun.elapsed().as_secs_f64();
        let parts = match found {
            StepNoise::Parts(parts) => parts,
            StepNoise::Passed => return Err(TrainError::Bug("a step was not measured".to_owned())),
            StepNoise::Undefined(why) => {
                return Err(TrainError::Refused(format!("the law is undefined: {why}")));
            }
        };
        let norms = window_norms(network.as_mut())?;
        let whole: Pieces = parts
            .pieces(&norms)
            .map_err(|e| TrainError::Refused(e.to_string()))?
            .into_iter()
            .sum();
        let truth = window(network.as_mut())?;

        let sizes: Vec<u64> = std::iter::successors(Some(unit), |b| b.checked_mul(2))
            .take_while(|&b| 2 * b <= examples)
            .collect();
        let mut points = Vec::new();
        for (done, &batch_size) in sizes.iter().enumerate() {
            observe(done, sizes.len());
            let (mut errors, mut seconds) = (Vec::new(), Vec::new());
            for draw in 0..(examples / batch_size).clamp(DRAWS.0, DRAWS.1) {
                let mut source = source(batch_size, draw, batch_size)?;
                let begun = Instant::now();
                source.gradient(network.as_mut(), StepBatch::constant(0, batch_size))?;
                seconds.push(begun.elapsed().as_secs_f64());
                errors.push(squared_distance(network.as_mut(), &truth)?);
            }
            seconds.sort_by(f64::total_cmp);
            points.push(LawPoint {
                batch_size,
                error: mean_square_error(&errors, request.level),
                predicted: whole.gradient_error(batch_size as f64, Some(examples)),
                seconds: seconds[seconds.len() / 2],
            });
        }
        Ok(NoiseLaw {
            examples,
            gradient_norm: norms.iter().sum::<f64>().sqrt(),
            trace: whole.trace,
            seconds,
            points,
        })
    }
}

/// A copy of the gradient window.
fn window(network: &mut dyn Network) -> Result<Vec<Vec<f32>>, TrainError> {
    let mut gradients = Vec::new();
    network.visit(&mut |_, _, gradient| gradients.push(gradient.to_vec()))?;
    Ok(gradients)
}

/// `|g − G|²` between the gradient window and a copy of one.
fn squared_distance(network: &mut dyn Network, truth: &[Vec<f32>]) -> Result<f64, TrainError> {
    let mut sum = 0.0;
    network.visit(&mut |tensor, _, gradient| {
        let pairs = gradient.iter().zip(&truth[tensor]);
        sum += pairs
            .map(|(&g, &t)| (f64::from(g) - f64::from(t)).powi(2))
            .sum::<f64>();
    })?;
    Ok(sum)
}
