//! Steps-to-target curves, fits, critical batch sizes, regimes, cost and advice.
//!
//! Pure: trials in, [`Findings`] out. No files, clocks or hidden randomness.

mod findings;

pub use findings::*;
