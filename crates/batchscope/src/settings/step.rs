//! How a step is made, beside the optimizer, and what is measured on the way.

use batchscope_core::{Length, WarmUpShape};
use batchscope_train::{Adversarial, Conservative};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{AfterWarmUp, Switch};

use super::text;

/// How a step is made.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Step")]
pub struct StepArgs {
    /// Also train on FGSM examples: EPSILON or EPSILON:CLEAN_WEIGHT (0.1:0.5 without a value)
    #[arg(long, value_name = "EPSILON", num_args = 0..=1, default_missing_value = "0.1")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<Adversarial>,
    /// Conservative steps, each a proximal problem on its batch: LAMBDA or LAMBDA:UPDATES (0.001:3 without a value)
    #[arg(long, value_name = "LAMBDA", num_args = 0..=1, default_missing_value = "0.001")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub conservative: Option<Conservative>,
    /// Warm-up length: steps (`200`) or epochs (`2ep`) (default: 10 steps in a study, none in train)
    #[arg(long, value_name = "LENGTH")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Length>,
    /// Warm-up from zero (linear) or from the base batch size's rate (gradual) [default: linear]
    #[arg(long, value_name = "linear|gradual")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub warm_up_shape: Option<WarmUpShape>,
    /// After warm-up: constant, step(FACTOR@30ep@60ep), linear(LENGTH), cosine(LENGTH), poly(POWER,LENGTH); colons for parentheses [default: constant]
    #[arg(long, value_name = "SCHEDULE")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub schedule: Option<AfterWarmUp>,
}

/// What is measured while training.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Running")]
pub struct MeasureArgs {
    /// Evaluate on at most this many examples of each split [default: 2000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_examples: Option<u64>,
    /// Watch the gradient noise along training [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Switch>,
}
