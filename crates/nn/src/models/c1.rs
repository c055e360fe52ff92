use batchscope_core::{Descriptor, ParameterDefault};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Dropout, GhostNorm, ImageSize, Linear, MaxPool, Window},
    models::{GHOST, Model, ModelKind, SMOOTHING, ValueModel, dropout},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "c1",
        aliases: &[],
        about: "Shallow AlexNet with batch norm and dropout",
        source: "Keskar et al. 2016, arXiv:1609.04836, C1",
        parameters: &[dropout(ParameterDefault::Number(0.5)), GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(1)?, data.outputs());
        Ok(Model::values(C1::new(
            builder,
            input,
            outputs,
            settings.dropout(),
        )))
    },
};

/// C1 of Keskar et al. 2016 (appendix B): a shallow AlexNet for 32 × 32 photographs. Twice a 5 × 5
/// convolution to 64 channels and 3 × 3 max-pooling of stride 2, then hidden layers of 384 and 192;
/// batch norm and ReLU everywhere, dropout after the hidden layers.
///
/// C3 is the same network for the hundred classes of CIFAR-100: the number of outputs comes from the
/// data. Layers before a batch norm have no bias, which the normalization would take away again.
struct C1 {
    input: ImageSize,
    convs: [(ConvNorm, MaxPool); 2],
    hidden: [(Linear, GhostNorm); 2],
    output: Linear,
    dropout: Dropout,
}

const CONV: Window = Window {
    size: 5,
    stride: 1,
    padding: 2,
};
const POOL: Window = Window {
    size: 3,
    stride: 2,
    padding: 1,
};

impl C1 {
    /// From images of any size to `outputs` scores.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize, dropout: f64) -> Self {
        let mut image = input;
        let convs = [1, 2].map(|i| {
            let conv = ConvNorm::new(builder, &format!("conv{i}"), image, 64, CONV);
            let pool = MaxPool::new(builder, &format!("pool{i}"), conv.output(), POOL);
            image = pool.output;
            (conv, pool)
        });
        let mut from = image.len();
        let hidden = [(1, 384), (2, 192)].map(|(i, width)| {
            let linear = Linear::without_bias(builder, &format!("linear{i}"), from, width);
            let norm = GhostNorm::new(builder, &format!("linear{i}.norm"), width, width);
            builder.composed(width); // ReLU
            from = width;
            (linear, norm)
        });
        Self {
            input,
            convs,
            hidden,
            output: Linear::new(builder, "output", from, outputs),
            dropout: Dropout::new(builder, dropout, 384 + 192),
        }
    }
}

impl ValueModel for C1 {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for (conv, pool) in &self.convs {
            x = pool.forward(conv.relu(x, pass), pass);
        }
        let mut x = x.flatten(1, 3);
        for (linear, norm) in &self.hidden {
            let y = norm.relu(linear.forward(x, pass), pass);
            x = self.dropout.forward(y, pass);
        }
        self.output.forward(x, pass)
    }
}
