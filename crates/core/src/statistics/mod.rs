//! The few statistics that several crates need, each once.
//!
//! Quantiles of the normal and of Student's distribution, quantiles of values, and normal random
//! numbers. What one crate alone needs stays there.

mod distribution;
mod normal;
mod proportion;
mod quantile;

pub use distribution::{normal_probability, normal_quantile, t_quantile};
pub use normal::NormalDraws;
pub use proportion::proportion;
pub use quantile::quantile;
