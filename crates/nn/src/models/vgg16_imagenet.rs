use burn_tensor::{Tensor, activation::relu};

use crate::{
    builder::Builder,
    layers::{Conv2d, Dropout, ImageSize, Linear},
    models::{
        ValueModel,
        conv_stacks::{Stack, conv_stacks, features},
    },
    pass::Pass,
};

/// VGG-16 as Simonyan and Zisserman (2015) made it for ImageNet: no batch norm, two hidden layers
/// of 4096 with dropout. With images of 224 × 224 and 1000 classes it has 138,357,544 parameters
/// (torchvision's `vgg16`); other sizes change the first hidden layer.
pub(super) struct VggImagenet {
    input: ImageSize,
    stacks: Vec<Stack<Conv2d>>,
    hidden: [Linear; 2],
    output: Linear,
    dropout: Dropout,
}

/// Width of the hidden layers.
const HIDDEN: usize = 4096;

impl VggImagenet {
    /// From images of at least [`super::conv_stacks::SMALLEST`] pixels a side to `outputs` scores;
    /// dropout after the hidden layers.
    pub(super) fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        dropout: f64,
    ) -> Self {
        let stacks = conv_stacks(builder, input, Conv2d::new);
        for Stack { convs, image, .. } in &stacks {
            builder.composed(convs.len() * image.len()); // ReLU
            builder.activations((convs.len() - 1) * image.len()); // the last is pooled at once
        }
        let features = features(&stacks);
        builder.activations(2 * HIDDEN); // ReLU
        Self {
            input,
            stacks,
            hidden: [
                Linear::new(builder, "linear1", features, HIDDEN),
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
        for Stack { convs, pool, .. } in &self.stacks {
            let (last, convs) = convs.split_last().expect("no stack is empty");
            for conv in convs {
                x = conv.relu(x, pass);
            }
            x = last.relu_pool(x, pool, pass);
        }
        let mut x = x.flatten(1, 3);
        for linear in &self.hidden {
            let y = relu(linear.forward(x, pass));
            x = self.dropout.forward(y, pass);
        }
        self.output.forward(x, pass)
    }
}
