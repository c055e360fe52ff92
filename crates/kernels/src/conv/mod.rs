//! Convolution, channels last.
//!
//! An input image is `[height, width, in_channels]`, contiguous; one weight vector spans 8 or 16
//! *output channels*, and each input number is broadcast against it, so no matrix is unfolded. A
//! row of output pixels is computed in tiles of several pixels by one or two weight vectors whose
//! accumulators stay in registers. The gradient of the input is the same computation on the
//! gradient of the output, one stride phase of the columns at a time; the gradient of the weights
//! keeps a tile of it in registers while it walks over all pixels. Depthwise convolutions, whose
//! channels do not mix, have kernels of their own with vectors over the channels. Dense 3 × 3 kernels
//! are computed with fewer multiplications where that is faster ([`winograd`]).

mod backward;
mod depthwise;
mod forward;
mod image;
mod layout;
mod normed;
mod norms;
mod order;
mod pack;
mod pooled;
mod row;
mod weights;
mod winograd;

pub use backward::{ConvGradients, conv_backward};
pub use forward::conv_forward;
pub use normed::{ConvNormGradients, conv_batch_norm_backward, conv_batch_norm_forward};
pub use norms::{conv_bias_relu_maxpool_example_norms, conv_example_norms};
pub use pack::{PackedWeights, Weights};
pub use pooled::{conv_bias_relu_maxpool_backward, conv_bias_relu_maxpool_forward};

pub(crate) use image::ImageConv;

use crate::error::{KernelError, volume};

/// The window of a convolution: `[rows, columns]` of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zero rows above and below, zero columns left and right; less than the kernel reaches.
    pub padding: [usize; 2],
    /// Input pixels from one kernel row or column to the next; 1 for a dense kernel.
    pub dilation: [usize; 2],
}

impl Window {
    /// A dense square kernel.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1, 1],
        }
    }
}

/// The checked shape of a two-dimensional convolution (cross-correlation, as everywhere in
/// learning): input `[n, height, width, in_channels]`, weights
/// `[out_channels, in_channels / groups, kernel height, kernel width]`, output
/// `[n, out_height, out_width, out_channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvShape {
    pub(crate) n: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) groups: usize,
}

impl ConvShape {
    /// `n` images of `[height, width, channels]`, each convolved with `out_channels` kernels; one
    /// group.
    ///
    /// # Errors
    /// When a size is zero, the padding is more or the padded image less than the kernel reaches,
    /// or a buffer could not exist.
    pub fn new(
        n: usize,
        image: [usize; 3],
        out_channels: usize,
        window: Window,
    ) -> Result<Self, KernelError> {
        let [height, width, in_channels] = image;
        let Window {
            kernel,
            stride,
            padding,
            dilation,
        } = window;
        Self {
            n,
            height,
            width,
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups: 1,
        }
        .checked()
    }

    /// The same in `groups` groups: output channels of a group see the input channels of that
    /// group only.
    ///
    /// # Errors
    /// When `groups` is zero or does not divide both channel counts.
    pub fn with_groups(self, groups: usize) -> Result<Self, KernelError> {
        Self { groups, ..self }.checked()
    }

    fn checked(self) -> Result<Self, KernelError> {
        let Self {
            n,
            height,
            width,
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        } = self;
        let sizes = [n, height, width, in_channels, out_channels, groups];
        if sizes
            .iter()
            .chain(&kernel)
            .chain(&stride)
            .chain(&dilation)
            .any(|&size| size == 0)
        {
            return Err(KernelError::Shape(format!(
                "a size of {self:?} is 0: choose at least 1"
            )));
        }
        if in_channels % groups != 0 || out_channels % groups != 0 {
            return Err(KernelError::Shape(format!(
                "{groups} groups do not divide {in_channels} input and {out_channels} output channels"
            )));
        }
        for (side, extent) in [height, width].into_iter().enumerate() {
            let reach = volume(&[kernel[side] - 1, dilation[side]])?;
            // More padding would add windows that see nothing, and unbounded buffers.
            if padding[side] > reach {
                return Err(KernelError::Shape(format!(
                    "padding {padding:?} is more than the kernel {kernel:?} reaches: choose at most {reach}"
                )));
            }
            if extent.saturating_add(2 * padding[side]) <= reach {
                return Err(KernelError::Shape(format!(
                    "kernel {kernel:?} with dilation {dilation:?} is larger than the padded image {height}×{width}"
                )));
            }
        }
        let [kh, kw] = kernel;
        let reach = [(kh - 1) * dilation[0], (kw - 1) * dilation[1]];
        volume(&[
            n,
            height + 2 * reach[0],
            width + 2 * reach[1],
            in_channels + 64,
        ])?;
        volume(&[
            n,
            height + 2 * reach[0] + 1,
            width + 2 * reach[1] + 1,
            out_channels + 64 * groups,
        ])?;
        volume(&[
            out_channels + 64 * groups,
            in_channels + 64 * groups,
            kh,
            kw,
            crate::chunks::MOST,
        ])?;
        Ok(self)
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.n
    }

    /// `[height, width, channels]` of an input image.
    pub fn input(&self) -> [usize; 3] {
        [self.height, self.width, self.in_channels]
    }

    /// `[height, width, channels]` of an output image.
    pub fn output(&self) -> [usize; 3] {
        [self.out_extent(0), self.out_extent(1), self.out_channels]
    }

    /// `[out, in / groups, height, width]` of the weights.
    pub fn weight_shape(&self) -> [usize; 4] {
        [
            self.out_channels,
            self.group_in(),
            self.kernel[0],
            self.kernel[1],
        ]
    }

    /// Elements of the input, `n · height · width · in_channels`.
    pub fn input_len(&self) -> usize {
        self.n * self.input_image()
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.output_image()
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.weight_shape().iter().product()
    }

    /// Floating-point operations of the forward pass, a multiplication and an addition counted as
    /// two; the gradients of the input and of the weights take as many each.
    pub fn flops(&self) -> u64 {
        2 * self.output_len() as u64 * (self.weight_len() / self.out_channels) as u64
    }

    pub(crate) fn input_image(&self) -> usize {
        self.height * self.width * self.in_channels
    }

    pub(crate) fn output_image(&self) -> usize {
        self.out_pixels() * self.out_channels
    }

    pub(crate) fn out_pixels(&self) -> usize {
        self.out_extent(0) * self.out_extent(1)
    }

    /// True where each of several channels has a kernel of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels && self.groups == self.out_channels
    }

    pub(crate) fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    pub(crate) fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Rows (`side` 0) or columns (1) of the output.
    pub(crate) fn out_extent(&self, side: usize) -> usize {
        let extent = [self.height, self.width][side] + 2 * self.padding[side];
        (extent - (self.kernel[side] - 1) * self.dilation[side] - 1) / self.stride[side] + 1
    }

    /// Images in a piece of the forward pass: some hundred thousand operations at least.
    pub(crate) fn forward_piece(&self) -> usize {
        let image = self.out_pixels() * self.weight_len();
        crate::chunks::piece(self.n, (1 << 16) / image.min(1 << 16))
    }

    /// Images in a piece of the backward pass: enough that filling and adding its partial weight
    /// gradient costs little beside computing it, and that the partial gradients of all pieces
    /// stay within bounds; but four pieces at least, for the threads.
    pub(crate) fn backward_piece(&self) -> usize {
        const PIXELS: usize = 256;
        const ELEMENTS: usize = 8 << 20;
        let pieces = (ELEMENTS / self.weight_len()).max(4);
        let at_least = PIXELS.div_ceil(self.out_pixels()).min(self.n.div_ceil(4));
        crate::chunks::piece(self.n, at_least.max(self.n.div_ceil(pieces)))
    }
}
