use batchscope_core::ParameterKind;
use burn::tensor::Tensor;

use crate::{
    builder::Builder,
    init::Init,
    layers::{Dropout, Lstm, affine, affine_transposed, embed},
    models::TokenModel,
    parameters::ParameterId,
    pass::Pass,
};

/// An LSTM language model: embedding, recurrent layers of the same width, scores of the next
/// token. Hidden states are carried from window to window of a stream, gradients are not
/// (truncated back-propagation). Dropout acts on the embedding and on each layer's output
/// (Zaremba et al. 2014).
///
/// Embedding and output matrix start from `U(−0.1, 0.1)`, the output bias from 0, as in PyTorch's
/// word-language-model example. Tied (Press and Wolf 2017), the output matrix is the embedding.
pub(crate) struct LstmModel {
    embedding: ParameterId,
    layers: Vec<Lstm>,
    /// `[width, vocabulary]`; `None` when tied.
    output: Option<ParameterId>,
    bias: ParameterId,
    dropout: Dropout,
}

/// What kind of language model.
pub(crate) struct LstmShape {
    /// Tokens per window.
    pub sequence: usize,
    /// Distinct tokens.
    pub vocabulary: usize,
    /// Recurrent layers.
    pub layers: usize,
    /// Width of embedding and layers.
    pub width: usize,
    /// Share embedding and output matrix.
    pub tied: bool,
}

impl LstmModel {
    /// A language model of this shape.
    pub(crate) fn new(builder: &mut Builder, shape: &LstmShape, dropout: f64) -> Self {
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
        match tied {
            true if sequence <= vocabulary => builder.per_example_grad_norms(2),
            true => {}
            false => builder.per_example_grad_norms(3),
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
