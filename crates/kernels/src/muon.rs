//! Muon's update: momentum made nearly orthogonal.

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::norms::squared_norm;
use crate::optimizer::{finite, flat, fraction};
use crate::product::{Matrix, Product, Start};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Settings of Muon (K. Jordan et al. 2024).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Muon {
    /// Learning rate, η. One that is not finite makes weights that are not, for the caller to see.
    pub learning_rate: f64,
    /// Factor of the step that goes by the matrix's shape, `s`.
    pub scale: f64,
    /// Momentum, μ, in `0..1`.
    pub momentum: f64,
    /// Weight decay, λ: the weights shrink by `1 − η·λ`.
    pub weight_decay: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
}

/// `a`, `b` and `c` of [`newton_schulz`], the odd polynomial that every singular value goes through.
pub const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// How often.
pub const NEWTON_SCHULZ_STEPS: usize = 5;

/// Multiply-adds below which a product of the iteration stays on one core. There are fifteen, each waiting for the one
/// before: where a product takes no longer than waking a core, two cores are slower than one (docs/performance.md).
const SMALL: usize = 1 << 24;

/// A smaller norm is taken for this, as PyTorch does.
const SMALLEST_NORM: f64 = 1e-7;

struct MomentumShare<'a, T> {
    momentum: f64,
    nesterov: bool,
    velocity: &'a mut [T],
    gradient: &'a [T],
    direction: &'a mut [T],
}

impl<T: Real> Kernel<T> for MomentumShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let [keep, add] = [self.momentum, 1.0 - self.momentum].map(|x| s.splat(T::from_f64(x)));
        let state = self
            .velocity
            .chunks_mut(S::LANES)
            .zip(self.direction.chunks_mut(S::LANES));
        for ((velocity, direction), gradient) in state.zip(self.gradient.chunks(S::LANES)) {
            let g = s.mul(add, s.load(gradient));
            let v = s.fma(keep, s.load(velocity), g);
            let u = if self.nesterov { s.fma(keep, v, g) } else { v };
            s.store(velocity, v);
            s.store(direction, u);
        }
    }
}

/// `out ← keep·out + factor·x`; without `keep`, `out` is only written.
struct CombineShare<'a, T> {
    keep: Option<f64>,
    out: &'a mut [T],
    factor: f64,
    x: &'a [T],
}

impl<T: Real> Kernel<T> for CombineShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let factor = s.splat(T::from_f64(self.factor));
        let vectors = self.out.chunks_mut(S::LANES).zip(self.x.chunks(S::LANES));
        match self.keep {
            Some(keep) => {
                let keep = s.splat(T::from_f64(keep));
                for (out, x) in vectors {
                    let kept = s.mul(keep, s.load(out));
                    s.store(out, s.fma(factor, s.load(x), kept));
                }
            }
            None => {
                for (out, x) in vectors {
                    s.store(out, s.mul(factor, s.load(x)));
                }
            }
        }
    }
}

/// [`CombineShare`] on the threads of the current pool.
fn combine<T: Real>(workspace: &Workspace, keep: Option<f64>, out: &mut [T], factor: f64, x: &[T]) {
    let length = flat(out.len());
    let shares = out.chunks_mut(length).zip(x.chunks(length));
    let shares = shares.map(|(out, x)| CombineShare {
        keep,
        out,
        factor,
        x,
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
}

/// Makes a matrix nearly orthogonal, row-major, in place: divides it by its Frobenius norm, and then five times
/// `X ← a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X` (Newton and Schulz). Singular vectors stay; singular values come near 1, between
/// about 0.7 and 1.2 where they were not much smaller than the norm. `X` is multiplied from its shorter side.
///
/// # Errors
/// When `x` has not `rows·columns` elements.
pub fn newton_schulz<T: Real>(
    workspace: &Workspace,
    [rows, columns]: [usize; 2],
    x: &mut [T],
) -> Result<(), KernelError> {
    check_length("x", x, rows * columns)?;
    let [a, b, c] = NEWTON_SCHULZ;
    let side = rows.min(columns);
    let is_wide = rows <= columns;
    let mut square = workspace.take::<T>(side * side);
    let mut polynomial = workspace.take::<T>(side * side);
    let mut other = workspace.take::<T>(x.len());
    let norm = squared_norm(workspace.isa(), x).sqrt().max(SMALLEST_NORM);
    combine(workspace, None, &mut other, 1.0 / norm, x);
    let (mut from, mut to) = (&mut other[..], x);
    for _ in 0..NEWTON_SCHULZ_STEPS {
        let matrix = Matrix::new(from, rows, columns);
        let product = match is_wide {
            true => Product::new(matrix, matrix.transposed()),
            false => Product::new(matrix.transposed(), matrix),
        };
        product.compute_from(SMALL, workspace, &mut square);
        let symmetric = Matrix::new(&square[..], side, side);
        Product::new(symmetric, symmetric).compute_from(SMALL, workspace, &mut polynomial);
        combine(workspace, Some(c), &mut polynomial, b, &square);
        combine(workspace, None, to, a, from);
        let matrix = Matrix::new(from, rows, columns);
        let symmetric = Matrix::new(&polynomial[..], side, side);
        let product = Product {
            start: Start::Output,
            ..match is_wide {
                true => Product::new(symmetric, matrix),
                false => Product::new(matrix, symmetric),
            }
        };
        product.compute_from(SMALL, workspace, to);
        std::mem::swap(&mut from, &mut to);
    }
    // The last step wrote to `x`, for the first did.
    const { assert!(NEWTON_SCHULZ_STEPS % 2 == 1) };
    Ok(())
}

/// Muon's step on a matrix: `v ← μ·v + (1 − μ)·g`, then `w ← (1 − η·λ)·w − η·s·O`, where `O` is the direction (`v`, or
/// with Nesterov's look-ahead `μ·v + (1 − μ)·g`), divided by its Frobenius norm, after [`newton_schulz`].
///
/// # Errors
/// When lengths differ or a setting is out of range.
pub fn muon_step<T: Real>(
    workspace: &Workspace,
    settings: Muon,
    [rows, columns]: [usize; 2],
    weights: &mut [T],
    velocity: &mut [T],
    gradient: &[T],
) -> Result<(), KernelError> {
    finite("scale", settings.scale)?;
    finite("weight_decay", settings.weight_decay)?;
    fraction("momentum", settings.momentum)?;
    check_length("weights", weights, rows * columns)?;
    check_length("velocity", velocity, weights.len())?;
    check_length("gradient", gradient, weights.len())?;
    let length = flat(weights.len());
    let mut direction = workspace.take::<T>(weights.len());
    let tensors = velocity
        .chunks_mut(length)
        .zip(gradient.chunks(length))
        .zip(direction.chunks_mut(length));
    let shares = tensors.map(|((velocity, gradient), direction)| MomentumShare {
        momentum: settings.momentum,
        nesterov: settings.nesterov,
        velocity,
        gradient,
        direction,
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    newton_schulz(workspace, [rows, columns], &mut direction)?;
    let rate = settings.learning_rate;
    let keep = Some(1.0 - rate * settings.weight_decay);
    combine(workspace, keep, weights, -rate * settings.scale, &direction);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Singular values of a matrix with these columns, from the eigenvalues of `XᵀX` by Jacobi's rotations.
    fn singular_values(rows: usize, columns: usize, x: &[f64]) -> Vec<f64> {
        let n = columns;
        let mut s: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let dot = |j: usize| (0..rows).map(|r| x[r * n + i] * x[r * n + j]).sum();
                (0..n).map(dot).collect()
            })
            .collect();
        for _ in 0..30 {
            for p in 0..n {
                for q in p + 1..n {
                    if s[p][q].abs() < 1e-300 {
                        continue;
                    }
                    let theta = (s[q][q] - s[p][p]) / (2.0 * s[p][q]);
                    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                    let (cos, sin) = (1.0 / (t * t + 1.0).sqrt(), t / (t * t + 1.0).sqrt());
                    for row in &mut s {
                        let (a, b) = (row[p], row[q]);
                        (row[p], row[q]) = (cos * a - sin * b, sin * a + cos * b);
                    }
                    let (low, high) = s.split_at_mut(q);
                    for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
        (0..n).map(|i| s[i][i].max(0.0).sqrt()).collect()
    }

    /// `U·diag(values)·Vᵀ` with orthonormal columns of cosines.
    fn with_singular_values(rows: usize, values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let basis = |size: usize, i: usize, k: usize| {
            let scale = if k == 0 { 1.0 } else { 2.0 } / size as f64;
            let angle = std::f64::consts::PI * (i as f64 + 0.5) * k as f64 / size as f64;
            scale.sqrt() * angle.cos()
        };
        let element = |i: usize, j: usize| -> f64 {
            (0..n)
                .map(|k| basis(rows, i, k) * values[k] * basis(n, j, k))
                .sum()
        };
        (0..rows * n).map(|at| element(at / n, at % n)).collect()
    }

    /// Every singular value goes through the polynomial, and those of matrices with a condition number of up to 100 come
    /// out between 0.6 and 1.25 (at `n` equal ones the norm makes them `1/√n`).
    #[test]
    fn singular_values_follow_the_polynomial() {
        let workspace = Workspace::new();
        for (rows, n) in [(5, 5), (40, 7), (130, 64)] {
            for condition in [1.0, 3.0, 10.0, 100.0] {
                let value = |k: usize| f64::powf(condition, -(k as f64) / (n - 1) as f64);
                let values: Vec<f64> = (0..n).map(value).collect();
                let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
                let tall = with_singular_values(rows, &values);
                let mut expected: Vec<f64> = values.iter().map(|v| v / norm).collect();
                let [a, b, c] = NEWTON_SCHULZ;
                for v in &mut expected {
                    for _ in 0..NEWTON_SCHULZ_STEPS {
                        *v = a * *v + b * v.powi(3) + c * v.powi(5);
                    }
                }
                // A matrix and its transpose have the same singular values.
                let wide: Vec<f64> = (0..n * rows)
                    .map(|at| tall[(at % rows) * n + at / rows])
                    .collect();
                let mut out = [tall.clone(), wide];
                newton_schulz(&workspace, [rows, n], &mut out[0]).unwrap();
                newton_schulz(&workspace, [n, rows], &mut out[1]).unwrap();
                for at in 0..n * rows {
                    let (i, j) = (at / n, at % n);
                    assert!((out[0][at] - out[1][j * rows + i]).abs() < 1e-12);
                }
                let mut single: Vec<f32> = tall.iter().map(|&x| x as f32).collect();
                newton_schulz(&workspace, [rows, n], &mut single).unwrap();
                let single: Vec<f64> = single.into_iter().map(f64::from).collect();
                let sorted = |mut x: Vec<f64>| {
                    x.sort_by(f64::total_cmp);
                    x
                };
                let expected = sorted(expected);
                for (out, tolerance) in [(&out[0], 1e-9), (&single, 2e-5)] {
                    let found = sorted(singular_values(rows, n, out));
                    for (found, expected) in found.iter().zip(&expected) {
                        assert!((found - expected).abs() < tolerance, "{found} {expected}");
                        assert!(
                            (0.6..1.25).contains(found),
                            "{rows} {n} {condition}: {found}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let workspace = Workspace::new();
        let settings = Muon {
            learning_rate: 0.1,
            scale: 1.0,
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: true,
        };
        let step = |settings: Muon, len: usize| {
            let [mut w, mut v] = [vec![1.0f32; len], vec![0.0; 6]];
            muon_step(&workspace, settings, [2, 3], &mut w, &mut v, &[1.0; 6]).map(|()| w)
        };
        assert!(step(settings, 6).is_ok());
        assert!(step(settings, 5).is_err());
        let momentum = 1.0;
        assert!(
            step(
                Muon {
                    momentum,
                    ..settings
                },
                6
            )
            .is_err()
        );
        let weight_decay = f64::NAN;
        assert!(
            step(
                Muon {
                    weight_decay,
                    ..settings
                },
                6
            )
            .is_err()
        );
        // A rate that is none is for the loop to see, in the weights.
        let learning_rate = f64::INFINITY;
        let weights = step(
            Muon {
                learning_rate,
                ..settings
            },
            6,
        )
        .unwrap();
        assert!(weights.iter().all(|w| !w.is_finite()));
    }
}
