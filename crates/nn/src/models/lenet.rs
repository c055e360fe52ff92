use batchscope_core::Descriptor;
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Conv2d, Dropout, ImageSize, Linear, MaxPool, Window},
    models::{DROPOUT, Model, ModelKind, SMOOTHING, ValueModel},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "lenet",
        aliases: &[],
        about: "LeNet with ReLU: two 5 × 5 convolutions (16, 32 channels), pools, 128 hidden",
        source: "",
        parameters: &[DROPOUT, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(Lenet::SMALLEST)?, data.outputs());
        Ok(Model::values(Lenet::new(
            builder,
            input,
            outputs,
            settings.dropout(),
        )))
    },
};

/// A LeNet with ReLU and max-pooling: conv 5 × 5 to 16 channels, pool 2, conv 5 × 5 to 32, pool 2,
/// hidden layer of 128, with dropout if wanted. On 28 × 28 digits the flattened image (height ×
/// width × channels) has 4·4·32 = 512 numbers.
struct Lenet {
    input: ImageSize,
    conv1: Conv2d,
    pool1: MaxPool,
    conv2: Conv2d,
    pool2: MaxPool,
    linear1: Linear,
    linear2: Linear,
    dropout: Dropout,
}

/// The convolutions use no padding.
const CONV: Window = Window {
    size: 5,
    stride: 1,
    padding: 0,
};
const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};

impl Lenet {
    /// The smallest side of an image it can take: 16 → 12 → 6 → 2 → 1.
    const SMALLEST: usize = 16;

    /// From images of at least [`Lenet::SMALLEST`] pixels a side to `outputs` scores.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize, dropout: f64) -> Self {
        let conv1 = Conv2d::new(builder, "conv1", input, 16, CONV);
        let pool1 = MaxPool::new(builder, "pool1", conv1.output, POOL);
        let conv2 = Conv2d::new(builder, "conv2", pool1.output, 32, CONV);
        let pool2 = MaxPool::new(builder, "pool2", conv2.output, POOL);
        let features = pool2.output.len();
        builder.composed(conv1.output.len() + conv2.output.len()); // ReLU
        Self {
            input,
            conv1,
            pool1,
            conv2,
            pool2,
            linear1: Linear::new(builder, "linear1", features, 128),
            linear2: Linear::new(builder, "linear2", 128, outputs),
            dropout: Dropout::new(builder, dropout, 128),
        }
    }
}

impl ValueModel for Lenet {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let x = self.input.images(x);
        let x = self.conv1.relu_pool(x, &self.pool1, pass);
        let x = self.conv2.relu_pool(x, &self.pool2, pass);
        let x = self.linear1.relu(x.flatten(1, 3), pass);
        let x = self.dropout.forward(x, pass);
        self.linear2.forward(x, pass)
    }
}
