//! The trace of an operator by Hutch++.
//!
//! * \[MMMW\] R. A. Meyer, C. Musco, C. Musco, D. P. Woodruff, "Hutch++: Optimal Stochastic Trace
//!   Estimation" (arXiv 2010.09649), algorithm 1.
//!
//! With `Q` an orthonormal basis of `A·S` for a normal `S` of a few columns,
//! `tr A = tr QᵀAQ + tr (I − QQᵀ)A(I − QQᵀ)`. The first part, which holds the large eigenvalues, is
//! computed exactly; the second is Hutchinson's mean of `gᵀ(I − QQᵀ)A(I − QQᵀ)g` over random signs
//! `g`. The paper fixes the number of products; here probes are added until the interval is as
//! narrow as asked.

use batchscope_core::{Estimate, statistics::t_quantile};
use serde::{Deserialize, Serialize};

use crate::interval::mean_and_error;
use crate::random::{Use, draws};
use crate::vector::{axpy, dot, normalize, orthogonalize};
use crate::{LandscapeError, LinearOperator};

/// Settings of [`trace`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceSettings {
    /// Columns of the sketch `S`, two products each; 0 is Hutchinson's estimator.
    pub sketch: usize,
    /// Probes at least: fewer than 8 do not know their own scatter.
    pub min_probes: u64,
    /// Probes at most.
    pub max_probes: u64,
    /// Stop when the half-width of the interval is at most this part of `|tr A|`...
    pub relative_tolerance: f64,
    /// ...or at most this.
    pub absolute_tolerance: f64,
    /// Seed of sketch and probes.
    pub seed: u64,
    /// Level of the interval.
    pub level: f64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            sketch: 10,
            min_probes: 10,
            max_probes: 200,
            relative_tolerance: 0.05,
            absolute_tolerance: 0.0,
            seed: 0,
            level: 0.95,
        }
    }
}

/// A trace with its errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceEstimate {
    /// `tr A`, with Student's interval over the probes.
    pub trace: Estimate,
    /// Standard error of the mean of the probes.
    pub standard_error: f64,
    /// The part computed exactly, `tr QᵀAQ`.
    pub sketched: f64,
    /// Products with the operator.
    pub products: u64,
    /// Whether the interval became as narrow as asked.
    pub converged: bool,
}

/// `tr A` of a symmetric operator.
///
/// ```
/// use batchscope_landscape::spectrum::{TraceSettings, trace};
/// use batchscope_landscape::{HessianOperator, Products, problems::Quadratic};
/// let eigenvalues: Vec<f64> = (1..=60).map(|i| 100.0 / (i * i) as f64).collect();
/// let mut f = Quadratic::with_spectrum(&eigenvalues);
/// let mut hessian = HessianOperator::new(&mut f, &[0.0; 60], Products::Fast).unwrap();
/// let estimate = trace(&mut hessian, &TraceSettings::default()).unwrap();
/// let truth: f64 = eigenvalues.iter().sum();
/// assert!(estimate.converged);
/// assert!((estimate.trace.value.unwrap() / truth - 1.0).abs() < 0.05);
/// ```
///
/// # Errors
/// When a setting is out of range or the operator fails. Not converging is a flag, not an error.
pub fn trace(
    operator: &mut dyn LinearOperator,
    settings: &TraceSettings,
) -> Result<TraceEstimate, LandscapeError> {
    let n = operator.dimension();
    if n == 0 {
        return Err(LandscapeError::setting("operator", "has no dimension"));
    }
    if settings.min_probes < 2 || settings.max_probes < settings.min_probes {
        return Err(LandscapeError::setting(
            "min_probes",
            "choose two or more, and max_probes no less",
        ));
    }
    if settings.max_probes > 1 << 20 {
        return Err(LandscapeError::setting(
            "max_probes",
            "choose a million or fewer",
        ));
    }
    let mut products = 0;
    let mut product = vec![0.0; n];
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in 0..settings.sketch.min(n) {
        let column = draws(settings.seed, Use::Trace, 0, column as u64).normals(n);
        operator.apply(&column, &mut product)?;
        products += 1;
        let mut q = product.clone();
        let length = normalize(&mut q);
        orthogonalize(&basis, &mut q);
        // a column that the others span already adds nothing
        if length > 0.0 && normalize(&mut q) > 1e-10 {
            orthogonalize(&basis, &mut q);
            normalize(&mut q);
            basis.push(q);
        }
    }
    let mut sketched = 0.0;
    for q in &basis {
        operator.apply(q, &mut product)?;
        products += 1;
        sketched += dot(q, &product);
    }
    let mut probes = Vec::new();
    loop {
        let mut g = draws(settings.seed, Use::Trace, 1, probes.len() as u64).signs(n);
        for q in &basis {
            let along = dot(q, &g);
            axpy(-along, q, &mut g);
        }
        operator.apply(&g, &mut product)?;
        products += 1;
        probes.push(dot(&g, &product));
        let count = probes.len() as u64;
        if count < settings.min_probes {
            continue;
        }
        let (mean, error) = mean_and_error(&probes);
        let standard_error = error.unwrap_or(0.0);
        let half = t_quantile(settings.level, (count - 1) as f64) * standard_error;
        let value = sketched + mean;
        let allowed = settings
            .absolute_tolerance
            .max(settings.relative_tolerance * value.abs())
            .max(f64::EPSILON * n as f64 * sketched.abs());
        let converged = half <= allowed;
        if converged || count >= settings.max_probes {
            let off = operator.relative_error() * value.abs();
            let (low, high) = (value - half - off, value + half + off);
            let estimate = Estimate::estimated(value, low, high, settings.level, count);
            return Ok(TraceEstimate {
                trace: if converged {
                    estimate
                } else {
                    estimate.because("not converged: the interval is wider than asked for")
                },
                standard_error,
                sketched,
                products,
                converged,
            });
        }
    }
}
