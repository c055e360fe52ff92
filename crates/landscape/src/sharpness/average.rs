//! Average-case sharpness: the expected rise under a random perturbation (\[A\] equation 2).

use batchscope_core::Estimate;
use serde::{Deserialize, Serialize};

use super::{Scale, check_radius, value_at};
use crate::random::{Use, draws};
use crate::{LandscapeError, Objective, interval};

/// Distribution of `T⁻¹δ/ρ`, independent in every coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Perturbation {
    /// Standard normal.
    Normal,
    /// Uniform in [−1, 1]: the box that worst-case sharpness searches.
    Uniform,
}

/// Settings of [`average_case`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AverageCase {
    /// Radius ρ, in units of the scale.
    pub radius: f64,
    /// The scale `T`.
    pub scale: Scale,
    /// The perturbation.
    pub perturbation: Perturbation,
    /// Antithetic pairs drawn, 2 to 10000; two evaluations each.
    pub pairs: u32,
    /// Seed of the perturbations.
    pub seed: u64,
    /// Level of the interval.
    pub level: f64,
}

impl AverageCase {
    /// Adaptive, normal, 16 pairs.
    pub fn adaptive(radius: f64) -> Self {
        Self {
            radius,
            scale: Scale::Element { eta: 0.01 },
            perturbation: Perturbation::Normal,
            pairs: 16,
            seed: 0,
            level: 0.95,
        }
    }
}

/// `E f(x + δ) − f(x)`, in the units of the loss, with Student's interval over pairs `(δ, −δ)`,
/// whose mean is free of the slope's noise. Near a minimum it is half the trace of `T·∇²f·T` times
/// the variance of a coordinate of the perturbation (`ρ²`, or `ρ²/3` if uniform). It can be
/// negative. Undefined where the loss overflows.
///
/// ```
/// use batchscope_landscape::{problems::Quadratic, sharpness::{AverageCase, Scale, average_case}};
/// let mut f = Quadratic::diagonal(&[2.0, 1.0], &[5.0, 0.0], 1.0);
/// let settings = AverageCase { scale: Scale::Keskar, pairs: 2000, ..AverageCase::adaptive(0.1) };
/// let rise = average_case(&mut f, &[0.0, 1.0], &settings).unwrap();
/// // ½·ρ²·(2·1² + 1·2²)
/// assert!(rise.low.unwrap() < 0.03 && 0.03 < rise.high.unwrap());
/// assert!((rise.value.unwrap() / 0.03 - 1.0).abs() < 0.1);
/// ```
///
/// # Errors
/// As [`keskar`](super::keskar).
pub fn average_case(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &AverageCase,
) -> Result<Estimate, LandscapeError> {
    check_radius("radius", settings.radius)?;
    let value = value_at(objective, x, settings.pairs)?;
    let reach = settings.scale.diagonal(x, &objective.blocks());
    let mut rises = Vec::new();
    let mut point = vec![0.0; x.len()];
    for pair in 0..settings.pairs {
        let mut draws = draws(settings.seed, Use::Perturbation, u64::from(pair), 0);
        let delta: Vec<f64> = reach
            .iter()
            .map(|reach| {
                let unit = match settings.perturbation {
                    Perturbation::Normal => draws.normal(),
                    Perturbation::Uniform => 2.0 * draws.uniform() - 1.0,
                };
                settings.radius * reach * unit
            })
            .collect();
        let mut sum = 0.0;
        for sign in [1.0, -1.0] {
            for (i, point) in point.iter_mut().enumerate() {
                *point = x[i] + sign * delta[i];
            }
            sum += objective.value(&point)?;
        }
        rises.push(0.5 * sum - value);
    }
    if rises.iter().any(|r| !r.is_finite()) {
        let why = "the loss overflows under some perturbations: choose a smaller radius";
        return Ok(Estimate::undefined(settings.level, rises.len() as u64, why));
    }
    Ok(interval::mean_estimate(&rises, settings.level))
}
