use super::pack::{Directions, unpack};
use super::{ConvShape, ImageConv, Weights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::reduce::{add_columns, add_partials, mask_by_output};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::{Scratch, Workspace};

/// Where the gradients of a convolution go; each is overwritten.
#[derive(Debug)]
pub struct ConvGradients<'a, T> {
    /// Of the input, `[n, height, width, in_channels]`, where it is wanted.
    pub dx: Option<&'a mut [T]>,
    /// Of the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`, where it
    /// is wanted.
    pub dw: Option<&'a mut [T]>,
    /// Of the bias, `[out_channels]`, where there is one and it is wanted.
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
        if let Some(dw) = &self.dw {
            check_length("dw", dw, shape.weight_len())?;
        }
        Ok(())
    }

    /// What a call needs packed for these gradients.
    pub(crate) fn directions(&self) -> Directions {
        if self.dx.is_some() {
            Directions::Backward
        } else {
            Directions::Neither
        }
    }

    /// Memory for the partial gradients of weights and bias; `None` where neither is wanted.
    pub(crate) fn partials<'w>(
        &self,
        workspace: &'w Workspace,
        conv: &ImageConv<'_, T>,
    ) -> Option<Scratch<'w, T>> {
        let pieces = conv.shape.n.div_ceil(conv.shape.backward_piece());
        (self.dw.is_some() || self.db.is_some())
            .then(|| workspace.take(pieces * conv.partial_len()))
    }
}

/// Sums the shares' partial gradients, each a packed weight gradient followed by a bias gradient,
/// in the order of the shares; without partial gradients nothing is wanted.
pub(crate) fn write_sums<T: Real>(
    workspace: &Workspace,
    conv: &ImageConv<'_, T>,
    partials: Option<&mut [T]>,
    dw: Option<&mut [T]>,
    db: Option<&mut [T]>,
) {
    let Some(partials) = partials else {
        return;
    };
    let (len, partial) = (conv.gradient_len(), conv.partial_len());
    add_partials(partials, partial);
    if let Some(dw) = dw {
        unpack(workspace, conv.shape, &partials[..len], dw);
    }
    if let Some(db) = db {
        db.copy_from_slice(&partials[len..partial]);
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
    partial: Option<&'a mut [T]>,
    with_bias: bool,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let shape = self.conv.shape;
        let (input, output) = (shape.input_image(), shape.output_image());
        let (with_input, with_weights) = (self.dx.is_some(), self.partial.is_some());
        let mut scratch = (self.conv).backward_scratch(self.workspace, with_input, with_weights);
        let mut masked = self
            .workspace
            .take(if self.output.is_some() { output } else { 0 });
        let (mut dw, mut db) = self.conv.zeroed(self.partial).unzip();
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
            if self.with_bias
                && let Some(db) = &mut db
            {
                add_columns(s, dy, db);
            }
            let dx = self
                .dx
                .as_deref_mut()
                .map(|dx| &mut dx[i * input..(i + 1) * input]);
            let dw = dw.as_deref_mut();
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
    let mut partials = gradients.partials(workspace, &conv);
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
        .zip(chunks::optional_mut(
            partials.as_deref_mut(),
            conv.partial_len(),
        ))
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
    let partials = partials.as_deref_mut();
    write_sums(workspace, &conv, partials, gradients.dw, gradients.db);
    Ok(())
}
