//! How a step is made, beside the optimizer, and what is measured on the way.

use batchscope_core::{Choice, Diagnostic, Length, WarmUpShape};
use batchscope_train::METHODS;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{self, AfterWarmUp, Measurements, Methods, Switch};

use super::text;

/// How a step is made.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Step")]
pub struct StepArgs {
    /// How steps are made.
    #[arg(long, value_name = "METHODS", help = help_of_methods())]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub method: Option<Methods>,
    /// `--method adversarial`, as it was written up to 0.1.0.
    #[arg(long, hide = true, value_name = "EPSILON", num_args = 0..=1, default_missing_value = "0.1", value_parser = values::adversarial)]
    #[serde(skip)]
    pub adversarial: Option<Methods>,
    /// `--method conservative`, as it was written up to 0.1.0.
    #[arg(long, hide = true, value_name = "LAMBDA", num_args = 0..=1, default_missing_value = "0.001", value_parser = values::conservative)]
    #[serde(skip)]
    pub conservative: Option<Methods>,
    /// Warm-up length: steps (`200`) or epochs (`2ep`) (default: none; 10 steps in a study with --tune base and in a comparison with a rule)
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

fn help_of_methods() -> String {
    let methods: Vec<String> = METHODS
        .all
        .iter()
        .map(|kind| values::written(&kind.descriptor))
        .collect();
    format!(
        "How steps are made: {} [default: plain]",
        methods.join(", ")
    )
}

impl StepArgs {
    /// The same with the methods that were written as flags of their own among the others.
    pub fn spread(mut self) -> Self {
        for earlier in [self.adversarial.take(), self.conservative.take()] {
            let methods = self.method.get_or_insert_default();
            methods.0.extend(earlier.into_iter().flat_map(|m| m.0));
        }
        self.method = self.method.filter(|methods| !methods.0.is_empty());
        self
    }

    /// The step methods that were asked for.
    pub fn methods(&self) -> Vec<Choice> {
        self.clone().spread().method.unwrap_or_default().0
    }
}

/// What is measured while training.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Running")]
pub struct MeasureArgs {
    /// Evaluate on at most this many examples of each split [default: 1000]
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_examples: Option<u64>,
    /// Watch the gradient noise along training [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Switch>,
    /// Measure these too, in the runs whose numbers are reported: linearity, sign_noise, attacked(epsilon=0.1)
    #[arg(long, value_name = "MEASUREMENTS")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measurements>,
}

impl MeasureArgs {
    /// What is measured beside the metrics, apart from gradient noise.
    pub fn measurements(&self) -> Vec<Diagnostic> {
        self.measure.clone().unwrap_or_default().0
    }
}
