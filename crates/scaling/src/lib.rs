//! Steps-to-target curves, fits, critical batch sizes, regimes, cost and advice.
//!
//! Pure: trials in, [`Findings`] out. No files, clocks or hidden randomness.

mod advice;
mod analyse;
mod cost;
mod critical;
mod curves;
mod distribution;
mod findings;
mod fit;
mod generalisation;
mod intervals;
mod linearity;
mod profile;
mod regimes;
mod sample;
mod settle;
mod simulate;
mod targets;
mod tobit;
mod trajectory;
mod verdict;

pub use advice::{AdviceError, advice_sentence, advise};
pub use analyse::{AnalysisOptions, analyse};
pub use findings::*;
pub use fit::{Hyperbola, LACK_OF_FIT_LEVEL, NoFit, fit};
pub use intervals::Pooled;
pub use sample::Sample;
