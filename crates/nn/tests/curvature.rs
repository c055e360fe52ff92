//! Hessian products of networks against exact Hessians: in closed form for softmax regression, by
//! hyper-dual numbers (J. Fike, J. Alonso, AIAA 2011-886) for a perceptron with a hidden layer.

mod common;

use std::ops::{Add, Mul};

use batchwise_core::{Batch, DataShape, Inputs, Labels, Task};
use batchwise_landscape::{
    HessianOperator, LinearOperator, Products,
    spectrum::{EigenSettings, extreme_eigenpairs},
};
use batchwise_nn::{NetworkObjective, ObjectiveSettings, Precision};
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

/// Mean cross-entropy of a perceptron with or without a hidden layer.
fn loss(w: &[HyperDual], hidden: bool) -> HyperDual {
    let (x, y, _) = examples();
    let mut sum = HyperDual::default();
    for (row, &label) in x.chunks(FEATURES).zip(&y) {
        let mut row: Vec<HyperDual> = row.iter().map(|&x| HyperDual::constant(x)).collect();
        let mut rest = w;
        if hidden {
            (row, rest) = affine(&row, HIDDEN, rest);
            row.iter_mut().for_each(|h| *h = h.relu());
        }
        let (scores, _) = affine(&row, CLASSES, rest);
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
                    error <= limit * column.norm().max(1e-3 * hessian.norm()),
                    "{model} {precision:?} {products:?}, column {i}: {error:e} of {:e}",
                    column.norm()
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
