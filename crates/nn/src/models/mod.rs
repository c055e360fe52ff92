//! The models: each a readable file that says how it is chosen, what it is made of and how it
//! computes.

mod alexnet;
mod c1;
mod c2;
mod c3;
mod c4;
mod conv_stacks;
mod drn_d_22;
mod f1;
mod f2;
mod kind;
mod lenet;
mod lstm;
mod mlp;
mod mobilenetv2;
mod resnet;
mod resnet20;
mod resnet34;
mod row_lstm;
mod softmax;
mod vgg16;
mod vgg16_imagenet;

use batchscope_core::Registry;

pub use kind::{
    DEFAULT_GHOST, DROPOUT, GHOST, MAX_WIDTH, Model, ModelData, ModelKind, SMOOTHING, Settings,
    TokenModel, Unfit, ValueModel, dropout, ghost,
};

/// Every model there is to choose, in the order in which they are listed.
pub const MODELS: Registry<ModelKind> = Registry {
    what: "model",
    all: &[
        &softmax::KIND,
        &mlp::KIND,
        &f1::KIND,
        &f2::KIND,
        &lenet::KIND,
        &c1::KIND,
        &c2::KIND,
        &c3::KIND,
        &c4::KIND,
        &alexnet::KIND,
        &vgg16::KIND,
        &mobilenetv2::KIND,
        &resnet20::KIND,
        &resnet34::KIND,
        &drn_d_22::KIND,
        &lstm::KIND,
        &row_lstm::KIND,
    ],
};
