//! Worst-case sharpness in a scaled neighborhood.
//!
//! \[ASAM\] definition 1: with `T = diag` of a [`Scale`],
//! `max_{‖T⁻¹δ‖ ≤ ρ} f(x + δ) − f(x)`, in the maximum norm (a box, searched by L-BFGS-B as Keskar's
//! is) or the Euclidean norm (an ellipsoid). In the latter, with `δ = T·u`, the maximizer of the
//! linearized loss is `u = ρ·T∇f/‖T∇f‖`, ASAM's step; it is taken again and again at the new point,
//! a fixed-point iteration that is power iteration on `T·∇²f·T` near a minimum, and replaced by a
//! projected gradient step with backtracking where it does not raise the loss.

use serde::{Deserialize, Serialize};

use super::maximize::{Identity, in_box};
use super::{Run, Scale, Sharpness, check_radius, from_each_start, value_at};
use crate::lbfgsb::{self, Status};
use crate::random::{Use, draws};
use crate::vector::{axpy, norm, scale};
use crate::{LandscapeError, Objective};

/// The norm that bounds the neighborhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Largest entry.
    Max,
    /// Euclidean.
    Euclidean,
}

/// Settings of [`worst_case`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorstCase {
    /// Radius ρ of the neighborhood, in units of the scale.
    pub radius: f64,
    /// The scale `T`.
    pub scale: Scale,
    /// The norm.
    pub norm: Norm,
    /// Random starts, 1 to 10000.
    pub starts: u32,
    /// Iterations of each.
    pub iterations: u64,
    /// Seed of the starts.
    pub seed: u64,
    /// Level of the interval.
    pub level: f64,
}

impl WorstCase {
    /// Adaptive sharpness in a box of relative half-width `radius`: Keskar's measure, made
    /// scale-aware.
    pub fn adaptive_box(radius: f64) -> Self {
        Self {
            radius,
            scale: Scale::Element { eta: 0.01 },
            norm: Norm::Max,
            starts: 5,
            iterations: 10,
            seed: 0,
            level: 0.95,
        }
    }

    /// ASAM's own: Euclidean, element by element, η = 0.01 (ρ = 0.5 in the paper's experiments on
    /// CIFAR-10).
    pub fn asam(radius: f64) -> Self {
        Self {
            norm: Norm::Euclidean,
            iterations: 20,
            ..Self::adaptive_box(radius)
        }
    }
}

/// A point counts as stationary after this many projected steps, each a quarter of the one before.
const BACKTRACKS: i32 = 6;
/// A relative gain below this ends the ascent.
const LITTLE: f64 = 1e-9;

/// Worst-case sharpness as a percentage, `100·(max f − f(x))/(1 + f(x))`, to compare with
/// [`keskar`](super::keskar); the rise itself is in [`Run::rise`].
///
/// ```
/// use batchscope_landscape::{problems::Quadratic, sharpness::{Scale, WorstCase, worst_case}};
/// // ρ²/2 times the largest eigenvalue of T·H·T = diag(2·1², 0.5·3²)
/// let mut f = Quadratic::diagonal(&[2.0, 0.5], &[-2.0, -1.5], 10.0);
/// let settings = WorstCase { scale: Scale::Element { eta: 0.0 }, ..WorstCase::asam(0.1) };
/// let sharpness = worst_case(&mut f, &[1.0, 3.0], &settings).unwrap();
/// let rise = sharpness.runs.iter().map(|r| r.rise).fold(0.0, f64::max);
/// assert!((rise / (0.005 * 4.5) - 1.0).abs() < 1e-6);
/// ```
///
/// # Errors
/// As [`keskar`](super::keskar).
pub fn worst_case(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &WorstCase,
) -> Result<Sharpness, LandscapeError> {
    worst_case_from(objective, x, settings, Vec::new(), &mut |_| {})
}

/// [`worst_case`], continued: `known` holds the runs of the first starts, which are not repeated.
/// After each further start `keep` is given all runs so far. The result equals that of an
/// uninterrupted call.
///
/// # Errors
/// As [`keskar`](super::keskar).
pub fn worst_case_from(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &WorstCase,
    known: Vec<Run>,
    keep: &mut dyn FnMut(&[Run]),
) -> Result<Sharpness, LandscapeError> {
    check_radius("radius", settings.radius)?;
    let value = value_at(objective, x, settings.starts)?;
    let mut reach = settings.scale.diagonal(x, &objective.blocks());
    scale(settings.radius, &mut reach);
    let runs = from_each_start(settings.starts, known, keep, |start| match settings.norm {
        Norm::Max => {
            let search = lbfgsb::Settings {
                max_iterations: settings.iterations,
                ..lbfgsb::Settings::default()
            };
            let seed = settings.seed;
            in_box(objective, &Identity, x, value, &reach, &search, seed, start)
        }
        Norm::Euclidean => in_ball(objective, x, value, &reach, settings, start),
    })?;
    Ok(Sharpness::new(value, runs, settings.level))
}

/// The ascent in the unit ball of `u`, with `δ = reach ∘ u`.
struct Ball<'a> {
    objective: &'a mut dyn Objective,
    x: &'a [f64],
    reach: &'a [f64],
    point: Vec<f64>,
    evaluations: u64,
    overflowed: bool,
}

impl Ball<'_> {
    /// Loss at `u`, and its gradient with respect to `u` into `slope`; `None` where not finite.
    fn evaluate(&mut self, u: &[f64], slope: &mut [f64]) -> Result<Option<f64>, LandscapeError> {
        for (i, point) in self.point.iter_mut().enumerate() {
            *point = self.x[i] + self.reach[i] * u[i];
        }
        let value = self.objective.value_and_gradient(&self.point, slope)?;
        self.evaluations += 1;
        slope.iter_mut().zip(self.reach).for_each(|(s, r)| *s *= r);
        let finite = value.is_finite() && norm(slope).is_finite();
        self.overflowed |= !finite;
        Ok(finite.then_some(value))
    }
}

fn in_ball(
    objective: &mut dyn Objective,
    x: &[f64],
    value: f64,
    reach: &[f64],
    settings: &WorstCase,
    start: u32,
) -> Result<Run, LandscapeError> {
    let n = x.len();
    let mut u = draws(settings.seed, Use::Start, u64::from(start), 0).normals(n);
    let length = norm(&u);
    scale(1.0 / length, &mut u);
    let mut ball = Ball {
        objective,
        x,
        reach,
        point: vec![0.0; n],
        evaluations: 0,
        overflowed: false,
    };
    let (mut slope, mut next_slope) = (vec![0.0; n], vec![0.0; n]);
    let mut status = Status::IterationLimit;
    let mut best = value;
    let mut iterations = 0;
    if let Some(first) = ball.evaluate(&u, &mut slope)? {
        let mut now = first;
        while iterations < settings.iterations {
            let steepness = norm(&slope);
            if steepness == 0.0 {
                status = Status::ProjectedGradient;
                break;
            }
            // the linearized maximizer, then ever shorter projected steps
            let mut taken = None;
            for backtrack in 0..=BACKTRACKS {
                let mut next = slope.clone();
                scale(1.0 / steepness, &mut next);
                if backtrack > 0 {
                    scale(4f64.powi(1 - backtrack), &mut next);
                    axpy(1.0, &u, &mut next);
                    let length = norm(&next);
                    scale(1.0 / length.max(1.0), &mut next);
                }
                match ball.evaluate(&next, &mut next_slope)? {
                    Some(value) if value > now => {
                        taken = Some((next, value));
                        break;
                    }
                    _ => {}
                }
            }
            let Some((next, raised)) = taken else {
                status = Status::LineSearchFailed;
                break;
            };
            iterations += 1;
            let gain = raised - now;
            u = next;
            std::mem::swap(&mut slope, &mut next_slope);
            now = raised;
            if gain <= LITTLE * (now - value).abs() {
                status = Status::Reduction;
                break;
            }
        }
        best = now;
    } else {
        status = Status::NonFinite;
    }
    Ok(Run {
        rise: (best - value).max(0.0),
        iterations,
        evaluations: ball.evaluations,
        status,
        overflowed: ball.overflowed,
    })
}
