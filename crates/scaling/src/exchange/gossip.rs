//! When decentralized steps pay.
//!
//! Steps whose replicas hear neighbors only are cheaper than steps whose replicas hear all, and reach a metric in other
//! numbers of steps. With `K_g` and `K_a` steps to the same metric, `c` seconds of computing in a step and `x_g`, `x_a`
//! seconds of the exchanges, one after the other:
//!
//! ```text
//! T_g/T_a = K_g/K_a · (c + x_g)/(c + x_a)
//! ```
//!
//! Gossip pays while `K_g/K_a` is below the break-even ratio `(c + x_a)/(c + x_g)`. No formula here gives `K_g/K_a`: it
//! depends on the graph, the data and the metric, and is measured by training.

use batchscope_core::Estimate;
use serde::Serialize;

use super::{Carrier, ExchangeAsked, ExchangeMeasurement, Network, Operation};

/// What is asked of a network, or of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GossipQuestion {
    /// Numbers of 4 bytes that are exchanged: parameters of the model.
    pub numbers: u64,
    /// `c`: seconds that a member computes in a step.
    pub compute: f64,
    /// `K_g/K_a`, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_ratio: Option<f64>,
}

/// An exchange between neighbors beside the sum over all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GossipPoint {
    /// Members.
    pub members: u64,
    /// The exchange between neighbors.
    pub graph: Operation,
    /// `x_a`: seconds of the all-reduce.
    pub all_reduce: Estimate,
    /// `x_g`: seconds of the exchange between neighbors.
    pub exchange: Estimate,
    /// `(c + x_a)/(c + x_g)`: gossip pays while it needs fewer than so many times the steps.
    pub break_even: Estimate,
    /// `T_g/T_a` where `K_g/K_a` is known: below 1, gossip is sooner there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ratio: Option<Estimate>,
}

impl GossipQuestion {
    /// Seconds to the metric, relative to those of steps with an all-reduce: `K_g/K_a · (c + x_g)/(c + x_a)`.
    ///
    /// ```
    /// use batchscope_scaling::GossipQuestion;
    /// let question = GossipQuestion { numbers: 1, compute: 1.0, step_ratio: None };
    /// // Equal times at 1.5 times the steps: (1 + 2)/(1 + 1).
    /// assert_eq!(question.break_even(1.0, 2.0), 1.5);
    /// assert_eq!(question.time_ratio(1.5, 1.0, 2.0), 1.0);
    /// ```
    pub fn time_ratio(&self, step_ratio: f64, exchange: f64, all_reduce: f64) -> f64 {
        step_ratio / self.break_even(exchange, all_reduce)
    }

    /// The ratio of steps at which gossip takes as long: `(c + x_a)/(c + x_g)`.
    pub fn break_even(&self, exchange: f64, all_reduce: f64) -> f64 {
        match exchange == all_reduce {
            true => 1.0,
            false => (self.compute + all_reduce) / (self.compute + exchange),
        }
    }

    /// What follows from a stated network, for each number of members and each graph. Of the all-reduces the fastest.
    pub fn modeled(
        &self,
        network: &Network,
        members: impl IntoIterator<Item = u64>,
    ) -> Vec<GossipPoint> {
        let points = members.into_iter().flat_map(|members| {
            Operation::NEIGHBORS.map(|graph| {
                let of =
                    |operation| Estimate::exact(network.seconds(operation, members, self.numbers));
                self.point(members, graph, of(Operation::AllReduce), of(graph))
            })
        });
        points.collect()
    }

    /// What follows from measured exchanges, for each number of members and each graph that was timed, where a time can be
    /// read for so many numbers.
    pub fn measured(&self, measurement: &ExchangeMeasurement) -> Vec<GossipPoint> {
        let carrier: Carrier = measurement.carrier;
        let read = |ranks, operation| {
            let asked = ExchangeAsked {
                machine: &measurement.machine,
                carrier,
                operation,
                ranks,
                numbers: self.numbers,
            };
            measurement.seconds(&asked).ok().map(|time| time.seconds)
        };
        let timed = measurement.timed().into_iter();
        timed
            .filter(|(_, operation)| *operation != Operation::AllReduce)
            .filter_map(|(ranks, graph)| {
                let all_reduce = read(ranks, Operation::AllReduce)?;
                Some(self.point(ranks, graph, all_reduce, read(ranks, graph)?))
            })
            .collect()
    }

    fn point(
        &self,
        members: u64,
        graph: Operation,
        all_reduce: Estimate,
        exchange: Estimate,
    ) -> GossipPoint {
        let value = |e: &Estimate| e.value.unwrap_or(f64::NAN);
        let ratio = self.break_even(value(&exchange), value(&all_reduce));
        // Ends of both sums on a logarithmic scale, in quadrature.
        let ln = |e: &Estimate, end: Option<f64>| {
            let end = end.unwrap_or_else(|| value(e));
            ((self.compute + end) / (self.compute + value(e))).ln()
        };
        let below = ln(&all_reduce, all_reduce.low).hypot(ln(&exchange, exchange.high));
        let above = ln(&all_reduce, all_reduce.high).hypot(ln(&exchange, exchange.low));
        let break_even = match below > 0.0 || above > 0.0 {
            false => Estimate::exact(ratio),
            true => Estimate::estimated(
                ratio,
                ratio * (-below).exp(),
                ratio * above.exp(),
                all_reduce.level,
                all_reduce.n.min(exchange.n),
            ),
        };
        let time_ratio = self.step_ratio.map(|steps| {
            let turned = |end: Option<f64>| end.map(|end| steps / end);
            Estimate {
                value: turned(break_even.value),
                low: turned(break_even.high),
                high: turned(break_even.low),
                ..break_even.clone()
            }
        });
        GossipPoint {
            members,
            graph,
            all_reduce,
            exchange,
            break_even,
            time_ratio,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::{EXCHANGE_VERSION, ExchangeRow};

    fn question(compute: f64) -> GossipQuestion {
        GossipQuestion {
            numbers: 25_000_000,
            compute,
            step_ratio: Some(1.2),
        }
    }

    const NETWORK: Network = Network {
        latency: 5e-6,
        bandwidth: 1e10,
    };

    /// A hundred megabytes at 10 GB/s on 4,096 devices, 50 ms of computing: the numbers by hand.
    #[test]
    fn the_break_even_ratio_is_the_ratio_of_steps_seconds() {
        let points = question(0.05).modeled(&NETWORK, [4096]);
        let all = 24.0 * 5e-6 + 2.0 * 4095.0 / 4096.0 * 0.01;
        let peer = 5e-6 + 0.01;
        let of = |graph| {
            let point = points.iter().find(|point| point.graph == graph).unwrap();
            point.break_even.value.unwrap()
        };
        assert!((of(Operation::OnePeer) - (0.05 + all) / (0.05 + peer)).abs() < 1e-12);
        // Two messages of a whole vector are as many bytes as the fastest sum sends.
        assert!((of(Operation::Ring) - (0.05 + all) / (0.05 + 2.0 * peer)).abs() < 1e-12);
        assert!(of(Operation::Exponential) < 0.5);
        let point = &points[1];
        let time = point.time_ratio.as_ref().unwrap().value.unwrap();
        assert!((time - 1.2 / of(point.graph)).abs() < 1e-12);
    }

    #[test]
    fn measured_points_are_of_the_measured_ranks_alone() {
        let row = |operation, ranks, seconds: f64| ExchangeRow {
            operation,
            ranks,
            numbers: 25_000_000,
            seconds,
            low: 0.98 * seconds,
            high: 1.02 * seconds,
            n: 9,
        };
        let measurement = ExchangeMeasurement {
            version: EXCHANGE_VERSION,
            machine: "here".to_owned(),
            cores: 2,
            carrier: Carrier::Mpi,
            rows: vec![
                row(Operation::AllReduce, 2, 0.2),
                row(Operation::Ring, 2, 0.1),
                row(Operation::Ring, 4, 0.1),
            ],
        };
        let points = question(0.1).measured(&measurement);
        assert_eq!(points.len(), 1, "four were not timed with an all-reduce");
        let ratio = &points[0].break_even;
        assert!((ratio.value.unwrap() - 1.5).abs() < 1e-12 && ratio.n == 9);
        assert!(ratio.low.unwrap() < 1.5 && ratio.high.unwrap() > 1.5);
        let time = points[0].time_ratio.as_ref().unwrap();
        assert!(
            time.low.unwrap() < time.value.unwrap() && time.value.unwrap() < time.high.unwrap()
        );
        let none = GossipQuestion {
            numbers: 1,
            ..question(0.1)
        };
        assert_eq!(none.measured(&measurement), []);
    }

    proptest! {
        /// The more is computed, the less there is to save: the ratio goes to 1, and never past it.
        #[test]
        fn computing_hides_exchanges(
            compute in 0.0..10.0f64, exchange in 1e-6..10.0f64, all_reduce in 1e-6..10.0f64,
        ) {
            let less = question(compute).break_even(exchange, all_reduce);
            let more = question(compute + 1.0).break_even(exchange, all_reduce);
            prop_assert!((more - 1.0).abs() <= (less - 1.0).abs() + 1e-12);
            prop_assert!((less - 1.0).signum() == (more - 1.0).signum() || less == 1.0 || more == 1.0);
            let even = question(compute).time_ratio(less, exchange, all_reduce);
            prop_assert!((even - 1.0).abs() < 1e-12);
        }

        /// At equal numbers of steps, one peer is never slower than a sum over all, and no graph is faster than it.
        #[test]
        fn one_peer_is_the_cheapest(members in 2u64..=4096, compute in 0.0..1.0f64) {
            let points = question(compute).modeled(&NETWORK, [members]);
            let of = |graph| points.iter().find(|p| p.graph == graph).unwrap().break_even.value.unwrap();
            prop_assert!(of(Operation::OnePeer) >= of(Operation::Ring));
            prop_assert!(of(Operation::OnePeer) >= of(Operation::Exponential));
            prop_assert!(of(Operation::OnePeer) >= 1.0 - 1e-12);
        }
    }
}
