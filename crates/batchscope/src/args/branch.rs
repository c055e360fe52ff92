//! `batchscope branch`.

use std::path::PathBuf;

use batchscope_nn::DeviceSpec;
use clap::Args;

use crate::{
    settings::{
        BranchingArgs, ComputeArgs, DataArgs, ExamplesArgs, MeasureArgs, ReadArgs, StudySettings,
        TrainerArgs, TrialArgs, Workload,
    },
    values::{self, Bytes},
};

/// `batchscope branch`.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    mut_arg("time_steps", |arg| arg.hide(true))
)]
pub struct BranchArgs {
    /// What is branched.
    #[command(flatten)]
    pub branching: BranchingArgs,
    /// What trains.
    #[command(flatten)]
    pub trainer: TrainerArgs,
    /// The data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Which of them.
    #[command(flatten)]
    pub examples: ExamplesArgs,
    /// Seeds of the branches of each checkpoint and batch size, 2 at least [default: 3]
    #[arg(long, value_name = "N", help_heading = "Branches")]
    pub seeds: Option<u32>,
    /// Evaluate on at most this many examples of each split [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Measuring", value_parser = values::at_least_one)]
    pub eval_examples: Option<u64>,
    /// Compute on cpu, cuda, cuda:1, ... [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Running")]
    pub device: Option<DeviceSpec>,
    /// Examples per forward pass at most; larger batches accumulate, exactly
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub micro_batch: Option<u64>,
    /// Keep a training step within this much memory: 512M, 4G
    #[arg(long, value_name = "BYTES", help_heading = "Running")]
    pub max_memory: Option<Bytes>,
    /// Branches at a time, sharing the cores (default: as many as are measured to be fastest)
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub jobs: Option<usize>,
    /// Folder of the branches: results, and what resuming needs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "batchscope-branch",
        help_heading = "Running"
    )]
    pub dir: PathBuf,
    /// Read settings from this file; flags win over it
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub config: Option<PathBuf>,
    /// Print what was found as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl BranchArgs {
    /// As a study's settings.
    pub fn settings(&self) -> StudySettings {
        StudySettings {
            trainer: self.trainer.clone(),
            workload: Workload {
                data: self.data.clone(),
                read: self.read.clone(),
                examples: self.examples.clone(),
                compute: ComputeArgs {
                    device: self.device,
                    micro_batch: self.micro_batch,
                    max_memory: self.max_memory,
                    ..ComputeArgs::default()
                },
                measure: MeasureArgs {
                    eval_examples: self.eval_examples,
                    ..MeasureArgs::default()
                },
                ..Workload::default()
            },
            trials: TrialArgs {
                seeds: self.seeds,
                jobs: self.jobs,
                ..TrialArgs::default()
            },
            branching: self.branching.clone(),
            ..StudySettings::default()
        }
    }
}
