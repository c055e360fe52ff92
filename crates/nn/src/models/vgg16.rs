use batchscope_core::{Descriptor, ParameterDefault};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Dropout, ImageSize, Linear},
    models::{
        DEFAULT_GHOST, Model, ModelKind, SMOOTHING, ValueModel,
        conv_stacks::{SMALLEST, Stack, conv_stacks, features},
        dropout, ghost,
        kind::IMAGENET,
        vgg16_imagenet::VggImagenet,
    },
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "vgg16",
        aliases: &[],
        about: "VGG of 16 layers: 3 × 3 convolutions, for 32 × 32 images with batch norm",
        source: "Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D",
        parameters: &[
            IMAGENET,
            dropout(ParameterDefault::If {
                switch: IMAGENET.name,
                on: &ParameterDefault::Number(0.5),
                off: &ParameterDefault::Number(0.0),
            }),
            ghost(ParameterDefault::If {
                switch: IMAGENET.name,
                on: &ParameterDefault::Excluded,
                off: &DEFAULT_GHOST,
            }),
            SMOOTHING,
        ],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(SMALLEST)?, data.outputs());
        let dropout = settings.dropout();
        Ok(if settings.is_on(IMAGENET.name) {
            Model::values(VggImagenet::new(builder, input, outputs, dropout))
        } else {
            Model::values(Vgg::new(builder, input, outputs, dropout))
        })
    },
};

/// VGG-16 for 32 × 32 photographs: batch norm after every convolution and one linear layer on the
/// last 512 channels, the form in wide use (github.com/kuangliu/pytorch-cifar).
///
/// That form has biases before its batch norms, 4,224 of its 14,728,266 parameters; the
/// normalization would take them away again, so this one has none.
struct Vgg {
    input: ImageSize,
    stacks: Vec<Stack<ConvNorm>>,
    output: Linear,
    dropout: Dropout,
}

impl Vgg {
    /// From images of at least [`SMALLEST`] pixels a side to `outputs` scores; dropout before the
    /// last layer.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize, dropout: f64) -> Self {
        let stacks = conv_stacks(builder, input, ConvNorm::new);
        let features = features(&stacks);
        Self {
            input,
            stacks,
            dropout: Dropout::new(builder, dropout, features),
            output: Linear::new(builder, "output", features, outputs),
        }
    }
}

impl ValueModel for Vgg {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for stack in &self.stacks {
            for conv in &stack.convs {
                x = conv.relu(x, pass);
            }
            x = stack.pool.forward(x, pass);
        }
        let x = self.dropout.forward(x.flatten(1, 3), pass);
        self.output.forward(x, pass)
    }
}
