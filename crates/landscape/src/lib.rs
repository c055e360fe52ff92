//! Sharpness, curvature and slices of a loss landscape: vectors in, numbers out.
//!
//! Pure: no tensors, files, clocks or randomness of its own (seeds come in). Everything works on an
//! [`Objective`], a loss and its gradient on a flat parameter vector:
//!
//! * [`lbfgsb`]: minimisation within bounds with limited memory.

mod blocks;
mod error;
pub mod lbfgsb;
mod objective;
pub mod problems;
mod random;
mod vector;

pub use blocks::{Block, Blocks, Filters};
pub use error::{LandscapeError, ObjectiveError};
pub use objective::Objective;
