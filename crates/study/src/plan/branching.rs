//! A study whose axis is the batch size of branches of a run.

use batchscope_core::{
    Metric, Quantity, Schedule, SettingError, Split, Start, TrialSpec,
    setting::{above, require},
};
use batchscope_rules::{Base, Rule, Setting};
use serde::{Deserialize, Serialize};

use crate::Plan;

/// What is branched: W. Merrill et al. 2025 (arXiv 2505.23971), section 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branching {
    /// Where the branches begin, in the order of training.
    pub checkpoints: Vec<BranchStart>,
    /// Batch sizes of the branches, in multiples of the run's: increasing, the first 1, and each a divisor of the last.
    pub factors: Vec<u64>,
    /// Gives the learning rate at each.
    pub rule: Rule,
    /// Examples of every branch; whole steps of the largest batch are made of at least so many.
    pub examples: u64,
    /// The loss that is looked at in the end.
    pub metric: Metric,
    /// How much of it a larger batch may cost.
    pub tolerance: f64,
    /// The run that the checkpoints are of, where they say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<TrialSpec>>,
    /// Why such a run cannot change its batch size on the way, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_batch: Option<String>,
}

/// A checkpoint, and what the run had there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchStart {
    /// The checkpoint.
    pub start: Start,
    /// Examples that the run had seen, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Examples per step there.
    pub batch_size: u64,
    /// The learning rate there.
    pub learning_rate: f64,
}

impl Branching {
    /// The largest multiple of the run's batch size.
    pub fn largest(&self) -> u64 {
        self.factors.last().copied().unwrap_or(1)
    }

    /// The batch sizes of all branches, increasing.
    pub fn batch_sizes(&self) -> Vec<u64> {
        let sizes = self.checkpoints.iter().flat_map(|from| {
            let of = |factor: &u64| factor.saturating_mul(from.batch_size);
            self.factors.iter().map(of)
        });
        let mut sizes: Vec<u64> = sizes.collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Examples of each branch from a checkpoint: whole steps of its largest batch.
    pub fn examples_from(&self, from: &BranchStart) -> u64 {
        let largest = self.largest().saturating_mul(from.batch_size).max(1);
        self.examples
            .max(1)
            .div_ceil(largest)
            .saturating_mul(largest)
    }

    /// Rate and optimizer of a branch.
    ///
    /// # Errors
    /// Key `rule`, where the rule does not reach the batch size.
    pub fn setting(
        &self,
        plan: &Plan,
        from: &BranchStart,
        factor: u64,
        train_examples: Option<u64>,
    ) -> Result<Setting, SettingError> {
        let base = Base {
            setting: Setting {
                learning_rate: from.learning_rate,
                schedule: Schedule::constant(),
                optimizer: plan.optimizer.clone(),
            },
            batch_size: from.batch_size,
            train_examples,
            noise_scale: None,
        };
        self.rule
            .apply(&base, factor.saturating_mul(from.batch_size))
            .map_err(|error| SettingError::new("rule", format!("{}: {error}", self.rule)))
    }

    /// Refuses branches that make no sense.
    ///
    /// # Errors
    /// By key.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), SettingError> {
        require(
            !self.checkpoints.is_empty(),
            "checkpoints",
            "are missing: name the checkpoints of a run, in the order of training",
        )?;
        let factors = &self.factors;
        require(
            factors.len() >= 2 && factors[0] == 1 && factors.windows(2).all(|w| w[0] < w[1]),
            "factors",
            "must begin with 1 and increase: 1,2,4,8",
        )?;
        let largest = self.largest();
        require(
            factors.iter().all(|factor| largest.is_multiple_of(*factor)),
            "factors",
            "must divide the largest, so that all branches see as many examples: 1,2,4,8",
        )?;
        require(
            plan.seeds >= 2,
            "seeds",
            "must be at least 2: differences to the run's own batch size need a scatter",
        )?;
        require(
            above(self.tolerance, 0.0),
            "tolerance",
            "must be a loss above 0: 0.01",
        )?;
        require(
            self.metric.split != Split::Test,
            "loss",
            "must not be on the test examples: use train- or val-",
        )?;
        require(
            matches!(
                self.metric.quantity,
                Quantity::Loss | Quantity::Error | Quantity::Perplexity
            ),
            "loss",
            "must be lower where it is better: train-loss, val-loss, val-error",
        )?;
        let starts = self.checkpoints.iter().map(|from| &from.start);
        let starts: Vec<_> = starts.collect();
        let repeated =
            (1..starts.len()).any(|i| starts[..i].iter().any(|other| other.is(starts[i])));
        require(!repeated, "checkpoints", "names a checkpoint twice")?;
        for from in &self.checkpoints {
            require(from.batch_size > 0, "batch-size", "must be at least 1")?;
            require(
                above(from.learning_rate, 0.0),
                "learning-rate",
                "is 0 at a checkpoint: nothing is learned from there on",
            )?;
            for &factor in factors {
                self.setting(plan, from, factor, None)?;
            }
        }
        Ok(())
    }
}
