//! Regression of one noisy curve on `[0, 1]` by a Gaussian process, as AutoWU needs it.
//!
//! Model: `y = m + f(x) + e`, `f` with covariance `s·exp(−(x − x′)²/2ℓ²)`, `ℓ = 0.2`, `e` with variance `v`. In unconstrained
//! numbers `s = softplus(a)` and `v = softplus(b) + 1e-4`, which are gpytorch's constraints. `m`, `a` and `b` are fitted by
//! Adam on the negative log marginal likelihood per point (Rasmussen and Williams 2006, equations 2.30 and 5.9).
//!
//! The kernel is so smooth that its matrix has a numerical rank of about twenty, however many the points. A pivoted
//! Cholesky decomposition `R ≈ UUᵀ`, exact to 1e-12, makes of each product and inverse one of that size: what would take
//! 500³ operations takes 500·20².

use batchscope_core::statistics::normal_probability;
use nalgebra::{Cholesky, DMatrix, DVector, SymmetricEigen};

use crate::controller::whole;

/// Length-scale of the kernel.
const LENGTH_SCALE: f64 = 0.2;
/// Least variance of the noise.
const LEAST_NOISE: f64 = 1e-4;
/// Variance of the noise before it is fitted.
const FIRST_NOISE: f64 = 1e-3;
/// What is left of the kernel's diagonal, 1, when its decomposition ends.
const LEFT: f64 = 1e-12;
/// Adam's constants.
const RATE: f64 = 0.01;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// Points at which curves are predicted, from 0 to 1.
pub(crate) const GRID: usize = 500;

/// The constants of the process, with Adam's memory of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GaussianProcess {
    /// `m`, `a`, `b`.
    constants: [f64; 3],
    /// Adam's first moments.
    first: [f64; 3],
    /// Adam's second moments.
    second: [f64; 3],
    /// Iterations of Adam so far.
    iterations: u64,
}

/// Points of a curve.
pub(crate) struct Points {
    /// In `[0, 1]`.
    pub x: Vec<f64>,
    /// The values there.
    pub y: Vec<f64>,
}

/// A curve as predicted on [`GRID`] points.
pub(crate) struct Predicted {
    /// Its mean.
    mean: Vec<f64>,
    /// The variance of each point's difference from the last.
    difference: Vec<f64>,
}

impl GaussianProcess {
    /// Before any data: `s = ln 2`, `v = 1e-3`.
    pub fn new() -> Self {
        let inverse_softplus = |y: f64| y.exp_m1().ln();
        Self {
            constants: [0.0, 0.0, inverse_softplus(FIRST_NOISE - LEAST_NOISE)],
            first: [0.0; 3],
            second: [0.0; 3],
            iterations: 0,
        }
    }

    /// Sets the mean; Adam's memory of it stays.
    pub fn set_mean(&mut self, mean: f64) {
        self.constants[0] = mean;
    }

    /// `m`, `s`, `v`.
    pub fn values(&self) -> [f64; 3] {
        let [m, a, b] = self.constants;
        [m, softplus(a), softplus(b) + LEAST_NOISE]
    }

    /// Fits the constants by so many iterations of Adam.
    pub fn fit(&mut self, points: &Points, iterations: u32) {
        let likelihood = Likelihood::new(points);
        for _ in 0..iterations {
            let gradient = likelihood.gradient(self.values());
            let [_, a, b] = self.constants;
            let gradient = [
                gradient[0],
                gradient[1] * sigmoid(a),
                gradient[2] * sigmoid(b),
            ];
            self.iterations += 1;
            // More iterations than this are no longer told apart by the bias correction.
            let t = self.iterations.min(1 << 30) as i32;
            let (correct1, correct2) = (1.0 - BETA1.powi(t), 1.0 - BETA2.powi(t));
            for (i, g) in gradient.into_iter().enumerate() {
                self.first[i] = BETA1 * self.first[i] + (1.0 - BETA1) * g;
                self.second[i] = BETA2 * self.second[i] + (1.0 - BETA2) * g * g;
                let root = (self.second[i] / correct2).sqrt() + EPSILON;
                self.constants[i] -= RATE * (self.first[i] / correct1) / root;
            }
        }
    }

    /// The curve given these points: the posterior of `m + f`, without the noise.
    pub fn predict(&self, points: &Points) -> Predicted {
        let [m, s, v] = self.values();
        let grid = (0..GRID).map(grid_point);
        let joint: Vec<f64> = grid.chain(points.x.iter().copied()).collect();
        let features = features(&joint);
        let rank = features.ncols();
        let (on_grid, on_data) = (features.rows(0, GRID), features.rows(GRID, points.x.len()));
        let mut inner = on_data.transpose() * on_data;
        for i in 0..rank {
            inner[(i, i)] += v / s;
        }
        let centered = DVector::from_iterator(points.y.len(), points.y.iter().map(|y| y - m));
        let Some(inner) = Cholesky::new(inner) else {
            // Constants or data that are not finite: nothing is known, so nothing is certain.
            return Predicted {
                mean: vec![m; GRID],
                difference: vec![f64::INFINITY; GRID],
            };
        };
        let weights = inner.solve(&(on_data.transpose() * centered));
        let mean = on_grid * weights;
        let last = on_grid.row(GRID - 1);
        let differences = DMatrix::from_fn(rank, GRID, |i, j| on_grid[(j, i)] - last[i]);
        let whitened = inner
            .l()
            .solve_lower_triangular(&differences)
            .unwrap_or_else(|| DMatrix::repeat(rank, GRID, f64::INFINITY));
        Predicted {
            mean: mean.iter().map(|f| m + f).collect(),
            difference: whitened
                .column_iter()
                .map(|column| v * column.norm_squared())
                .collect(),
        }
    }

    /// Everything it remembers, as numbers.
    pub fn state(&self) -> [f64; 10] {
        let mut state = [0.0; 10];
        let parts = [self.constants, self.first, self.second];
        for (to, from) in state.iter_mut().zip(parts.as_flattened()) {
            *to = *from;
        }
        state[9] = self.iterations as f64;
        state
    }

    /// Of a state; `None` for one that no process has.
    pub fn of_state(state: &[f64; 10]) -> Option<Self> {
        let three = |at: usize| [state[at], state[at + 1], state[at + 2]];
        let is_finite = state.iter().all(|x| x.is_finite());
        whole(state[9])
            .filter(|_| is_finite)
            .map(|iterations| Self {
                constants: three(0),
                first: three(3),
                second: three(6),
                iterations,
            })
    }
}

impl Predicted {
    /// `max P(f(xᵢ) < f(1))` over the points before the last, each pair by itself; 1e-4 is added to the variances.
    pub fn probability_of_a_past_minimum(&self) -> f64 {
        let last = self.mean[GRID - 1];
        let pairs = self.mean.iter().zip(&self.difference).take(GRID - 1);
        pairs
            .map(|(mean, variance)| normal_probability((last - mean) / (variance + 1e-4).sqrt()))
            .fold(0.0, f64::max)
    }

    /// Where on `[0, 1]` the mean is least; the first of several.
    pub fn minimum(&self) -> f64 {
        let least = self
            .mean
            .iter()
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(b.1));
        least.map_or(0.0, |(at, _)| grid_point(at))
    }
}

fn grid_point(at: usize) -> f64 {
    at as f64 / (GRID - 1) as f64
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `U`, a row for each point, with `UUᵀ` the kernel of them (without `s`): pivoted Cholesky, whose next pivot is the point
/// that those before tell least of.
fn features(x: &[f64]) -> DMatrix<f64> {
    let mut left = vec![1.0f64; x.len()];
    let mut columns: Vec<DVector<f64>> = Vec::new();
    while columns.len() < x.len() {
        let widest = left.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let Some((pivot, &rest)) = widest.filter(|(_, rest)| **rest > LEFT) else {
            break;
        };
        let root = rest.sqrt();
        let mut column = DVector::from_iterator(
            x.len(),
            x.iter()
                .map(|x0| (-((x0 - x[pivot]) / LENGTH_SCALE).powi(2) / 2.0).exp()),
        );
        for before in &columns {
            column.axpy(-before[pivot], before, 1.0);
        }
        column /= root;
        for (rest, u) in left.iter_mut().zip(column.iter()) {
            *rest -= u * u;
        }
        left[pivot] = 0.0;
        columns.push(column);
    }
    DMatrix::from_columns(&columns)
}

/// The marginal likelihood of points: with `Λ` and `V` from `UᵀU = VΛVᵀ`, the inverse of the covariance `K = sUUᵀ + v` is
/// `(1 − UV·diag(s/(v + sλ))·VᵀUᵀ)/v`.
struct Likelihood {
    n: f64,
    eigenvalues: DVector<f64>,
    /// `VᵀUᵀy` and `VᵀUᵀ1`.
    values: DVector<f64>,
    ones: DVector<f64>,
    /// `y`'s sum, about its mean, and its sum of squares about its mean.
    mean: f64,
    squares: f64,
}

impl Likelihood {
    fn new(points: &Points) -> Self {
        let features = features(&points.x);
        let n = points.y.len();
        let mean = points.y.iter().sum::<f64>() / n as f64;
        let centered = DVector::from_iterator(n, points.y.iter().map(|y| y - mean));
        let eigen = SymmetricEigen::new(features.transpose() * &features);
        let project = |vector: &DVector<f64>| {
            eigen.eigenvectors.transpose() * (features.transpose() * vector)
        };
        Self {
            n: n as f64,
            values: project(&centered),
            ones: project(&DVector::repeat(n, 1.0)),
            squares: centered.norm_squared(),
            eigenvalues: eigen.eigenvalues.map(|l| l.max(0.0)),
            mean,
        }
    }

    /// Of the negative log likelihood per point, with respect to `m`, `s`, `v`.
    fn gradient(&self, [m, s, v]: [f64; 3]) -> [f64; 3] {
        let n = self.n;
        let shift = m - self.mean;
        let squares = self.squares + n * shift * shift;
        let (mut explained, mut by_rate, mut ones) = (0.0, 0.0, 0.0);
        let (mut log_s, mut log_v) = (0.0, n / v);
        for (i, &l) in self.eigenvalues.iter().enumerate() {
            let g = self.values[i] - shift * self.ones[i];
            let sum = v + s * l;
            explained += g * g * s / sum;
            by_rate += g * g / (sum * sum);
            ones += self.ones[i] * g * s / sum;
            log_s += l / sum;
            log_v -= s * l / (v * sum);
        }
        let quadratic_m = -2.0 / v * (-n * shift - ones);
        let quadratic_s = -by_rate;
        let quadratic_v = -(squares - explained) / (v * v) + s * by_rate / v;
        [
            quadratic_m / (2.0 * n),
            (quadratic_s + log_s) / (2.0 * n),
            (quadratic_v + log_v) / (2.0 * n),
        ]
    }
}
