//! What `branch` asks beside a study's settings.

use std::path::{Path, PathBuf};

use batchscope_core::Metric;
use batchscope_rules::Rule;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{self, BatchSizes};

use super::text;

/// What is branched.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Branches")]
pub struct BranchingArgs {
    /// Checkpoints of one run, in the order of training: files of `train --checkpoint DIR --keep STEPS`, or of a program of yours
    #[arg(value_name = "CHECKPOINT")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<String>,
    /// The folder that relative `checkpoints` start from, or the working directory: not a setting, but where the setting
    /// was made.
    #[arg(skip)]
    #[serde(skip)]
    pub checkpoints_from: Option<PathBuf>,
    /// Batch sizes of the branches, in multiples of the run's; each divides the last [default: 1,2,4,8,16,32, as far as the training set goes]
    #[arg(long, value_name = "K,K,...")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub factors: Option<BatchSizes>,
    /// Rule that carries the learning rate to a branch's batch size (default: lsr, or srsr for an optimizer with a second moment)
    #[arg(long, value_name = "RULE")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Examples of every branch (default: 32 steps of the largest batch)
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_examples: Option<u64>,
    /// Loss at the end of the branches [default: train-loss]
    #[arg(long, value_name = "METRIC")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub loss: Option<Metric>,
    /// How much of that loss a larger batch may cost [default: 0.01]
    #[arg(long, value_name = "LOSS", value_parser = values::positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Branch on other data than the run's
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other_data: bool,
    /// Of a program's run: examples per step
    #[arg(
        long,
        value_name = "B",
        help_heading = "Program",
        value_parser = values::at_least_one
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Of a program's run: the learning rate at the checkpoints
    #[arg(
        long,
        value_name = "RATE",
        help_heading = "Program",
        value_parser = values::positive
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Of a program's run: steps that each checkpoint had made: 100,200
    #[arg(
        long,
        value_name = "STEPS",
        help_heading = "Program",
        value_delimiter = ',',
        value_parser = values::at_least_one
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at_steps: Vec<u64>,
    /// The program counts its steps from 0 again where it goes on from a checkpoint
    #[arg(long, help_heading = "Program")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub counts_anew: bool,
}

impl BranchingArgs {
    /// Where a checkpoint of the built-in trainer lies.
    pub fn place(&self, checkpoint: &str) -> PathBuf {
        let path = Path::new(checkpoint);
        match &self.checkpoints_from {
            Some(from) => from.join(path),
            None => path.to_owned(),
        }
    }
}
