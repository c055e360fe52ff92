//! Batch normalization of one image, `[pixels, channels]`: what threads run on their share.

use crate::rectifier::{Rectified, Rectifier};
use crate::simd::{Real, Simd};

/// Sums over pixels are taken in this many interleaved parts, added up as `(0 + 1) + (2 + 3)`.
const PARTS: usize = 4;

#[inline(always)]
fn total<S: Simd>(s: S, parts: [S::V; PARTS]) -> S::V {
    s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3]))
}

/// Runs the body for every pixel, parts in turn; unrolled, so that the parts stay in registers. A
/// macro, since a closure would not be sure to be compiled for the instruction set.
macro_rules! by_parts {
    ($pixels:expr, |$pixel:ident, $part:ident| $body:block) => {{
        let whole = $pixels - $pixels % PARTS;
        for quad in (0..whole).step_by(PARTS) {
            by_parts!(@one quad, 0, $pixel, $part, $body);
            by_parts!(@one quad, 1, $pixel, $part, $body);
            by_parts!(@one quad, 2, $pixel, $part, $body);
            by_parts!(@one quad, 3, $pixel, $part, $body);
        }
        for $pixel in whole..$pixels {
            let $part = $pixel - whole;
            $body
        }
    }};
    (@one $quad:ident, $offset:literal, $pixel:ident, $part:ident, $body:block) => {{
        let ($pixel, $part) = ($quad + $offset, $offset);
        $body
    }};
}

#[inline(always)]
fn store_doubles<S: Simd>(s: S, v: S::V, out: &mut [f64]) {
    for (out, lane) in out.iter_mut().zip(s.to_array(v)) {
        *out = lane.to_f64();
    }
}

/// The image's mean and sum of squared deviations from it for each channel, `out` being the means
/// and then the sums. Two passes, so that nothing cancels.
#[inline(always)]
pub(crate) fn moments<S: Simd>(s: S, x: &[S::Scalar], channels: usize, out: &mut [f64]) {
    let pixels = (x.len() / channels) as f64;
    let (means, squares) = out.split_at_mut(channels);
    for first in (0..channels).step_by(S::LANES) {
        let end = (first + S::LANES).min(channels);
        let mut parts = [s.zero(); PARTS];
        by_parts!(x.len() / channels, |pixel, part| {
            let at = pixel * channels;
            parts[part] = s.add(parts[part], s.load(&x[at + first..at + end]));
        });
        let mean = s.div(total(s, parts), s.splat(S::Scalar::from_f64(pixels)));
        let (mut deviations, mut squared) = ([s.zero(); PARTS], [s.zero(); PARTS]);
        by_parts!(x.len() / channels, |pixel, part| {
            let at = pixel * channels;
            let deviation = s.sub(s.load(&x[at + first..at + end]), mean);
            deviations[part] = s.add(deviations[part], deviation);
            squared[part] = s.fma(deviation, deviation, squared[part]);
        });
        let (mean, rest) = (s.to_array(mean), s.to_array(total(s, deviations)));
        let squared = s.to_array(total(s, squared));
        for lane in 0..end - first {
            // What rounding left in the mean is put right in double precision.
            let rest = rest[lane].to_f64();
            means[first + lane] = mean[lane].to_f64() + rest / pixels;
            squares[first + lane] = squared[lane].to_f64() - rest * rest / pixels;
        }
    }
}

/// `y = (x − mean)·scale + shift + residual`, rectified.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub(crate) fn apply<S: Simd>(
    s: S,
    x: &[S::Scalar],
    mean: &[S::Scalar],
    scale: &[S::Scalar],
    shift: &[S::Scalar],
    residual: Option<&[S::Scalar]>,
    rectifier: Rectifier,
    y: &mut [S::Scalar],
) {
    let channels = mean.len();
    for first in (0..channels).step_by(S::LANES) {
        let end = (first + S::LANES).min(channels);
        let (mean, scale, shift) = (
            s.load(&mean[first..end]),
            s.load(&scale[first..end]),
            s.load(&shift[first..end]),
        );
        for (i, (x, y)) in x
            .chunks_exact(channels)
            .zip(y.chunks_exact_mut(channels))
            .enumerate()
        {
            let mut value = s.fma(s.sub(s.load(&x[first..end]), mean), scale, shift);
            if let Some(residual) = residual {
                value = s.add(
                    value,
                    s.load(&residual[i * channels + first..i * channels + end]),
                );
            }
            s.store(&mut y[first..end], rectifier.apply(s, value));
        }
    }
}

/// The gradient of an output vector, through the rectifier where there is one.
#[inline(always)]
fn through_rectifier<S: Simd>(
    s: S,
    dy: &[S::Scalar],
    rectified: Rectified<'_, S::Scalar>,
    from: usize,
    end: usize,
) -> S::V {
    let gradient = s.load(&dy[from..end]);
    match rectified.output {
        Some(y) => rectified
            .rectifier
            .gradient(s, gradient, s.load(&y[from..end])),
        None => gradient,
    }
}

/// `Σ g` and `Σ g·(x − mean)` for each channel, where `g` is `dy` through the rectifier; `out` is
/// all of the first and then all of the second.
#[inline(always)]
pub(crate) fn gradient_sums<S: Simd>(
    s: S,
    x: &[S::Scalar],
    dy: &[S::Scalar],
    rectified: Rectified<'_, S::Scalar>,
    mean: &[S::Scalar],
    out: &mut [f64],
) {
    let channels = mean.len();
    let (sums, products) = out.split_at_mut(channels);
    for first in (0..channels).step_by(S::LANES) {
        let end = (first + S::LANES).min(channels);
        let mean = s.load(&mean[first..end]);
        let (mut sum, mut product) = ([s.zero(); PARTS], [s.zero(); PARTS]);
        by_parts!(x.len() / channels, |pixel, part| {
            let (from, to) = (pixel * channels + first, pixel * channels + end);
            let gradient = through_rectifier(s, dy, rectified, from, to);
            sum[part] = s.add(sum[part], gradient);
            product[part] = s.fma(gradient, s.sub(s.load(&x[from..to]), mean), product[part]);
        });
        store_doubles(s, total(s, sum), &mut sums[first..end]);
        store_doubles(s, total(s, product), &mut products[first..end]);
    }
}

/// Coefficients of the gradient for a ghost batch, `[channels]` each:
/// `dx = scale·g + slope·(x − mean) + offset`.
#[derive(Clone, Copy)]
pub(crate) struct GradientCoefficients<'a, T> {
    pub mean: &'a [T],
    pub scale: &'a [T],
    pub slope: &'a [T],
    pub offset: &'a [T],
}

/// Writes `dx` and, where wanted, the gradient of the residual, which is `g`.
#[inline(always)]
pub(crate) fn apply_gradient<S: Simd>(
    s: S,
    x: &[S::Scalar],
    dy: &[S::Scalar],
    rectified: Rectified<'_, S::Scalar>,
    coefficients: GradientCoefficients<'_, S::Scalar>,
    dx: &mut [S::Scalar],
    mut dresidual: Option<&mut [S::Scalar]>,
) {
    let GradientCoefficients {
        mean,
        scale,
        slope,
        offset,
    } = coefficients;
    let channels = mean.len();
    for first in (0..channels).step_by(S::LANES) {
        let end = (first + S::LANES).min(channels);
        let [mean, scale, slope, offset] =
            [mean, scale, slope, offset].map(|c| s.load(&c[first..end]));
        for (i, (x, dx)) in x
            .chunks_exact(channels)
            .zip(dx.chunks_exact_mut(channels))
            .enumerate()
        {
            let (from, to) = (i * channels + first, i * channels + end);
            let gradient = through_rectifier(s, dy, rectified, from, to);
            if let Some(dresidual) = &mut dresidual {
                s.store(&mut dresidual[from..to], gradient);
            }
            let deviation = s.sub(s.load(&x[first..end]), mean);
            s.store(
                &mut dx[first..end],
                s.fma(scale, gradient, s.fma(slope, deviation, offset)),
            );
        }
    }
}
