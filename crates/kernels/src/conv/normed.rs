//! Convolution, batch norm, residual and rectifier: the statistics are taken, and the gradient
//! through the norm is formed, while the image concerned is in the cache.

use super::backward::write_sums;
use super::pack::Directions;
use super::{ConvGradients, ConvShape, ImageConv, Weights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::norm::image::{GradientCoefficients, apply_gradient, moments};
use crate::norm::statistics::{join_gradients, join_moments};
use crate::norm::{NormParameters, NormShape, NormStatistics, gradient_sums, normalize};
use crate::rectifier::{Rectified, Rectifier};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Where the gradients of a normalized convolution go; each is overwritten.
#[derive(Debug)]
pub struct ConvNormGradients<'a, T> {
    /// Of the input, `[n, height, width, in_channels]`, where it is wanted.
    pub dx: Option<&'a mut [T]>,
    /// Of the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`, where it
    /// is wanted.
    pub dw: Option<&'a mut [T]>,
    /// Of the norm's scale, `[out_channels]`.
    pub dgamma: &'a mut [T],
    /// Of the norm's shift, `[out_channels]`.
    pub dbeta: &'a mut [T],
    /// Of the residual, as long as the output, where it is wanted.
    pub dresidual: Option<&'a mut [T]>,
}

struct Forward<'a, T: Real> {
    conv: ImageConv<'a, T>,
    workspace: &'a Workspace,
    x: &'a [T],
    convolved: &'a mut [T],
    moments: &'a mut [f64],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let shape = self.conv.shape;
        let mut scratch = self.conv.input_scratch(self.workspace);
        let outputs = self
            .convolved
            .chunks_exact_mut(shape.output_image())
            .zip(self.moments.chunks_exact_mut(2 * shape.out_channels));
        for (x, (y, out)) in self.x.chunks_exact(shape.input_image()).zip(outputs) {
            self.conv.forward(s, x, None, false, &mut scratch, y);
            moments(s, y, shape.out_channels, out);
        }
    }
}

struct Backward<'a, T: Real> {
    conv: ImageConv<'a, T>,
    norm: NormShape,
    workspace: &'a Workspace,
    /// Number of the share's first image.
    first: usize,
    x: &'a [T],
    convolved: &'a [T],
    dy: &'a [T],
    rectified: Rectified<'a, T>,
    coefficients: GradientCoefficients<'a, T>,
    dx: Option<&'a mut [T]>,
    dresidual: Option<&'a mut [T]>,
    partial: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let shape = self.conv.shape;
        let (input, len) = (shape.input_image(), shape.output_image());
        let (with_input, with_weights) = (self.dx.is_some(), self.partial.is_some());
        let mut scratch = (self.conv).backward_scratch(self.workspace, with_input, with_weights);
        let mut gradient = self.workspace.take(len);
        let mut dw = self.conv.zeroed(self.partial).map(|(dw, _)| dw);
        let images = self
            .x
            .chunks_exact(input)
            .zip(self.convolved.chunks_exact(len))
            .zip(self.dy.chunks_exact(len));
        for (i, ((x, convolved), dy)) in images.enumerate() {
            let rectified = self.rectified.part(i * len..(i + 1) * len);
            let dresidual = self
                .dresidual
                .as_deref_mut()
                .map(|d| &mut d[i * len..(i + 1) * len]);
            let coefficients = self.coefficients.of(&self.norm, self.first + i);
            apply_gradient(
                s,
                convolved,
                dy,
                rectified,
                coefficients,
                &mut gradient,
                dresidual,
            );
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

/// `y = batch_norm(x ∗ w) + residual`, rectified, in ghost batches of `ghost` images.
///
/// `convolved`, `residual` and `y` are `[n, out_height, out_width, out_channels]`; `convolved`
/// (the norm's input) and the statistics `[⌈n / ghost⌉, out_channels]` are written for
/// [`conv_batch_norm_backward`]. In evaluation use [`conv_forward`](crate::conv_forward) and
/// [`batch_norm_inference`](crate::batch_norm_inference).
///
/// # Errors
/// When `ghost` is zero, ε is negative, a slice does not have its shape's length, or packed
/// weights belong elsewhere.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn conv_batch_norm_forward<'w, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    ghost: usize,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    parameters: NormParameters<'_, T>,
    residual: Option<&[T]>,
    rectifier: impl Into<Rectifier>,
    convolved: &mut [T],
    y: &mut [T],
    statistics: NormStatistics<'_, T>,
) -> Result<(), KernelError> {
    let norm = NormShape::new(shape.n, shape.out_pixels(), shape.out_channels, ghost)?;
    parameters.check(shape.out_channels)?;
    check_length("x", x, shape.input_len())?;
    check_length("convolved", convolved, shape.output_len())?;
    check_length("y", y, shape.output_len())?;
    check_length("mean", statistics.mean, norm.statistics_len())?;
    check_length("variance", statistics.variance, norm.statistics_len())?;
    if let Some(residual) = residual {
        check_length("residual", residual, shape.output_len())?;
    }
    let packed = weights
        .into()
        .ready(workspace, shape, Directions::Forward)?;
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    let piece = shape.forward_piece();
    let mut moments = workspace.take::<f64>(shape.n * 2 * shape.out_channels);
    let shares = x
        .chunks(piece * shape.input_image())
        .zip(convolved.chunks_mut(piece * shape.output_image()))
        .zip(moments.chunks_mut(piece * 2 * shape.out_channels))
        .map(|((x, convolved), moments)| Forward {
            conv,
            workspace,
            x,
            convolved,
            moments,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    join_moments(&norm, &moments, statistics.mean, statistics.variance);
    normalize(
        workspace,
        &norm,
        convolved,
        &parameters,
        residual,
        rectifier.into(),
        y,
        statistics.mean,
        statistics.variance,
    );
    Ok(())
}

/// The gradients of [`conv_batch_norm_forward`] from `dy`, the gradient of its output.
///
/// `x`, `weights`, `convolved`, `mean` and `variance` are those of the forward pass, and
/// `rectified_output` its `y` where it rectified (as for
/// [`batch_norm_backward`](crate::batch_norm_backward)). Sums are in a fixed order, as in
/// [`conv_backward`](crate::conv_backward).
///
/// # Errors
/// When `ghost` is zero, ε is negative, a slice does not have its shape's length, or packed
/// weights belong elsewhere.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn conv_batch_norm_backward<'w, 'r, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    ghost: usize,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    parameters: NormParameters<'_, T>,
    convolved: &[T],
    mean: &[T],
    variance: &[T],
    dy: &[T],
    rectified_output: impl Into<Rectified<'r, T>>,
    gradients: ConvNormGradients<'_, T>,
) -> Result<(), KernelError> {
    let rectified = rectified_output.into();
    let norm = NormShape::new(shape.n, shape.out_pixels(), shape.out_channels, ghost)?;
    let ConvNormGradients {
        dx,
        dw,
        dgamma,
        dbeta,
        dresidual,
    } = gradients;
    parameters.check(shape.out_channels)?;
    check_length("x", x, shape.input_len())?;
    check_length("convolved", convolved, shape.output_len())?;
    check_length("mean", mean, norm.statistics_len())?;
    check_length("variance", variance, norm.statistics_len())?;
    check_length("dy", dy, shape.output_len())?;
    check_length("dgamma", dgamma, shape.out_channels)?;
    check_length("dbeta", dbeta, shape.out_channels)?;
    rectified.check(shape.output_len())?;
    if let Some(dresidual) = &dresidual {
        check_length("dresidual", dresidual, shape.output_len())?;
    }
    let of_conv = ConvGradients { dx, dw, db: None };
    of_conv.check(shape)?;
    let packed = weights
        .into()
        .ready(workspace, shape, of_conv.directions())?;
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    let piece = shape.backward_piece();
    let (input, output) = (piece * shape.input_image(), piece * shape.output_image());

    let sums = gradient_sums(workspace, &norm, piece, convolved, dy, rectified, mean);
    let joined = join_gradients(
        workspace,
        &norm,
        &parameters,
        variance,
        &sums,
        dgamma,
        dbeta,
    );
    let coefficients = GradientCoefficients {
        mean,
        scale: &joined.scale,
        slope: &joined.slope,
        offset: &joined.offset,
    };
    let mut partials = of_conv.partials(workspace, &conv);
    let shares = x
        .chunks(input)
        .zip(convolved.chunks(output).zip(dy.chunks(output)))
        .zip(rectified.pieces(output))
        .zip(chunks::optional_mut(of_conv.dx, input).zip(chunks::optional_mut(dresidual, output)))
        .zip(chunks::optional_mut(
            partials.as_deref_mut(),
            conv.partial_len(),
        ))
        .enumerate()
        .map(
            |(i, ((((x, (convolved, dy)), rectified), (dx, dresidual)), partial))| {
                let first = i * piece;
                Backward {
                    conv,
                    norm,
                    workspace,
                    first,
                    x,
                    convolved,
                    dy,
                    rectified,
                    coefficients,
                    dx,
                    dresidual,
                    partial,
                }
            },
        );
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    let partials = partials.as_deref_mut();
    write_sums(workspace, &conv, partials, of_conv.dw, None);
    Ok(())
}
