//! Steps-to-target curves, fits, critical batch sizes, regimes, cost and advice.
//!
//! Pure: trials in, [`Findings`] out. No files, clocks or hidden randomness.
//!
//! * [`analyze`]: the whole analysis of a study's records; never fails, says `undefined` and why.
//! * [`fit()`]: the censored log-space fit of `S(B) = S_min·(1 + B_c/B)` to [`Sample`]s.
//! * [`Pooled`]: steps at each batch size with intervals that three seeds can carry.
//! * [`noise`]: the gradient noise scale from squared norms, with intervals that suit a ratio.
//! * [`advise`]: batch size, micro-batch and number of devices, from step times.

mod advice;
mod analyze;
mod cost;
mod critical;
mod curves;
mod distribution;
mod findings;
mod fit;
mod generalization;
mod intervals;
mod linearity;
mod measured;
pub mod noise;
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
pub use analyze::{AnalysisOptions, analyze};
pub use findings::*;
pub use fit::{Hyperbola, LACK_OF_FIT_LEVEL, NoFit, fit};
pub use intervals::Pooled;
pub use sample::Sample;
