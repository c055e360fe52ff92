//! Optimizer updates whose size goes by the norms of a whole tensor.
//!
//! Sums are in vectors of single precision within a piece of [`chunks::UPDATE`] elements, and in double precision over
//! the pieces, in their order: the same on any number of threads.

use std::{iter::Sum, ops::Add};

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::optimizer::{Adam, check_adam, flat};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Two sums of squares.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SquaredNorms {
    /// Of the weights.
    pub weights: f64,
    /// Of the gradient, or of the update.
    pub other: f64,
}

impl Add for SquaredNorms {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            other: self.other + other.other,
        }
    }
}

impl Sum for SquaredNorms {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Vectors that are added to in turn, so that one addition need not wait for the one before.
const RUNNING: usize = 4;

struct NormsShare<'a, T> {
    weights: &'a [T],
    other: &'a [T],
}

impl<T: Real> Kernel<T> for NormsShare<'_, T> {
    type Output = SquaredNorms;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> SquaredNorms {
        let mut sums = [[s.zero(); 2]; RUNNING];
        let block = RUNNING * S::LANES;
        let (weights, other) = (self.weights.chunks(block), self.other.chunks(block));
        for (weights, other) in weights.zip(other) {
            // Beyond the end there are zeros.
            for (i, sums) in sums.iter_mut().enumerate() {
                let from = (i * S::LANES).min(weights.len());
                let (w, x) = (s.load(&weights[from..]), s.load(&other[from..]));
                sums[0] = s.fma(w, w, sums[0]);
                sums[1] = s.fma(x, x, sums[1]);
            }
        }
        added(s, sums)
    }
}

/// The running sums, added up in a fixed order.
#[inline(always)]
fn added<T: Real, S: Simd<Scalar = T>>(s: S, sums: [[S::V; 2]; RUNNING]) -> SquaredNorms {
    let of = |which: usize| {
        let pairs = [0, 2].map(|i| s.add(sums[i][which], sums[i + 1][which]));
        s.sum(s.add(pairs[0], pairs[1])).to_f64()
    };
    SquaredNorms {
        weights: of(0),
        other: of(1),
    }
}

/// The sums of squares of a tensor's weights and of its gradient.
///
/// # Errors
/// When lengths differ.
pub fn squared_norms<T: Real>(
    workspace: &Workspace,
    weights: &[T],
    gradient: &[T],
) -> Result<SquaredNorms, KernelError> {
    check_length("gradient", gradient, weights.len())?;
    Ok(chunks::sum(weights.len(), flat(weights.len()), |piece| {
        let share = NormsShare {
            weights: &weights[piece.clone()],
            other: &gradient[piece],
        };
        T::dispatch(workspace.isa(), share)
    }))
}

/// What LAMB needs of Adam's settings: `1 / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`, or 1 without bias correction; ε; λ.
#[derive(Clone, Copy)]
struct Factors([f64; 4]);

struct MomentsShare<'a, T> {
    betas: [f64; 2],
    factors: Factors,
    weights: &'a [T],
    first: &'a mut [T],
    second: &'a mut [T],
    gradient: &'a [T],
    update: &'a mut [T],
}

impl<T: Real> Kernel<T> for MomentsShare<'_, T> {
    type Output = SquaredNorms;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> SquaredNorms {
        let splat = |x: f64| s.splat(T::from_f64(x));
        let [keep1, keep2] = self.betas.map(splat);
        let [add1, add2] = self.betas.map(|beta| splat(1.0 - beta));
        let [first, root, epsilon, decay] = self.factors.0.map(splat);
        let mut sums = [s.zero(); 2];
        let moments = self
            .first
            .chunks_mut(S::LANES)
            .zip(self.second.chunks_mut(S::LANES))
            .zip(self.update.chunks_mut(S::LANES));
        let tensors = self
            .weights
            .chunks(S::LANES)
            .zip(self.gradient.chunks(S::LANES));
        for ((weights, gradient), ((m_slice, v_slice), update)) in tensors.zip(moments) {
            let (w, g) = (s.load(weights), s.load(gradient));
            let m = s.fma(keep1, s.load(m_slice), s.mul(add1, g));
            let v = s.fma(keep2, s.load(v_slice), s.mul(add2, s.mul(g, g)));
            s.store(m_slice, m);
            s.store(v_slice, v);
            // Beyond the tensor's end weights and moments are 0, and so is the update.
            let ratio = s.div(s.mul(first, m), s.fma(s.sqrt(v), root, epsilon));
            let u = s.fma(decay, w, ratio);
            s.store(update, u);
            // One running sum each: the division above takes longer than an addition.
            sums[0] = s.fma(w, w, sums[0]);
            sums[1] = s.fma(u, u, sums[1]);
        }
        SquaredNorms {
            weights: s.sum(sums[0]).to_f64(),
            other: s.sum(sums[1]).to_f64(),
        }
    }
}

struct DescentShare<'a, T> {
    descent: f64,
    weights: &'a mut [T],
    update: &'a [T],
}

impl<T: Real> Kernel<T> for DescentShare<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let descent = s.splat(T::from_f64(-self.descent));
        let vectors = self
            .weights
            .chunks_mut(S::LANES)
            .zip(self.update.chunks(S::LANES));
        for (weights, update) in vectors {
            s.store(weights, s.fma(descent, s.load(update), s.load(weights)));
        }
    }
}

/// LAMB's step (You et al. 2020, algorithm 2): Adam's moments, then `w ← w − η·φ·u` with `u = m̂/(√v̂ + ε) + λ·w`
/// and the factor `φ` that `trust` makes of the sums of squares of `w` and `u`. `corrected` divides the moments by
/// `1 − βᵗ`; [`Adam::decoupled`] is not looked at. `scratch` is as long as the tensor.
///
/// # Errors
/// When lengths differ, a setting is out of range or `step` is 0.
#[expect(clippy::too_many_arguments, reason = "tensors of one update")]
pub fn lamb_step<T: Real>(
    workspace: &Workspace,
    settings: Adam,
    (step, corrected): (u64, bool),
    trust: impl FnOnce(SquaredNorms) -> f64,
    weights: &mut [T],
    first_moment: &mut [T],
    second_moment: &mut [T],
    gradient: &[T],
    scratch: &mut [T],
) -> Result<(), KernelError> {
    check_adam(settings, step)?;
    check_length("first_moment", first_moment, weights.len())?;
    check_length("second_moment", second_moment, weights.len())?;
    check_length("gradient", gradient, weights.len())?;
    check_length("scratch", scratch, weights.len())?;
    let t = step as f64;
    let left = |beta: f64| if corrected { 1.0 - beta.powf(t) } else { 1.0 };
    let factors = Factors([
        1.0 / left(settings.beta1),
        1.0 / left(settings.beta2).sqrt(),
        settings.epsilon,
        settings.weight_decay,
    ]);
    let length = flat(weights.len());
    let mut sums = [SquaredNorms::default(); chunks::MOST];
    let moments = first_moment
        .chunks_mut(length)
        .zip(second_moment.chunks_mut(length))
        .zip(scratch.chunks_mut(length));
    let pieces = weights
        .chunks(length)
        .zip(gradient.chunks(length))
        .zip(moments)
        .zip(&mut sums);
    let pieces = pieces.map(|(((weights, gradient), ((first, second), update)), sum)| {
        let share = MomentsShare {
            betas: [settings.beta1, settings.beta2],
            factors,
            weights,
            first,
            second,
            gradient,
            update,
        };
        (share, sum)
    });
    chunks::for_each(pieces, |(share, sum)| {
        *sum = T::dispatch(workspace.isa(), share);
    });
    let descent = settings.learning_rate * trust(sums.into_iter().sum());
    let shares = weights.chunks_mut(length).zip(scratch.chunks(length));
    let shares = shares.map(|(weights, update)| DescentShare {
        descent,
        weights,
        update,
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes about those of vectors and pieces.
    const SIZES: [usize; 6] = [0, 1, 17, 64, 5_000, 40_001];

    fn values(n: usize, phase: f64) -> Vec<f32> {
        (0..n)
            .map(|i| (i as f64 * 0.37 + phase).sin() as f32)
            .collect()
    }

    #[test]
    fn norms_are_those_of_double_precision() {
        let workspace = Workspace::new();
        for n in SIZES {
            let (w, g) = (values(n, 0.0), values(n, 1.0));
            let found = squared_norms(&workspace, &w, &g).unwrap();
            let plain = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            for (found, plain) in [(found.weights, plain(&w)), (found.other, plain(&g))] {
                assert!(
                    (found - plain).abs() <= 1e-6 * plain,
                    "{n}: {found} {plain}"
                );
            }
        }
        assert!(squared_norms(&workspace, &[1.0f32], &[]).is_err());
    }

    #[test]
    fn lamb_is_that_of_double_precision() {
        let workspace = Workspace::new();
        let settings = Adam {
            learning_rate: 0.1,
            beta1: 0.8,
            beta2: 0.9,
            epsilon: 1e-6,
            weight_decay: 0.1,
            decoupled: true,
        };
        for n in SIZES {
            let g = values(n, 1.0);
            let [mut w, mut m, mut v] = [values(n, 0.0), vec![0.1; n], vec![0.2; n]];
            let [mut w64, mut m64, mut v64] =
                [&w, &m, &v].map(|x| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>());
            let trust = |norms: SquaredNorms| (norms.weights / norms.other).sqrt();
            let mut scratch = vec![0.0; n];
            lamb_step(
                &workspace,
                settings,
                (3, true),
                trust,
                &mut w,
                &mut m,
                &mut v,
                &g,
                &mut scratch,
            )
            .unwrap();
            for i in 0..n {
                let g = f64::from(g[i]);
                m64[i] = 0.8 * m64[i] + 0.2 * g;
                v64[i] = 0.9 * v64[i] + 0.1 * g * g;
            }
            let update: Vec<f64> = (0..n)
                .map(|i| {
                    let root = (v64[i] / (1.0 - 0.9f64.powi(3))).sqrt() + 1e-6;
                    m64[i] / (1.0 - 0.8f64.powi(3)) / root + 0.1 * w64[i]
                })
                .collect();
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let factor = 0.1 * norm(&w64) / norm(&update);
            w64.iter_mut()
                .zip(&update)
                .for_each(|(w, u)| *w -= factor * u);
            for (found, plain) in w.iter().zip(&w64) {
                assert!(
                    (f64::from(*found) - plain).abs() < 1e-6,
                    "{n}: {found} {plain}"
                );
            }
        }
    }
}
