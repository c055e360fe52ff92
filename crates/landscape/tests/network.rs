//! A small network whose Hessian is known exactly, by hyper-dual numbers (J. Fike, J. Alonso, "The
//! Development of Hyper-Dual Numbers for Exact Second-Derivative Calculations", AIAA 2011-886).

use std::ops::{Add, Mul};

use batchscope_landscape::spectrum::{
    DensitySettings, EigenSettings, TraceSettings, Which, extreme_eigenpairs, spectral_density,
    trace,
};
use batchscope_landscape::{HessianOperator, LinearOperator, Objective, ObjectiveError, Products};
use nalgebra::DMatrix;

/// `v + a·ε₁ + b·ε₂ + ab·ε₁ε₂` with `ε₁² = ε₂² = 0`.
#[derive(Debug, Clone, Copy, Default)]
struct HyperDual {
    v: f64,
    a: f64,
    b: f64,
    ab: f64,
}

impl HyperDual {
    fn constant(v: f64) -> Self {
        Self {
            v,
            ..Self::default()
        }
    }

    fn tanh(self) -> Self {
        let t = self.v.tanh();
        let (first, second) = (1.0 - t * t, -2.0 * t * (1.0 - t * t));
        Self {
            v: t,
            a: first * self.a,
            b: first * self.b,
            ab: first * self.ab + second * self.a * self.b,
        }
    }
}

impl Add for HyperDual {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self {
            v: self.v + o.v,
            a: self.a + o.a,
            b: self.b + o.b,
            ab: self.ab + o.ab,
        }
    }
}

impl Mul for HyperDual {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        Self {
            v: self.v * o.v,
            a: self.v * o.a + self.a * o.v,
            b: self.v * o.b + self.b * o.v,
            ab: self.v * o.ab + self.a * o.b + self.b * o.a + self.ab * o.v,
        }
    }
}

const HIDDEN: usize = 5;
const PARAMETERS: usize = 4 * HIDDEN + 1;
const EXAMPLES: usize = 12;

/// Mean squared error of a 2-5-1 network with tanh units on a fixed wave.
fn loss(w: &[HyperDual]) -> HyperDual {
    let mut sum = HyperDual::default();
    for example in 0..EXAMPLES {
        let (p, q) = ((example as f64).sin(), (2.0 * example as f64).cos());
        let mut out = w[4 * HIDDEN];
        for unit in 0..HIDDEN {
            let input = w[unit] * HyperDual::constant(p)
                + w[HIDDEN + unit] * HyperDual::constant(q)
                + w[2 * HIDDEN + unit];
            out = out + w[3 * HIDDEN + unit] * input.tanh();
        }
        let residual = out + HyperDual::constant(-(3.0 * p * q).sin());
        sum = sum + residual * residual;
    }
    sum * HyperDual::constant(1.0 / EXAMPLES as f64)
}

/// The loss with both units along coordinates `i` and `j`.
fn along(x: &[f64], i: usize, j: usize) -> HyperDual {
    let mut w: Vec<HyperDual> = x.iter().map(|&x| HyperDual::constant(x)).collect();
    w[i].a = 1.0;
    w[j].b = 1.0;
    loss(&w)
}

/// Offers gradients only.
struct Network;

impl Objective for Network {
    fn dimension(&self) -> usize {
        PARAMETERS
    }

    fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
        for (i, g) in g.iter_mut().enumerate() {
            *g = along(x, i, i).a;
        }
        Ok(along(x, 0, 0).v)
    }
}

fn weights() -> Vec<f64> {
    (0..PARAMETERS)
        .map(|i| 0.8 * (i as f64 * 2.3 + 0.5).sin())
        .collect()
}

fn exact_hessian(x: &[f64]) -> DMatrix<f64> {
    DMatrix::from_fn(PARAMETERS, PARAMETERS, |i, j| along(x, i, j).ab)
}

#[test]
fn differenced_products_are_the_exact_hessian_s_to_their_stated_error() {
    let x = weights();
    let hessian = exact_hessian(&x);
    let mut network = Network;
    for (products, limit) in [(Products::Fast, 1e-6), (Products::Checked, 1e-8)] {
        let mut operator = HessianOperator::new(&mut network, &x, products).unwrap();
        for i in 0..PARAMETERS {
            let mut unit = vec![0.0; PARAMETERS];
            unit[i] = 1.0;
            let mut product = vec![0.0; PARAMETERS];
            operator.apply(&unit, &mut product).unwrap();
            let exact = hessian.column(i);
            let off = product
                .iter()
                .zip(exact.iter())
                .map(|(a, b)| (a - b).powi(2));
            let error = off.sum::<f64>().sqrt() / exact.norm();
            assert!(error < limit, "{products:?} {i}: {error:e}");
            if products == Products::Checked {
                assert!(error <= operator.relative_error(), "{i}: {error:e}");
            }
        }
    }
}

#[test]
fn eigenvalues_trace_and_density_are_the_full_hessian_s() {
    let x = weights();
    let mut eigenvalues = exact_hessian(&x)
        .symmetric_eigenvalues()
        .as_slice()
        .to_vec();
    eigenvalues.sort_by(f64::total_cmp);
    assert!(
        eigenvalues[0] < -1e-2,
        "away from a minimum: {eigenvalues:?}"
    );
    let mut network = Network;
    let mut operator = HessianOperator::new(&mut network, &x, Products::Checked).unwrap();
    for which in [Which::Largest, Which::Smallest] {
        let settings = EigenSettings {
            which,
            tolerance: 1e-6,
            ..EigenSettings::largest(3)
        };
        let found = extreme_eigenpairs(&mut operator, &settings).unwrap();
        assert!(found.converged, "{which:?}");
        for (k, pair) in found.pairs.iter().enumerate() {
            let truth = match which {
                Which::Smallest => eigenvalues[k],
                _ => eigenvalues[PARAMETERS - 1 - k],
            };
            let value = &pair.value;
            assert!(
                (value.value.unwrap() - truth).abs() < 1e-6,
                "{which:?} {k}: {value} {truth}"
            );
            assert!(value.low.unwrap() <= truth && truth <= value.high.unwrap());
        }
    }
    let sum: f64 = eigenvalues.iter().sum();
    let estimate = trace(&mut operator, &TraceSettings::default()).unwrap();
    assert!(estimate.converged);
    assert!(
        (estimate.trace.value.unwrap() / sum - 1.0).abs() < 0.05,
        "{estimate:?} {sum}"
    );
    // as many steps as parameters: every probe's quadrature is exact, so the mean of x² over the
    // probes is ‖Hv‖² of each, whose mean is the squared Frobenius norm
    let settings = DensitySettings {
        probes: 60,
        steps: PARAMETERS,
        seed: 0,
    };
    let density = spectral_density(&mut operator, &settings).unwrap();
    let squares = eigenvalues.iter().map(|e| e * e).sum::<f64>() / PARAMETERS as f64;
    let estimate = density.mean(|x| x * x, 0.999);
    assert!(estimate.low.unwrap() < squares && squares < estimate.high.unwrap());
    let (low, high) = density.range();
    assert!((low - eigenvalues[0]).abs() < 1e-5);
    assert!((high - eigenvalues[PARAMETERS - 1]).abs() < 1e-5);
}
