use batchscope_core::ParameterKind;
use burn_tensor::{Tensor, activation::relu, module::linear};

use crate::{
    builder::Builder, cpu, examples::TiedNorms, init::Init, parameters::ParameterId, pass::Pass,
};

/// `y = x·W + b` with `W` of shape `[inputs, outputs]`.
pub struct Linear {
    weight: ParameterId,
    bias: Option<ParameterId>,
}

impl Linear {
    /// A layer initialized like PyTorch's: weight and bias from `U(−1/√inputs, 1/√inputs)`.
    pub fn new(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        let mut linear = Self::without_bias(builder, name, inputs, outputs);
        let init = Init::fan_in(inputs);
        linear.bias = Some(builder.parameter(
            format!("{name}.bias"),
            &[outputs],
            ParameterKind::Bias,
            init,
        ));
        builder.per_example_grad_norms(1);
        linear
    }

    /// A layer without `b`, for a normalization to follow.
    pub fn without_bias(builder: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::matrix(builder, name, [inputs, outputs], Init::fan_in(inputs))
    }

    /// A layer whose weights are drawn from `init`, with a bias of zeros.
    pub(crate) fn initialized(
        builder: &mut Builder,
        name: &str,
        shape: [usize; 2],
        init: Init,
    ) -> Self {
        let mut linear = Self::matrix(builder, name, shape, init);
        linear.bias = Some(builder.parameter(
            format!("{name}.bias"),
            &shape[1..],
            ParameterKind::Bias,
            Init::Constant(0.0),
        ));
        builder.per_example_grad_norms(1);
        linear
    }

    fn matrix(builder: &mut Builder, name: &str, shape: [usize; 2], init: Init) -> Self {
        let [inputs, outputs] = shape;
        builder.layer(name, [outputs]);
        builder.activations(outputs);
        let weight = builder.parameter(
            format!("{name}.weight"),
            &shape,
            ParameterKind::Matrix,
            init,
        );
        builder.per_example_grad_norms(1);
        builder.products(1, inputs, outputs);
        Self { weight, bias: None }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        self.run(x, false, pass)
    }

    /// The same, rectified.
    pub fn relu(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        self.run(x, true, pass)
    }

    fn run(&self, x: Tensor<2>, rectify: bool, pass: &mut Pass) -> Tensor<2> {
        let weight = pass.parameter(self.weight);
        let bias = self.bias.map(|bias| pass.parameter(bias));
        if pass.kernels() {
            let norms = pass.affine_norms(self.weight, self.bias);
            return cpu::linear(x, weight, bias, rectify, norms);
        }
        let y = linear(x, weight, bias);
        if rectify { relu(y) } else { y }
    }
}

/// `x·W + b`, at any number of places of the examples: row `t · examples + i` is place `t` of
/// example `i`.
pub(crate) fn affine(
    x: Tensor<2>,
    weight: ParameterId,
    bias: ParameterId,
    pass: &mut Pass,
) -> Tensor<2> {
    let norms = pass.affine_norms(weight, Some(bias));
    let (weight, bias) = (pass.parameter(weight), pass.parameter(bias));
    if pass.kernels() {
        cpu::linear(x, weight, Some(bias), false, norms)
    } else {
        linear(x, weight, Some(bias))
    }
}

/// `x·Wᵀ + b` with a table that is looked up too; rows as in [`affine`].
pub(crate) fn affine_transposed(
    x: Tensor<2>,
    weight: ParameterId,
    bias: ParameterId,
    tied: Option<TiedNorms>,
    pass: &mut Pass,
) -> Tensor<2> {
    let norms = pass.affine_norms(weight, Some(bias));
    let (weight, bias) = (pass.parameter::<2>(weight), pass.parameter(bias));
    if pass.kernels() {
        cpu::linear_turned(x, weight, bias, norms, tied)
    } else {
        linear(x, weight.transpose(), Some(bias))
    }
}
