use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Dropout, ImageSize, Linear, Lstm},
    models::{DROPOUT, MAX_WIDTH, Model, ModelKind, SMOOTHING, ValueModel},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "row-lstm",
        aliases: &[],
        about: "LSTM that reads an image row by row",
        source: "You et al. 2019, arXiv:1901.08256",
        parameters: &[
            Parameter {
                name: "width",
                about: "Width of the recurrent layer",
                kind: Kind::Whole(1, MAX_WIDTH),
                default: ParameterDefault::Whole(128),
            },
            DROPOUT,
            SMOOTHING,
        ],
    },
    is_smooth: true,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(1)?, data.outputs());
        let width = settings.whole("width");
        let dropout = settings.dropout();
        Ok(Model::values(RowLstm::new(
            builder, input, outputs, width, dropout,
        )))
    },
};

/// An LSTM that reads an image row by row, top to bottom, and classifies it by its last hidden
/// state: the MNIST model of LEGW (You et al. 2019), whose 128 units see the 28 rows of a digit one
/// after the other. Every image starts from a hidden state of zeros.
struct RowLstm {
    input: ImageSize,
    lstm: Lstm,
    output: Linear,
    dropout: Dropout,
}

impl RowLstm {
    /// From images of any size to `outputs` scores; dropout on the last hidden state.
    fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        width: usize,
        dropout: f64,
    ) -> Self {
        let row = input.width * input.channels;
        builder.activations(2 * input.len()); // in the order of time
        Self {
            input,
            lstm: Lstm::stateless(builder, "lstm", input.height, row, width),
            dropout: Dropout::new(builder, dropout, width),
            output: Linear::new(builder, "output", width, outputs),
        }
    }
}

impl ValueModel for RowLstm {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let [n, _] = x.dims();
        let ImageSize {
            height,
            width,
            channels,
        } = self.input;
        let rows: Tensor<3> = x.reshape([n, height, width * channels]);
        let steps: Tensor<2> = rows.swap_dims(0, 1).reshape([height * n, width * channels]);
        let hidden = self.lstm.forward(steps, pass);
        let last = hidden.narrow(0, (height - 1) * n, n);
        self.output.forward(self.dropout.forward(last, pass), pass)
    }
}
