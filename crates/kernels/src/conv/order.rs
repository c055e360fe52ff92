//! Weights from their canonical order, `[output][input][kernel row][kernel column]`, to the order in
//! which the kernels read them, and gradients back.
//!
//! Packed, a vector spans output channels (input channels, for the gradient of the input), which
//! lie far apart in the canonical order: squares of as many channels by as many neighboring numbers
//! are turned round in registers.

use super::ConvShape;
use super::layout::{Phase, padded_channels, place};
use crate::simd::{Kernel, Real, Simd};

/// Elements of the largest square: vectors have at most 16 lanes.
const SQUARE: usize = 256;

/// Writes to row `j` of `to` (rows of `LANES`) the numbers at `j` of the first `rows` rows of `from`,
/// which are `stride` apart, for the first `columns`; lanes beyond `rows` become zero.
#[inline(always)]
fn turn<S: Simd>(
    s: S,
    from: &[S::Scalar],
    stride: usize,
    [rows, columns]: [usize; 2],
    to: &mut [S::Scalar; SQUARE],
) {
    const { assert!(S::LANES * S::LANES <= SQUARE) };
    if rows == S::LANES && from.len() >= (S::LANES - 1) * stride + S::LANES {
        // SAFETY: just checked; columns beyond those wanted are numbers no one reads.
        unsafe { s.transpose(from.as_ptr(), stride, to.as_mut_ptr(), S::LANES) }
    } else {
        for j in 0..columns {
            for (i, to) in to[j * S::LANES..(j + 1) * S::LANES].iter_mut().enumerate() {
                *to = if i < rows {
                    from[i * stride + j]
                } else {
                    S::Scalar::ZERO
                };
            }
        }
    }
}

/// The vectors of a group's channels: the first channel of each, and how many it holds.
#[inline(always)]
fn vectors(channels: usize, lanes: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..channels)
        .step_by(lanes)
        .map(move |first| [first, lanes.min(channels - first)])
}

/// The tap after this one in the canonical order, and its input channel: counted, since a division
/// for each vector would cost more than moving it.
#[inline(always)]
fn next(input: usize, tap: usize, taps: usize) -> (usize, usize) {
    if tap + 1 < taps {
        (input, tap + 1)
    } else {
        (input + 1, 0)
    }
}

/// To `[group][block][kernel row][kernel column][input channel][output channel of the block]`.
pub(super) struct ForwardOrder<'a, T> {
    pub shape: &'a ConvShape,
    pub weights: &'a [T],
    pub packed: &'a mut [T],
}

impl<T: Real> Kernel<T> for ForwardOrder<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            shape,
            weights,
            packed,
        } = self;
        let [_, inputs, kh, kw] = shape.weight_shape();
        let outputs = shape.group_out();
        let depth = inputs * kh * kw;
        let group_len = padded_channels(outputs, S::LANES) * depth;
        let mut square = [T::ZERO; SQUARE];
        for group in 0..shape.groups {
            let packed = &mut packed[group * group_len..(group + 1) * group_len];
            for [output, held] in vectors(outputs, S::LANES) {
                let (first, width) = place(output, outputs, S::LANES, depth);
                let rows = &weights[(group * outputs + output) * depth..];
                let (mut input, mut tap) = (0, 0);
                for from in (0..depth).step_by(S::LANES) {
                    let columns = S::LANES.min(depth - from);
                    turn(s, &rows[from..], depth, [held, columns], &mut square);
                    for vector in square.chunks_exact(S::LANES).take(columns) {
                        let at = first + (tap * inputs + input) * width;
                        s.store(&mut packed[at..at + S::LANES], s.load(vector));
                        (input, tap) = next(input, tap, kh * kw);
                    }
                }
            }
        }
    }
}

/// The inverse of [`ForwardOrder`], for a gradient.
pub(super) struct CanonicalOrder<'a, T> {
    pub shape: &'a ConvShape,
    pub packed: &'a [T],
    pub weights: &'a mut [T],
}

impl<T: Real> Kernel<T> for CanonicalOrder<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            shape,
            packed,
            weights,
        } = self;
        let [_, inputs, kh, kw] = shape.weight_shape();
        let outputs = shape.group_out();
        let depth = inputs * kh * kw;
        let group_len = padded_channels(outputs, S::LANES) * depth;
        let mut square = [T::ZERO; SQUARE];
        for group in 0..shape.groups {
            let packed = &packed[group * group_len..(group + 1) * group_len];
            for [output, held] in vectors(outputs, S::LANES) {
                let (first, width) = place(output, outputs, S::LANES, depth);
                let rows = &mut weights[(group * outputs + output) * depth..][..held * depth];
                let (mut input, mut tap) = (0, 0);
                for from in (0..depth).step_by(S::LANES) {
                    let columns = S::LANES.min(depth - from);
                    for vector in square.chunks_exact_mut(S::LANES).take(columns) {
                        let at = first + (tap * inputs + input) * width;
                        s.store(vector, s.load(&packed[at..at + S::LANES]));
                        (input, tap) = next(input, tap, kh * kw);
                    }
                    let to = &mut rows[from..];
                    if held == S::LANES && columns == S::LANES {
                        assert!(to.len() >= (S::LANES - 1) * depth + S::LANES);
                        // SAFETY: just checked, and the square is as large as any.
                        unsafe { s.transpose(square.as_ptr(), S::LANES, to.as_mut_ptr(), depth) }
                    } else {
                        for (i, to) in to.chunks_mut(depth).take(held).enumerate() {
                            for (j, to) in to[..columns].iter_mut().enumerate() {
                                *to = square[j * S::LANES + i];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// To the order of the gradient of the input: in each phase
/// `[group][block][kernel row][tap][output channel][input channel of the block]`.
pub(super) struct BackwardOrder<'a, T> {
    pub shape: &'a ConvShape,
    pub phases: &'a [Phase],
    pub weights: &'a [T],
    pub packed: &'a mut [T],
}

impl<T: Real> Kernel<T> for BackwardOrder<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            shape,
            phases,
            weights,
            packed,
        } = self;
        let [_, inputs, kh, kw] = shape.weight_shape();
        let (outputs, taps) = (shape.group_out(), kh * kw);
        let padded = padded_channels(inputs, S::LANES);
        let mut square = [T::ZERO; SQUARE];
        for output in 0..shape.out_channels {
            let group = output / outputs;
            for [input, held] in vectors(inputs, S::LANES) {
                let rows = &weights[(output * inputs + input) * taps..];
                for from in (0..taps).step_by(S::LANES) {
                    let columns = S::LANES.min(taps - from);
                    turn(s, &rows[from..], taps, [held, columns], &mut square);
                    for phase in phases {
                        let depth = kh * phase.row_depth;
                        let (first, width) = place(input, inputs, S::LANES, depth);
                        let start = phase.weights.start + group * padded * depth + first;
                        for (j, vector) in square.chunks_exact(S::LANES).take(columns).enumerate() {
                            if let Some(k) = phase.weight_rows[from + j] {
                                let at = start + (k + output % outputs) * width;
                                s.store(&mut packed[at..at + S::LANES], s.load(vector));
                            }
                        }
                    }
                }
            }
        }
    }
}
