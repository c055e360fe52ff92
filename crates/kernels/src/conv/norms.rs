//! Squared norms of the gradients of single images.
//!
//! An image's weight gradient is the sum over its output pixels of the outer product of the patch
//! the kernel sees and the pixel's gradient. Where an image has few pixels for its channels, inner
//! products of patches are cheaper than that gradient (see [`crate::norms`]); elsewhere it is made
//! by the kernel of the backward pass, one image after the other in the same memory.

use std::ops::Range;

use super::image::BackwardScratch;
use super::{ConvShape, ImageConv, PackedWeights};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::norms::{ExampleNorms, OuterSum, by_products, outer_norm_work, sum_of_squares};
use crate::pool::{ImagePool, PoolShape};
use crate::reduce::{add_columns, mask_by_output};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::{Scratch, Workspace};

impl ConvShape {
    /// Inputs and outputs of the matrix that a group's weights are.
    fn group_matrix(&self) -> [usize; 2] {
        let [kh, kw] = self.kernel;
        [kh * kw * self.group_in(), self.group_out()]
    }

    fn norms_by_products(&self) -> bool {
        let [inputs, outputs] = self.group_matrix();
        !self.is_depthwise() && by_products(self.out_pixels(), inputs, outputs)
    }

    /// Floating-point operations of the squared norms of every image's weight gradient, counted as
    /// in [`ConvShape::flops`].
    pub fn example_norms_flops(&self) -> u64 {
        let [inputs, outputs] = self.group_matrix();
        let group = outer_norm_work(self.out_pixels(), inputs, outputs);
        2 * (self.n * self.groups) as u64 * group
    }
}

/// Where the gradient of the convolution's output, before rectifier and pool, comes from.
#[derive(Clone, Copy)]
enum Source<'a, T> {
    Output(&'a [T]),
    Rectified {
        dy: &'a [T],
        y: &'a [T],
    },
    Pooled {
        pool: ImagePool,
        dy: &'a [T],
        places: &'a [u8],
    },
}

impl<T: Real> Source<'_, T> {
    /// Elements of the memory [`Source::of`] may need.
    fn memory(&self, shape: &ConvShape) -> usize {
        match self {
            Self::Output(_) => 0,
            _ => shape.output_image(),
        }
    }

    /// That of an image.
    #[inline(always)]
    fn of<'b, S: Simd<Scalar = T>>(
        &'b self,
        s: S,
        shape: &ConvShape,
        image: usize,
        memory: &'b mut [T],
    ) -> &'b [T] {
        let len = shape.output_image();
        let place = image * len..(image + 1) * len;
        match *self {
            Self::Output(dy) => &dy[place],
            Self::Rectified { dy, y } => {
                mask_by_output(s, &dy[place.clone()], &y[place], memory);
                memory
            }
            Self::Pooled { pool, dy, places } => {
                let len = pool.output_image();
                let place = image * len..(image + 1) * len;
                pool.backward(s, &dy[place.clone()], &places[place], memory);
                memory
            }
        }
    }
}

/// A thread's share of the images.
struct Share<'a, T: Real> {
    conv: ImageConv<'a, T>,
    workspace: &'a Workspace,
    x: &'a [T],
    source: Source<'a, T>,
    images: Range<usize>,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ExampleNorms;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> ExampleNorms {
        let (conv, shape) = (self.conv, self.conv.shape);
        let len = shape.input_image();
        let mut memory = self.workspace.take(self.source.memory(shape));
        let mut bias = self.workspace.take::<T>(shape.out_channels);
        let mut way = Way::new(&conv, self.workspace);
        let mut sums = ExampleNorms::default();
        for image in self.images.clone() {
            let x = &self.x[image * len..(image + 1) * len];
            let dz = self.source.of(s, shape, image, &mut memory);
            bias.fill(T::ZERO);
            add_columns(s, dz, &mut bias);
            sums += ExampleNorms {
                weights: way.squared_norm(s, &conv, x, dz),
                bias: sum_of_squares(s, &bias),
            };
        }
        sums
    }
}

/// How an image's norm is taken, with the memory for it.
enum Way<'a, T: Real> {
    /// By its weight gradient, in packed order.
    Gradient {
        dw: Scratch<'a, T>,
        scratch: BackwardScratch<'a, T>,
    },
    /// By the inner products of its patches and of its pixels' gradients.
    Products {
        padded: Scratch<'a, T>,
        patches: Scratch<'a, T>,
        /// A group's channels of the output's gradient, where there are several groups.
        pixels: Scratch<'a, T>,
        outer: OuterSum<'a, T>,
    },
}

impl<'a, T: Real> Way<'a, T> {
    fn new(conv: &ImageConv<'a, T>, workspace: &'a Workspace) -> Self {
        let shape = conv.shape;
        if !shape.norms_by_products() {
            return Self::Gradient {
                dw: workspace.take(conv.gradient_len()),
                scratch: conv.backward_scratch(workspace, false, true),
            };
        }
        let [inputs, outputs] = shape.group_matrix();
        let pixels = shape.out_pixels();
        Self::Products {
            padded: conv.input_scratch(workspace),
            patches: workspace.take(pixels * inputs),
            pixels: workspace.take(if shape.groups > 1 {
                pixels * outputs
            } else {
                0
            }),
            outer: OuterSum::new(workspace, pixels, inputs, outputs),
        }
    }

    #[inline(always)]
    fn squared_norm<S: Simd<Scalar = T>>(
        &mut self,
        s: S,
        conv: &ImageConv<'a, T>,
        x: &[T],
        dz: &[T],
    ) -> f64 {
        match self {
            Self::Gradient { dw, scratch } => {
                dw.fill(T::ZERO);
                conv.backward(s, x, dz, None, Some(dw), scratch);
                // What fills the channels to whole vectors has stayed zero.
                sum_of_squares(s, dw)
            }
            Self::Products {
                padded,
                patches,
                pixels,
                outer,
            } => {
                let (shape, x) = (conv.shape, conv.pad(x, padded));
                let outputs = shape.group_out();
                let mut sum = 0.0;
                for group in 0..shape.groups {
                    unfold(conv, x, group, patches);
                    let dz = if shape.groups > 1 {
                        for (target, pixel) in pixels
                            .chunks_exact_mut(outputs)
                            .zip(dz.chunks_exact(shape.out_channels))
                        {
                            target.copy_from_slice(&pixel[group * outputs..][..outputs]);
                        }
                        &**pixels
                    } else {
                        dz
                    };
                    sum += outer.squared_norm(s, patches, dz);
                }
                sum
            }
        }
    }
}

/// Writes the patches of a padded image that a group's kernel sees, `[output pixel, kernel row,
/// kernel column, channel of the group]`.
fn unfold<T: Real>(conv: &ImageConv<'_, T>, x: &[T], group: usize, patches: &mut [T]) {
    let shape = conv.shape;
    let [rows, columns, _] = shape.output();
    let ([kh, kw], channels) = (shape.kernel, shape.group_in());
    let pixels = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
    for ([row, column], patch) in pixels.zip(patches.chunks_exact_mut(kh * kw * channels)) {
        let taps = (0..kh).flat_map(|a| (0..kw).map(move |b| [a, b]));
        for ([a, b], out) in taps.zip(patch.chunks_exact_mut(channels)) {
            let row = row * shape.stride[0] + a * shape.dilation[0];
            let column = column * shape.stride[1] + b * shape.dilation[1];
            let at = (row * conv.padded_width() + column) * shape.in_channels + group * channels;
            out.copy_from_slice(&x[at..at + channels]);
        }
    }
}

fn norms<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    x: &[T],
    source: Source<'_, T>,
) -> ExampleNorms {
    let packed = PackedWeights::without_weights(workspace, shape);
    let conv = ImageConv {
        shape,
        packed: &packed,
    };
    chunks::sum(shape.n, shape.backward_piece(), |images| {
        let share = Share {
            conv,
            workspace,
            x,
            source,
            images,
        };
        T::dispatch(workspace.isa(), share)
    })
}

/// Squared norms of the gradients that each image gives of a convolution's weights and bias, summed
/// over the images, without keeping those gradients. Arguments are those of
/// [`conv_backward`](crate::conv_backward). It costs [`ConvShape::example_norms_flops`], about one
/// more weight gradient at most.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn conv_example_norms<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    x: &[T],
    dy: &[T],
    rectified_output: Option<&[T]>,
) -> Result<ExampleNorms, KernelError> {
    check_length("x", x, shape.input_len())?;
    check_length("dy", dy, shape.output_len())?;
    let source = match rectified_output {
        None => Source::Output(dy),
        Some(y) => {
            check_length("rectified_output", y, shape.output_len())?;
            Source::Rectified { dy, y }
        }
    };
    Ok(norms(workspace, shape, x, source))
}

/// As [`conv_example_norms`], of a convolution that is rectified and pooled; arguments are those of
/// [`conv_bias_relu_maxpool_backward`](crate::conv_bias_relu_maxpool_backward).
///
/// # Errors
/// When the pool does not fit the convolution's output, or a slice does not have its shape's length.
pub fn conv_bias_relu_maxpool_example_norms<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    pool: &PoolShape,
    x: &[T],
    dy: &[T],
    places: &[u8],
) -> Result<ExampleNorms, KernelError> {
    let pool = ImagePool::new(pool, shape.output())?;
    check_length("x", x, shape.input_len())?;
    check_length("dy", dy, shape.n * pool.output_image())?;
    check_length("places", places, dy.len())?;
    Ok(norms(
        workspace,
        shape,
        x,
        Source::Pooled { pool, dy, places },
    ))
}
