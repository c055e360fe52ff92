//! A network as two stated numbers.
//!
//! A message of `S` bytes takes `α + S/β` seconds, with the latency `α` [s] and the bandwidth `β` [bytes/s] of a member's
//! link; a member sends one message at a time, receives one meanwhile, and messages of other members do not slow it
//! (the α-β model; Thakur, Rabenseifner and Gropp 2005, IJHPCA 19(1)). Over `n` members:
//!
//! ```text
//! all-reduce, ring      2(n − 1)·α + 2(n − 1)/n · S/β        Patarasuk and Yuan 2009: no fewer bytes are possible
//! all-reduce, halving   2⌈log₂ n⌉·α + 2(n − 1)/n · S/β       Thakur et al. 2005, n a power of two
//! all-reduce, tree      2⌈log₂ n⌉·(α + S/β)                  a reduction and a broadcast along a binomial tree
//! d neighbors           d·(α + S/β)                          d = 2 on a ring, 1 with one peer, ⌈log₂ n⌉ on the
//!                                                            exponential graph
//! ```
//!
//! The second sends half of the vector to the member half the group away, then a quarter to the one at a quarter, and back.
//! Where `n` is no power of two, the members beyond the largest one `p` first give their vectors to another and get the
//! sum in the end: `2(α + S/β)` more than `p` members take. Additions, and links that are shared, are left out.

use serde::Serialize;

use super::{NUMBER_BYTES, Operation, doublings};

/// A network between members that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Network {
    /// `α`: seconds until a message sets off.
    pub latency: f64,
    /// `β`: bytes a second over a member's link.
    pub bandwidth: f64,
}

impl Network {
    /// Seconds of an exchange of `numbers` numbers of 4 bytes over `members`; of the all-reduces, the fastest.
    ///
    /// ```
    /// use batchscope_scaling::{Network, Operation};
    /// let network = Network { latency: 1e-5, bandwidth: 1e9 };
    /// // 2 · (10 µs + 4 MB over 1 GB/s)
    /// assert!((network.seconds(Operation::Ring, 8, 1_000_000) - 8.02e-3).abs() < 1e-12);
    /// ```
    pub fn seconds(&self, operation: Operation, members: u64, numbers: u64) -> f64 {
        match operation.degree(members) {
            None => self
                .ring_all_reduce(members, numbers)
                .min(self.halving_all_reduce(members, numbers))
                .min(self.tree_all_reduce(members, numbers)),
            Some(degree) => degree as f64 * self.message(numbers),
        }
    }

    /// Seconds of the all-reduce that passes shares around a ring: `2(n − 1)·α + 2(n − 1)/n · S/β`.
    pub fn ring_all_reduce(&self, members: u64, numbers: u64) -> f64 {
        if members < 2 {
            return 0.0;
        }
        let n = members as f64;
        2.0 * (n - 1.0) / n * NUMBER_BYTES * numbers as f64 / self.bandwidth
            + 2.0 * (n - 1.0) * self.latency
    }

    /// Seconds of the all-reduce that halves vectors and doubles distances: `2⌈log₂ n⌉·α + 2(n − 1)/n · S/β` where `n` is a power
    /// of two.
    pub fn halving_all_reduce(&self, members: u64, numbers: u64) -> f64 {
        if members < 2 {
            return 0.0;
        }
        let power = 1u64 << members.ilog2();
        let n = power as f64;
        let within = 2.0 * (n - 1.0) / n * self.transfer(numbers)
            + 2.0 * f64::from(members.ilog2()) * self.latency;
        match power == members {
            true => within,
            false => within + 2.0 * self.message(numbers),
        }
    }

    /// Seconds of the all-reduce along a binomial tree: `2⌈log₂ n⌉·(α + S/β)`.
    pub fn tree_all_reduce(&self, members: u64, numbers: u64) -> f64 {
        2.0 * doublings(members) as f64 * self.message(numbers)
    }

    /// `S/β`.
    fn transfer(&self, numbers: u64) -> f64 {
        NUMBER_BYTES * numbers as f64 / self.bandwidth
    }

    /// `α + S/β`.
    fn message(&self, numbers: u64) -> f64 {
        self.latency + self.transfer(numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAST: Network = Network {
        latency: 1e-5,
        bandwidth: 1e9,
    };

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * a.abs().max(b.abs()), "{a} and {b}");
    }

    /// Four members, 4 MB: each formula written out.
    #[test]
    fn formulas_are_those_stated() {
        close(
            FAST.ring_all_reduce(4, 1_000_000),
            6.0 * 1e-5 + 1.5 * 4e6 / 1e9,
        );
        close(
            FAST.halving_all_reduce(4, 1_000_000),
            4.0 * 1e-5 + 1.5 * 4e6 / 1e9,
        );
        close(FAST.tree_all_reduce(4, 1_000_000), 4.0 * (1e-5 + 4e6 / 1e9));
        let of = |operation| FAST.seconds(operation, 4096, 1_000_000);
        close(of(Operation::OnePeer), 1e-5 + 4e-3);
        close(of(Operation::Ring), 2.0 * (1e-5 + 4e-3));
        close(of(Operation::Exponential), 12.0 * (1e-5 + 4e-3));
        // Latencies of a ring of 4,096 are 82 ms; those of halving 0.24 ms.
        close(
            of(Operation::AllReduce),
            24.0 * 1e-5 + 2.0 * 4095.0 / 4096.0 * 4e-3,
        );
        // Six: four by halving, and two that wait.
        close(
            FAST.halving_all_reduce(6, 1_000_000),
            4.0 * 1e-5 + 1.5 * 4e-3 + 2.0 * (1e-5 + 4e-3),
        );
    }

    #[test]
    fn a_single_member_has_nobody_to_wait_for() {
        for operation in Operation::ALL {
            assert_eq!(
                FAST.seconds(operation, 1, 1000),
                0.0,
                "{}",
                operation.name()
            );
            assert_eq!(FAST.seconds(operation, 0, 1000), 0.0);
        }
        // Two members have one peer each on every graph.
        let degrees = Operation::NEIGHBORS.map(|graph| graph.degree(2));
        assert_eq!(degrees, [Some(1); 3]);
    }

    proptest! {
        /// More members, more numbers, more latency and less bandwidth never make an exchange faster.
        #[test]
        fn exchanges_are_monotone(
            members in 2u64..5000, numbers in 1u64..1_000_000_000,
            latency in 0.0..1e-2f64, bandwidth in 1e6..1e12f64,
        ) {
            let network = Network { latency, bandwidth };
            for operation in Operation::ALL {
                let time = network.seconds(operation, members, numbers);
                prop_assert!(time.is_finite() && time > 0.0);
                prop_assert!(network.seconds(operation, members, 2 * numbers) >= time);
                let slower = Network { latency: 2.0 * latency, bandwidth: bandwidth / 2.0 };
                prop_assert!(slower.seconds(operation, members, numbers) >= time);
            }
            prop_assert!(network.ring_all_reduce(members + 1, numbers) > network.ring_all_reduce(members, numbers));
        }

        /// No all-reduce sends fewer than `2(n − 1)/n` of the vector; one peer sends 1 of it: without latency gossip saves
        /// at most half.
        #[test]
        fn gossip_saves_at_most_half_of_the_bytes(members in 2u64..5000, numbers in 1u64..1_000_000_000) {
            let network = Network { latency: 0.0, bandwidth: 1e9 };
            let peer = network.seconds(Operation::OnePeer, members, numbers);
            let all = network.seconds(Operation::AllReduce, members, numbers);
            let n = members as f64;
            prop_assert!((all / peer - 2.0 * (n - 1.0) / n).abs() < 1e-9);
        }
    }
}
