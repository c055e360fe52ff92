use batchwise_core::ParameterKind;
use burn::tensor::{Tensor, module::linear};

use crate::{builder::Builder, init::Init, parameters::ParameterId, pass::Pass};

/// `y = x·W + b` with `W` of shape `[inputs, outputs]`.
pub(crate) struct Linear {
    weight: ParameterId,
    bias: ParameterId,
}

impl Linear {
    /// A layer initialised like PyTorch's: weight and bias from `U(−1/√inputs, 1/√inputs)`.
    pub(crate) fn new(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::with_init(
            builder,
            name,
            [inputs, outputs],
            Init::fan_in(inputs),
            Init::fan_in(inputs),
        )
    }

    /// A layer with an initialisation of its own.
    pub(crate) fn with_init(
        builder: &mut Builder,
        name: &str,
        shape: [usize; 2],
        weight: Init,
        bias: Init,
    ) -> Self {
        builder.activations(shape[1]);
        Self {
            weight: builder.parameter(
                format!("{name}.weight"),
                &shape,
                ParameterKind::Matrix,
                weight,
            ),
            bias: builder.parameter(
                format!("{name}.bias"),
                &shape[1..],
                ParameterKind::Bias,
                bias,
            ),
        }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let weight = pass.parameter(self.weight);
        linear(x, weight, Some(pass.parameter(self.bias)))
    }
}
