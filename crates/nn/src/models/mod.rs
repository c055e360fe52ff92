//! The models: each a readable file that says what it is made of and how it computes.

mod alexnet;
mod c1;
mod c2;
mod drn;
mod lenet;
mod lstm;
mod mlp;
mod mobilenet;
mod resnet;
mod row_lstm;
mod softmax;
mod vgg;

pub(crate) use alexnet::Alexnet;
pub(crate) use c1::C1;
pub(crate) use c2::C2;
pub(crate) use drn::Drn;
pub(crate) use lenet::Lenet;
pub(crate) use lstm::{LstmModel, LstmShape};
pub(crate) use mlp::Mlp;
pub(crate) use mobilenet::{MobilenetShape, MobilenetV2};
pub(crate) use resnet::Resnet;
pub(crate) use row_lstm::RowLstm;
pub(crate) use softmax::Softmax;
pub(crate) use vgg::{SMALLEST as VGG_SMALLEST, Vgg, VggImagenet};

use burn::tensor::Tensor;

use crate::pass::Pass;

/// A model of images or vectors.
pub(crate) trait ValueModel: Send {
    /// `[n, numbers of an example]` to outputs `[n, outputs]`; for segmentation `[n · pixels,
    /// classes]`, image by image.
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2>;
}

/// A model of token windows. Its rows are in the order of time: the first token of every example,
/// then the second of every example, and so on.
pub(crate) trait TokenModel: Send {
    /// `sequence · n` tokens to scores of the next token, `[sequence · n, vocabulary]`.
    fn forward(&self, tokens: &[u32], pass: &mut Pass) -> Tensor<2>;
}

/// Any model.
pub(crate) enum Model {
    /// Of images or vectors.
    Values(Box<dyn ValueModel>),
    /// Of text.
    Tokens(Box<dyn TokenModel>),
}
