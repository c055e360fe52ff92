//! Steps-to-target curves, fits, critical batch sizes, regimes, cost and advice.
//!
//! Pure: trials in, [`Findings`] out. No files, clocks or hidden randomness.
//!
//! * [`analyze`]: the whole analysis of a study's records; never fails, says `undefined` and why.
//!   The sentences of the findings are left empty: a report puts the numbers into words.
//! * [`fit()`]: the censored log-space fit of `S(B) = S_min·(1 + B_c/B)` to [`Sample`]s.
//! * [`Pooled`]: steps at each batch size with intervals that three seeds can carry.
//! * [`noise`]: the gradient noise scale from squared norms, with intervals that suit a ratio.
//! * [`MicroBatchSearch`]: the largest micro-batch that fits, from tries.
//! * [`advise`]: batch size, micro-batch and number of devices, from step times.
//! * [`ExchangeMeasurement`] and [`Network`]: what exchanges between replicas take, measured and modeled.

mod advice;
mod analyze;
mod branches;
mod contrasts;
mod cost;
mod critical;
mod curves;
mod design;
mod deviations;
mod distribution;
mod exchange;
mod facts;
mod findings;
mod fit;
mod generalization;
mod intervals;
mod lack_of_fit;
mod laws;
mod linearity;
mod measured;
mod micro_batch;
pub mod noise;
mod profile;
mod regimes;
mod sample;
mod schema;
mod settle;
mod shapes;
mod simulate;
mod targets;
mod tobit;
mod trajectory;

pub use advice::{AdviceError, advise};
pub use analyze::{AnalysisOptions, analyze};
pub use branches::{Branch, BranchPoint, Branched, GrownBatch, branched, grown_batches};
pub use contrasts::{Contrast, ContrastVerdict, Contrasts, Endpoint, MethodPoint, contrasts};
pub use exchange::{
    Carrier, EXCHANGE_VERSION, ExchangeAsked, ExchangeMeasurement, ExchangeRow, ExchangeStep,
    ExchangeTime, GossipPoint, GossipQuestion, MAX_BEYOND, NUMBER_BYTES, Network, NoExchange,
    Operation, Reading, steps_on,
};
pub use facts::{Agreement, Gain, Swap};
pub use findings::*;
pub use fit::{Hyperbola, LACK_OF_FIT_LEVEL, NoFit, fit};
pub use intervals::Pooled;
pub use laws::{Law, LawPoint, LawValue, laws, rate_power, read_size};
pub use micro_batch::{MicroBatchSearch, at_full_throughput};
pub use sample::Sample;
pub use schema::findings_schema;
pub use shapes::{LeastSquares, ShapeComparison, ShapeVerdict};
