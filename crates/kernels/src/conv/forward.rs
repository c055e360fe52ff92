use super::pack::Directions;
use super::{ConvShape, ImageConv, Weights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// A thread's share of the images.
struct Share<'a, T: Real> {
    conv: ImageConv<'a, T>,
    workspace: &'a Workspace,
    x: &'a [T],
    bias: Option<&'a [T]>,
    relu: bool,
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let shape = self.conv.shape;
        let mut scratch = self.conv.input_scratch(self.workspace);
        let images = self
            .x
            .chunks_exact(shape.input_image())
            .zip(self.y.chunks_exact_mut(shape.output_image()));
        for (x, y) in images {
            self.conv
                .forward(s, x, self.bias, self.relu, &mut scratch, y);
        }
    }
}

/// `y = x ∗ w + bias`, rectified if `relu`.
///
/// `x` is `[n, height, width, in_channels]`, `bias` `[out_channels]`, `y`
/// `[n, out_height, out_width, out_channels]`; `weights` are canonical or packed. With the same
/// instruction set, the result has the same bits on any number of threads.
///
/// # Errors
/// When a slice does not have its shape's length, or packed weights belong elsewhere.
pub fn conv_forward<'w, T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    x: &[T],
    weights: impl Into<Weights<'w, T>>,
    bias: Option<&[T]>,
    relu: bool,
    y: &mut [T],
) -> Result<(), KernelError> {
    check_length("x", x, shape.input_len())?;
    check_length("y", y, shape.output_len())?;
    if let Some(bias) = bias {
        check_length("bias", bias, shape.out_channels)?;
    }
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
        .zip(y.chunks_mut(piece * shape.output_image()))
        .map(|(x, y)| Share {
            conv,
            workspace,
            x,
            bias,
            relu,
            y,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}
