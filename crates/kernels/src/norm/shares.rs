//! What threads run on their share of a batch's images.

use super::NormShape;
use super::image::{self, GradientCoefficients};
use crate::rectifier::{Rectified, Rectifier};
use crate::simd::{Kernel, Real, Simd};

/// Moments of a share of the images.
pub(super) struct Moments<'a, T> {
    pub shape: NormShape,
    pub x: &'a [T],
    pub out: &'a mut [f64],
}

impl<T: Real> Kernel<T> for Moments<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let outs = self.out.chunks_exact_mut(2 * self.shape.channels);
        for (x, out) in self.x.chunks_exact(self.shape.image()).zip(outs) {
            image::moments(s, x, self.shape.channels, out);
        }
    }
}

/// Normalizes a share of the images.
pub(super) struct Apply<'a, T> {
    pub shape: NormShape,
    /// Number of the share's first image.
    pub first: usize,
    pub x: &'a [T],
    pub mean: &'a [T],
    pub scale: &'a [T],
    pub shift: &'a [T],
    pub residual: Option<&'a [T]>,
    pub rectifier: Rectifier,
    pub y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let (shape, len) = (self.shape, self.shape.image());
        for (i, (x, y)) in self
            .x
            .chunks_exact(len)
            .zip(self.y.chunks_exact_mut(len))
            .enumerate()
        {
            let mean = shape.ghost_of(self.first + i, self.mean);
            let scale = shape.ghost_of(self.first + i, self.scale);
            let residual = self
                .residual
                .map(|residual| &residual[i * len..(i + 1) * len]);
            image::apply(s, x, mean, scale, self.shift, residual, self.rectifier, y);
        }
    }
}

/// Gradient sums of a share of the images.
pub(super) struct GradientSums<'a, T> {
    pub shape: NormShape,
    pub first: usize,
    pub x: &'a [T],
    pub dy: &'a [T],
    pub rectified: Rectified<'a, T>,
    pub mean: &'a [T],
    pub out: &'a mut [f64],
}

impl<T: Real> Kernel<T> for GradientSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let (shape, len) = (self.shape, self.shape.image());
        let outs = self.out.chunks_exact_mut(2 * shape.channels);
        let images = self.x.chunks_exact(len).zip(self.dy.chunks_exact(len));
        for (i, ((x, dy), out)) in images.zip(outs).enumerate() {
            let rectified = self.rectified.part(i * len..(i + 1) * len);
            image::gradient_sums(
                s,
                x,
                dy,
                rectified,
                shape.ghost_of(self.first + i, self.mean),
                out,
            );
        }
    }
}

/// The input's gradient of a share of the images.
pub(super) struct ApplyGradient<'a, T: Real> {
    pub shape: NormShape,
    pub first: usize,
    pub x: &'a [T],
    pub dy: &'a [T],
    pub rectified: Rectified<'a, T>,
    pub coefficients: GradientCoefficients<'a, T>,
    pub dx: &'a mut [T],
    pub dresidual: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for ApplyGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let (shape, len) = (self.shape, self.shape.image());
        let images = self.x.chunks_exact(len).zip(self.dy.chunks_exact(len));
        for (i, ((x, dy), dx)) in images.zip(self.dx.chunks_exact_mut(len)).enumerate() {
            let rectified = self.rectified.part(i * len..(i + 1) * len);
            let coefficients = self.coefficients.of(&shape, self.first + i);
            let dresidual = self
                .dresidual
                .as_deref_mut()
                .map(|d| &mut d[i * len..(i + 1) * len]);
            image::apply_gradient(s, x, dy, rectified, coefficients, dx, dresidual);
        }
    }
}

impl<'a, T> GradientCoefficients<'a, T> {
    /// Those of an image's ghost batch.
    #[inline(always)]
    pub fn of(&self, shape: &NormShape, image: usize) -> Self {
        Self {
            mean: shape.ghost_of(image, self.mean),
            scale: shape.ghost_of(image, self.scale),
            slope: shape.ghost_of(image, self.slope),
            offset: shape.ghost_of(image, self.offset),
        }
    }
}
