//! Optimizers on flat parameters with a table of layers.
//!
//! An [`Optimizer`] sees a network as the tensors of a [`batchscope_core::ParameterLayout`]: one
//! contiguous slice of parameters and one of gradients at a time. It knows neither how the gradient
//! was computed nor on which device the network is. Every update is one fused pass in place, without
//! allocation.
//!
//! ```
//! use batchscope_core::{DecayPolicy, ParameterKind, ParameterLayout, ParameterTensor};
//! use batchscope_optim::{build, OPTIMIZERS};
//!
//! let layout = ParameterLayout {
//!     tensors: vec![ParameterTensor { name: "weight".into(), shape: vec![2], kind: ParameterKind::Matrix }],
//! };
//! let (_, sgd) = OPTIMIZERS.read("sgd(momentum=0.9)")?;
//! let mut optimizer = build(&sgd, &layout, DecayPolicy::Weights)?;
//! let mut weight = [1.0, 2.0];
//! for step in 0..2 {
//!     optimizer.begin_step(0.1, step);
//!     optimizer.update(0, &mut weight, &[1.0, 0.0]);
//! }
//! assert_eq!(weight, [1.0 - 0.1 - 0.19, 2.0]);
//! # Ok::<(), batchscope_core::ChoiceError>(())
//! ```

mod buffers;
mod clip;
mod optimizer;

// The optimizers: a file each, listed below.
mod adam;
mod adamp;
mod lamb;
mod lars;
mod muon;
mod schedule_free;
mod sgd;

use batchscope_core::Registry;

/// Every optimizer there is.
pub static OPTIMIZERS: Registry<OptimizerKind> = Registry {
    what: "optimizer",
    all: &[
        &sgd::SGD,
        &adam::ADAM,
        &adam::ADAMW,
        &lars::LARS,
        &lamb::LAMB,
        &adamp::ADAMP,
        &adamp::SGDP,
        &muon::MUON,
        &schedule_free::SGD,
        &schedule_free::ADAMW,
    ],
};

pub use adam::Adam;
pub use adamp::Projected;
pub use clip::{clip_factor, sum_of_squares};
pub use lamb::Lamb;
pub use lars::Lars;
pub use muon::{Muon, MuonMatrix, matrices as muon_matrices};
pub use optimizer::{Build, Optimizer, OptimizerKind, Rates, StateError, build};
pub use schedule_free::ScheduleFree;
pub use sgd::Sgd;

/// Chooses the instruction set of the updates; they need no scratch memory.
static WORKSPACE: batchscope_kernels::Workspace = batchscope_kernels::Workspace::new();
