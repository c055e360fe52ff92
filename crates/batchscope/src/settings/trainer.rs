//! What trains a study's trials.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{self, Devices, MetricName, OutputPattern, Switch};

use super::text;

/// The trainer.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Trainer")]
pub struct TrainerArgs {
    /// What trains: built-in, command (a program of yours, named after --), navigation, with its settings, as in navigation(rooms=2), or a trainer that this program was built with [default: built-in]
    #[arg(long, alias = "workload", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<String>,
    /// A training program of yours to run for every trial, after `--`: python train.py --bs {batch_size} --lr {learning_rate} --seed {seed}
    #[arg(last = true, value_name = "COMMAND")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The program reads its settings from its environment (BATCHSCOPE_BATCH_SIZE, BATCHSCOPE_LEARNING_RATE, ...), so they need not be among its words
    #[arg(long, help_heading = "Program")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reads_environment: bool,
    /// Read the program's output by this regular expression, whose groups are names: step (?<step>\d+).*loss (?<val_loss>\S+) (default: name=value, name: value and JSON objects)
    #[arg(long, value_name = "REGEX", help_heading = "Program")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<OutputPattern>,
    /// Read the program's reports from this CSV file too, which it adds rows to; placeholders are filled in
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_csv: Option<String>,
    /// Read the program's reports from TensorBoard's event files in this folder too, which it writes, as in {checkpoint_dir}/../tb; placeholders are filled in
    #[arg(long, value_name = "FOLDER", help_heading = "Program")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_tensorboard: Option<String>,
    /// The program's own name for a metric: val-loss=dev/nll. Repeatable
    #[arg(long, value_name = "METRIC=NAME", help_heading = "Program")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_name: Vec<MetricName>,
    /// The program's training examples: what an epoch is
    #[arg(long, value_name = "N", help_heading = "Program", value_parser = values::at_least_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u64>,
    /// Of `memory`, which tunes nothing.
    #[arg(skip)]
    #[serde(skip)]
    pub sizes_only: bool,
    /// Devices that trials take turns on, a trial each: cuda:0,cuda:1; cuda:0+cuda:1 is one trial on both
    #[arg(
        long,
        value_name = "DEVICES",
        help_heading = "Program",
        conflicts_with = "slots"
    )]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub devices: Option<Devices>,
    /// Trials at a time where they need no device of their own; --jobs says the same [default: 1]
    #[arg(long, value_name = "N", help_heading = "Program", value_parser = clap::value_parser!(u64).range(1..=1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// Where trials ran side by side, time the steps by one more run at each batch size, alone [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", help_heading = "Program")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_steps: Option<Switch>,
    /// A run of the program that takes longer than this many seconds has failed
    #[arg(long, value_name = "SECONDS", help_heading = "Program", value_parser = values::positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Seconds that the program has to end once it is told to (SIGTERM, and the file BATCHSCOPE_STOP_FILE) [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = "Program", value_parser = values::at_least_zero)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<f64>,
    /// Run a program again that ended with code 75 or by a signal, at most this often [default: 2]
    #[arg(long, value_name = "N", help_heading = "Program")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}
