//! Spectral density by stochastic Lanczos quadrature.
//!
//! * \[UCS\] S. Ubaru, J. Chen, Y. Saad, "Fast Estimation of tr(f(A)) via Stochastic Lanczos
//!   Quadrature", SIAM J. Matrix Anal. Appl. 38 (2017), 1075–1099.
//! * \[GKX\] B. Ghorbani, S. Krishnan, Y. Xiao, "An Investigation into Neural Net Optimization via
//!   Hessian Eigenvalue Density" (arXiv 1901.10159).
//!
//! For a random unit vector `v` the measure `Σ_k (vᵀu_k)²·δ(λ − λ_k)` has the spectral density as
//! its mean. `m` steps of Lanczos from `v` give its Gauss quadrature: the Ritz values `θ_i` as nodes
//! and the squared first coordinates `τ_i²` of their vectors as weights, exact for polynomials up
//! to degree `2m − 1`. Several `v` (random signs) give the mean and its error.

use batchscope_core::Estimate;
use nalgebra::{DMatrix, SymmetricEigen};

use crate::interval::mean_estimate;
use crate::random::{Use, draws};
use crate::vector::{axpy, dot, norm, normalize, orthogonalize, scale};
use crate::{LandscapeError, LinearOperator};

/// Settings of [`spectral_density`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DensitySettings {
    /// Random vectors, 2 to 10000.
    pub probes: u64,
    /// Lanczos steps from each, `m`; as many basis vectors are kept, each as long as the parameters.
    pub steps: usize,
    /// Seed of the vectors.
    pub seed: u64,
}

impl Default for DensitySettings {
    fn default() -> Self {
        Self {
            probes: 8,
            steps: 64,
            seed: 0,
        }
    }
}

/// A spectrum as the quadratures of its probes.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralDensity {
    /// Number of eigenvalues.
    pub dimension: usize,
    /// For every probe its nodes, ascending, with weights that sum to 1.
    pub quadratures: Vec<Vec<(f64, f64)>>,
    /// Products with the operator.
    pub products: u64,
    /// Stated relative error of those products.
    pub relative_error: f64,
}

/// The spectral density of a symmetric operator.
///
/// ```
/// use batchscope_landscape::spectrum::{DensitySettings, spectral_density};
/// use batchscope_landscape::{HessianOperator, Products, problems::Quadratic};
/// let eigenvalues: Vec<f64> = (0..50).map(|i| if i < 40 { 0.0 } else { 8.0 }).collect();
/// let mut f = Quadratic::with_spectrum(&eigenvalues);
/// let mut hessian = HessianOperator::new(&mut f, &[0.0; 50], Products::Fast).unwrap();
/// let settings = DensitySettings { probes: 40, ..DensitySettings::default() };
/// let density = spectral_density(&mut hessian, &settings).unwrap();
/// let above = density.fraction(4.0..f64::INFINITY, 0.95);
/// assert!((above.value.unwrap() - 0.2).abs() < 0.05);
/// ```
///
/// # Errors
/// When a setting is out of range or the operator fails.
pub fn spectral_density(
    operator: &mut dyn LinearOperator,
    settings: &DensitySettings,
) -> Result<SpectralDensity, LandscapeError> {
    let n = operator.dimension();
    if n == 0 || settings.steps == 0 {
        return Err(LandscapeError::setting("steps", "choose one or more"));
    }
    if !(2..=10_000).contains(&settings.probes) {
        return Err(LandscapeError::setting("probes", "choose 2 to 10000"));
    }
    let mut density = SpectralDensity {
        dimension: n,
        quadratures: Vec::new(),
        products: 0,
        relative_error: 0.0,
    };
    for probe in 0..settings.probes {
        let mut start = draws(settings.seed, Use::Density, probe, 0).signs(n);
        normalize(&mut start);
        let (diagonal, off_diagonal) = tridiagonalize(operator, start, settings.steps.min(n))?;
        density.products += diagonal.len() as u64;
        density
            .quadratures
            .push(quadrature(&diagonal, &off_diagonal));
    }
    density.relative_error = operator.relative_error();
    Ok(density)
}

/// Lanczos with full reorthogonalization: the diagonal and off-diagonal of `QᵀAQ`. Ends early in an
/// invariant space, which the quadrature then covers exactly.
fn tridiagonalize(
    operator: &mut dyn LinearOperator,
    start: Vec<f64>,
    steps: usize,
) -> Result<(Vec<f64>, Vec<f64>), LandscapeError> {
    let mut basis = vec![start];
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::<f64>::new());
    let mut largest = 0.0f64;
    loop {
        let j = diagonal.len();
        let mut product = vec![0.0; operator.dimension()];
        operator.apply(&basis[j], &mut product)?;
        let alpha = dot(&basis[j], &product);
        axpy(-alpha, &basis[j], &mut product);
        diagonal.push(alpha);
        if diagonal.len() == steps {
            return Ok((diagonal, off_diagonal));
        }
        orthogonalize(&basis, &mut product);
        let beta = norm(&product);
        largest = largest.max(alpha.abs()).max(beta);
        if beta <= 1e3 * f64::EPSILON * largest {
            return Ok((diagonal, off_diagonal));
        }
        scale(1.0 / beta, &mut product);
        off_diagonal.push(beta);
        basis.push(product);
    }
}

fn quadrature(diagonal: &[f64], off_diagonal: &[f64]) -> Vec<(f64, f64)> {
    let m = diagonal.len();
    let matrix = DMatrix::from_fn(m, m, |i, j| {
        if i == j {
            diagonal[i]
        } else if i.abs_diff(j) == 1 {
            off_diagonal[i.min(j)]
        } else {
            0.0
        }
    });
    let eigen = SymmetricEigen::new(matrix);
    let mut nodes: Vec<(f64, f64)> = (0..m)
        .map(|i| (eigen.eigenvalues[i], eigen.eigenvectors[(0, i)].powi(2)))
        .collect();
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
    nodes
}

impl SpectralDensity {
    /// Mean of `f` over the spectrum, `tr f(A)/n`, with Student's interval over the probes. The
    /// identity gives the trace over `n`, the square the squared Frobenius norm over `n`.
    pub fn mean(&self, f: impl Fn(f64) -> f64, level: f64) -> Estimate {
        let values: Vec<f64> = self
            .quadratures
            .iter()
            .map(|q| q.iter().map(|(node, weight)| weight * f(*node)).sum())
            .collect();
        mean_estimate(&values, level)
    }

    /// Part of the eigenvalues in a range, in [0, 1].
    pub fn fraction(&self, range: std::ops::Range<f64>, level: f64) -> Estimate {
        let mut part = self.mean(|x| f64::from(range.contains(&x)), level);
        part.low = part.low.map(|low| low.max(0.0));
        part.high = part.high.map(|high| high.min(1.0));
        part
    }

    /// The density at `x`, smoothed by a normal of deviation `bandwidth` (its integral is 1).
    pub fn at(&self, x: f64, bandwidth: f64, level: f64) -> Estimate {
        let height = 1.0 / (bandwidth * std::f64::consts::TAU.sqrt());
        let mut density = self.mean(
            |node| height * (-0.5 * ((x - node) / bandwidth).powi(2)).exp(),
            level,
        );
        density.low = density.low.map(|low| low.max(0.0));
        density
    }

    /// Least and greatest node: they lie inside the spectrum, near its ends.
    pub fn range(&self) -> (f64, f64) {
        let nodes = self.quadratures.iter().flatten().map(|n| n.0);
        nodes.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), node| {
            (low.min(node), high.max(node))
        })
    }

    /// The density on `points` evenly spaced places, from 5 % of the range below it to 5 % above,
    /// as (place, density); `bandwidth` `None` takes a hundredth of the range.
    pub fn curve(&self, points: usize, bandwidth: Option<f64>, level: f64) -> Vec<(f64, Estimate)> {
        let (low, high) = self.range();
        let span = (high - low).max(f64::EPSILON * high.abs().max(1.0));
        let bandwidth = bandwidth.unwrap_or(span / 100.0);
        let place = |i: usize| {
            low - 0.05 * span + 1.1 * span * i as f64 / points.saturating_sub(1).max(1) as f64
        };
        (0..points)
            .map(|i| (place(i), self.at(place(i), bandwidth, level)))
            .collect()
    }
}
