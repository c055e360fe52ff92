//! `batchscope reproduce` as typed.

use std::path::PathBuf;

use clap::Args;

use super::StatisticsChoice;
use crate::{
    settings::{DataArgs, ReadArgs},
    values,
};

/// `batchscope reproduce`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ReproduceArgs {
    /// The experiment: keskar-2016
    pub name: Option<String>,
    /// The paper's network: f1 (MNIST), f2 (TIMIT), c1 or c2 (CIFAR-10), c3 or c4 (CIFAR-100) [default: f1]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// The data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Use this many training examples (default: as many as let the network's experiment end within an hour on two cores)
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub examples: Option<u64>,
    /// Random starts of the table [default: 5]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub starts: Option<u32>,
    /// Starts for remedies and intermediate batch sizes, at most --starts (default: by network)
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub other_starts: Option<u32>,
    /// Parts to do: table, slices, remedies, batch-sizes, trajectory, warm-starts (default: all)
    #[arg(long, value_name = "PARTS", help_heading = "Experiment")]
    pub part: Option<String>,
    /// A run ends after this many epochs, even if its loss still falls (default: by network)
    #[arg(long, value_name = "E", help_heading = "Experiment")]
    pub epochs: Option<u32>,
    /// ADAM's rate at every batch size [default: 0.001]
    #[arg(long, value_name = "RATE", help_heading = "Experiment")]
    pub learning_rate: Option<f64>,
    /// Batch norm normalizes over this many examples (default: the whole batch, as in the paper)
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub ghost: Option<u64>,
    /// Sharpness of the loss on this many training examples (default: by network)
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub sharpness_examples: Option<u64>,
    /// Random starts of each search for the sharpest point (default: by network)
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub sharpness_starts: Option<u32>,
    /// Iterations after which a search for the sharpest point that goes on until it converges ends nevertheless [default: 200]
    #[arg(long, value_name = "N", help_heading = "Experiment", value_parser = values::at_least_one)]
    pub search_iterations: Option<u64>,
    /// Evaluate on at most this many examples of the training and of the test set [default: 2000]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    pub eval_examples: Option<u64>,
    /// Slices: batch-norm statistics estimated at every point, interpolated between the minima, or both [default: interpolated]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Experiment")]
    pub statistics: Option<StatisticsChoice>,
    /// Seed of every random stream [default: 0]
    #[arg(long, value_name = "SEED", help_heading = "Running")]
    pub seed: Option<u64>,
    /// Tasks at a time, sharing the cores (default: one a core)
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub jobs: Option<usize>,
    /// Stop after this many minutes and report what is finished; the same command resumes
    #[arg(long, value_name = "M", help_heading = "Running")]
    pub minutes: Option<f64>,
    /// Folder of the experiment (default: batchscope-keskar-2016-NETWORK)
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub dir: Option<PathBuf>,
    /// Print what it would cost, and run nothing
    #[arg(long, help_heading = "Running")]
    pub dry_run: bool,
    /// Print the results as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}
