use batchwise_core::ParameterKind;
use burn::tensor::{Tensor, activation::relu, module::conv2d, ops::ConvOptions};

use crate::{
    builder::Builder, init::Init, layers::pool::max_pool, parameters::ParameterId, pass::Pass,
};

/// Size of an image inside a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageSize {
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
    pub(crate) fn images(self, x: Tensor<2>) -> Tensor<4> {
        let [n, _] = x.dims();
        x.reshape([n, self.height, self.width, self.channels])
    }
}

/// A square window that slides over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Side.
    pub size: usize,
    /// Distance between neighbouring windows.
    pub stride: usize,
    /// Rows and columns added on every side.
    pub padding: usize,
}

impl Window {
    /// A window that moves by one pixel.
    pub(crate) fn unit(size: usize, padding: usize) -> Self {
        Self {
            size,
            stride: 1,
            padding,
        }
    }

    /// Places along a side of `length` pixels; 0 when the window is larger than the padded side.
    pub(crate) fn places(self, length: usize) -> usize {
        let padded = length + 2 * self.padding;
        if padded < self.size {
            0
        } else {
            (padded - self.size) / self.stride + 1
        }
    }

    /// Size of the image of all places, with `channels` channels.
    pub(crate) fn output(self, image: ImageSize, channels: usize) -> ImageSize {
        ImageSize {
            height: self.places(image.height),
            width: self.places(image.width),
            channels,
        }
    }
}

/// Two-dimensional convolution over channels-last images, kernel `[out, in, size, size]`.
pub(crate) struct Conv2d {
    weight: ParameterId,
    bias: Option<ParameterId>,
    window: Window,
    /// Size of the output.
    pub output: ImageSize,
}

impl Conv2d {
    /// A layer with bias, initialised like PyTorch's: `U(−1/√fan_in, 1/√fan_in)`, `fan_in =
    /// in·size²`, weight and bias alike.
    pub(crate) fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        window: Window,
    ) -> Self {
        let mut conv = Self::without_bias(builder, name, input, channels, window);
        let init = Init::fan_in(input.channels * window.size * window.size);
        conv.bias = Some(builder.parameter(
            format!("{name}.bias"),
            &[channels],
            ParameterKind::Bias,
            init,
        ));
        conv
    }

    /// A layer without bias, for a normalisation to follow.
    pub(crate) fn without_bias(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        window: Window,
    ) -> Self {
        let shape = [channels, input.channels, window.size, window.size];
        let init = Init::fan_in(input.channels * window.size * window.size);
        let output = window.output(input, channels);
        builder.activations(output.len());
        Self {
            weight: builder.parameter(
                format!("{name}.weight"),
                &shape,
                ParameterKind::Kernel,
                init,
            ),
            bias: None,
            window,
            output,
        }
    }

    /// `[n, height, width, in]` to `[n, height', width', out]`.
    pub(crate) fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let weight = pass.parameter(self.weight);
        let bias = self.bias.map(|bias| pass.parameter(bias));
        let Window {
            stride, padding, ..
        } = self.window;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        channels_last(conv2d(channels_first(x), weight, bias, options))
    }

    /// Convolution, ReLU and max-pooling over 2 × 2 windows.
    pub(crate) fn relu_pool(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        max_pool(
            relu(self.forward(x, pass)),
            Window {
                size: 2,
                stride: 2,
                padding: 0,
            },
        )
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
