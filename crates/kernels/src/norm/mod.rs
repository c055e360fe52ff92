//! Batch normalization over ghost batches (Ioffe & Szegedy 2015; ghost batches: Hoffer, Hubara &
//! Soudry 2017), fused with a residual and a rectifier.

pub(crate) mod image;
mod shares;
pub(crate) mod statistics;

use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::rectifier::{Rectified, Rectifier};
use crate::simd::Real;
use crate::workspace::Workspace;
use image::GradientCoefficients;
use shares::{Apply, ApplyGradient, GradientSums, Moments};

/// The checked shape of a batch normalization: `n` images of `pixels` by `channels`, normalized in
/// ghost batches of `ghost` images each, the last of which may be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NormShape {
    pub(crate) n: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) ghost: usize,
}

impl NormShape {
    /// For `[n, height, width, channels]`, `pixels` is `height · width`; for `[n, features]` it is
    /// 1. A `ghost` of at least `n` normalizes over the whole batch.
    ///
    /// # Errors
    /// When a size is zero or a buffer could not exist.
    pub fn new(
        n: usize,
        pixels: usize,
        channels: usize,
        ghost: usize,
    ) -> Result<Self, KernelError> {
        if [n, pixels, channels, ghost].contains(&0) {
            return Err(KernelError::Shape(format!(
                "a size of a batch norm over {n} images of {pixels} pixels and {channels} channels \
                 in ghost batches of {ghost} is 0: choose at least 1"
            )));
        }
        volume(&[n, pixels, channels])?;
        volume(&[n, 2, channels])?;
        Ok(Self {
            n,
            pixels,
            channels,
            ghost: ghost.min(n),
        })
    }

    /// Number of ghost batches, `⌈n / ghost⌉`.
    pub fn ghosts(&self) -> usize {
        self.n.div_ceil(self.ghost)
    }

    /// Elements of the tensor that is normalized.
    pub fn tensor_len(&self) -> usize {
        self.n * self.pixels * self.channels
    }

    /// Elements of the statistics, `ghosts · channels`.
    pub fn statistics_len(&self) -> usize {
        self.ghosts() * self.channels
    }

    pub(crate) fn image(&self) -> usize {
        self.pixels * self.channels
    }

    /// The part of a `[ghosts, channels]` tensor that belongs to an image.
    #[inline(always)]
    pub(crate) fn ghost_of<'a, T>(&self, image: usize, tensor: &'a [T]) -> &'a [T] {
        let start = image / self.ghost * self.channels;
        &tensor[start..start + self.channels]
    }

    fn piece(&self) -> usize {
        chunks::piece(self.n, chunks::FLAT / self.image().min(chunks::FLAT))
    }
}

/// Parameters of a batch normalization.
#[derive(Debug, Clone, Copy)]
pub struct NormParameters<'a, T> {
    /// Scale, `[channels]`.
    pub gamma: &'a [T],
    /// Shift, `[channels]`.
    pub beta: &'a [T],
    /// Added to the variance; not negative.
    pub epsilon: f64,
}

impl<T> NormParameters<'_, T> {
    pub(crate) fn check(&self, channels: usize) -> Result<(), KernelError> {
        check_length("gamma", self.gamma, channels)?;
        check_length("beta", self.beta, channels)?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(KernelError::Setting {
                name: "epsilon",
                value: self.epsilon,
                range: "finite and not negative",
            });
        }
        Ok(())
    }
}

/// Statistics of the ghost batches, `[ghosts, channels]` each.
#[derive(Debug)]
pub struct NormStatistics<'a, T> {
    /// Means.
    pub mean: &'a mut [T],
    /// Biased variances, as used in training (times `m / (m − 1)` for the running estimate of
    /// most frameworks, `m` being the numbers in a ghost batch).
    pub variance: &'a mut [T],
}

/// Where the gradients of a batch normalization go; each is overwritten.
#[derive(Debug)]
pub struct NormGradients<'a, T> {
    /// Of the input, `[n, pixels, channels]`.
    pub dx: &'a mut [T],
    /// Of the scale, `[channels]`.
    pub dgamma: &'a mut [T],
    /// Of the shift, `[channels]`.
    pub dbeta: &'a mut [T],
    /// Of the residual, where there was one and its gradient is wanted.
    pub dresidual: Option<&'a mut [T]>,
}

/// `y = γ·(x − mean)/√(variance + ε) + β + residual`, rectified, with the statistics of
/// each ghost batch, which are written for [`batch_norm_backward`] and for running estimates.
///
/// `x`, `residual` and `y` are `[n, pixels, channels]`.
///
/// # Errors
/// When a slice does not have its shape's length or ε is negative.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn batch_norm_forward<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    residual: Option<&[T]>,
    rectifier: impl Into<Rectifier>,
    y: &mut [T],
    statistics: NormStatistics<'_, T>,
) -> Result<(), KernelError> {
    check_forward(shape, x, &parameters, residual, y)?;
    check_length("mean", statistics.mean, shape.statistics_len())?;
    check_length("variance", statistics.variance, shape.statistics_len())?;
    let piece = shape.piece();
    let mut moments = workspace.take::<f64>(shape.n * 2 * shape.channels);
    let shares = x
        .chunks(piece * shape.image())
        .zip(moments.chunks_mut(piece * 2 * shape.channels))
        .map(|(x, out)| Moments {
            shape: *shape,
            x,
            out,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    statistics::join_moments(shape, &moments, statistics.mean, statistics.variance);
    normalize(
        workspace,
        shape,
        x,
        &parameters,
        residual,
        rectifier.into(),
        y,
        statistics.mean,
        statistics.variance,
    );
    Ok(())
}

/// `y = γ·(x − running mean)/√(running variance + ε) + β + residual`, rectified: the
/// evaluation mode of [`batch_norm_forward`].
///
/// `x`, `residual` and `y` are `[n, pixels, channels]` with any number of ghost batches, the
/// running statistics `[channels]`.
///
/// # Errors
/// When a slice does not have its shape's length or ε is negative.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn batch_norm_inference<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    running_mean: &[T],
    running_variance: &[T],
    residual: Option<&[T]>,
    rectifier: impl Into<Rectifier>,
    y: &mut [T],
) -> Result<(), KernelError> {
    check_forward(shape, x, &parameters, residual, y)?;
    check_length("running_mean", running_mean, shape.channels)?;
    check_length("running_variance", running_variance, shape.channels)?;
    let whole = NormShape {
        ghost: shape.n,
        ..*shape
    };
    normalize(
        workspace,
        &whole,
        x,
        &parameters,
        residual,
        rectifier.into(),
        y,
        running_mean,
        running_variance,
    );
    Ok(())
}

/// The gradients of [`batch_norm_forward`] from `dy`, the gradient of its output.
///
/// `x`, `mean` and `variance` are those of the forward pass, and `rectified_output` its `y` where
/// it rectified: `Some(y)` for a ReLU, [`Rectified::new`] for any rectifier. Sums are in double precision and a fixed order.
///
/// # Errors
/// When a slice does not have its shape's length or ε is negative.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn batch_norm_backward<'r, T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    mean: &[T],
    variance: &[T],
    dy: &[T],
    rectified_output: impl Into<Rectified<'r, T>>,
    gradients: NormGradients<'_, T>,
) -> Result<(), KernelError> {
    let rectified = rectified_output.into();
    backward(
        workspace, shape, x, parameters, mean, variance, dy, rectified, gradients, false,
    )
}

/// The gradients of [`batch_norm_inference`] from `dy`, the gradient of its output, the running
/// statistics being constants: `dx = γ·g/√(running variance + ε)`, where `g` is `dy` through the
/// rectifier.
///
/// The other arguments are as in [`batch_norm_backward`], the running statistics `[channels]` with
/// any number of ghost batches.
///
/// # Errors
/// When a slice does not have its shape's length or ε is negative.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn batch_norm_inference_backward<'r, T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    running_mean: &[T],
    running_variance: &[T],
    dy: &[T],
    rectified_output: impl Into<Rectified<'r, T>>,
    gradients: NormGradients<'_, T>,
) -> Result<(), KernelError> {
    let whole = NormShape {
        ghost: shape.n,
        ..*shape
    };
    let rectified = rectified_output.into();
    backward(
        workspace,
        &whole,
        x,
        parameters,
        running_mean,
        running_variance,
        dy,
        rectified,
        gradients,
        true,
    )
}

/// The gradients of a normalization by the statistics of its ghost batches or, if they are
/// `constant`, by ones that do not depend on `x`.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
fn backward<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: NormParameters<'_, T>,
    mean: &[T],
    variance: &[T],
    dy: &[T],
    rectified: Rectified<'_, T>,
    gradients: NormGradients<'_, T>,
    constant: bool,
) -> Result<(), KernelError> {
    parameters.check(shape.channels)?;
    check_length("x", x, shape.tensor_len())?;
    check_length("mean", mean, shape.statistics_len())?;
    check_length("variance", variance, shape.statistics_len())?;
    check_length("dy", dy, shape.tensor_len())?;
    rectified.check(shape.tensor_len())?;
    let NormGradients {
        dx,
        dgamma,
        dbeta,
        dresidual,
    } = gradients;
    check_length("dx", dx, shape.tensor_len())?;
    check_length("dgamma", dgamma, shape.channels)?;
    check_length("dbeta", dbeta, shape.channels)?;
    if let Some(dresidual) = &dresidual {
        check_length("dresidual", dresidual, shape.tensor_len())?;
    }
    let shape = *shape;
    let piece = shape.piece();
    let len = piece * shape.image();
    let sums = gradient_sums(workspace, &shape, piece, x, dy, rectified, mean);
    let mut joined = statistics::join_gradients(
        workspace,
        &shape,
        &parameters,
        variance,
        &sums,
        dgamma,
        dbeta,
    );
    if constant {
        joined.slope.fill(T::ZERO);
        joined.offset.fill(T::ZERO);
    }
    let coefficients = GradientCoefficients {
        mean,
        scale: &joined.scale,
        slope: &joined.slope,
        offset: &joined.offset,
    };
    let shares = x
        .chunks(len)
        .zip(dy.chunks(len))
        .zip(rectified.pieces(len))
        .zip(dx.chunks_mut(len))
        .zip(chunks::optional_mut(dresidual, len))
        .enumerate()
        .map(
            |(i, ((((x, dy), rectified), dx), dresidual))| ApplyGradient {
                shape,
                first: i * piece,
                x,
                dy,
                rectified,
                coefficients,
                dx,
                dresidual,
            },
        );
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// Each image's sums for the gradient.
pub(crate) fn gradient_sums<'w, T: Real>(
    workspace: &'w Workspace,
    shape: &NormShape,
    piece: usize,
    x: &[T],
    dy: &[T],
    rectified: Rectified<'_, T>,
    mean: &[T],
) -> crate::workspace::Scratch<'w, f64> {
    let (shape, len) = (*shape, piece * shape.image());
    let mut sums = workspace.take::<f64>(shape.n * 2 * shape.channels);
    let shares = x
        .chunks(len)
        .zip(dy.chunks(len))
        .zip(rectified.pieces(len))
        .zip(sums.chunks_mut(piece * 2 * shape.channels))
        .enumerate()
        .map(|(i, (((x, dy), rectified), out))| GradientSums {
            shape,
            first: i * piece,
            x,
            dy,
            rectified,
            mean,
            out,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    sums
}

/// Applies statistics to all images.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub(crate) fn normalize<T: Real>(
    workspace: &Workspace,
    shape: &NormShape,
    x: &[T],
    parameters: &NormParameters<'_, T>,
    residual: Option<&[T]>,
    rectifier: Rectifier,
    y: &mut [T],
    mean: &[T],
    variance: &[T],
) {
    let (shape, piece, shift) = (*shape, shape.piece(), parameters.beta);
    let len = piece * shape.image();
    let scale = &*statistics::scales(workspace, parameters, variance);
    let shares = x
        .chunks(len)
        .zip(y.chunks_mut(len))
        .zip(chunks::optional(residual, len))
        .enumerate()
        .map(|(i, ((x, y), residual))| Apply {
            shape,
            first: i * piece,
            x,
            mean,
            scale,
            shift,
            residual,
            rectifier,
            y,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
}

fn check_forward<T>(
    shape: &NormShape,
    x: &[T],
    parameters: &NormParameters<'_, T>,
    residual: Option<&[T]>,
    y: &[T],
) -> Result<(), KernelError> {
    parameters.check(shape.channels)?;
    check_length("x", x, shape.tensor_len())?;
    check_length("y", y, shape.tensor_len())?;
    residual.map_or(Ok(()), |residual| {
        check_length("residual", residual, shape.tensor_len())
    })
}
