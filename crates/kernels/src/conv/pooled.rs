//! Convolution, bias, rectifier and maximum pool in one pass: the convolution's output never
//! leaves the cache, and only the pooled part of it and the places of the maxima are kept.

use super::backward::write_sums;
use super::pack::Directions;
use super::{ConvGradients, ConvShape, ImageConv, Weights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::pool::{ImagePool, PoolShape};
use crate::reduce::add_columns;
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

struct Forward<'a, T: Real> {
    conv: ImageConv<'a, T>,
    pool: ImagePool,
    workspace: &'a Workspace,
    x: &'a [T],
    bias: &'a [T],
    y: &'a mut [T],
    places: &'a mut [u8],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let shape = self.conv.shape;
        let mut scratch = self.conv.input_scratch(self.workspace);
        let mut convolved = self.workspace.take(shape.output_image());
        let out = self.pool.output_image();
        let outputs = self
            .y
            .chunks_exact_mut(out)
            .zip(self.places.chunks_exact_mut(out));
        for (x, (y, places)) in self.x.chunks_exact(shape.input_image()).zip(outputs) {
            self.conv
                .forward(s, x, Some(self.bias), false, &mut scratch, &mut convolved);
            self.pool.forward(s, &convolved, true, y, places);
        }
    }
}

struct Backward<'a, T: Real> {
    conv: ImageConv<'a, T>,
    pool: ImagePool,
    workspace: &'a Workspace,
    x: &'a [T],
    dy: &'a [T],
    places: &'a [u8],
    dx: Option<&'a mut [T]>,
    partial: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let shape = self.conv.shape;
        let (input, out) = (shape.input_image(), self.pool.output_image());
        let (with_input, with_weights) = (self.dx.is_some(), self.partial.is_some());
        let mut scratch = (self.conv).backward_scratch(self.workspace, with_input, with_weights);
        let mut gradient = self.workspace.take(shape.output_image());
        let (mut dw, mut db) = self.conv.zeroed(self.partial).unzip();
        let outputs = self.dy.chunks_exact(out).zip(self.places.chunks_exact(out));
        for (i, (x, (dy, places))) in self.x.chunks_exact(input).zip(outputs).enumerate() {
            self.pool.backward(s, dy, places, &mut gradient);
            if let Some(db) = &mut db {
                add_columns(s, &gradient, db);
            }
            let dx = self
                .dx
                .as_deref_mut()
                .map(|dx| &mut dx[i * input..(i + 1) * input]);
            let dw = dw.as_deref_mut();
            self.conv.backward(s, x, &gradient, dx, dw, &mut scratch);
        }
        self.conv.finish(s, scratch, dw);
    }
}

/// `y = max_pool(relu(x ∗ w + bias))`.
///
/// `x` is `[n, height, width, in_channels]`, `bias` `[out_channels]`, `y`
/// `[n, pooled height, pooled width, out_channels]` (see [`PoolShape::output`]); `places`, as long
/// as `y`, receives the place of each maximum for [`conv_bias_relu_maxpool_backward`].
///
/// # Errors
/// When the pool does not fit the convolution's output, a slice does not have its shape's length,
/// or packed weights belong elsewhere.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn conv_bias_relu_maxpool_forward<'w, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    pool: &PoolShape,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    bias: &[T],
    y: &mut [T],
    places: &mut [u8],
) -> Result<(), KernelError> {
    let pool = ImagePool::new(pool, shape.output())?;
    check_length("x", x, shape.input_len())?;
    check_length("bias", bias, shape.out_channels)?;
    check_length("y", y, shape.n * pool.output_image())?;
    check_length("places", places, y.len())?;
    let packed = weights
        .into()
        .ready(workspace, shape, Directions::Forward)?;
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    let piece = shape.forward_piece();
    let shares = x
        .chunks(piece * shape.input_image())
        .zip(y.chunks_mut(piece * pool.output_image()))
        .zip(places.chunks_mut(piece * pool.output_image()))
        .map(|((x, y), places)| Forward {
            conv,
            pool,
            workspace,
            x,
            bias,
            y,
            places,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// The gradients of [`conv_bias_relu_maxpool_forward`] from `dy`, the gradient of its output, and
/// the `places` it wrote. Sums are in a fixed order, as in [`conv_backward`](crate::conv_backward).
///
/// # Errors
/// When the pool does not fit the convolution's output, a slice does not have its shape's length,
/// or packed weights belong elsewhere.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn conv_bias_relu_maxpool_backward<'w, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    pool: &PoolShape,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    dy: &[T],
    places: &[u8],
    gradients: ConvGradients<'_, T>,
) -> Result<(), KernelError> {
    let pool = ImagePool::new(pool, shape.output())?;
    check_length("x", x, shape.input_len())?;
    check_length("dy", dy, shape.n * pool.output_image())?;
    check_length("places", places, dy.len())?;
    gradients.check(shape)?;
    let packed = weights
        .into()
        .ready(workspace, shape, gradients.directions())?;
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    let piece = shape.backward_piece();
    let mut partials = gradients.partials(workspace, &conv);
    let shares = x
        .chunks(piece * shape.input_image())
        .zip(dy.chunks(piece * pool.output_image()))
        .zip(places.chunks(piece * pool.output_image()))
        .zip(chunks::optional_mut(
            gradients.dx,
            piece * shape.input_image(),
        ))
        .zip(chunks::optional_mut(
            partials.as_deref_mut(),
            conv.partial_len(),
        ))
        .map(|((((x, dy), places), dx), partial)| Backward {
            conv,
            pool,
            workspace,
            x,
            dy,
            places,
            dx,
            partial,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    let partials = partials.as_deref_mut();
    write_sums(workspace, &conv, partials, gradients.dw, gradients.db);
    Ok(())
}
