use batchscope_core::Descriptor;
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::Linear,
    models::{Model, ModelKind, SMOOTHING, ValueModel},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "softmax",
        aliases: &[],
        about: "Softmax regression: one linear layer",
        source: "",
        parameters: &[SMOOTHING],
    },
    is_smooth: true,
    labels_pixels: false,
    build: |_, data, builder| {
        let inputs = data.vector()?;
        Ok(Model::values(Softmax::new(builder, inputs, data.outputs())))
    },
};

/// Softmax regression: one linear layer. With squared error it is linear regression.
struct Softmax {
    linear: Linear,
}

impl Softmax {
    /// From `inputs` numbers to `outputs` scores.
    fn new(builder: &mut Builder, inputs: usize, outputs: usize) -> Self {
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
