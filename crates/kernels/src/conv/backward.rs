use super::pack::{Directions, unpack};
use super::{ConvShape, ImageConv, Weights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::reduce::{add_columns, add_partials, mask_by_output};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Where the gradients of a convolution go; each is overwritten.
#[derive(Debug)]
pub struct ConvGradients<'a, T> {
    /// Of the input, `[n, height, width, in_channels]`, where it is wanted.
    pub dx: Option<&'a mut [T]>,
    /// Of the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`.
    pub dw: &'a mut [T],
    /// Of the bias, `[out_channels]`, where there is one.
    pub db: Option<&'a mut [T]>,
}

impl<T: Real> ConvGradients<'_, T> {
    pub(crate) fn check(&self, shape: &ConvShape) -> Result<(), KernelError> {
        if let Some(dx) = &self.dx {
            check_length("dx", dx, shape.input_len())?;
        }
        if let Some(db) = &self.db {
            check_length("db", db, shape.out_channels)?;
        }
        check_length("dw", self.dw, shape.weight_len())
    }

    /// What a call needs packed for these gradients.
    pub(crate) fn directions(&self) -> Directions {
        if self.dx.is_some() {
            Directions::Backward
        } else {
            Directions::Neither
        }
    }
}

/// Sums the shares' partial gradients, each a packed weight gradient followed by a bias gradient,
/// in the order of the shares.
pub(crate) fn write_sums<T: Real>(
    workspace: &Workspace,
    conv: &ImageConv<'_, T>,
    partials: &mut [T],
    dw: &mut [T],
    db: Option<&mut [T]>,
) {
    let len = conv.gradient_len();
    let channels = conv.shape.out_channels;
    add_partials(partials, len + channels);
    unpack(workspace, conv.shape, &partials[..len], dw);
    if let Some(db) = db {
        db.copy_from_slice(&partials[len..len + channels]);
    }
}

/// A thread's share of the images.
struct Share<'a, T: Real> {
    conv: ImageConv<'a, T>,
    workspace: &'a Workspace,
    x: &'a [T],
    dy: &'a [T],
    output: Option<&'a [T]>,
    dx: Option<&'a mut [T]>,
    /// A weight gradient in packed order, then a bias gradient.
    partial: &'a mut [T],
    with_bias: bool,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let shape = self.conv.shape;
        let (input, output) = (shape.input_image(), shape.output_image());
        let mut scratch = self
            .conv
            .backward_scratch(self.workspace, self.dx.is_some());
        let mut masked = self
            .workspace
            .take(if self.output.is_some() { output } else { 0 });
        let (dw, db) = self.partial.split_at_mut(self.conv.gradient_len());
        dw.fill(T::ZERO);
        db.fill(T::ZERO);
        for (i, (x, dy)) in self
            .x
            .chunks_exact(input)
            .zip(self.dy.chunks_exact(output))
            .enumerate()
        {
            let dy = match self.output {
                Some(y) => {
                    mask_by_output(s, dy, &y[i * output..(i + 1) * output], &mut masked);
                    &*masked
                }
                None => dy,
            };
            if self.with_bias {
                add_columns(s, dy, db);
            }
            let dx = self
                .dx
                .as_deref_mut()
                .map(|dx| &mut dx[i * input..(i + 1) * input]);
            self.conv.backward(s, x, dy, dx, dw, &mut scratch);
        }
        self.conv.finish(s, scratch, dw);
    }
}

/// The gradients of [`conv_forward`](crate::conv_forward) from `dy`, the gradient of its output.
///
/// `x` and `weights` are those of the forward pass; `rectified_output` is its `y` where it
/// rectified (the gradient passes where `y > 0`). The weight and bias gradients are sums over the
/// images in a fixed order: with the same instruction set they have the same bits on any number
/// of threads.
///
/// # Errors
/// When a slice does not have its shape's length, or packed weights belong elsewhere.
pub fn conv_backward<'w, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    dy: &[T],
    rectified_output: Option<&[T]>,
    gradients: ConvGradients<'_, T>,
) -> Result<(), KernelError> {
    check_length("x", x, shape.input_len())?;
    check_length("dy", dy, shape.output_len())?;
    if let Some(y) = rectified_output {
        check_length("rectified_output", y, shape.output_len())?;
    }
    gradients.check(shape)?;
    let packed = weights
        .into()
        .ready(workspace, shape, gradients.directions())?;
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    let (piece, with_bias) = (shape.backward_piece(), gradients.db.is_some());
    let partial = conv.gradient_len() + shape.out_channels;
    let mut partials = workspace.take(shape.n.div_ceil(piece) * partial);
    let shares = x
        .chunks(piece * shape.input_image())
        .zip(dy.chunks(piece * shape.output_image()))
        .zip(chunks::optional(
            rectified_output,
            piece * shape.output_image(),
        ))
        .zip(chunks::optional_mut(
            gradients.dx,
            piece * shape.input_image(),
        ))
        .zip(partials.chunks_mut(partial))
        .map(|((((x, dy), output), dx), partial)| Share {
            conv,
            workspace,
            x,
            dy,
            output,
            dx,
            partial,
            with_bias,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    write_sums(workspace, &conv, &mut partials, gradients.dw, gradients.db);
    Ok(())
}
