use batchscope_core::{Descriptor, ParameterDefault};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Dropout, GhostNorm, ImageSize, Linear},
    models::{
        GHOST, Model, ModelKind, SMOOTHING, ValueModel,
        conv_stacks::{SMALLEST, Stack, conv_stacks, features},
        dropout,
    },
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "c2",
        aliases: &[],
        about: "VGG-16's convolutions with batch norm and dropout, a hidden layer of 512",
        source: "Keskar et al. 2016, arXiv:1609.04836, C2",
        parameters: &[dropout(ParameterDefault::Number(0.5)), GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(SMALLEST)?, data.outputs());
        Ok(Model::values(C2::new(
            builder,
            input,
            outputs,
            settings.dropout(),
        )))
    },
};

/// C2 of Keskar et al. 2016 (appendix B): VGG-16's convolutions for 32 × 32 photographs, then a
/// hidden layer of 512; batch norm and ReLU everywhere.
///
/// Dropout is that of the authors' code (`deepnet` in github.com/keskarnitish/large-batch-training):
/// 0.3 between the convolutions of the first stack and 0.4 between those of the others, 0.5 around
/// the hidden layer. Another probability than 0.5 scales all three. C4 is the same network for the
/// hundred classes of CIFAR-100. Layers before a batch norm have no bias, which the normalization
/// would take away again.
struct C2 {
    input: ImageSize,
    /// Each with the dropout after every convolution but the last.
    stacks: Vec<(Stack<ConvNorm>, Dropout)>,
    hidden: (Linear, GhostNorm),
    output: Linear,
    dropout: Dropout,
}

/// Width of the hidden layer.
const HIDDEN: usize = 512;

impl C2 {
    /// From images of at least [`SMALLEST`] pixels a side to `outputs` scores.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize, dropout: f64) -> Self {
        let stacks = conv_stacks(builder, input, ConvNorm::new);
        let features = features(&stacks);
        let shares = std::iter::once(0.6).chain(std::iter::repeat(0.8));
        let stacks = stacks.into_iter().zip(shares).map(|(stack, share)| {
            let dropped = (stack.convs.len() - 1) * stack.image.len();
            let dropout = Dropout::new(builder, share * dropout, dropped);
            (stack, dropout)
        });
        let stacks = stacks.collect();
        let linear = Linear::without_bias(builder, "linear1", features, HIDDEN);
        let norm = GhostNorm::new(builder, "linear1.norm", HIDDEN, HIDDEN);
        builder.composed(HIDDEN); // ReLU
        Self {
            input,
            stacks,
            hidden: (linear, norm),
            dropout: Dropout::new(builder, dropout, features + HIDDEN),
            output: Linear::new(builder, "output", HIDDEN, outputs),
        }
    }
}

impl ValueModel for C2 {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for (stack, dropout) in &self.stacks {
            let (last, convs) = stack.convs.split_last().expect("no stack is empty");
            for conv in convs {
                let y = conv.relu(x, pass);
                let dims = y.dims();
                x = dropout.forward(y.flatten(1, 3), pass).reshape(dims);
            }
            x = stack.pool.forward(last.relu(x, pass), pass);
        }
        let x = self.dropout.forward(x.flatten(1, 3), pass);
        let (linear, norm) = &self.hidden;
        let x = norm.relu(linear.forward(x, pass), pass);
        let x = self.dropout.forward(x, pass);
        self.output.forward(x, pass)
    }
}
