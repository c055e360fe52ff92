//! Steps-to-target curves, fits, critical batch sizes, regimes, cost and advice.
//!
//! Pure: trials in, [`Findings`] out. No files, clocks or hidden randomness.

mod distribution;
mod findings;
mod fit;
mod intervals;
mod profile;
mod sample;
mod tobit;

pub use findings::*;
pub use fit::{Hyperbola, LACK_OF_FIT_LEVEL, NoFit, fit};
pub use intervals::Pooled;
pub use sample::Sample;
