use batchwise_core::ParameterKind;
use burn::tensor::{Tensor, activation::relu, module::conv2d, ops::ConvOptions};

use crate::{
    builder::Builder,
    cpu,
    init::Init,
    layers::{
        norm::{GhostNorm, GroupStatistics, NormArguments, norm},
        pool::max_pool_composed as max_pool,
    },
    parameters::ParameterId,
    pass::Pass,
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

    /// The image with its padding.
    fn padded(self, image: ImageSize) -> ImageSize {
        ImageSize {
            height: image.height + 2 * self.padding,
            width: image.width + 2 * self.padding,
            channels: image.channels,
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
        builder.composed(2 * output.len()); // in both layouts
        // Partial gradients of the kernel's weights (see its `backward_piece`), the weights packed
        // in both directions, and images of each thread; channels are filled to whole vectors.
        let weights = shape[1..].iter().product::<usize>() * channels.next_multiple_of(16);
        let pieces = ((8 << 20) / weights.max(1)).clamp(4, 32);
        let images = window.padded(input).len() + 2 * output.len();
        builder.scratch((pieces + 4) * weights + rayon::current_num_threads() * 2 * images);
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

    /// Convolution, ReLU and max-pooling of `[n, height, width, in]`.
    pub(crate) fn relu_pool(&self, x: Tensor<4>, pool: Window, pass: &mut Pass) -> Tensor<4> {
        let weight = pass.parameter(self.weight);
        let bias = self.bias.map(|bias| pass.parameter(bias));
        match bias {
            Some(bias) if pass.kernels() => cpu::conv_relu_pool(x, weight, bias, self.window, pool),
            bias => max_pool(relu(convolve(x, weight, bias, self.window)), pool),
        }
    }
}

/// Convolution, composed of burn's operations.
pub(crate) fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    window: Window,
) -> Tensor<4> {
    let Window {
        stride, padding, ..
    } = window;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    channels_last(conv2d(channels_first(x), weight, bias, options))
}

/// A convolution without bias, then batch norm.
pub(crate) struct ConvNorm {
    conv: Conv2d,
    norm: GhostNorm,
}

impl ConvNorm {
    /// Parameters `NAME.weight`, `NAME.norm.weight` and `NAME.norm.bias`.
    pub(crate) fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        window: Window,
    ) -> Self {
        let conv = Conv2d::without_bias(builder, name, input, channels, window);
        let len = conv.output.len();
        builder.activations(len); // the convolution
        builder.composed(2 * len); // sum with a shortcut, ReLU
        Self {
            conv,
            norm: GhostNorm::new(builder, &format!("{name}.norm"), channels, len),
        }
    }

    /// Size of the output.
    pub(crate) fn output(&self) -> ImageSize {
        self.conv.output
    }

    /// `norm(conv(x))`.
    pub(crate) fn linear(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, false, pass)
    }

    /// `relu(norm(conv(x)))`.
    pub(crate) fn relu(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, true, pass)
    }

    /// `relu(norm(conv(x)) + shortcut)`.
    pub(crate) fn add_relu(&self, x: Tensor<4>, shortcut: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, Some(shortcut), true, pass)
    }

    fn forward(
        &self,
        x: Tensor<4>,
        shortcut: Option<Tensor<4>>,
        rectify: bool,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let weight = pass.parameter(self.conv.weight);
        let arguments = self.norm.arguments(pass);
        let conv_norm = if pass.kernels() {
            cpu::conv_norm
        } else {
            conv_norm
        };
        let (y, statistics) = conv_norm(x, weight, shortcut, rectify, self.conv.window, arguments);
        self.norm.observe(statistics, pass);
        y
    }
}

/// `norm(x ∗ w) + shortcut`, rectified if wanted, composed of burn's operations.
pub(crate) fn conv_norm(
    x: Tensor<4>,
    weight: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    rectify: bool,
    window: Window,
    arguments: NormArguments,
) -> (Tensor<4>, Option<GroupStatistics>) {
    let x = convolve(x, weight, None, window);
    let dims = x.dims();
    let [n, height, width, channels] = dims;
    let (y, statistics) = norm(x.reshape([n, height * width, channels]), arguments);
    let mut y: Tensor<4> = y.reshape(dims);
    if let Some(shortcut) = shortcut {
        y = y + shortcut;
    }
    (if rectify { relu(y) } else { y }, statistics)
}

/// `[n, height, width, channels]` to `[n, channels, height, width]`, as burn's operations expect.
pub(crate) fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// The inverse of [`channels_first`].
pub(crate) fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}
