//! `batchscope navigate`.

use std::path::PathBuf;

use batchscope_core::{Length, Target};
use clap::{Args, Subcommand};

use crate::{
    settings::OptimizerArgs,
    values::{self, AfterWarmUp, Switch},
};

/// `batchscope navigate`.
#[derive(Debug, Args)]
pub struct NavigateArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: NavigateWhat,
}

/// What to do with the workload.
#[derive(Debug, Subcommand)]
pub enum NavigateWhat {
    /// Train an agent, and test it in scenes that it has not seen
    Train(Box<NavigateTrain>),
    /// Draw floor plans, what agents see, and an episode
    Render(NavigateRender),
    /// Time the simulator, the renderer and training
    Bench(NavigateBench),
}

/// `batchscope navigate train`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct NavigateTrain {
    /// The workload, with its settings: navigation(rooms=2,width=8)
    #[arg(long, value_name = "WORKLOAD", help_heading = "Workload")]
    pub workload: Option<String>,
    /// Frames of an update, a multiple of the horizon [default: 512]
    #[arg(long, value_name = "B", help_heading = "Training", value_parser = values::at_least_one)]
    pub batch_size: Option<u64>,
    /// Full learning rate [default: 0.0005 times the root of the batch size over 256, at least 0.0005]
    #[arg(long, value_name = "RATE", help_heading = "Training", value_parser = values::positive)]
    pub learning_rate: Option<f64>,
    /// Train on this many frames [default: 200000]
    #[arg(long, value_name = "N", help_heading = "Training", conflicts_with = "steps", value_parser = values::at_least_one)]
    pub frames: Option<u64>,
    /// Train this many updates
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = values::at_least_one)]
    pub steps: Option<u64>,
    /// Stop when this is reached: val-success=0.8
    #[arg(long, value_name = "TARGET", help_heading = "Training", value_parser = values::fixed_target)]
    pub target: Option<Target>,
    /// Evaluate every N updates instead of at geometrically spaced ones
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = values::at_least_one)]
    pub evaluate_every: Option<u64>,
    /// Warm-up in updates; with --schedule alone there is none [default: a hundredth of the run, from half of the rate]
    #[arg(long, value_name = "LENGTH", help_heading = "Training")]
    pub warm_up: Option<Length>,
    /// After warm-up: constant, step(FACTOR@300@600), linear(LENGTH), cosine(LENGTH), poly(POWER,LENGTH) [default: cosine over the run, down to a hundredth]
    #[arg(long, value_name = "SCHEDULE", help_heading = "Training")]
    pub schedule: Option<AfterWarmUp>,
    /// The optimizer; without one adamw(weight_decay=0.01), with --clip 1.
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// Frames per pass through the network at most, a multiple of the horizon [default: 1024]
    #[arg(long, value_name = "B", help_heading = "Running", value_parser = values::at_least_one)]
    pub micro_batch: Option<u64>,
    /// Watch the gradient noise along training [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", help_heading = "Running")]
    pub noise: Option<Switch>,
    /// Seed of the run; the scenes have their own, scene_seed of the workload
    #[arg(
        long,
        value_name = "SEED",
        help_heading = "Running",
        default_value_t = 0
    )]
    pub seed: u64,
    /// Folder for the checkpoint; an unfinished run found there is resumed
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub checkpoint: Option<PathBuf>,
    /// Print the record as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `batchscope navigate render`.
#[derive(Debug, Args)]
pub struct NavigateRender {
    /// The workload, with its settings: navigation(rooms=3)
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Draw the plans of this many scenes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub plans: u64,
    /// Draw what this many agents see
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub views: u64,
    /// The agent of the episode: a folder of `navigate train --checkpoint`; without one it follows the shortest way
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Number of the episode, among those that evaluations use
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..10_000))]
    pub episode: u64,
    /// Folder of the pictures
    #[arg(long, value_name = "DIR", default_value = "batchscope-navigation")]
    pub out: PathBuf,
}

/// `batchscope navigate bench`.
#[derive(Debug, Args)]
pub struct NavigateBench {
    /// The workload, with its settings [default: navigation(rooms=8,triangles=2000)]
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Environments
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,4,16,64,256,1024,4096", value_parser = clap::value_parser!(u64).range(1..=16_384))]
    pub environments: Vec<u64>,
    /// Seconds of each timing
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = values::positive)]
    pub budget: f64,
    /// Print as JSON on standard output
    #[arg(long)]
    pub json: bool,
}
