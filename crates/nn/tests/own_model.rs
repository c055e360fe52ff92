//! A model of one's own: this file, and one line in a registry.

mod common;

use batchscope_core::{
    Descriptor, Kind, NetworkFactory, Parameter, ParameterDefault, Registry, Task,
};
use batchscope_nn::{
    Builder, DeviceSpec, Factory, Linear, MAX_WIDTH, Model, ModelKind, ModelSpec, Pass, SMOOTHING,
    ValueModel,
};
use burn_tensor::Tensor;
use common::*;

/// What there is to choose: a list like [`batchscope_nn::MODELS`], of which this line is one.
const MODELS: Registry<ModelKind> = Registry {
    what: "model",
    all: &[&SKIP],
};

const SKIP: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "skip",
        aliases: &[],
        about: "One hidden layer, with a shortcut from the inputs to the outputs",
        source: "",
        parameters: &[
            Parameter {
                name: "width",
                about: "Width of the hidden layer",
                kind: Kind::Whole(1, MAX_WIDTH),
                default: ParameterDefault::Whole(64),
            },
            SMOOTHING,
        ],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (inputs, outputs) = (data.vector()?, data.outputs());
        let width = settings.whole("width");
        Ok(Model::values(Skip::new(builder, inputs, width, outputs)))
    },
};

/// `W₂·relu(W₁·x + b₁) + b₂ + S·x`.
struct Skip {
    hidden: Linear,
    output: Linear,
    shortcut: Linear,
}

impl Skip {
    fn new(builder: &mut Builder, inputs: usize, width: usize, outputs: usize) -> Self {
        builder.activations(width + outputs); // ReLU, and the sum
        Self {
            hidden: Linear::new(builder, "hidden", inputs, width),
            output: Linear::new(builder, "output", width, outputs),
            shortcut: Linear::without_bias(builder, "shortcut", inputs, outputs),
        }
    }
}

impl ValueModel for Skip {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let hidden = self.hidden.relu(x.clone(), pass);
        self.output.forward(hidden, pass) + self.shortcut.forward(x, pass)
    }
}

#[test]
fn a_model_of_one_s_own_is_chosen_built_and_trained() {
    assert_eq!(MODELS.faults(), Vec::<String>::new());
    let model = ModelSpec::read(&MODELS, "skip:width=8").unwrap();
    assert_eq!(model.to_string(), "skip(width=8)");
    let factory = Factory::new(model, DeviceSpec::Cpu).unwrap();
    let shape = vectors(5, Task::Classify { classes: 3 });
    assert_eq!(
        factory.parameters(&shape).unwrap(),
        (5 * 8 + 8) + (8 * 3 + 3) + 5 * 3
    );

    let mut network = factory.build(&shape, KEY).unwrap();
    let losses: Vec<f64> = (0..50)
        .map(|step| descend(network.as_mut(), shape, step, 32, 0.3))
        .collect();
    assert!(losses[49] < 0.7 * losses[0], "{losses:?}");
}
