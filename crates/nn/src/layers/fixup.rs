//! Residual blocks without normalization: H. Zhang, Y. N. Dauphin & T. Ma, "Fixup Initialization:
//! Residual Learning Without Normalization" (ICLR 2019, arXiv 1901.09321).
//!
//! A basic block has four scalar biases and a scalar multiplier:
//!
//! `r = conv2(relu(conv1(x + b₁ₐ) + b₁ᵦ) + b₂ₐ) · scale + b₂ᵦ`, `y = relu(r + shortcut)`
//!
//! With `L` residual branches of `m = 2` layers, `conv1` starts from He's normal weights times
//! `L^(−1/(2m−2)) = L^(−1/2)`, `conv2` from zero, biases from 0 and the multiplier from 1: so
//! every block starts as its shortcut, whatever the depth. Where the shape changes the shortcut is a
//! 1 × 1 convolution of `x + b₁ₐ`, as in the authors' code. Here the branch passes a
//! squeeze-and-excitation gate before it is added, as in SE-ResNets.

use batchscope_core::ParameterKind;
use burn_tensor::{Tensor, activation::relu};

use crate::{
    builder::Builder,
    cpu,
    init::Init,
    layers::{Conv2d, Filter, ImageSize, SqueezeExcite, Window, global_average_pool},
    parameters::ParameterId,
    pass::Pass,
};

/// Channels for each one between the two layers of squeeze-and-excitation.
const SQUEEZE: usize = 4;

/// A Fixup basic block with squeeze-and-excitation.
pub(crate) struct FixupBlock {
    bias1a: ParameterId,
    conv1: Conv2d,
    bias1b: ParameterId,
    bias2a: ParameterId,
    conv2: Conv2d,
    scale: ParameterId,
    bias2b: ParameterId,
    attention: SqueezeExcite,
    shortcut: Option<Conv2d>,
}

/// What the end of a block does to its branch.
pub(crate) struct Gate {
    /// The multiplier, `[1]`.
    pub scale: Tensor<1>,
    /// Added after it, `[1]`.
    pub bias: Tensor<1>,
    /// Multiplies the sum, `[n, channels]`.
    pub gate: Tensor<2>,
}

impl FixupBlock {
    /// One of `blocks` such blocks, from images of `input`'s size to `channels`.
    pub(crate) fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        stride: usize,
        blocks: usize,
    ) -> Self {
        // He's normal weights of a rectified layer by its outputs, as in the authors' code.
        let he = |size: usize| (2.0 / (channels * size * size) as f32).sqrt();
        let normal = |deviation| Init::Normal { deviation };
        let scalar = |builder: &mut Builder, part: &str, value| {
            builder.parameter(
                format!("{name}.{part}"),
                &[1],
                ParameterKind::Bias, // like one to optimizers: neither decayed nor adapted
                Init::Constant(value),
            )
        };
        let conv = |builder: &mut Builder, part: &str, input, filter, init| {
            Conv2d::initialized(
                builder,
                &format!("{name}.{part}"),
                input,
                channels,
                filter,
                init,
            )
        };
        let bias1a = scalar(builder, "bias1a", 0.0);
        let init = normal(he(3) / (blocks as f32).sqrt());
        let conv1 = conv(builder, "conv1", input, Filter::three(stride, 1), init);
        let bias1b = scalar(builder, "bias1b", 0.0);
        let bias2a = scalar(builder, "bias2a", 0.0);
        let filter = Filter::three(1, 1);
        let conv2 = conv(builder, "conv2", conv1.output, filter, Init::Constant(0.0));
        let scale = scalar(builder, "scale", 1.0);
        let bias2b = scalar(builder, "bias2b", 0.0);
        let attention =
            SqueezeExcite::new(builder, &format!("{name}.attention"), channels, SQUEEZE);
        let shortcut = (input != conv2.output).then(|| {
            let filter = Filter::from(Window {
                size: 1,
                stride,
                padding: 0,
            });
            conv(builder, "shortcut", input, filter, normal(he(1)))
        });
        // Both shifted images, and the block's output.
        builder.activations(input.len() + 4 * conv2.output.len());
        Self {
            bias1a,
            conv1,
            bias1b,
            bias2a,
            conv2,
            scale,
            bias2b,
            attention,
            shortcut,
        }
    }

    /// Size of the output.
    pub(crate) fn output(&self) -> ImageSize {
        self.conv2.output
    }

    /// `[n, height, width, channels]` of the input's size to those of the output's.
    pub(crate) fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let kernels = pass.kernels();
        let (shift, gated_add_relu) = if kernels {
            (
                cpu::shift as fn(_, _) -> _,
                cpu::gated_add_relu as fn(_, _, _) -> _,
            )
        } else {
            (shift as fn(_, _) -> _, gated_add_relu as fn(_, _, _) -> _)
        };
        let shifted: Tensor<4> = shift(x.clone(), pass.parameter(self.bias1a));
        let shortcut = match &self.shortcut {
            Some(conv) => conv.linear(shifted.clone(), pass),
            None => x,
        };
        let between = self.conv1.relu_plus(shifted, self.bias1b, pass);
        let between = shift(between, pass.parameter(self.bias2a));
        let branch = self.conv2.linear(between, pass);
        let (scale, bias) = (pass.parameter(self.scale), pass.parameter(self.bias2b));
        // The means of `branch · scale + bias`.
        let means = global_average_pool(branch.clone(), pass) * scale.clone().unsqueeze()
            + bias.clone().unsqueeze();
        let gate = self.attention.gate(means, pass);
        gated_add_relu(branch, Gate { scale, bias, gate }, shortcut)
    }
}

/// `x + b` with one number `b`, `[1]`, for all; composed of burn's operations.
pub(crate) fn shift(x: Tensor<4>, b: Tensor<1>) -> Tensor<4> {
    x + b.unsqueeze()
}

/// `relu((x · scale + bias) · gate + shortcut)`, composed of burn's operations.
pub(crate) fn gated_add_relu(x: Tensor<4>, by: Gate, shortcut: Tensor<4>) -> Tensor<4> {
    let [n, _, _, channels] = x.dims();
    let Gate { scale, bias, gate } = by;
    let branch = x * scale.unsqueeze() + bias.unsqueeze();
    relu(branch * gate.reshape([n, 1, 1, channels]) + shortcut)
}
