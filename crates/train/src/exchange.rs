//! Exchanges against the clock: what the members of a group pay for a sum over all, or for their neighbors' vectors.
//!
//! A repeat begins when all members are there, and takes as long as its slowest member. Vectors are written anew before it,
//! as gradients are before a step. Mixing what neighbors gave is not part of it.

use std::{hint::black_box, time::Instant};

use batchscope_core::{Group, SettingError};
use batchscope_group::{
    ThreadGroup,
    topology::{TOPOLOGIES, Topology},
};
use batchscope_scaling::Operation;
use serde::{Deserialize, Serialize};

use crate::{Call, TrainError};

/// Repeats that are made whatever they take.
const AT_LEAST: u64 = 5;
/// Repeats that are enough.
const AT_MOST: u64 = 101;

/// An exchange that all members of a group make again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedExchange {
    /// What is exchanged.
    pub operation: Operation,
    /// Numbers of 4 bytes that each member has.
    pub numbers: u64,
    /// Seconds after which no other repeat begins, but for the first 5.
    pub seconds: f64,
}

impl TimedExchange {
    /// Seconds of each repeat, with the processes of a group; called on process 0.
    ///
    /// # Errors
    /// When a member is lost.
    pub fn lead(&self, group: &dyn Group) -> Result<Vec<f64>, TrainError> {
        Call::exchange(self.clone()).tell(group)?;
        self.take_part(group)
    }

    /// Seconds of each repeat of these exchanges, on so many threads; `done` hears of each as it comes, with its place.
    ///
    /// # Errors
    /// When there are no threads.
    pub fn on_threads(
        exchanges: &[Self],
        ranks: usize,
        mut done: impl FnMut(usize, Vec<f64>),
    ) -> Result<(), TrainError> {
        let mut members = ThreadGroup::members(ranks).into_iter();
        let first = members
            .next()
            .ok_or_else(|| TrainError::Bug("an exchange without members".to_owned()))?;
        std::thread::scope(|scope| {
            for member in members {
                let others = move || -> Result<(), TrainError> {
                    for exchange in exchanges {
                        exchange.take_part(&member)?;
                    }
                    Ok(())
                };
                // What ends them ends the first, who tells it.
                std::thread::Builder::new()
                    .spawn_scoped(scope, others)
                    .map_err(|e| TrainError::Infeasible(format!("{ranks} threads: {e}")))?;
            }
            // Given up here, so that those who wait for it hear when it ends early.
            let first = first;
            for (place, exchange) in exchanges.iter().enumerate() {
                done(place, exchange.take_part(&first)?);
            }
            Ok(())
        })
    }

    /// This member's part: seconds of each repeat, the same on every member.
    ///
    /// # Errors
    /// When a member is lost.
    pub(crate) fn take_part(&self, group: &dyn Group) -> Result<Vec<f64>, TrainError> {
        let topology = match self.operation {
            Operation::AllReduce => None,
            graph => Some(topology(graph, group.size())?),
        };
        let numbers = usize::try_from(self.numbers)
            .map_err(|_| TrainError::Infeasible(format!("{} numbers", self.numbers)))?;
        let mut values = vec![1.0f32; numbers];
        let mut all = Vec::new();
        let began = Instant::now();
        for repeat in 0..=AT_MOST {
            values.fill(1.0);
            let peers = topology
                .as_ref()
                .map(|topology| topology.peers(repeat, group.rank()));
            // Nobody has every number before all are there.
            group.all_gather(&[0.0])?;
            let start = Instant::now();
            match &peers {
                None => group.all_reduce_sum(&mut values)?,
                Some((to, from)) => {
                    black_box(group.exchange(&values, to, from)?);
                }
            }
            let mine = start.elapsed().as_secs_f64();
            black_box(&values);
            // Member 0 alone says when it is enough: clocks differ.
            let is_enough = repeat >= AT_LEAST && began.elapsed().as_secs_f64() >= self.seconds;
            let told = group.all_gather(&[mine, f64::from(is_enough)])?;
            // The first warms up.
            if repeat > 0 {
                all.push(told.iter().step_by(2).copied().fold(0.0, f64::max));
            }
            if told.get(1) == Some(&1.0) {
                break;
            }
        }
        Ok(all)
    }
}

/// The graph of an exchange between neighbors.
fn topology(graph: Operation, members: usize) -> Result<Topology, TrainError> {
    let wrong = |e: &dyn std::fmt::Display| SettingError::new("ranks", e.to_string());
    let (_, choice) = TOPOLOGIES.read(graph.name()).map_err(|e| wrong(&e))?;
    Ok(Topology::new(&choice, members).map_err(|e| wrong(&e))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exchange_is_timed_on_every_number_of_threads() {
        let of = |operation| TimedExchange {
            operation,
            numbers: 33,
            seconds: 0.0,
        };
        let exchanges = Operation::ALL.map(of);
        for ranks in [1, 2, 3, 8] {
            let mut heard = Vec::new();
            TimedExchange::on_threads(&exchanges, ranks, |place, seconds| {
                assert!(seconds.iter().all(|s| s.is_finite() && *s >= 0.0));
                heard.push((place, seconds.len() as u64));
            })
            .unwrap();
            assert_eq!(heard, [0, 1, 2, 3].map(|place| (place, AT_LEAST)));
        }
        assert!(TimedExchange::on_threads(&exchanges, 0, |_, _| {}).is_err());
    }

    /// The degree that the model counts with is the number of vectors that a member gives and gets.
    #[test]
    fn degrees_are_those_of_the_graphs() {
        for graph in Operation::NEIGHBORS {
            for members in 1..=17 {
                let topology = topology(graph, members).unwrap();
                for step in 0..topology.period() {
                    for member in 0..members {
                        let (to, from) = topology.peers(step, member);
                        let counts = [to.len(), from.len()].map(|n| Some(n as u64));
                        let degree = graph.degree(members as u64);
                        assert_eq!(counts, [degree; 2], "{graph:?} of {members}");
                    }
                }
            }
        }
    }

    #[test]
    fn repeats_end_by_their_number() {
        let exchange = TimedExchange {
            operation: Operation::AllReduce,
            numbers: 1,
            seconds: f64::INFINITY,
        };
        let mut repeats = 0;
        TimedExchange::on_threads(&[exchange], 2, |_, seconds| repeats = seconds.len()).unwrap();
        assert_eq!(repeats as u64, AT_MOST);
    }
}
