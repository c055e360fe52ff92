use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, ParameterKind};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    init::Init,
    layers::{Dropout, Lstm, affine, affine_transposed, embed},
    models::{DROPOUT, MAX_WIDTH, Model, ModelKind, SMOOTHING, TokenModel},
    parameters::ParameterId,
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "lstm",
        aliases: &[],
        about: "LSTM language model",
        source: "Zaremba et al. 2014, arXiv:1409.2329; Press and Wolf 2017, arXiv:1608.05859",
        parameters: &[
            Parameter {
                name: "layers",
                about: "Recurrent layers",
                kind: Kind::Whole(1, 8),
                default: ParameterDefault::Whole(2),
            },
            Parameter {
                name: "width",
                about: "Width of the embedding and of every recurrent layer",
                kind: Kind::Whole(1, MAX_WIDTH),
                default: ParameterDefault::Whole(200),
            },
            Parameter {
                name: "tied",
                about: "Use the embedding as the output matrix too",
                kind: Kind::Switch,
                default: ParameterDefault::Switch(false),
            },
            DROPOUT,
            SMOOTHING,
        ],
    },
    is_smooth: true,
    labels_pixels: false,
    build: |settings, data, builder| {
        let [sequence, vocabulary] = data.tokens()?;
        let shape = LstmShape {
            sequence,
            vocabulary,
            layers: settings.whole("layers"),
            width: settings.whole("width"),
            tied: settings.is_on("tied"),
        };
        let lstm = LstmModel::new(builder, &shape, settings.dropout());
        Ok(Model::tokens(lstm))
    },
};

/// An LSTM language model: embedding, recurrent layers of the same width, scores of the next
/// token. Hidden states are carried from window to window of a stream, gradients are not
/// (truncated back-propagation). Dropout acts on the embedding and on each layer's output
/// (Zaremba et al. 2014).
///
/// Embedding and output matrix start from `U(−0.1, 0.1)`, the output bias from 0, as in PyTorch's
/// word-language-model example. Tied (Press and Wolf 2017), the output matrix is the embedding.
struct LstmModel {
    embedding: ParameterId,
    layers: Vec<Lstm>,
    /// `[width, vocabulary]`; `None` when tied.
    output: Option<ParameterId>,
    bias: ParameterId,
    dropout: Dropout,
}

/// What kind of language model.
struct LstmShape {
    /// Tokens per window.
    sequence: usize,
    /// Distinct tokens.
    vocabulary: usize,
    /// Recurrent layers.
    layers: usize,
    /// Width of embedding and layers.
    width: usize,
    /// Share embedding and output matrix.
    tied: bool,
}

impl LstmModel {
    /// A language model of this shape.
    fn new(builder: &mut Builder, shape: &LstmShape, dropout: f64) -> Self {
        let &LstmShape {
            sequence,
            vocabulary,
            layers,
            width,
            tied,
        } = shape;
        let init = Init::Uniform { bound: 0.1 };
        let embedding = builder.parameter(
            "embedding.weight".to_owned(),
            &[vocabulary, width],
            ParameterKind::Embedding,
            init,
        );
        builder.activations(sequence * width);
        // Tied, both uses share a number for every pair of an example's tokens: no more than scores.
        if !tied {
            builder.per_example_grad_norms(3);
        } else if sequence <= vocabulary {
            builder.per_example_grad_norms(2);
        }
        builder.sequence_products(sequence, width, vocabulary);
        let layers: Vec<Lstm> = (1..=layers)
            .map(|i| Lstm::new(builder, &format!("lstm{i}"), sequence, width, width))
            .collect();
        let output = (!tied).then(|| {
            builder.parameter(
                "output.weight".to_owned(),
                &[width, vocabulary],
                ParameterKind::Matrix,
                init,
            )
        });
        let bias = builder.parameter(
            "output.bias".to_owned(),
            &[vocabulary],
            ParameterKind::Bias,
            Init::Constant(0.0),
        );
        builder.activations(sequence * vocabulary);
        let dropout = Dropout::new(builder, dropout, (layers.len() + 1) * sequence * width);
        Self {
            embedding,
            layers,
            output,
            bias,
            dropout,
        }
    }
}

impl TokenModel for LstmModel {
    fn forward(&self, tokens: &[u32], pass: &mut Pass) -> Tensor<2> {
        let tied = match self.output {
            Some(_) => None,
            None => pass.tied_norms(tokens),
        };
        let x = embed(self.embedding, tokens, tied.clone(), pass);
        let mut x = self.dropout.forward(x, pass);
        for layer in &self.layers {
            x = self.dropout.forward(layer.forward(x, pass), pass);
        }
        match self.output {
            Some(output) => affine(x, output, self.bias, pass),
            None => affine_transposed(x, self.embedding, self.bias, tied, pass),
        }
    }
}
