//! Sharpness, curvature and slices of a loss landscape: vectors in, numbers out.
//!
//! Pure: no tensors, files, clocks or randomness of its own (seeds come in). Everything works on an
//! [`Objective`], a loss and its gradient on a flat parameter vector:
//!
//! * [`lbfgsb`]: minimisation within bounds with limited memory;
//! * [`sharpness`]: Keskar's, adaptive worst-case, average-case;
//! * [`spectrum`]: extreme eigenpairs, trace, spectral density;
//! * [`slices`]: paths between solutions, filter-normalised lines and surfaces;
//! * [`HessianOperator`], [`GaussNewtonOperator`], [`Restricted`]: curvature by its products.

mod blocks;
mod error;
mod hessian;
mod interval;
pub mod lbfgsb;
mod objective;
pub mod problems;
mod random;
pub mod sharpness;
pub mod slices;
pub mod spectrum;
mod vector;

pub use blocks::{Block, Blocks, Filters};
pub use error::{LandscapeError, ObjectiveError};
pub use hessian::{
    GaussNewtonOperator, HessianOperator, LinearOperator, Products, Restricted, operator,
};
pub use objective::Objective;
