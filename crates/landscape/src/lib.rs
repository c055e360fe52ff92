//! Sharpness, curvature and slices of a loss landscape: vectors in, numbers out.
//!
//! Pure: no tensors, files, clocks or random state of its own; seeds are arguments. Everything works
//! on an [`Objective`], a loss and its gradient on a flat parameter vector:
//!
//! * [`lbfgsb`]: minimization within bounds with limited memory;
//! * [`sharpness`]: Keskar's, adaptive worst-case, average-case;
//! * [`spectrum`]: extreme eigenpairs, trace, spectral density;
//! * [`slices`]: paths between solutions, filter-normalized lines and surfaces;
//! * [`survey`]: all of these at one point, with their costs, as records to be stored;
//! * [`problems`]: objectives with known answers, for tests;
//! * [`HessianOperator`], [`GaussNewtonOperator`], [`Restricted`]: products of curvature matrices with
//!   vectors;
//! * [`quadratic_forms`]: quadratic forms of many vectors.

mod blocks;
mod error;
mod forms;
mod hessian;
mod interval;
pub mod lbfgsb;
mod objective;
mod operator;
pub mod problems;
mod random;
pub mod sharpness;
pub mod slices;
pub mod spectrum;
pub mod survey;
mod vector;
mod watched;

pub use blocks::{Block, Blocks, Filters};
pub use error::{LandscapeError, ObjectiveError};
pub use forms::quadratic_forms;
pub use hessian::{HessianOperator, Products};
pub use objective::Objective;
pub use operator::{GaussNewtonOperator, LinearOperator, Restricted, operator};
pub use watched::{Stopped, Watched};
