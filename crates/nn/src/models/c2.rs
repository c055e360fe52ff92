use burn::tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Dropout, Filter, GhostNorm, ImageSize, Linear, MaxPool},
    models::{
        ValueModel,
        vgg::{POOL, STACKS},
    },
    pass::Pass,
};

/// C2 of Keskar et al. 2016 (appendix B): VGG-16's convolutions for 32 × 32 photographs, then a
/// hidden layer of 512; batch norm and ReLU everywhere.
///
/// Dropout is that of the authors' code (`deepnet` in github.com/keskarnitish/large-batch-training):
/// 0.3 between the convolutions of the first stack and 0.4 between those of the others, 0.5 around
/// the hidden layer. Another probability than 0.5 scales all three. C4 is the same network for the
/// hundred classes of CIFAR-100. Layers before a batch norm have no bias, which the normalization
/// would take away again.
pub(crate) struct C2 {
    input: ImageSize,
    stacks: Vec<Stack>,
    hidden: (Linear, GhostNorm),
    output: Linear,
    dropout: Dropout,
}

struct Stack {
    convs: Vec<ConvNorm>,
    /// After every convolution but the last.
    dropout: Dropout,
    pool: MaxPool,
}

/// Width of the hidden layer.
const HIDDEN: usize = 512;

impl C2 {
    /// From images of at least [`super::vgg::SMALLEST`] pixels a side to `outputs` scores.
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
                let share = if s == 1 { 0.6 } else { 0.8 };
                let dropout = Dropout::new(builder, share * dropout, (number - 1) * image.len());
                let pool = MaxPool::new(builder, &format!("pool{s}"), image, POOL);
                image = pool.output;
                Stack {
                    convs,
                    dropout,
                    pool,
                }
            })
            .collect();
        let linear = Linear::without_bias(builder, "linear1", image.len(), HIDDEN);
        let norm = GhostNorm::new(builder, "linear1.norm", HIDDEN, HIDDEN);
        builder.composed(HIDDEN); // ReLU
        Self {
            input,
            stacks,
            hidden: (linear, norm),
            dropout: Dropout::new(builder, dropout, image.len() + HIDDEN),
            output: Linear::new(builder, "output", HIDDEN, outputs),
        }
    }
}

impl ValueModel for C2 {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for Stack {
            convs,
            dropout,
            pool,
        } in &self.stacks
        {
            let (last, convs) = convs.split_last().expect("no stack is empty");
            for conv in convs {
                let y = conv.relu(x, pass);
                let dims = y.dims();
                x = dropout.forward(y.flatten(1, 3), pass).reshape(dims);
            }
            x = pool.forward(last.relu(x, pass), pass);
        }
        let x = self.dropout.forward(x.flatten(1, 3), pass);
        let (linear, norm) = &self.hidden;
        let x = norm.relu(linear.forward(x, pass), pass);
        let x = self.dropout.forward(x, pass);
        self.output.forward(x, pass)
    }
}
