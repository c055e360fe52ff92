//! Small sums and masks that several kernels share, all in a fixed order.

use crate::simd::{Real, Simd};

/// `out = gradient` where `output > 0`, else 0: the gradient through a rectifier.
#[inline(always)]
pub(crate) fn mask_by_output<S: Simd>(
    s: S,
    gradient: &[S::Scalar],
    output: &[S::Scalar],
    out: &mut [S::Scalar],
) {
    let vectors = gradient
        .chunks(S::LANES)
        .zip(output.chunks(S::LANES))
        .zip(out.chunks_mut(S::LANES));
    for ((gradient, output), out) in vectors {
        let passes = s.gt(s.load(output), s.zero());
        s.store(out, s.select(passes, s.load(gradient), s.zero()));
    }
}

/// Adds the sum over pixels of `x`, `[pixels, channels]`, to `sums`, `[channels]`.
///
/// Four running sums for each channel, added up as `(0 + 1) + (2 + 3)`.
#[inline(always)]
pub(crate) fn add_columns<S: Simd>(s: S, x: &[S::Scalar], sums: &mut [S::Scalar]) {
    let channels = sums.len();
    for first in (0..channels).step_by(S::LANES) {
        let end = (first + S::LANES).min(channels);
        let mut parts = [s.zero(); 4];
        let mut quads = x.chunks_exact(4 * channels);
        for quad in &mut quads {
            for (i, part) in parts.iter_mut().enumerate() {
                *part = s.add(
                    *part,
                    s.load(&quad[i * channels + first..i * channels + end]),
                );
            }
        }
        for (pixel, part) in quads.remainder().chunks_exact(channels).zip(&mut parts) {
            *part = s.add(*part, s.load(&pixel[first..end]));
        }
        let total = s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3]));
        let sums = &mut sums[first..end];
        s.store(sums, s.add(s.load(sums), total));
    }
}

/// Adds all parts of length `len` to the first, in order.
pub(crate) fn add_partials<T: Real>(parts: &mut [T], len: usize) {
    let (total, rest) = parts.split_at_mut(len);
    for part in rest.chunks_exact(len) {
        for (total, &part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
}
