//! Sharpness of a minimum: how far the loss rises within a small neighborhood.
//!
//! * \[K\] N. S. Keskar, D. Mudigere, J. Nocedal, M. Smelyanskiy, P. T. P. Tang, "On Large-Batch
//!   Training for Deep Learning: Generalization Gap and Sharp Minima" (arXiv 1609.04836), section
//!   2.2.2, metric 2.1.
//! * \[D\] L. Dinh, R. Pascanu, S. Bengio, Y. Bengio, "Sharp Minima Can Generalize for Deep Nets"
//!   (arXiv 1703.04933).
//! * \[ASAM\] J. Kwon, J. Kim, H. Park, I. K. Choi, "ASAM: Adaptive Sharpness-Aware Minimization"
//!   (arXiv 2102.11600).
//! * \[A\] M. Andriushchenko, F. Croce, M. Müller, M. Hein, N. Flammarion, "A Modern Look at the
//!   Relationship between Sharpness and Generalization" (arXiv 2302.07011).
//!
//! [`keskar`] is \[K\]'s `φ`, exactly. It changes when a network is rewritten without changing what
//! it computes \[D\], so a scale-aware companion stands beside it: [`worst_case`] and
//! [`average_case`] with a [`Scale`] in which such rewriting cancels.
//!
//! A maximum found is a lower bound of the maximum. Every measure is repeated from several random
//! starts; the estimate is their mean with Student's interval, which speaks of the starts (and, in
//! a random subspace, of the subspaces), and the largest is reported beside it.

mod average;
mod keskar;
mod maximize;
mod scale;
mod subspace;
mod worst;

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

pub use average::{AverageCase, Perturbation, average_case};
pub use keskar::{Keskar, Space, keskar, keskar_from};
pub use scale::Scale;
pub use subspace::Subspace;
pub use worst::{Norm, WorstCase, worst_case, worst_case_from};

use crate::lbfgsb::Status;
use crate::{LandscapeError, interval};

/// One maximization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Rise of the loss found, `max f − f(x)`; never negative, for the center is in the region.
    pub rise: f64,
    /// Iterations done.
    pub iterations: u64,
    /// Evaluations of the loss and its gradient.
    pub evaluations: u64,
    /// How it ended.
    pub status: Status,
    /// Whether the loss was infinite, or not a number, somewhere it looked.
    pub overflowed: bool,
}

/// A sharpness with its maximizations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// `100·(max f − f(x))/(1 + f(x))`, in percent: mean over the starts. At least that where the
    /// loss overflowed inside the region.
    pub phi: Estimate,
    /// The same of the best start: the sharpest lower bound of the true maximum.
    pub largest: f64,
    /// `f(x)`.
    pub value: f64,
    /// Every start.
    pub runs: Vec<Run>,
}

impl Sharpness {
    fn new(value: f64, runs: Vec<Run>, level: f64) -> Self {
        let factor = 100.0 / (1.0 + value);
        let phis: Vec<f64> = runs.iter().map(|r| factor * r.rise).collect();
        let largest = phis.iter().copied().fold(0.0, f64::max);
        let mut phi = interval::mean_estimate(&phis, level);
        phi.low = phi.low.map(|low| low.max(0.0));
        let overflowed = runs.iter().filter(|r| r.overflowed).count();
        if overflowed > 0 {
            let why = format!(
                "the loss overflowed in {overflowed} of {} starts",
                runs.len()
            );
            let mean = phi.value.unwrap_or(0.0);
            phi = Estimate::at_least(mean, level, runs.len() as u64, why);
        }
        Self {
            phi,
            largest,
            value,
            runs,
        }
    }
}

/// A run from each start, on from those that are `known`, the first ones; `keep` sees all of them after
/// each new one.
fn from_each_start(
    starts: u32,
    mut known: Vec<Run>,
    keep: &mut dyn FnMut(&[Run]),
    mut run: impl FnMut(u32) -> Result<Run, LandscapeError>,
) -> Result<Vec<Run>, LandscapeError> {
    known.truncate(starts as usize);
    for start in known.len() as u32..starts {
        known.push(run(start)?);
        keep(&known);
    }
    Ok(known)
}

/// `f(x)`, checked to be a loss that `φ` is defined for.
fn value_at(
    objective: &mut dyn crate::Objective,
    x: &[f64],
    starts: u32,
) -> Result<f64, LandscapeError> {
    crate::error::check_length("x", objective.dimension(), x.len())?;
    if !(1..=10_000).contains(&starts) {
        return Err(LandscapeError::setting("starts", "choose 1 to 10000"));
    }
    let value = objective.value(x)?;
    if !value.is_finite() {
        return Err(LandscapeError::NonFinite {
            what: "the loss at the point whose sharpness is asked for",
            remedy: "choose parameters at which it is defined",
        });
    }
    if value <= -1.0 {
        return Err(LandscapeError::setting(
            "objective",
            format!(
                "sharpness divides by 1 + f, and f is {value}: use a loss that is not negative"
            ),
        ));
    }
    Ok(value)
}

/// `Err` unless `radius` is positive and finite.
fn check_radius(name: &'static str, radius: f64) -> Result<(), LandscapeError> {
    if radius > 0.0 && radius.is_finite() {
        Ok(())
    } else {
        Err(LandscapeError::setting(name, "choose a number above 0"))
    }
}
