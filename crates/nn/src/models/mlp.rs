use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Dropout, GhostNorm, Linear},
    models::{DEFAULT_GHOST, DROPOUT, MAX_WIDTH, Model, ModelKind, SMOOTHING, ValueModel, ghost},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "mlp",
        aliases: &[],
        about: "Multi-layer perceptron with ReLU",
        source: "",
        parameters: &[
            Parameter {
                name: "widths",
                about: "Width of each hidden layer, at most 64 of them",
                kind: Kind::List(1, MAX_WIDTH, 64),
                default: ParameterDefault::List(&[512, 512]),
            },
            NORM,
            DROPOUT,
            ghost(ParameterDefault::If {
                switch: NORM.name,
                on: &DEFAULT_GHOST,
                off: &ParameterDefault::Excluded,
            }),
            SMOOTHING,
        ],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (inputs, widths) = (data.vector()?, settings.list("widths"));
        let (norm, dropout) = (settings.is_on(NORM.name), settings.dropout());
        let mlp = Mlp::new(builder, inputs, &widths, data.outputs(), norm, dropout);
        Ok(Model::values(mlp))
    },
};

const NORM: Parameter = Parameter {
    name: "norm",
    about: "Batch norm before each ReLU",
    kind: Kind::Switch,
    default: ParameterDefault::Switch(false),
};

/// A multi-layer perceptron: hidden layers of linear, batch norm if wanted, ReLU and dropout, then
/// a linear layer to the outputs.
///
/// Keskar et al.'s F1 (2016, appendix B) is five hidden layers of 512 with batch norm, their F2 seven.
pub(super) struct Mlp {
    hidden: Vec<(Linear, Option<GhostNorm>)>,
    output: Linear,
    dropout: Dropout,
}

impl Mlp {
    /// From `inputs` numbers through hidden layers of these widths to `outputs` scores.
    pub(super) fn new(
        builder: &mut Builder,
        inputs: usize,
        widths: &[usize],
        outputs: usize,
        norm: bool,
        dropout: f64,
    ) -> Self {
        let mut hidden = Vec::new();
        let mut from = inputs;
        for (i, &width) in (1..).zip(widths) {
            let name = format!("linear{i}");
            let (linear, norm) = if norm {
                let linear = Linear::without_bias(builder, &name, from, width);
                (
                    linear,
                    Some(GhostNorm::new(
                        builder,
                        &format!("{name}.norm"),
                        width,
                        width,
                    )),
                )
            } else {
                (Linear::new(builder, &name, from, width), None)
            };
            builder.activations(width); // ReLU
            hidden.push((linear, norm));
            from = width;
        }
        let output = Linear::new(builder, "output", from, outputs);
        Self {
            hidden,
            output,
            dropout: Dropout::new(builder, dropout, widths.iter().sum()),
        }
    }
}

impl ValueModel for Mlp {
    fn forward(&self, mut x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        for (linear, norm) in &self.hidden {
            x = match norm {
                Some(norm) => norm.relu(linear.forward(x, pass), pass),
                None => linear.relu(x, pass),
            };
            x = self.dropout.forward(x, pass);
        }
        self.output.forward(x, pass)
    }
}
