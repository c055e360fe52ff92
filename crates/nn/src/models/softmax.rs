use burn::tensor::Tensor;

use crate::{builder::Builder, layers::Linear, models::ValueModel, pass::Pass};

/// Softmax regression: one linear layer. With squared error it is linear regression.
pub(crate) struct Softmax {
    linear: Linear,
}

impl Softmax {
    /// From `inputs` numbers to `outputs` scores.
    pub(crate) fn new(builder: &mut Builder, inputs: usize, outputs: usize) -> Self {
        Self {
            linear: Linear::new(builder, "linear", inputs, outputs),
        }
    }
}

impl ValueModel for Softmax {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        self.linear.forward(x, pass)
    }
}
