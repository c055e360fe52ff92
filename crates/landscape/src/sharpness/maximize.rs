//! Maximization of the loss in a box about a point.

use super::Run;
use crate::lbfgsb::{self, Bounds, Status};
use crate::random::{Use, draws};
use crate::{LandscapeError, Objective, ObjectiveError};

/// A map from the box's coordinates to displacements of the parameters, with its transpose.
pub(super) trait Displacement {
    /// `out ← x + A·z`.
    fn displace(&self, x: &[f64], z: &[f64], out: &mut [f64]);
    /// `out ← Aᵀ·g`.
    fn pull_back(&self, g: &[f64], out: &mut [f64]);
}

/// `A = I`.
pub(super) struct Identity;

impl Displacement for Identity {
    fn displace(&self, x: &[f64], z: &[f64], out: &mut [f64]) {
        for ((out, x), z) in out.iter_mut().zip(x).zip(z) {
            *out = x + z;
        }
    }

    fn pull_back(&self, g: &[f64], out: &mut [f64]) {
        out.copy_from_slice(g);
    }
}

/// `z ↦ −f(x + A·z)`.
struct Descent<'a> {
    objective: &'a mut dyn Objective,
    displacement: &'a dyn Displacement,
    x: &'a [f64],
    dimension: usize,
    point: Vec<f64>,
    slope: Vec<f64>,
    overflowed: bool,
}

impl Objective for Descent<'_> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn value_and_gradient(
        &mut self,
        z: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        self.displacement.displace(self.x, z, &mut self.point);
        let value = self
            .objective
            .value_and_gradient(&self.point, &mut self.slope)?;
        self.overflowed |= !value.is_finite();
        self.displacement.pull_back(&self.slope, gradient);
        gradient.iter_mut().for_each(|g| *g = -*g);
        Ok(-value)
    }
}

/// Maximizes `f(x + A·z)` over `|z_i| ≤ reach_i` from a point drawn uniformly from the box (stream
/// `start` of `seed`).
#[allow(clippy::too_many_arguments)] // one call site each; a struct would only rename them
pub(super) fn in_box(
    objective: &mut dyn Objective,
    displacement: &dyn Displacement,
    x: &[f64],
    value: f64,
    reach: &[f64],
    settings: &lbfgsb::Settings,
    seed: u64,
    start: u32,
) -> Result<Run, LandscapeError> {
    let mut draws = draws(seed, Use::Start, u64::from(start), 0);
    let first: Vec<f64> = reach
        .iter()
        .map(|r| r * (2.0 * draws.uniform() - 1.0))
        .collect();
    let bounds = Bounds::new(reach.iter().map(|r| -r).collect(), reach.to_vec())?;
    let mut descent = Descent {
        objective,
        displacement,
        x,
        dimension: reach.len(),
        point: vec![0.0; x.len()],
        slope: vec![0.0; x.len()],
        overflowed: false,
    };
    let end = lbfgsb::minimize(
        &mut descent,
        &first,
        &bounds,
        settings,
        &mut lbfgsb::untraced,
    )?;
    let lost = end.status == Status::NonFinite && end.iterations == 0 && !end.value.is_finite();
    let best = if lost { value } else { -end.value };
    Ok(Run {
        rise: (best - value).max(0.0),
        iterations: end.iterations,
        evaluations: end.evaluations,
        status: end.status,
        overflowed: descent.overflowed,
    })
}
