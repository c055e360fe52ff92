//! What the episodes of training came to, between two evaluations.

use std::collections::BTreeMap;

use batchscope_core::{Metric, Split};
use serde::{Deserialize, Serialize};

use crate::{
    session::{SPL, SUCCESS, metric},
    simulator::Stepped,
};

/// Name of the mean sum of an episode's rewards.
pub const RETURN: &str = "return";

/// Sums over the episodes that ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    episodes: u64,
    successes: u64,
    spl: f64,
    returned: f64,
    /// Rewards so far of the episodes under way.
    running: Vec<f64>,
}

impl Tally {
    /// Of so many environments.
    pub fn new(environments: usize) -> Self {
        Self {
            running: vec![0.0; environments],
            ..Self::default()
        }
    }

    /// Environments whose rewards it keeps.
    pub fn environments(&self) -> usize {
        self.running.len()
    }

    /// Takes a step in.
    pub fn add(&mut self, stepped: &Stepped) {
        let steps = stepped.rewards.iter().zip(&stepped.ended);
        for (running, (&reward, ended)) in self.running.iter_mut().zip(steps) {
            *running += f64::from(reward);
            if let Some(ended) = ended {
                self.episodes += 1;
                self.successes += u64::from(ended.success);
                self.spl += ended.spl();
                self.returned += std::mem::take(running);
            }
        }
    }

    /// Tells the means and begins anew; tells nothing where no episode has ended.
    pub fn take(&mut self, metrics: &mut BTreeMap<Metric, f64>) {
        if self.episodes == 0 {
            return;
        }
        let mean = |sum: f64| sum / self.episodes as f64;
        let found = [
            (SUCCESS, mean(self.successes as f64)),
            (SPL, mean(self.spl)),
            (RETURN, mean(self.returned)),
        ];
        metrics.extend(found.map(|(name, value)| (metric(Split::Train, name), value)));
        *self = Self {
            running: std::mem::take(&mut self.running),
            ..Self::default()
        };
    }
}
