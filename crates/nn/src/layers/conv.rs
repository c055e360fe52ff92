use batchscope_core::ParameterKind;
use batchscope_kernels::Rectifier;
use burn::tensor::{Tensor, activation::relu, module::conv2d, ops::ConvOptions};

use crate::{
    builder::{Builder, OutputShape},
    cpu,
    init::Init,
    layers::{
        norm::{GhostNorm, GroupStatistics, NormArguments, norm},
        pool::max_pool_reference as max_pool,
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
    /// Distance between neighboring windows.
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

/// How a convolution reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
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
    pub(crate) fn three(stride: usize, dilation: usize) -> Self {
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
    pub(crate) fn depthwise(self, channels: usize) -> Self {
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
    pub(crate) fn output(self, image: ImageSize, channels: usize) -> ImageSize {
        self.span().output(image, channels)
    }

    /// Shape of the kernel, `[out, in / groups, size, size]`.
    fn kernel(self, input: usize, output: usize) -> [usize; 4] {
        let size = self.window.size;
        [output, input / self.groups, size, size]
    }
}

/// Two-dimensional convolution over channels-last images, kernel `[out, in / groups, size, size]`.
pub(crate) struct Conv2d {
    weight: ParameterId,
    bias: Option<ParameterId>,
    filter: Filter,
    /// Size of the output.
    pub output: ImageSize,
}

impl Conv2d {
    /// A layer with bias, initialized like PyTorch's: `U(−1/√fan_in, 1/√fan_in)`, `fan_in =
    /// in / groups · size²`, weight and bias alike.
    pub(crate) fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        filter: impl Into<Filter>,
    ) -> Self {
        let mut conv = Self::without_bias(builder, name, input, channels, filter);
        let [_, kernel @ ..] = conv.filter.kernel(input.channels, channels);
        conv.bias = Some(builder.parameter(
            format!("{name}.bias"),
            &[channels],
            ParameterKind::Bias,
            Init::fan_in(kernel.iter().product()),
        ));
        builder.per_example_grad_norms(2);
        conv
    }

    /// A layer without bias, for a normalization to follow.
    pub(crate) fn without_bias(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        filter: impl Into<Filter>,
    ) -> Self {
        let filter = filter.into();
        let shape = filter.kernel(input.channels, channels);
        let fan_in = shape[1..].iter().product::<usize>();
        let output = filter.output(input, channels);
        builder.layer(name, output);
        let places = output.height * output.width;
        for _ in 0..filter.groups {
            builder.products(places, fan_in, channels / filter.groups);
        }
        builder.composed(2 * output.len()); // in both layouts
        // Partial gradients of the kernel's weights (see its `backward_piece`), the weights packed
        // in both directions, and images of each thread; channels are filled to whole vectors.
        let weights = fan_in * channels.next_multiple_of(16);
        let pieces = ((8 << 20) / weights.max(1)).clamp(4, 32);
        let images = filter.window.padded(input).len() + 2 * output.len();
        builder.scratch((pieces + 4) * weights + rayon::current_num_threads() * 2 * images);
        Self {
            weight: builder.parameter(
                format!("{name}.weight"),
                &shape,
                ParameterKind::Kernel,
                Init::fan_in(fan_in),
            ),
            bias: None,
            filter,
            output,
        }
    }

    /// Convolution of `[n, height, width, in]`, with bias if the layer has one.
    pub(crate) fn linear(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, false, pass)
    }

    /// Convolution and ReLU.
    pub(crate) fn relu(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, true, pass)
    }

    fn forward(&self, x: Tensor<4>, rectify: bool, pass: &mut Pass) -> Tensor<4> {
        let weight = pass.parameter(self.weight);
        let bias = self.bias.map(|bias| pass.parameter(bias));
        match bias {
            Some(bias) if pass.kernels() => {
                let norms = pass.affine_norms(self.weight, self.bias);
                cpu::conv(x, weight, bias, rectify, self.filter, norms)
            }
            bias => {
                let y = convolve(x, weight, bias, self.filter);
                if rectify { relu(y) } else { y }
            }
        }
    }

    /// Convolution, ReLU and max-pooling of `[n, height, width, in]`.
    pub(crate) fn relu_pool(&self, x: Tensor<4>, pool: Window, pass: &mut Pass) -> Tensor<4> {
        let weight = pass.parameter(self.weight);
        let bias = self.bias.map(|bias| pass.parameter(bias));
        match bias {
            Some(bias) if pass.kernels() => {
                let norms = pass.affine_norms(self.weight, self.bias);
                cpu::conv_relu_pool(x, weight, bias, self.filter, pool, norms)
            }
            bias => max_pool(relu(convolve(x, weight, bias, self.filter)), pool),
        }
    }
}

/// Convolution, composed of burn's operations.
pub(crate) fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    filter: Filter,
) -> Tensor<4> {
    let Filter {
        window: Window {
            stride, padding, ..
        },
        dilation,
        groups,
    } = filter;
    let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], groups);
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
        filter: impl Into<Filter>,
    ) -> Self {
        let conv = Conv2d::without_bias(builder, name, input, channels, filter);
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
        self.forward(x, None, Rectifier::None, pass)
    }

    /// `norm(conv(x)) + shortcut`.
    pub(crate) fn add(&self, x: Tensor<4>, shortcut: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, Some(shortcut), Rectifier::None, pass)
    }

    /// `relu(norm(conv(x)))`.
    pub(crate) fn relu(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, Rectifier::Relu, pass)
    }

    /// `min(relu(norm(conv(x))), 6)`.
    pub(crate) fn relu6(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, Rectifier::Relu6, pass)
    }

    /// `relu(norm(conv(x)) + shortcut)`.
    pub(crate) fn add_relu(&self, x: Tensor<4>, shortcut: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, Some(shortcut), Rectifier::Relu, pass)
    }

    fn forward(
        &self,
        x: Tensor<4>,
        shortcut: Option<Tensor<4>>,
        rectifier: Rectifier,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let weight = pass.parameter(self.conv.weight);
        let arguments = self.norm.arguments(pass);
        let conv_norm = if pass.kernels() {
            cpu::conv_norm
        } else {
            conv_norm
        };
        let (y, statistics) =
            conv_norm(x, weight, shortcut, rectifier, self.conv.filter, arguments);
        debug_assert_eq!(y.dims()[1..], self.conv.output.sizes());
        self.norm.observe(statistics, pass);
        y
    }
}

/// `norm(x ∗ w) + shortcut`, rectified, composed of burn's operations.
pub(crate) fn conv_norm(
    x: Tensor<4>,
    weight: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    rectifier: Rectifier,
    filter: Filter,
    arguments: NormArguments,
) -> (Tensor<4>, Option<GroupStatistics>) {
    let x = convolve(x, weight, None, filter);
    let dims = x.dims();
    let [n, height, width, channels] = dims;
    let (y, statistics) = norm(x.reshape([n, height * width, channels]), arguments);
    let mut y: Tensor<4> = y.reshape(dims);
    if let Some(shortcut) = shortcut {
        y = y + shortcut;
    }
    let y = match rectifier {
        Rectifier::None => y,
        Rectifier::Relu => relu(y),
        Rectifier::Relu6 => y.clamp(0.0, 6.0),
    };
    (y, statistics)
}

/// `[n, height, width, channels]` to `[n, channels, height, width]`, as burn's operations expect.
pub(crate) fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// The inverse of [`channels_first`].
pub(crate) fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}
