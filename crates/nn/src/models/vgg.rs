use burn::tensor::{Tensor, activation::relu};

use crate::{
    builder::Builder,
    layers::{Conv2d, ConvNorm, Dropout, Filter, ImageSize, Linear, MaxPool, Window},
    models::ValueModel,
    pass::Pass,
};

/// Stacks of 3 × 3 convolutions, (number, channels), each followed by [`POOL`]: configuration D of
/// Simonyan and Zisserman (2015), "VGG-16".
pub(super) const STACKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];
/// Halves the sides.
pub(super) const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};
/// The smallest side of an image that can be halved five times.
pub(crate) const SMALLEST: usize = 32;

/// VGG-16 for 32 × 32 photographs: batch norm after every convolution and one linear layer on the
/// last 512 channels, the form in wide use (github.com/kuangliu/pytorch-cifar).
///
/// That form has biases before its batch norms, 4,224 of its 14,728,266 parameters; the
/// normalization would take them away again, so this one has none.
pub(crate) struct Vgg {
    input: ImageSize,
    stacks: Vec<(Vec<ConvNorm>, MaxPool)>,
    output: Linear,
    dropout: Dropout,
}

impl Vgg {
    /// From images of at least [`SMALLEST`] pixels a side to `outputs` scores; dropout before the
    /// last layer.
    pub(crate) fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        dropout: f64,
    ) -> Self {
        let mut image = input;
        let stacks = (1..)
            .zip(STACKS)
            .map(|(s, (number, channels))| {
                let convs = (1..=number)
                    .map(|i| {
                        let (name, filter) = (format!("conv{s}.{i}"), Filter::three(1, 1));
                        let conv = ConvNorm::new(builder, &name, image, channels, filter);
                        image = conv.output();
                        conv
                    })
                    .collect();
                let pool = MaxPool::new(builder, &format!("pool{s}"), image, POOL);
                image = pool.output;
                (convs, pool)
            })
            .collect();
        Self {
            input,
            stacks,
            dropout: Dropout::new(builder, dropout, image.len()),
            output: Linear::new(builder, "output", image.len(), outputs),
        }
    }
}

impl ValueModel for Vgg {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for (convs, pool) in &self.stacks {
            for conv in convs {
                x = conv.relu(x, pass);
            }
            x = pool.forward(x, pass);
        }
        let x = self.dropout.forward(x.flatten(1, 3), pass);
        self.output.forward(x, pass)
    }
}

/// VGG-16 as Simonyan and Zisserman (2015) made it for ImageNet: no batch norm, two hidden layers
/// of 4096 with dropout. With images of 224 × 224 and 1000 classes it has 138,357,544 parameters
/// (torchvision's `vgg16`); other sizes change the first hidden layer.
pub(crate) struct VggImagenet {
    input: ImageSize,
    stacks: Vec<(Vec<Conv2d>, MaxPool)>,
    hidden: [Linear; 2],
    output: Linear,
    dropout: Dropout,
}

/// Width of the hidden layers.
const HIDDEN: usize = 4096;

impl VggImagenet {
    /// From images of at least [`SMALLEST`] pixels a side to `outputs` scores; dropout after the
    /// hidden layers.
    pub(crate) fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        dropout: f64,
    ) -> Self {
        let mut image = input;
        let stacks = (1..)
            .zip(STACKS)
            .map(|(s, (number, channels))| {
                let convs = (1..=number)
                    .map(|i| {
                        let (name, filter) = (format!("conv{s}.{i}"), Filter::three(1, 1));
                        let conv = Conv2d::new(builder, &name, image, channels, filter);
                        image = conv.output;
                        builder.composed(image.len()); // ReLU
                        if i < number {
                            builder.activations(image.len()); // the others are pooled at once
                        }
                        conv
                    })
                    .collect();
                let pool = MaxPool::new(builder, &format!("pool{s}"), image, POOL);
                image = pool.output;
                (convs, pool)
            })
            .collect();
        builder.activations(2 * HIDDEN); // ReLU
        Self {
            input,
            stacks,
            hidden: [
                Linear::new(builder, "linear1", image.len(), HIDDEN),
                Linear::new(builder, "linear2", HIDDEN, HIDDEN),
            ],
            output: Linear::new(builder, "output", HIDDEN, outputs),
            dropout: Dropout::new(builder, dropout, 2 * HIDDEN),
        }
    }
}

impl ValueModel for VggImagenet {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for (convs, pool) in &self.stacks {
            let (last, convs) = convs.split_last().expect("no stack is empty");
            for conv in convs {
                x = conv.relu(x, pass);
            }
            x = pool.of_conv(last, x, pass);
        }
        let mut x = x.flatten(1, 3);
        for linear in &self.hidden {
            let y = relu(linear.forward(x, pass));
            x = self.dropout.forward(y, pass);
        }
        self.output.forward(x, pass)
    }
}
