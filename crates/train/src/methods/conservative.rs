//! Conservative training: each step solves a proximal problem on its batch, roughly.
//!
//! M. Li, T. Zhang, Y. Chen, A. J. Smola, "Efficient Mini-batch Training for Stochastic
//! Optimization", KDD 2014, equation 3; tried against sharp minima by N. S. Keskar et al., "On
//! Large-Batch Training for Deep Learning" (arXiv 1609.04836), section 4.2:
//!
//! ```text
//! x_{k+1} = argmin_x 1/|B_k| Σ_{i ∈ B_k} f_i(x) + (λ/2)·‖x − x_k‖²
//! ```
//!
//! with λ = 1e-3 and three iterations of ADAM for the problem of a step. The optimizer is that of
//! the run: its moments, and the count its bias corrections go by, run on from one problem to the
//! next, on which the paper is silent. Augmentation and dropout masks are those of the step
//! throughout, so that one function is minimized, and the batch-norm statistics of the last
//! iteration are the step's.

use std::{fmt, str::FromStr};

use batchscope_core::LossSum;
use serde::{Deserialize, Serialize};

use super::{StepContext, StepMethod};
use crate::{TrainError, noise};

/// More iterations than this are no step any more.
const MOST_ITERATIONS: u32 = 10_000;

/// Settings of conservative training, written `LAMBDA` or `LAMBDA:ITERATIONS`.
///
/// ```
/// use batchscope_train::Conservative;
/// assert_eq!("0.001".parse::<Conservative>()?, Conservative::default());
/// assert_eq!("0.5:10".parse::<Conservative>()?.to_string(), "0.5:10");
/// assert!("-1".parse::<Conservative>().is_err());
/// # Ok::<(), batchscope_train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conservative {
    /// Weight of the squared distance to the step's start, λ, at least 0.
    pub lambda: f64,
    /// Updates per step, at least 1.
    pub iterations: u32,
}

impl Default for Conservative {
    /// Keskar's: λ = 1e-3, three iterations.
    fn default() -> Self {
        Self {
            lambda: 1e-3,
            iterations: 3,
        }
    }
}

impl Conservative {
    /// Checks the settings.
    pub(crate) fn check(self) -> Result<Self, TrainError> {
        let sound = self.lambda >= 0.0
            && self.lambda.is_finite()
            && (1..=MOST_ITERATIONS).contains(&self.iterations);
        if !sound {
            return Err(TrainError::Refused(format!(
                "conservative training {self}: choose a weight of at least 0 and 1 to \
                 {MOST_ITERATIONS} iterations, for example 0.001:3"
            )));
        }
        Ok(self)
    }
}

impl StepMethod for Conservative {
    /// Gradients and updates in turn, around the parameters the step began with. The loss is that
    /// of the step's start, without the distance.
    fn take(&self, context: StepContext<'_>) -> Result<LossSum, TrainError> {
        let StepContext {
            network,
            source,
            rule,
            group,
            learning_rate,
            step,
            noise,
        } = context;
        if let Some(watch) = noise {
            noise::undefined(
                watch.record,
                "a conservative step takes several gradients, at several points",
            );
        }
        let mut start: Vec<Vec<f32>> = Vec::new();
        network.visit(&mut |_, parameters, _| start.push(parameters.to_vec()))?;
        // Gradient windows are summed over the replicas, which all stand at the same parameters.
        let pull = (self.lambda / group.size() as f64) as f32;
        let mut first = None;
        for iteration in 0..u64::from(self.iterations) {
            let loss = source.gradient(network, step)?;
            first.get_or_insert(loss);
            if iteration > 0 {
                network.visit(&mut |tensor, parameters, gradient| {
                    let places = parameters.iter().zip(&start[tensor]);
                    for (g, (x, x_k)) in gradient.iter_mut().zip(places) {
                        *g += pull * (x - x_k);
                    }
                })?;
            }
            let update = step.saturating_mul(u64::from(self.iterations)) + iteration;
            rule.update(network, group, learning_rate, update)?;
        }
        Ok(first.unwrap_or_default())
    }
}

impl fmt::Display for Conservative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lambda, self.iterations)
    }
}

impl FromStr for Conservative {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let (lambda, iterations) = text.split_once(':').unwrap_or((text, "3"));
        let read = Self {
            lambda: lambda.trim().parse().unwrap_or(f64::NAN),
            iterations: iterations.trim().parse().unwrap_or(0),
        };
        read.check().map_err(|_| {
            TrainError::Refused(format!(
                "'{text}' is no conservative training: write the weight of the distance, or that \
                 and the iterations of a step: 0.001 or 0.001:3"
            ))
        })
    }
}
