//! Layers: descriptions that hold handles of their parameters and compute in a pass.

mod conv;
mod dropout;
mod linear;
mod norm;
mod pool;

pub(crate) use conv::{Conv2d, ImageSize, Window};
pub(crate) use dropout::Dropout;
pub(crate) use linear::Linear;
pub(crate) use norm::{GhostNorm, NormId, NormState};
pub(crate) use pool::{global_average_pool, max_pool};
