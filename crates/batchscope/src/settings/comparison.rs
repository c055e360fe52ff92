//! What `compare` asks beside a study's settings.

use batchscope_core::Metric;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{self, MethodList, Switch};

use super::text;

/// What is compared.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Comparison")]
pub struct ComparisonArgs {
    /// Methods, an optimizer and a rule each, the first the baseline: 'sgd+lsr, lars+legw, adamw(beta2=0.99)+sqrt+timescale'; +tuned tunes the rate at every batch size, step methods and augmentations make their steps: sgd+lsr+conadv+flip; and a controller leads the runs: sgd+lsr+grow, sgd+autowu
    #[arg(long, value_name = "METHODS")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub methods: Option<MethodList>,
    /// Passes over the training examples: of every run, or with --target at most [default: 5]
    #[arg(long, value_name = "E", value_parser = values::positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Examples in place of passes, for trainers without a training set: of every run, or with --target at most
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = values::at_least_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_examples: Option<u64>,
    /// Without --target: tune the length of the warm-up beside the rate, between a hundredth and half of the run
    #[arg(long, conflicts_with = "target", value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub tune_warm_up: Option<Switch>,
    /// Without --target: the metric at the end of the runs that methods are compared by [default: val-error]
    #[arg(long, value_name = "METRIC", conflicts_with = "target")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}
