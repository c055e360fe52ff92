//! What replicas of a run pay for exchanging vectors: measured on one machine, and modeled for a network.
//!
//! The two are kept apart. [`ExchangeMeasurement`] holds times that were measured on a machine, and gives them back for
//! that machine alone, by its name: replicas that share a machine copy memory, and nothing of that says what a network
//! does. [`Network`] is a stated latency and a stated bandwidth, and the formulas that follow from them. [`GossipPoint`]
//! asks of either when decentralized steps, whose replicas hear neighbors only, reach a metric sooner than steps whose
//! replicas hear all. [`steps_on`] adds measured exchanges to measured steps.

mod error;
mod gossip;
mod measurement;
mod network;
mod steps;

use serde::{Deserialize, Serialize};

pub use error::NoExchange;
pub use gossip::{GossipPoint, GossipQuestion};
pub use measurement::{
    Carrier, EXCHANGE_VERSION, ExchangeAsked, ExchangeMeasurement, ExchangeRow, ExchangeTime,
    MAX_BEYOND, Reading,
};
pub use network::Network;
pub use steps::{ExchangeStep, steps_on};

/// Bytes of a number that replicas exchange.
pub const NUMBER_BYTES: f64 = 4.0;

/// Coverage of the intervals of measured times.
const LEVEL: f64 = 0.95;

/// What the members of a group exchange in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The sum over all members, on every member.
    AllReduce,
    /// Vectors of the two neighbors on a ring.
    Ring,
    /// The vector of one other member, 1, 2, 4, … places before in turn.
    OnePeer,
    /// The vectors of the members 1, 2, 4, … places before.
    Exponential,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::AllReduce,
        Self::Ring,
        Self::OnePeer,
        Self::Exponential,
    ];

    /// Those between neighbors.
    pub const NEIGHBORS: [Self; 3] = [Self::Ring, Self::OnePeer, Self::Exponential];

    /// Its name; of an exchange between neighbors, that of the graph.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllReduce => "all-reduce",
            Self::Ring => "ring",
            Self::OnePeer => "one-peer",
            Self::Exponential => "exponential",
        }
    }

    /// Vectors that a member gives away in a step, and gets: its degree in the graph. `None` for the sum over all.
    ///
    /// ```
    /// use batchscope_scaling::Operation;
    /// let degrees = Operation::ALL.map(|operation| operation.degree(8));
    /// assert_eq!(degrees, [None, Some(2), Some(1), Some(3)]);
    /// ```
    pub fn degree(self, members: u64) -> Option<u64> {
        let others = members.saturating_sub(1);
        match self {
            Self::AllReduce => None,
            Self::Ring => Some(others.min(2)),
            Self::OnePeer => Some(others.min(1)),
            Self::Exponential => Some(doublings(members)),
        }
    }
}

/// `⌈log₂ n⌉`, 0 for none.
fn doublings(n: u64) -> u64 {
    u64::from(n.max(1).next_power_of_two().trailing_zeros())
}
