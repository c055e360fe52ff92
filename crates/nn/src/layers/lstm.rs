use batchscope_core::ParameterKind;
use burn_tensor::{
    Tensor, TensorData,
    activation::{sigmoid, tanh},
};

use crate::{
    builder::Builder, cpu, init::Init, layers::linear::affine, parameters::ParameterId, pass::Pass,
    streams::StateId,
};

/// A long short-term memory layer (Hochreiter and Schmidhuber 1997, with forget gate):
///
/// `i, f, g, o = x_t·W + h_{t−1}·U + b` in PyTorch's order of gates,
/// `c_t = σ(f)·c_{t−1} + σ(i)·tanh(g)`, `h_t = σ(o)·tanh(c_t)`.
///
/// `W` is `[inputs, 4·width]`, `U` `[width, 4·width]` and there is one bias `[4·width]` (PyTorch
/// has two, of which only the sum matters). All start from `U(−1/√width, 1/√width)`, as in PyTorch.
pub struct Lstm {
    input: ParameterId,
    recurrent: ParameterId,
    bias: ParameterId,
    sequence: usize,
    width: usize,
    /// Hidden and cell state of text streams; without them every window starts from zeros.
    streams: Option<[StateId; 2]>,
}

impl Lstm {
    /// A layer over windows of `sequence` steps, which continue streams.
    pub fn new(
        builder: &mut Builder,
        name: &str,
        sequence: usize,
        inputs: usize,
        width: usize,
    ) -> Self {
        let mut lstm = Self::stateless(builder, name, sequence, inputs, width);
        lstm.streams =
            Some(["hidden", "cell"].map(|part| builder.state(format!("{name}.{part}"), width)));
        lstm
    }

    /// A layer over windows of `sequence` steps, each of which starts from zeros.
    pub fn stateless(
        builder: &mut Builder,
        name: &str,
        sequence: usize,
        inputs: usize,
        width: usize,
    ) -> Self {
        let init = Init::fan_in(width);
        builder.per_example_grad_norms(3);
        builder.sequence_products(sequence, inputs, 4 * width);
        builder.sequence_products(sequence, width, 4 * width);
        builder.layer(name, [sequence, width]);
        // Gates before and after their functions, cell and hidden state of every step; products.
        builder.activations(sequence * width * 10);
        builder.composed(sequence * width * 10);
        let mut matrix = |part: &str, rows: usize| {
            builder.parameter(
                format!("{name}.{part}"),
                &[rows, 4 * width],
                ParameterKind::Matrix,
                init,
            )
        };
        Self {
            input: matrix("input", inputs),
            recurrent: matrix("recurrent", width),
            bias: builder.parameter(
                format!("{name}.bias"),
                &[4 * width],
                ParameterKind::Bias,
                init,
            ),
            sequence,
            width,
            streams: None,
        }
    }

    /// `[sequence · n, inputs]`, the steps of all examples one after the other, to the hidden
    /// states `[sequence · n, width]`, continuing the streams if there are any.
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let n = x.dims()[0] / self.sequence;
        let state = match self.streams {
            Some(streams) => streams.map(|state| pass.state(state)),
            None => [(); 2].map(|()| Tensor::zeros([n, self.width], (pass.device(), pass.dtype()))),
        };
        let (outputs, [hidden, cell]) = self.resume(x, state, None, pass);
        if let Some([hidden_state, cell_state]) = self.streams {
            pass.set_state(hidden_state, hidden);
            pass.set_state(cell_state, cell);
        }
        outputs
    }

    /// `[steps · n, inputs]`, any number of steps of `n` streams one after the other, to the hidden
    /// states `[steps · n, width]` and the last hidden and cell state, `[n, width]`; `state` holds
    /// those before the first step. They count as zero before a row that is `fresh`, `[steps · n]`.
    pub(crate) fn resume(
        &self,
        x: Tensor<2>,
        state: [Tensor<2>; 2],
        fresh: Option<&[bool]>,
        pass: &mut Pass,
    ) -> (Tensor<2>, [Tensor<2>; 2]) {
        let [hidden, cell] = state;
        let gates = affine(x, self.input, self.bias, pass);
        let recurrent = pass.parameter::<2>(self.recurrent);
        let (outputs, hidden, cell) = if pass.kernels() {
            let norms = pass.tensor_norms(self.recurrent);
            cpu::lstm(gates, recurrent, hidden, cell, fresh, norms)
        } else {
            unroll(gates, recurrent, hidden, cell, fresh)
        };
        (outputs, [hidden, cell])
    }
}

/// All steps of the recurrence from `gates = x·W + b`, `[sequence · n, 4·width]`: outputs
/// `[sequence · n, width]` and the last hidden and cell state, `[n, width]`. States before a `fresh`
/// row count as zero.
pub(crate) fn unroll(
    gates: Tensor<2>,
    recurrent: Tensor<2>,
    mut hidden: Tensor<2>,
    mut cell: Tensor<2>,
    fresh: Option<&[bool]>,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let [rows, _] = gates.dims();
    let [n, width] = hidden.dims();
    let mut outputs = Vec::with_capacity(rows / n);
    for t in 0..rows / n {
        let fresh = fresh.map_or(&[][..], |fresh| &fresh[t * n..(t + 1) * n]);
        if fresh.contains(&true) {
            let options = (&hidden.device().without_autodiff(), hidden.dtype());
            let keep: Vec<f32> = fresh.iter().map(|&fresh| f32::from(!fresh)).collect();
            let keep = Tensor::<2>::from_data(TensorData::new(keep, [n, 1]), options);
            (hidden, cell) = (hidden * keep.clone(), cell * keep);
        }
        let gates = gates.clone().narrow(0, t * n, n) + hidden.matmul(recurrent.clone());
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| gates.clone().narrow(1, k * width, width));
        cell = sigmoid(f) * cell + sigmoid(i) * tanh(g);
        hidden = sigmoid(o) * tanh(cell.clone());
        outputs.push(hidden.clone());
    }
    (Tensor::cat(outputs, 0), hidden, cell)
}
