//! Layers: descriptions that hold handles of their parameters and compute in a pass.

mod conv;
mod dropout;
mod embedding;
mod fixup;
mod image;
mod linear;
mod lstm;
mod norm;
mod pool;
mod space_to_depth;
mod squeeze_excite;
mod upsample;

pub use conv::{Conv2d, ConvNorm};
pub use dropout::Dropout;
pub(crate) use embedding::embed;
pub(crate) use fixup::{FixupBlock, Gate};
pub use image::{Filter, ImageSize, Window};
pub use linear::Linear;
pub(crate) use linear::{affine, affine_transposed};
pub use lstm::Lstm;
pub use norm::GhostNorm;
pub(crate) use norm::{
    EPSILON, GroupStatistics, NormArguments, NormBy, NormId, NormState, Running,
};
pub use pool::{MaxPool, global_average_pool};
pub(crate) use space_to_depth::space_to_depth;
pub(crate) use squeeze_excite::SqueezeExcite;
pub use upsample::Upsample;

/// The compositions of burn's operations that the kernels of `cpu` must equal.
#[cfg(test)]
pub(crate) mod composed {
    pub(crate) use super::{
        conv::{conv_norm, convolve},
        embedding::embed_reference as embed,
        fixup::{gated_add_relu, shift},
        lstm::unroll,
        norm::norm_relu,
        pool::{
            global_average_pool_reference as global_average_pool, max_pool_reference as max_pool,
        },
        upsample::upsample_reference as upsample,
    };
}
