//! The models: each a readable file that says what it is made of and how it computes.

mod lenet;
mod mlp;
mod softmax;

pub(crate) use lenet::Lenet;
pub(crate) use mlp::Mlp;
pub(crate) use softmax::Softmax;

use burn::tensor::{Int, Tensor};

use crate::pass::Pass;

/// A model of images or vectors.
pub(crate) trait ValueModel: Send {
    /// `[n, numbers of an example]` to outputs `[n, outputs]`.
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2>;
}

/// A model of token windows.
pub(crate) trait TokenModel: Send {
    /// `[n, sequence]` to scores of the next token, `[n · sequence, vocabulary]`.
    fn forward(&self, tokens: Tensor<2, Int>, pass: &mut Pass) -> Tensor<2>;
}

/// Any model.
pub(crate) enum Model {
    /// Of images or vectors.
    Values(Box<dyn ValueModel>),
    /// Of text.
    Tokens(Box<dyn TokenModel>),
}
