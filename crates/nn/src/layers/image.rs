//! Sizes of images inside a network, and the windows that slide over them.

use burn_tensor::Tensor;

/// Size of an image inside a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl ImageSize {
    /// Numbers in the image.
    pub(crate) fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Flat examples as images, `[n, height, width, channels]`.
    pub fn images(self, x: Tensor<2>) -> Tensor<4> {
        let [n, _] = x.dims();
        x.reshape([n, self.height, self.width, self.channels])
    }
}

/// A square window that slides over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Side.
    pub size: usize,
    /// Distance between neighboring windows.
    pub stride: usize,
    /// Rows and columns added on every side.
    pub padding: usize,
}

impl Window {
    /// A window that moves by one pixel.
    pub fn unit(size: usize, padding: usize) -> Self {
        Self {
            size,
            stride: 1,
            padding,
        }
    }

    /// Places along a side of `length` pixels; 0 when the window is larger than the padded side.
    pub fn places(self, length: usize) -> usize {
        let padded = length + 2 * self.padding;
        if padded < self.size {
            0
        } else {
            (padded - self.size) / self.stride + 1
        }
    }

    /// The image with its padding.
    pub(super) fn padded(self, image: ImageSize) -> ImageSize {
        ImageSize {
            height: image.height + 2 * self.padding,
            width: image.width + 2 * self.padding,
            channels: image.channels,
        }
    }

    /// Size of the image of all places, with `channels` channels.
    pub fn output(self, image: ImageSize, channels: usize) -> ImageSize {
        ImageSize {
            height: self.places(image.height),
            width: self.places(image.width),
            channels,
        }
    }
}

/// How a convolution reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The window, its size in rows and columns of the kernel.
    pub window: Window,
    /// Pixels from one row or column of the kernel to the next; 1 for a dense kernel.
    pub dilation: usize,
    /// Groups of channels that are convolved each by itself; as many as channels for a depthwise
    /// convolution.
    pub groups: usize,
}

impl From<Window> for Filter {
    fn from(window: Window) -> Self {
        Self {
            window,
            dilation: 1,
            groups: 1,
        }
    }
}

impl Filter {
    /// A 3 × 3 kernel that keeps the image's size at stride 1, its rows and columns `dilation`
    /// pixels apart.
    pub fn three(stride: usize, dilation: usize) -> Self {
        let window = Window {
            size: 3,
            stride,
            padding: dilation,
        };
        Self {
            dilation,
            ..window.into()
        }
    }

    /// The same, depthwise over `channels` channels.
    pub fn depthwise(self, channels: usize) -> Self {
        Self {
            groups: channels,
            ..self
        }
    }

    /// The window of the pixels the kernel spans.
    fn span(self) -> Window {
        Window {
            size: (self.window.size - 1) * self.dilation + 1,
            ..self.window
        }
    }

    /// Size of the output, with `channels` channels.
    pub fn output(self, image: ImageSize, channels: usize) -> ImageSize {
        self.span().output(image, channels)
    }

    /// Shape of the kernel, `[out, in / groups, size, size]`.
    pub(super) fn kernel(self, input: usize, output: usize) -> [usize; 4] {
        let size = self.window.size;
        [output, input / self.groups, size, size]
    }
}

/// `[n, height, width, channels]` to `[n, channels, height, width]`, as burn's operations expect.
pub(crate) fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// The inverse of [`channels_first`].
pub(crate) fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}
