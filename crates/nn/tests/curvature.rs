//! Hessian products of networks against exact Hessians: in closed form for softmax regression, by
//! hyper-dual numbers (J. Fike, J. Alonso, AIAA 2011-886) for a perceptron with a hidden layer.

mod common;

use std::ops::{Add, Mul};

use batchscope_core::{Batch, DataShape, Inputs, Labels, Task};
use batchscope_landscape::{
    GaussNewtonOperator, HessianOperator, LinearOperator, Products,
    spectrum::{EigenSettings, extreme_eigenpairs},
};
use batchscope_nn::{NetworkObjective, ObjectiveSettings, Precision};
use common::*;
use nalgebra::DMatrix;

const FEATURES: usize = 3;
const CLASSES: usize = 3;
const HIDDEN: usize = 4;
const EXAMPLES: usize = 20;

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

    /// `f(self)` from the function and its first two derivatives there.
    fn apply(self, f: f64, first: f64, second: f64) -> Self {
        Self {
            v: f,
            a: first * self.a,
            b: first * self.b,
            ab: first * self.ab + second * self.a * self.b,
        }
    }

    fn exp(self) -> Self {
        let e = self.v.exp();
        self.apply(e, e, e)
    }

    fn ln(self) -> Self {
        self.apply(self.v.ln(), 1.0 / self.v, -1.0 / (self.v * self.v))
    }

    fn relu(self) -> Self {
        if self.v > 0.0 { self } else { Self::default() }
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

const SHAPE: DataShape = vectors(FEATURES, Task::Classify { classes: CLASSES });

fn examples() -> (Vec<f64>, Vec<u32>, Batch) {
    let batch = batch(SHAPE, 0, EXAMPLES);
    let (Inputs::Values(x), Labels::Classes(y)) = (&batch.inputs, &batch.labels) else {
        unreachable!()
    };
    (x.iter().map(|&x| f64::from(x)).collect(), y.clone(), batch)
}

/// Rows `x·W + b` with the matrix `[inputs, outputs]` and the bias from the front of `w`.
fn affine<'w>(
    x: &[HyperDual],
    outputs: usize,
    w: &'w [HyperDual],
) -> (Vec<HyperDual>, &'w [HyperDual]) {
    let (matrix, rest) = w.split_at(x.len() * outputs);
    let (bias, rest) = rest.split_at(outputs);
    let unit = |j: usize| {
        let inputs = x.iter().enumerate();
        inputs.fold(bias[j], |sum, (i, &x)| sum + x * matrix[i * outputs + j])
    };
    ((0..outputs).map(unit).collect(), rest)
}

/// Scores of a perceptron with or without a hidden layer, example by example.
fn scores(w: &[HyperDual], hidden: bool) -> Vec<Vec<HyperDual>> {
    let of_example = |row: &[f64]| {
        let mut row: Vec<HyperDual> = row.iter().map(|&x| HyperDual::constant(x)).collect();
        let mut rest = w;
        if hidden {
            (row, rest) = affine(&row, HIDDEN, rest);
            row.iter_mut().for_each(|h| *h = h.relu());
        }
        affine(&row, CLASSES, rest).0
    };
    examples().0.chunks(FEATURES).map(of_example).collect()
}

/// Mean cross-entropy.
fn loss(w: &[HyperDual], hidden: bool) -> HyperDual {
    let mut sum = HyperDual::default();
    for (scores, label) in scores(w, hidden).into_iter().zip(examples().1) {
        let total = scores
            .iter()
            .fold(HyperDual::default(), |sum, s| sum + s.exp());
        let minus = HyperDual::constant(-1.0);
        sum = sum + total.ln() + scores[label as usize] * minus;
    }
    sum * HyperDual::constant(1.0 / EXAMPLES as f64)
}

fn exact(x: &[f64], hidden: bool) -> DMatrix<f64> {
    DMatrix::from_fn(x.len(), x.len(), |i, j| {
        let mut w: Vec<HyperDual> = x.iter().map(|&x| HyperDual::constant(x)).collect();
        w[i].a = 1.0;
        w[j].b = 1.0;
        loss(&w, hidden).ab
    })
}

fn objective(model: &str, precision: Precision) -> NetworkObjective {
    let settings = ObjectiveSettings {
        precision,
        ..ObjectiveSettings::default()
    };
    let state = network(model, &SHAPE).export().unwrap();
    factory(model)
        .objective(&SHAPE, &state, vec![examples().2], settings)
        .unwrap()
}

#[test]
fn products_are_the_exact_hessian_s_to_their_stated_error() {
    for (model, hidden) in [("softmax", false), ("mlp(4)", true)] {
        let x = objective(model, Precision::F64).parameters().to_vec();
        let hessian = exact(&x, hidden);
        // the limits are what double and single precision reach by differences of gradients
        for (precision, products, limit) in [
            (Precision::F64, Products::Fast, 1e-6),
            (Precision::F64, Products::Checked, 1e-8),
            (Precision::F32, Products::Checked, 1e-2),
        ] {
            // steps of single precision are so long that they cross kinks
            if hidden && precision == Precision::F32 {
                continue;
            }
            // short steps, which cross no kink, leave more to rounding
            let (limit, floor) = match (hidden, precision) {
                (true, _) => (1e-5, 1.0),
                (false, Precision::F64) => (limit, 1e-3),
                (false, Precision::F32) => (limit, 0.05),
            };
            let mut f = objective(model, precision);
            let mut operator = HessianOperator::new(&mut f, &x, products).unwrap();
            for i in 0..x.len() {
                let mut unit = vec![0.0; x.len()];
                unit[i] = 1.0;
                let mut product = vec![0.0; x.len()];
                operator.apply(&unit, &mut product).unwrap();
                let column = hessian.column(i);
                let off = product
                    .iter()
                    .zip(column.iter())
                    .map(|(a, b)| (a - b).powi(2));
                let error = off.sum::<f64>().sqrt();
                // a column of zeros has no relative error: a unit that no example excites
                assert!(
                    error <= limit * column.norm().max(floor * hessian.norm()),
                    "{model} {precision:?} {products:?}, column {i}: {error:e} of {:e}",
                    column.norm()
                );
            }
        }
    }
}

/// `Σ Jᵀ·(diag(p) − p·pᵀ)·J / N`, the Jacobian by dual numbers.
fn exact_gauss_newton(x: &[f64], hidden: bool) -> DMatrix<f64> {
    let columns: Vec<Vec<Vec<HyperDual>>> = (0..x.len())
        .map(|i| {
            let mut w: Vec<HyperDual> = x.iter().map(|&x| HyperDual::constant(x)).collect();
            w[i].a = 1.0;
            scores(&w, hidden)
        })
        .collect();
    DMatrix::from_fn(x.len(), x.len(), |i, j| {
        let of_example = |example: usize| {
            let (a, b) = (&columns[i][example], &columns[j][example]);
            let total: f64 = a.iter().map(|s| s.v.exp()).sum();
            let p: Vec<f64> = a.iter().map(|s| s.v.exp() / total).collect();
            let mean = |s: &[HyperDual]| s.iter().zip(&p).map(|(s, p)| s.a * p).sum::<f64>();
            let both: f64 = (0..CLASSES).map(|k| p[k] * a[k].a * b[k].a).sum();
            both - mean(a) * mean(b)
        };
        (0..EXAMPLES).map(of_example).sum::<f64>() / EXAMPLES as f64
    })
}

#[test]
fn gauss_newton_products_are_the_exact_matrix_s() {
    for (model, hidden) in [("softmax", false), ("mlp(4)", true)] {
        for (precision, limit) in [(Precision::F64, 1e-8), (Precision::F32, 1e-2)] {
            if hidden && precision == Precision::F32 {
                continue;
            }
            let mut f = objective(model, precision);
            let x = f.parameters().to_vec();
            let matrix = exact_gauss_newton(&x, hidden);
            // linear scores have no curvature of their own: there it is the Hessian
            let hessian = exact(&x, hidden);
            assert_eq!(
                (&matrix - &hessian).norm() < 1e-12 * hessian.norm(),
                !hidden
            );
            let mut operator = GaussNewtonOperator::new(&mut f, &x).unwrap();
            for i in 0..x.len() {
                let (mut unit, mut product) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                unit[i] = 1.0;
                operator.apply(&unit, &mut product).unwrap();
                let column = matrix.column(i);
                let off = product.iter().zip(column.iter());
                let off = off.map(|(a, b)| (a - b).powi(2));
                let error = off.sum::<f64>().sqrt();
                assert!(
                    error <= limit * matrix.norm(),
                    "{model} {precision:?}, column {i}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn the_top_eigenvalues_are_the_full_hessian_s() {
    for (model, hidden) in [("softmax", false), ("mlp(4)", true)] {
        let mut f = objective(model, Precision::F64);
        let x = f.parameters().to_vec();
        let mut truth = exact(&x, hidden)
            .symmetric_eigenvalues()
            .as_slice()
            .to_vec();
        truth.sort_by(|a, b| b.total_cmp(a));
        let mut operator = HessianOperator::new(&mut f, &x, Products::Fast).unwrap();
        let top = extreme_eigenpairs(&mut operator, &EigenSettings::largest(3)).unwrap();
        assert!(top.converged);
        for (pair, truth) in top.pairs.iter().zip(&truth) {
            let value = pair.value.value.unwrap();
            assert!(
                (value / truth - 1.0).abs() < 1e-4,
                "{model}: {value} {truth}"
            );
            assert!(pair.value.low.unwrap() <= *truth && *truth <= pair.value.high.unwrap());
        }
    }
}
