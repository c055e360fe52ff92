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

use batchscope_core::{Descriptor, Kind, LossSum, Parameter, ParameterDefault, Range};

use super::{Extra, MethodKind, Part, StepContext, StepMethod};
use crate::{TrainError, noise};

pub(super) static CONSERVATIVE: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "conservative",
        aliases: &[],
        about: "Solves a proximal problem on every batch, roughly",
        source: "Li et al. 2014, KDD; Keskar et al. 2016, arXiv 1609.04836, section 4.2",
        parameters: &[
            Parameter {
                name: "lambda",
                about: "Weight of the squared distance to the step's start, λ",
                kind: Kind::Number(Range::NOT_NEGATIVE),
                default: ParameterDefault::Number(1e-3),
            },
            Parameter {
                name: "iterations",
                about: "Updates per step",
                kind: Kind::Whole(1, 10_000),
                default: ParameterDefault::Whole(3),
            },
        ],
    },
    check: |_, _| Ok(()),
    part: Part::Step(|choice| {
        Box::new(Conservative {
            lambda: choice.number("lambda").unwrap_or(1e-3),
            iterations: choice.whole("iterations").unwrap_or(3),
        })
    }),
    beside: |_| Extra::NOTHING,
};

/// A step that solves a proximal problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conservative {
    /// Weight of the squared distance to the step's start, λ, at least 0.
    pub lambda: f64,
    /// Updates per step, at least 1.
    pub iterations: u64,
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
        let pull = self.lambda as f32;
        let mut first = None;
        for iteration in 0..self.iterations {
            let loss = source.gradient(network, step)?;
            let loss = rule.agree(network, group, loss)?;
            first.get_or_insert(loss);
            if iteration > 0 {
                network.visit(&mut |tensor, parameters, gradient| {
                    let places = parameters.iter().zip(&start[tensor]);
                    for (g, (x, x_k)) in gradient.iter_mut().zip(places) {
                        *g += pull * (x - x_k);
                    }
                })?;
            }
            let update = step.step.saturating_mul(self.iterations) + iteration;
            rule.update(network, group, learning_rate, update)?;
        }
        Ok(first.unwrap_or_default())
    }
}
