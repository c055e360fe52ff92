//! Layers: descriptions that hold handles of their parameters and compute in a pass.

mod conv;
mod dropout;
mod embedding;
mod linear;
mod lstm;
mod norm;
mod pool;
mod upsample;

pub(crate) use conv::{Conv2d, ConvNorm, Filter, ImageSize, Window};
pub(crate) use dropout::Dropout;
pub(crate) use embedding::embed;
pub(crate) use linear::{Linear, affine, affine_transposed};
pub(crate) use lstm::Lstm;
pub(crate) use norm::{
    EPSILON, GhostNorm, GroupStatistics, NormArguments, NormBy, NormId, NormState,
};
pub(crate) use pool::{MaxPool, global_average_pool};
pub(crate) use upsample::Upsample;

/// The compositions of burn's operations that the kernels of `cpu` must equal.
#[cfg(test)]
pub(crate) mod composed {
    pub(crate) use super::{
        conv::{conv_norm, convolve},
        embedding::embed_reference as embed,
        lstm::unroll,
        norm::norm_relu,
        pool::{
            global_average_pool_reference as global_average_pool, max_pool_reference as max_pool,
        },
        upsample::upsample_reference as upsample,
    };
}
