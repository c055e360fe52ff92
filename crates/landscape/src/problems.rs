//! Objectives with known answers: for examples, for tests, and for checking a measurement's
//! settings before spending them on a network.

use nalgebra::DMatrix;

use crate::error::check_length;
use crate::vector::{axpy, dot};
use crate::{LandscapeError, Objective, ObjectiveError};

/// `f(x) = ½·xᵀHx + gᵀx + c` with a dense symmetric `H`.
///
/// ```
/// use batchscope_landscape::{Objective, problems::Quadratic};
/// let mut f = Quadratic::diagonal(&[1.0, 4.0], &[0.0, -1.0], 3.0);
/// assert_eq!(f.value(&[2.0, 1.0]).unwrap(), 2.0 + 2.0 - 1.0 + 3.0);
/// ```
#[derive(Debug, Clone)]
pub struct Quadratic {
    hessian: DMatrix<f64>,
    linear: Vec<f64>,
    constant: f64,
}

impl Quadratic {
    /// From a row-major symmetric matrix of `linear.len()` squared entries.
    ///
    /// # Errors
    /// When the matrix has another size or is not symmetric.
    pub fn new(hessian: &[f64], linear: &[f64], constant: f64) -> Result<Self, LandscapeError> {
        let n = linear.len();
        check_length("hessian", n * n, hessian.len())?;
        let hessian = DMatrix::from_row_slice(n, n, hessian);
        if hessian != hessian.transpose() {
            return Err(LandscapeError::setting("hessian", "is not symmetric"));
        }
        Ok(Self {
            hessian,
            linear: linear.to_vec(),
            constant,
        })
    }

    /// With `H = diag(curvatures)`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn diagonal(curvatures: &[f64], linear: &[f64], constant: f64) -> Self {
        assert_eq!(curvatures.len(), linear.len(), "one slope per curvature");
        Self {
            hessian: DMatrix::from_diagonal(&curvatures.to_vec().into()),
            linear: linear.to_vec(),
            constant,
        }
    }

    /// With the given eigenvalues and the discrete sine transform's dense eigenvectors,
    /// `√(2/(n + 1))·sin(π·i·k/(n + 1))` for `i, k` from 1.
    pub fn with_spectrum(eigenvalues: &[f64]) -> Self {
        let n = eigenvalues.len();
        let unit = std::f64::consts::PI / (n + 1) as f64;
        let sines = DMatrix::from_fn(n, n, |i, k| {
            (2.0 / (n + 1) as f64).sqrt() * (unit * ((i + 1) * (k + 1)) as f64).sin()
        });
        let diagonal = DMatrix::from_diagonal(&eigenvalues.to_vec().into());
        let mut hessian = &sines * diagonal * &sines;
        hessian = 0.5 * (&hessian + hessian.transpose());
        Self {
            hessian,
            linear: vec![0.0; n],
            constant: 0.0,
        }
    }
}

impl Objective for Quadratic {
    fn dimension(&self) -> usize {
        self.linear.len()
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        self.product(x, gradient);
        let curved = 0.5 * dot(x, gradient);
        axpy(1.0, &self.linear, gradient);
        Ok(curved + dot(x, &self.linear) + self.constant)
    }

    fn hessian_vector(
        &mut self,
        _x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        self.product(v, product);
        Some(Ok(()))
    }
}

impl Quadratic {
    fn product(&self, v: &[f64], out: &mut [f64]) {
        // columns are contiguous and H is symmetric
        for (out, column) in out.iter_mut().zip(self.hessian.column_iter()) {
            *out = dot(column.as_slice(), v);
        }
    }
}

/// Rosenbrock's valley in `n` dimensions, `Σ 100(x_{i+1} − x_i²)² + (1 − x_i)²`: minimum 0 at
/// `(1, …, 1)`. Hessian-vector products are left to differences.
#[derive(Debug, Clone, Copy)]
pub struct Rosenbrock {
    /// Number of coordinates, at least 2.
    pub dimension: usize,
}

impl Objective for Rosenbrock {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        gradient.fill(0.0);
        let mut value = 0.0;
        for i in 0..self.dimension.saturating_sub(1) {
            let (valley, slope) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
            value += 100.0 * valley * valley + slope * slope;
            gradient[i] += -400.0 * x[i] * valley - 2.0 * slope;
            gradient[i + 1] += 200.0 * valley;
        }
        Ok(value)
    }
}

/// Binary logistic regression with an L2 term: `mean ln(1 + exp(−yᵢ·aᵢᵀx)) + ½λ‖x‖²`, labels ±1.
/// Its Gauss–Newton matrix is its Hessian, `mean s(1−s)·aaᵀ + λI`.
#[derive(Debug, Clone)]
pub struct Logistic {
    rows: Vec<Vec<f64>>,
    labels: Vec<f64>,
    ridge: f64,
}

impl Logistic {
    /// From rows of equal length and as many labels, each +1 or −1.
    ///
    /// # Errors
    /// When the rows are none or ragged, or the labels do not fit.
    pub fn new(rows: Vec<Vec<f64>>, labels: Vec<f64>, ridge: f64) -> Result<Self, LandscapeError> {
        let Some(first) = rows.first() else {
            return Err(LandscapeError::setting("rows", "are empty"));
        };
        check_length("labels", rows.len(), labels.len())?;
        for row in &rows {
            check_length("row", first.len(), row.len())?;
        }
        if labels.iter().any(|y| y.abs() != 1.0) {
            return Err(LandscapeError::setting("labels", "must be +1 or −1"));
        }
        Ok(Self {
            rows,
            labels,
            ridge,
        })
    }
}

impl Objective for Logistic {
    fn dimension(&self) -> usize {
        self.rows[0].len()
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        let weight = 1.0 / self.rows.len() as f64;
        let mut value = 0.5 * self.ridge * dot(x, x);
        gradient
            .iter_mut()
            .zip(x)
            .for_each(|(g, x)| *g = self.ridge * x);
        for (row, y) in self.rows.iter().zip(&self.labels) {
            let margin = y * dot(row, x);
            // ln(1 + e^{−m}) without overflow
            value += weight * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0));
            axpy(-weight * y / (1.0 + margin.exp()), row, gradient);
        }
        Ok(value)
    }

    fn hessian_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        let weight = 1.0 / self.rows.len() as f64;
        product
            .iter_mut()
            .zip(v)
            .for_each(|(p, v)| *p = self.ridge * v);
        for row in &self.rows {
            let s = 1.0 / (1.0 + (-dot(row, x)).exp());
            axpy(weight * s * (1.0 - s) * dot(row, v), row, product);
        }
        Some(Ok(()))
    }

    fn gauss_newton_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        self.hessian_vector(x, v, product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient_agrees_with_differences(f: &mut dyn Objective, x: &[f64]) {
        let mut gradient = vec![0.0; x.len()];
        f.value_and_gradient(x, &mut gradient).unwrap();
        for i in 0..x.len() {
            let mut shifted = x.to_vec();
            shifted[i] += 1e-6;
            let up = f.value(&shifted).unwrap();
            shifted[i] -= 2e-6;
            let slope = (up - f.value(&shifted).unwrap()) / 2e-6;
            let scale = gradient[i].abs().max(1.0);
            assert!(
                (slope - gradient[i]).abs() < 1e-6 * scale,
                "{i}: {slope} {gradient:?}"
            );
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        gradient_agrees_with_differences(&mut Rosenbrock { dimension: 4 }, &[-1.2, 1.0, 0.3, 2.0]);
        let mut quadratic = Quadratic::with_spectrum(&[3.0, -1.0, 0.5]);
        gradient_agrees_with_differences(&mut quadratic, &[0.3, -2.0, 1.0]);
        let rows = vec![vec![1.0, 2.0], vec![-0.5, 1.0], vec![3.0, -40.0]];
        let mut logistic = Logistic::new(rows, vec![1.0, -1.0, 1.0], 0.1).unwrap();
        gradient_agrees_with_differences(&mut logistic, &[0.7, -0.4]);
        gradient_agrees_with_differences(&mut logistic, &[0.7, 2.0]);
    }

    #[test]
    fn a_spectrum_asked_for_is_the_spectrum_got() {
        let asked = [5.0, 2.0, 2.0, -1.0, 0.0];
        let f = Quadratic::with_spectrum(&asked);
        let mut got = f.hessian.symmetric_eigenvalues().as_slice().to_vec();
        got.sort_by(|a, b| b.total_cmp(a));
        for (got, asked) in got.iter().zip([5.0, 2.0, 2.0, 0.0, -1.0]) {
            assert!((got - asked).abs() < 1e-12);
        }
        assert!(f.hessian[(0, 1)].abs() > 1e-3);
    }
}
