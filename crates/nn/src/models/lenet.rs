use burn::tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Conv2d, Dropout, ImageSize, Linear, Window},
    models::ValueModel,
    pass::Pass,
};

/// A LeNet with ReLU and max-pooling: conv 5 × 5 to 16 channels, pool 2, conv 5 × 5 to 32, pool 2,
/// hidden layer of 128, with dropout if wanted. On 28 × 28 digits the flattened image (height × width × channels) has
/// 4·4·32 = 512 numbers.
pub(crate) struct Lenet {
    input: ImageSize,
    conv1: Conv2d,
    conv2: Conv2d,
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
    pub(crate) const SMALLEST: usize = 16;

    /// From images of at least [`Lenet::SMALLEST`] pixels a side to `outputs` scores.
    pub(crate) fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        dropout: f64,
    ) -> Self {
        let conv1 = Conv2d::new(builder, "conv1", input, 16, CONV);
        let pooled = POOL.output(conv1.output, 16);
        let conv2 = Conv2d::new(builder, "conv2", pooled, 32, CONV);
        let features = POOL.output(conv2.output, 32).len();
        builder.activations(2 * (pooled.len() + features)); // maxima and their places
        builder.composed(conv1.output.len() + conv2.output.len()); // ReLU
        Self {
            input,
            conv1,
            conv2,
            linear1: Linear::new(builder, "linear1", features, 128),
            linear2: Linear::new(builder, "linear2", 128, outputs),
            dropout: Dropout::new(builder, dropout, 128),
        }
    }
}

impl ValueModel for Lenet {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let x = self.input.images(x);
        let x = self.conv1.relu_pool(x, POOL, pass);
        let x = self.conv2.relu_pool(x, POOL, pass);
        let x = self.linear1.relu(x.flatten(1, 3), pass);
        let x = self.dropout.forward(x, pass);
        self.linear2.forward(x, pass)
    }
}
