//! Why there is no time of an exchange.

use batchscope_core::format::{count, number};

use super::{Carrier, EXCHANGE_VERSION, MAX_BEYOND, Operation, measurement::MAX_ROWS};

/// Why a measurement gives no time.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoExchange {
    /// A file of another version.
    #[error(
        "it has version {found} of such files, and this program reads version {EXCHANGE_VERSION}"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// A row that no measurement gives.
    #[error("row {row} {why}")]
    Row {
        /// Its number, from 1.
        row: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Without rows, or with too many.
    #[error("it has {found} rows, and such a file has 1 to {MAX_ROWS}")]
    Rows {
        /// How many.
        found: usize,
    },
    /// Another machine.
    #[error(
        "it was measured on '{measured}', and this machine is '{here}': times of one machine say nothing of another, nor of a network; measure them here"
    )]
    Machine {
        /// Where it was measured.
        measured: String,
        /// Where it is asked for.
        here: String,
    },
    /// Another carrier.
    #[error("it was measured {}, not {}", measured.words(), asked.words())]
    Carrier {
        /// What carried messages then.
        measured: Carrier,
        /// What is asked for.
        asked: Carrier,
    },
    /// No such exchange was timed between so many.
    #[error("{} between {ranks} was not measured", operation.name())]
    Ranks {
        /// The exchange.
        operation: Operation,
        /// Members.
        ranks: u64,
    },
    /// Farther from the measured sizes than a line may be drawn out.
    #[error(
        "{} numbers are {} times as far as the nearest size that was measured, {}; up to {MAX_BEYOND} times is read off",
        count(*numbers), number(*ratio), count(*nearest)
    )]
    Beyond {
        /// Numbers asked for.
        numbers: u64,
        /// The nearest size measured.
        nearest: u64,
        /// Their ratio, above 1.
        ratio: f64,
    },
    /// Beyond the only size.
    #[error(
        "only {} numbers were measured: how the time goes with the size is not known",
        count(*measured)
    )]
    OneSize {
        /// That size.
        measured: u64,
    },
}
