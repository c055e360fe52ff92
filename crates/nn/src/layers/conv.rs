use batchscope_core::ParameterKind;
use batchscope_kernels::Rectifier;
use burn_tensor::{Tensor, activation::relu, module::conv2d, ops::ConvOptions};

use crate::{
    builder::{Builder, OutputShape},
    cpu,
    init::Init,
    layers::{
        image::{Filter, ImageSize, Window, channels_first, channels_last},
        norm::{GhostNorm, GroupStatistics, NormArguments, norm},
        pool::{MaxPool, max_pool_reference as max_pool},
    },
    parameters::ParameterId,
    pass::Pass,
};

/// Two-dimensional convolution over channels-last images, kernel `[out, in / groups, size, size]`.
pub struct Conv2d {
    weight: ParameterId,
    bias: Option<ParameterId>,
    filter: Filter,
    /// Size of the output.
    pub output: ImageSize,
}

impl Conv2d {
    /// A layer with bias, initialized like PyTorch's: `U(−1/√fan_in, 1/√fan_in)`, `fan_in =
    /// in / groups · size²`, weight and bias alike.
    pub fn new(
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
    pub fn without_bias(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        filter: impl Into<Filter>,
    ) -> Self {
        let filter = filter.into();
        let [_, kernel @ ..] = filter.kernel(input.channels, channels);
        let init = Init::fan_in(kernel.iter().product());
        Self::initialized(builder, name, input, channels, filter, init)
    }

    /// A layer without bias whose weights are drawn from `init`.
    pub(crate) fn initialized(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        filter: Filter,
        init: Init,
    ) -> Self {
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
                init,
            ),
            bias: None,
            filter,
            output,
        }
    }

    /// Convolution of `[n, height, width, in]`, with bias if the layer has one.
    pub fn linear(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, false, pass)
    }

    /// Convolution and ReLU.
    pub fn relu(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, true, pass)
    }

    /// `relu(x ∗ w + b)` of a layer without bias of its own, with one number `b` for all channels.
    pub(crate) fn relu_plus(&self, x: Tensor<4>, b: ParameterId, pass: &mut Pass) -> Tensor<4> {
        let b = pass.parameter::<1>(b).expand([self.output.channels]);
        self.run(x, Some(b), true, pass)
    }

    fn forward(&self, x: Tensor<4>, rectify: bool, pass: &mut Pass) -> Tensor<4> {
        let bias = self.bias.map(|bias| pass.parameter(bias));
        self.run(x, bias, rectify, pass)
    }

    fn run(
        &self,
        x: Tensor<4>,
        bias: Option<Tensor<1>>,
        rectify: bool,
        pass: &mut Pass,
    ) -> Tensor<4> {
        let weight = pass.parameter(self.weight);
        if pass.kernels() {
            let norms = pass.affine_norms(self.weight, self.bias);
            return cpu::conv(x, weight, bias, rectify, self.filter, norms);
        }
        let y = convolve(x, weight, bias, self.filter);
        if rectify { relu(y) } else { y }
    }

    /// Convolution, ReLU and max-pooling of `[n, height, width, in]`, in one operation.
    pub fn relu_pool(&self, x: Tensor<4>, pool: &MaxPool, pass: &mut Pass) -> Tensor<4> {
        let pool = pool.window;
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
pub struct ConvNorm {
    conv: Conv2d,
    norm: GhostNorm,
}

impl ConvNorm {
    /// Parameters `NAME.weight`, `NAME.norm.weight` and `NAME.norm.bias`.
    pub fn new(
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
    pub fn output(&self) -> ImageSize {
        self.conv.output
    }

    /// `norm(conv(x))`.
    pub fn linear(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, Rectifier::None, pass)
    }

    /// `norm(conv(x)) + shortcut`.
    pub fn add(&self, x: Tensor<4>, shortcut: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, Some(shortcut), Rectifier::None, pass)
    }

    /// `relu(norm(conv(x)))`.
    pub fn relu(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, Rectifier::Relu, pass)
    }

    /// `min(relu(norm(conv(x))), 6)`.
    pub fn relu6(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        self.forward(x, None, Rectifier::Relu6, pass)
    }

    /// `relu(norm(conv(x)) + shortcut)`.
    pub fn add_relu(&self, x: Tensor<4>, shortcut: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
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
