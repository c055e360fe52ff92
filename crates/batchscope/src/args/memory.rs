//! `batchscope memory`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    settings::{
        ComputeArgs, DataArgs, ExamplesArgs, ModelArgs, OptimizerArgs, ReadArgs, StepArgs,
        StudySettings, TrainerArgs, Workload,
    },
    values::{self, Bytes},
};

/// `batchscope memory`.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    mut_arg("time_steps", |arg| arg.hide(true)),
    mut_arg("slots", |arg| arg.hide(true)),
    mut_arg("micro_batch", |arg| arg.hide(true)),
    mut_arg("ranks", |arg| arg.hide(true)),
    mut_arg("max_memory", |arg| arg.help("Let a process have this much address space: 512M, 4G (default: 80 % of the memory that is available)"))
)]
pub struct MemoryArgs {
    /// Time a step of so many examples in the smallest micro-batches at full throughput (default: four of these)
    #[arg(long, value_name = "B", help_heading = "Search", value_parser = values::at_least_one)]
    pub batch_size: Option<u64>,
    /// Try no micro-batch above this one (default: the training examples, or 65536)
    #[arg(long, value_name = "N", help_heading = "Search", value_parser = values::at_least_one)]
    pub largest: Option<u64>,
    /// Try none larger once a step takes longer
    #[arg(long, value_name = "SECONDS", help_heading = "Search", default_value_t = 30.0, value_parser = values::at_least_zero)]
    pub longest_step: f64,
    /// Seconds of timing for each size, where its steps are quick; a program makes ten steps
    #[arg(long, value_name = "SECONDS", help_heading = "Search", default_value_t = 1.0, value_parser = values::at_least_zero)]
    pub budget: f64,
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
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The optimizer, whose memory counts.
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// How a step is made.
    #[command(flatten)]
    pub step: StepArgs,
    /// Where it is computed, and within what.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print what was found as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Try what standard input asks for, in this folder: how the command calls itself.
    #[arg(long, value_name = "DIR", hide = true)]
    pub probe: Option<PathBuf>,
    /// With --probe: first limit the address space to so many bytes.
    #[arg(long, value_name = "BYTES", hide = true, requires = "probe")]
    pub within: Option<Bytes>,
    /// With --probe: say what counting makes of so many bytes.
    #[arg(long, value_name = "BYTES", hide = true, requires = "probe")]
    pub counted: Option<Bytes>,
}

impl MemoryArgs {
    /// As the settings of a study that makes one try at each size.
    pub fn settings(&self) -> StudySettings {
        // A program that is ended for its memory is not run again.
        let retries = (!self.trainer.command.is_empty()).then_some(0);
        StudySettings {
            trainer: TrainerArgs {
                retries: self.trainer.retries.or(retries),
                sizes_only: true,
                ..self.trainer.clone()
            },
            workload: Workload {
                data: self.data.clone(),
                read: self.read.clone(),
                examples: self.examples.clone(),
                model: self.model.clone(),
                optimizer: self.optimizer.clone(),
                step: self.step.clone(),
                compute: ComputeArgs {
                    max_memory: None,
                    micro_batch: None,
                    ..self.compute.clone()
                },
                ..Workload::default()
            },
            ..StudySettings::default()
        }
    }
}
