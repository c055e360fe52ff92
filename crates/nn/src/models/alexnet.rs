use batchscope_core::Descriptor;
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Conv2d, Filter, ImageSize, Linear, MaxPool, Window},
    models::{Model, ModelKind, SMOOTHING, ValueModel},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "alexnet",
        aliases: &[],
        about: "AlexNet for 32 × 32 images: five convolutions and one linear layer",
        source: "Krizhevsky 2014, arXiv:1404.5997",
        parameters: &[SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |_, data, builder| {
        let input = data.image(Alexnet::SMALLEST)?;
        Ok(Model::values(Alexnet::new(builder, input, data.outputs())))
    },
};

/// AlexNet (Krizhevsky et al. 2012, in the one-tower form of Krizhevsky 2014) for 32 × 32
/// photographs: its five convolutions with pools of 2 × 2, and one linear layer on the 256 channels
/// that remain, without batch norm or dropout. This is the form in wide use for CIFAR
/// (github.com/bearpaw/pytorch-classification, 2.47 M parameters).
struct Alexnet {
    input: ImageSize,
    conv1: Conv2d,
    pool1: MaxPool,
    conv2: Conv2d,
    pool2: MaxPool,
    conv3: Conv2d,
    conv4: Conv2d,
    conv5: Conv2d,
    pool5: MaxPool,
    output: Linear,
}

const FIRST: Window = Window {
    size: 11,
    stride: 4,
    padding: 5,
};
const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};

impl Alexnet {
    /// The smallest side of an image it can take: 29 → 8 → 4 → 2 → 1.
    const SMALLEST: usize = 29;

    /// From images of at least [`Alexnet::SMALLEST`] pixels a side to `outputs` scores.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize) -> Self {
        let three = Filter::three(1, 1);
        let conv1 = Conv2d::new(builder, "conv1", input, 64, FIRST);
        let pool1 = MaxPool::new(builder, "pool1", conv1.output, POOL);
        let conv2 = Conv2d::new(builder, "conv2", pool1.output, 192, Window::unit(5, 2));
        let pool2 = MaxPool::new(builder, "pool2", conv2.output, POOL);
        let conv3 = Conv2d::new(builder, "conv3", pool2.output, 384, three);
        let conv4 = Conv2d::new(builder, "conv4", conv3.output, 256, three);
        let conv5 = Conv2d::new(builder, "conv5", conv4.output, 256, three);
        let pool5 = MaxPool::new(builder, "pool5", conv5.output, POOL);
        builder.activations(conv3.output.len() + conv4.output.len());
        for conv in [&conv1, &conv2, &conv3, &conv4, &conv5] {
            builder.composed(conv.output.len()); // ReLU
        }
        let output = Linear::new(builder, "output", pool5.output.len(), outputs);
        Self {
            input,
            conv1,
            pool1,
            conv2,
            pool2,
            conv3,
            conv4,
            conv5,
            pool5,
            output,
        }
    }
}

impl ValueModel for Alexnet {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let x = self.input.images(x);
        let x = self.conv1.relu_pool(x, &self.pool1, pass);
        let x = self.conv2.relu_pool(x, &self.pool2, pass);
        let x = self.conv3.relu(x, pass);
        let x = self.conv4.relu(x, pass);
        let x = self.conv5.relu_pool(x, &self.pool5, pass);
        self.output.forward(x.flatten(1, 3), pass)
    }
}
