//! Optimizer updates without the part along the weights, for tensors whose scale does not matter.
//!
//! B. Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", ICLR 2021
//! (arXiv 2006.08217), algorithms 1 and 2. A tensor is seen as rows of equal length; its channels are the rows, or the
//! columns. The first pass moves the moments on and sums, for each channel, products of weights `w`, gradient `g` and
//! direction `u`; where `g` is all but orthogonal to `w`, the second leaves out of `u` its part along `w`.

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::optimizer::{Adam, Sgd, check_adam, check_sgd};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// How a tensor is cut into channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Elements of a row.
    pub row: usize,
    /// The channels are the rows; otherwise the columns.
    pub by_rows: bool,
}

/// What decides on a projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection {
    /// A tensor is projected where the cosine of gradient and weights is below `delta/√n`, `n` elements in a channel
    /// or in the tensor.
    pub delta: f64,
    /// Factor of the weight decay where it is.
    pub decay_ratio: f64,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Added to norms that are divided by.
    pub epsilon: f64,
}

/// Sums of a channel: `g·w`, `g·g`, `w·w`, `w·u`.
const SUMS: usize = 4;

/// Elements of scratch memory that an update of `rows` rows takes.
pub fn projection_scratch(rows: usize, channels: Channels) -> usize {
    rows * channels.row + sums_of(rows, channels)
}

/// Elements of it that hold sums; the others hold the direction.
fn sums_of(rows: usize, channels: Channels) -> usize {
    let pieces = rows.div_ceil(rows_of_piece(rows, channels.row)).max(1);
    SUMS * match channels.by_rows {
        true => rows,
        false => pieces * channels.row,
    }
}

fn rows_of_piece(rows: usize, row: usize) -> usize {
    chunks::piece(rows, chunks::UPDATE.div_ceil(row.max(1)))
}

/// The optimizer whose direction is projected: how its moments move, and what direction they give.
#[derive(Clone, Copy)]
struct Base {
    /// What of the first moment is kept and added to it, and the same of the second.
    keep: [f64; 2],
    add: [f64; 2],
    /// `1/√(1 − β₂ᵗ)` and ε, of Adam.
    root: f64,
    epsilon: f64,
    nesterov: bool,
}

/// The first pass over some rows. `ADAM` has a second moment; channels are rows or columns.
struct SumsShare<'a, T, const ADAM: bool, const BY_ROWS: bool> {
    base: Base,
    /// Elements of a row.
    row: usize,
    weights: &'a [T],
    first: &'a mut [T],
    /// Empty without one.
    second: &'a mut [T],
    gradient: &'a [T],
    /// The direction; for Adam without `1/(1 − β₁ᵗ)`.
    update: &'a mut [T],
    /// By rows, [`SUMS`] each; by columns, [`SUMS`] rows of them.
    sums: &'a mut [T],
}

impl<T: Real, const ADAM: bool, const BY_ROWS: bool> Kernel<T> for SumsShare<'_, T, ADAM, BY_ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let splat = |x: f64| s.splat(T::from_f64(x));
        let Base { nesterov, .. } = self.base;
        let ([keep, keep2], [add, add2]) = (self.base.keep.map(splat), self.base.add.map(splat));
        let (root, epsilon) = (splat(self.base.root), splat(self.base.epsilon));
        let row = self.row;
        self.sums.fill(T::ZERO);
        // Moves the moments of a vector on, stores its direction, and gives the products to be summed.
        let step =
            |weights: &[T], gradient: &[T], first: &mut [T], second: &mut [T], update: &mut [T]| {
                let (w, g) = (s.load(weights), s.load(gradient));
                let added = s.mul(add, g);
                let m = s.fma(keep, s.load(first), added);
                s.store(first, m);
                let ahead = if nesterov { s.fma(keep, m, added) } else { m };
                let u = if ADAM {
                    let v = s.fma(keep2, s.load(second), s.mul(add2, s.mul(g, g)));
                    s.store(second, v);
                    s.div(ahead, s.fma(s.sqrt(v), root, epsilon))
                } else {
                    ahead
                };
                s.store(update, u);
                [(g, w), (g, g), (w, w), (w, u)]
            };
        let mut second = self.second;
        let rows = self
            .weights
            .chunks(row)
            .zip(self.gradient.chunks(row))
            .zip(self.first.chunks_mut(row).zip(self.update.chunks_mut(row)));
        for (r, ((weights, gradient), (first, update))) in rows.enumerate() {
            let mut of_row = [s.zero(); SUMS];
            let of_columns = &mut *self.sums;
            let mut add_up = |i: usize, products: [(S::V, S::V); SUMS]| {
                if BY_ROWS {
                    for (sum, (a, b)) in of_row.iter_mut().zip(products) {
                        *sum = s.fma(a, b, *sum);
                    }
                } else {
                    for (sums, (a, b)) in of_columns.chunks_mut(row).zip(products) {
                        let sums = &mut sums[i * S::LANES..];
                        s.store(sums, s.fma(a, b, s.load(sums)));
                    }
                }
            };
            let vectors = weights
                .chunks(S::LANES)
                .zip(gradient.chunks(S::LANES))
                .zip(first.chunks_mut(S::LANES).zip(update.chunks_mut(S::LANES)))
                .enumerate();
            if ADAM {
                let second = second.split_off_mut(..weights.len()).unwrap_or_default();
                for ((i, ((w, g), (m, u))), v) in vectors.zip(second.chunks_mut(S::LANES)) {
                    add_up(i, step(w, g, m, v, u));
                }
            } else {
                for (i, ((w, g), (m, u))) in vectors {
                    add_up(i, step(w, g, m, &mut [], u));
                }
            }
            if BY_ROWS {
                halved(s, of_row, &mut self.sums[SUMS * r..SUMS * (r + 1)]);
            }
        }
    }
}

/// The sums of the lanes of several vectors at once, by halves: one after the other they would wait for each other.
#[inline(always)]
fn halved<T: Real, S: Simd<Scalar = T>>(s: S, vectors: [S::V; SUMS], sums: &mut [T]) {
    let mut lanes = vectors.map(|vector| s.to_array(vector));
    let mut half = S::LANES / 2;
    while half > 0 {
        for lanes in &mut lanes {
            let (low, high) = lanes.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(&high[..half]) {
                *low += *high;
            }
        }
        half /= 2;
    }
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum = lanes[0];
    }
}

/// The second pass over some rows: `w ← f·w − η·u`, `f` a channel's factor.
struct ApplyShare<'a, T, const BY_ROWS: bool> {
    row: usize,
    descent: f64,
    weights: &'a mut [T],
    update: &'a [T],
    /// Of these rows, or of all columns.
    factors: &'a [T],
}

impl<T: Real, const BY_ROWS: bool> Kernel<T> for ApplyShare<'_, T, BY_ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let descent = s.splat(T::from_f64(-self.descent));
        let apply = |weights: &mut [T], update: &[T], factor: S::V| {
            let kept = s.mul(factor, s.load(weights));
            s.store(weights, s.fma(descent, s.load(update), kept));
        };
        let rows = self
            .weights
            .chunks_mut(self.row)
            .zip(self.update.chunks(self.row));
        for (r, (weights, update)) in rows.enumerate() {
            let vectors = weights.chunks_mut(S::LANES).zip(update.chunks(S::LANES));
            if BY_ROWS {
                let factor = s.splat(self.factors[r]);
                for (weights, update) in vectors {
                    apply(weights, update, factor);
                }
            } else {
                for ((weights, update), factors) in vectors.zip(self.factors.chunks(S::LANES)) {
                    apply(weights, update, s.load(factors));
                }
            }
        }
    }
}

/// What one update works on.
struct Tensors<'a, T> {
    weights: &'a mut [T],
    first: &'a mut [T],
    second: &'a mut [T],
    gradient: &'a [T],
    scratch: &'a mut [T],
}

/// AdamP's step (algorithm 2), decay decoupled: the weights shrink by `1 − η·λ`, or by the part of it that
/// [`Projection::decay_ratio`] is where they are projected. `scratch` has [`projection_scratch`] elements.
///
/// # Errors
/// When lengths differ, a setting is out of range or `step` is 0.
#[expect(clippy::too_many_arguments, reason = "tensors of one update")]
pub fn adamp_step<T: Real>(
    workspace: &Workspace,
    (settings, projection): (Adam, Projection),
    step: u64,
    channels: Channels,
    weights: &mut [T],
    first_moment: &mut [T],
    second_moment: &mut [T],
    gradient: &[T],
    scratch: &mut [T],
) -> Result<(), KernelError> {
    check_adam(settings, step)?;
    check_length("second_moment", second_moment, weights.len())?;
    let t = step as f64;
    let left = |beta: f64| 1.0 - beta.powf(t);
    let betas = [settings.beta1, settings.beta2];
    let base = Base {
        keep: betas,
        add: betas.map(|beta| 1.0 - beta),
        root: 1.0 / left(settings.beta2).sqrt(),
        epsilon: settings.epsilon,
        nesterov: projection.nesterov,
    };
    let rates = Rates {
        descent: settings.learning_rate / left(settings.beta1),
        decay: settings.learning_rate * settings.weight_decay,
    };
    let tensors = Tensors {
        weights,
        first: first_moment,
        second: second_moment,
        gradient,
        scratch,
    };
    update::<T, true>(workspace, (base, rates, projection), channels, tensors)
}

/// SGDP's step (algorithm 1), decay decoupled: the weights shrink by `1 − η·λ/(1 − μ)`, the size that coupled decay
/// has in the long run. [`Sgd::nesterov`] and [`Sgd::scale`] are not looked at.
///
/// # Errors
/// When lengths differ or a setting is out of range.
pub fn sgdp_step<T: Real>(
    workspace: &Workspace,
    (settings, projection): (Sgd, Projection),
    channels: Channels,
    weights: &mut [T],
    velocity: &mut [T],
    gradient: &[T],
    scratch: &mut [T],
) -> Result<(), KernelError> {
    check_sgd(settings)?;
    let base = Base {
        keep: [settings.momentum, 0.0],
        add: [1.0, 0.0],
        root: 0.0,
        epsilon: 0.0,
        nesterov: projection.nesterov,
    };
    let rates = Rates {
        descent: settings.learning_rate,
        decay: settings.learning_rate * settings.weight_decay / (1.0 - settings.momentum),
    };
    let tensors = Tensors {
        weights,
        first: velocity,
        second: &mut [],
        gradient,
        scratch,
    };
    update::<T, false>(workspace, (base, rates, projection), channels, tensors)
}

#[derive(Clone, Copy)]
struct Rates {
    descent: f64,
    decay: f64,
}

fn update<T: Real, const ADAM: bool>(
    workspace: &Workspace,
    settings: (Base, Rates, Projection),
    channels: Channels,
    tensors: Tensors<'_, T>,
) -> Result<(), KernelError> {
    let row = channels.row;
    match channels.by_rows {
        true => update_by::<T, ADAM, true>(workspace, settings, row, tensors),
        false => update_by::<T, ADAM, false>(workspace, settings, row, tensors),
    }
}

fn update_by<T: Real, const ADAM: bool, const BY_ROWS: bool>(
    workspace: &Workspace,
    (base, rates, projection): (Base, Rates, Projection),
    row: usize,
    tensors: Tensors<'_, T>,
) -> Result<(), KernelError> {
    let channels = Channels {
        row,
        by_rows: BY_ROWS,
    };
    let Tensors {
        weights,
        first,
        second,
        gradient,
        scratch,
    } = tensors;
    let len = weights.len();
    check_length("first_moment", first, len)?;
    check_length("gradient", gradient, len)?;
    let rows = len / row.max(1);
    if len == 0 {
        return Ok(());
    }
    check_length("weights", weights, rows * row)?;
    check_length("scratch", scratch, projection_scratch(rows, channels))?;
    let (sums, update) = scratch.split_at_mut(sums_of(rows, channels));
    let of_piece = rows_of_piece(rows, row);
    let piece = of_piece * row;
    let second = chunks::optional_mut(ADAM.then_some(second), piece);
    let pieces = weights
        .chunks(piece)
        .zip(first.chunks_mut(piece).zip(second))
        .zip(gradient.chunks(piece).zip(update.chunks_mut(piece)))
        .zip(sums.chunks_mut(SUMS * if BY_ROWS { of_piece } else { row }));
    let shares = pieces.map(
        |(((weights, (first, second)), (gradient, update)), sums)| SumsShare::<T, ADAM, BY_ROWS> {
            base,
            row,
            weights,
            first,
            second: second.unwrap_or_default(),
            gradient,
            update,
            sums,
        },
    );
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    let count = if BY_ROWS { rows } else { row };
    factors(sums, (count, BY_ROWS), len, rates, projection);
    let (sums, update) = (&*sums, &*update);
    let pieces = weights.chunks_mut(piece).zip(update.chunks(piece));
    let shares = pieces.enumerate();
    let shares = shares.map(|(i, (weights, update))| ApplyShare::<T, BY_ROWS> {
        row,
        descent: rates.descent,
        weights,
        update,
        factors: match BY_ROWS {
            true => &sums[i * of_piece..],
            false => &sums[..row],
        },
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// Turns the sums in `scratch` into the factors of `count` channels, which take their place at its beginning.
fn factors<T: Real>(
    scratch: &mut [T],
    (count, by_rows): (usize, bool),
    len: usize,
    rates: Rates,
    projection: Projection,
) {
    let of_channel = |scratch: &[T], channel: usize| -> [f64; SUMS] {
        let sum = |k: usize| match by_rows {
            true => scratch[SUMS * channel + k].to_f64(),
            false => {
                let parts = scratch.chunks(SUMS * count);
                parts.map(|part| part[k * count + channel].to_f64()).sum()
            }
        };
        std::array::from_fn(sum)
    };
    let epsilon = projection.epsilon;
    // The square of the cosine: no root for every channel.
    let cosine = |[gw, gg, ww, _]: [f64; SUMS]| gw * gw / (gg * ww).max(epsilon * epsilon);
    let mut of_all = [0.0; SUMS];
    let mut largest: f64 = 0.0;
    for channel in 0..count {
        let sums = of_channel(scratch, channel);
        of_all
            .iter_mut()
            .zip(sums)
            .for_each(|(all, sum)| *all += sum);
        largest = largest.max(cosine(sums));
    }
    let below = |cosine: f64, n: usize| cosine < projection.delta * projection.delta / n as f64;
    let along = |[_, _, ww, wu]: [f64; SUMS]| wu / (ww.sqrt() + epsilon).powi(2);
    let by_channel = below(largest, len / count);
    let whole = !by_channel && below(cosine(of_all), len);
    let ratio = if by_channel || whole {
        projection.decay_ratio
    } else {
        1.0
    };
    let shrink = 1.0 - rates.decay * ratio;
    for channel in 0..count {
        // A channel's sums are read before anything is written in their place.
        let part = match (by_channel, whole) {
            (true, _) => along(of_channel(scratch, channel)),
            (_, true) => along(of_all),
            _ => 0.0,
        };
        scratch[channel] = T::from_f64(shrink + rates.descent * part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, phase: f64) -> Vec<f64> {
        (0..n)
            .map(|i| ((i * i) as f64 * 0.37 + phase).sin())
            .collect()
    }

    fn single(x: &[f64]) -> Vec<f32> {
        x.iter().map(|&x| x as f32).collect()
    }

    /// SGDP's step in double precision.
    fn plain(
        w: &mut [f64],
        v: &mut [f64],
        g: &[f64],
        delta: f64,
        channel: &dyn Fn(usize) -> usize,
    ) -> bool {
        for (v, g) in v.iter_mut().zip(g) {
            *v = 0.9 * *v + g;
        }
        let channels = (0..w.len()).map(channel).max().unwrap() + 1;
        let mut sums = vec![[0.0; SUMS]; channels];
        for i in 0..w.len() {
            let products = [g[i] * w[i], g[i] * g[i], w[i] * w[i], w[i] * v[i]];
            sums[channel(i)]
                .iter_mut()
                .zip(products)
                .for_each(|(sum, x)| *sum += x);
        }
        let cosine = |s: &[f64; SUMS]| s[0].abs() / (s[1] * s[2]).sqrt();
        let largest = sums.iter().map(cosine).fold(0.0, f64::max);
        let projects = largest < delta / ((w.len() / channels) as f64).sqrt();
        for i in 0..w.len() {
            let [_, _, ww, wv] = sums[channel(i)];
            let along = if projects {
                wv / (ww.sqrt() + 1e-8).powi(2)
            } else {
                0.0
            };
            w[i] = (1.0 - 0.05 * if projects { 0.1 } else { 1.0 }) * w[i]
                - 0.1 * (v[i] - along * w[i]);
        }
        projects
    }

    /// Shapes of one piece and of many, channels either way round, projected and not.
    #[test]
    fn it_is_that_of_double_precision() {
        let workspace = Workspace::new();
        for (rows, row) in [(1, 1), (3, 5), (7, 64), (700, 70), (33, 2_000), (1, 40_000)] {
            for (by_rows, delta) in [(true, 1e9), (false, 1e9), (true, 0.0), (false, 0.0)] {
                let n = rows * row;
                let g = values(n, 1.0);
                let (mut w64, mut v64) = (values(n, 0.0), values(n, 2.0));
                let (mut w, mut v) = (single(&w64), single(&v64));
                let channels = Channels { row, by_rows };
                let mut scratch = vec![f32::NAN; projection_scratch(rows, channels)];
                let settings = Sgd {
                    learning_rate: 0.1,
                    momentum: 0.9,
                    weight_decay: 0.05,
                    nesterov: false,
                    scale: 1.0,
                };
                let projection = Projection {
                    delta,
                    decay_ratio: 0.1,
                    nesterov: false,
                    epsilon: 1e-8,
                };
                let g32 = single(&g);
                let both = (settings, projection);
                sgdp_step(
                    &workspace,
                    both,
                    channels,
                    &mut w,
                    &mut v,
                    &g32,
                    &mut scratch,
                )
                .unwrap();
                let channel = |i: usize| if by_rows { i / row } else { i % row };
                let projects = plain(&mut w64, &mut v64, &g, delta, &channel);
                assert_eq!(projects, delta > 0.0);
                for (found, plain) in w.iter().zip(&w64).chain(v.iter().zip(&v64)) {
                    let off = (f64::from(*found) - plain).abs();
                    assert!(
                        off < 2e-6 * (1.0 + plain.abs()),
                        "{rows}x{row}: {found} {plain}"
                    );
                }
            }
        }
    }

    #[test]
    fn tensors_of_other_lengths_are_refused() {
        let channels = Channels {
            row: 2,
            by_rows: true,
        };
        let settings = Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: false,
            scale: 1.0,
        };
        let projection = Projection {
            delta: 0.1,
            decay_ratio: 0.1,
            nesterov: false,
            epsilon: 1e-8,
        };
        let workspace = Workspace::new();
        let step = |weights: usize, gradient: usize, scratch: usize| {
            let [mut w, mut v] = [vec![0.0f32; weights], vec![0.0; weights]];
            let (g, mut scratch) = (vec![0.0; gradient], vec![0.0; scratch]);
            sgdp_step(
                &workspace,
                (settings, projection),
                channels,
                &mut w,
                &mut v,
                &g,
                &mut scratch,
            )
        };
        assert!(step(4, 4, 12).is_ok());
        assert!(step(0, 0, 0).is_ok());
        for (weights, gradient, scratch) in [(4, 3, 12), (3, 3, 12), (4, 4, 11)] {
            assert!(step(weights, gradient, scratch).is_err());
        }
    }
}
