//! Keskar's sharpness, \[K\] metric 2.1:
//!
//! ```text
//! C_ε = { z ∈ R^p : |z_i| ≤ ε·(|(A⁺x)_i| + 1) }
//! φ_{x,f}(ε, A) = 100·(max_{z ∈ C_ε} f(x + A·z) − f(x)) / (1 + f(x))
//! ```
//!
//! with `A = I` (the full space) or a random `n × p` matrix. The paper takes ε of 1e-3 and 5e-4,
//! `p = 100`, and ten iterations of L-BFGS-B from a random start. It does not say how `A` is drawn:
//! here its entries are standard normals. The start is uniform in the box; every start in a random
//! subspace draws a subspace of its own.

use super::maximize::{Identity, in_box};
use super::{Run, Sharpness, Subspace, check_radius, from_each_start, value_at};
use crate::{LandscapeError, Objective, lbfgsb};

/// Where the maximum is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Every parameter moves on its own.
    Full,
    /// A random subspace.
    Random {
        /// Its dimension `p`; 100 in the paper.
        dimension: usize,
        /// Bytes its matrix may take; above that it is made anew at every use.
        memory_limit: u64,
    },
}

impl Space {
    /// The paper's: 100 dimensions, kept below 1 GiB.
    pub const RANDOM: Self = Self::Random {
        dimension: 100,
        memory_limit: 1 << 30,
    };
}

/// Settings of [`keskar`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keskar {
    /// Half-width of the box, ε: 1e-3 and 5e-4 in the paper.
    pub epsilon: f64,
    /// Full or random.
    pub space: Space,
    /// Random starts, 1 to 10000.
    pub starts: u32,
    /// The maximization; ten iterations unless changed.
    pub search: lbfgsb::Settings,
    /// Seed of starts and subspaces.
    pub seed: u64,
    /// Level of the interval.
    pub level: f64,
}

impl Default for Keskar {
    /// The paper's, with ε = 1e-3 in the full space.
    fn default() -> Self {
        Self {
            epsilon: 1e-3,
            space: Space::Full,
            starts: 5,
            search: lbfgsb::Settings {
                max_iterations: 10,
                ..lbfgsb::Settings::default()
            },
            seed: 0,
            level: 0.95,
        }
    }
}

/// `φ_{x,f}(ε, A)`, in percent.
///
/// ```
/// use batchscope_landscape::{problems::Quadratic, sharpness::{Keskar, keskar}};
/// // ½(h₁z₁² + h₂z₂²) about 0: the maximum is in a corner of the box of half-width ε
/// let mut f = Quadratic::diagonal(&[10.0, 30.0], &[0.0, 0.0], 1.0);
/// let sharpness = keskar(&mut f, &[0.0, 0.0], &Keskar::default()).unwrap();
/// let closed_form = 100.0 * (0.5 * 40.0 * 1e-6) / 2.0;
/// assert!((sharpness.phi.value.unwrap() / closed_form - 1.0).abs() < 1e-9);
/// ```
///
/// # Errors
/// When a setting is out of range, the loss at `x` is not finite or at most −1, or the objective
/// fails.
pub fn keskar(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &Keskar,
) -> Result<Sharpness, LandscapeError> {
    keskar_from(objective, x, settings, Vec::new(), &mut |_| {})
}

/// [`keskar`], continued: `known` holds the runs of the first starts, which are not repeated. After
/// each further start `keep` is given all runs so far. The result equals that of an uninterrupted
/// call.
///
/// # Errors
/// As [`keskar`].
pub fn keskar_from(
    objective: &mut dyn Objective,
    x: &[f64],
    settings: &Keskar,
    known: Vec<Run>,
    keep: &mut dyn FnMut(&[Run]),
) -> Result<Sharpness, LandscapeError> {
    check_radius("epsilon", settings.epsilon)?;
    let value = value_at(objective, x, settings.starts)?;
    let reach = |coordinates: &[f64]| -> Vec<f64> {
        let distances = coordinates.iter().map(|c| c.abs() + 1.0);
        distances.map(|d| settings.epsilon * d).collect()
    };
    let full = reach(x);
    let (search, seed) = (&settings.search, settings.seed);
    let runs = from_each_start(settings.starts, known, keep, |start| match settings.space {
        Space::Full => in_box(objective, &Identity, x, value, &full, search, seed, start),
        Space::Random {
            dimension,
            memory_limit,
        } => {
            let a = Subspace::new(seed, start, x.len(), dimension, memory_limit)?;
            let box_ = reach(&a.pseudo_inverse_times(x)?);
            in_box(objective, &a, x, value, &box_, search, seed, start)
        }
    })?;
    Ok(Sharpness::new(value, runs, settings.level))
}
