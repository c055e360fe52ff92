//! What a study asks: a flag for every field of its plan that is not the workload's.

use batchscope_study::{MomentumRange, RateRange, TargetChoice, Tune};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::{self, BatchSizes, Rules, Switch, TuneWidth};

use super::text;

/// What every comparison of batch sizes or of methods asks: which batch sizes, how many trials, towards what.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Study")]
pub struct TrialArgs {
    /// Batch sizes: 8..2048 (powers of two), 8..2048:x4, or 8,24,96 [default: 8..2048]
    #[arg(long, value_name = "SIZES")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub batch_sizes: Option<BatchSizes>,
    /// Target: val-error=0.03 or train-loss=0.1; auto or auto:val-loss (nine tenths of the improvement of the pilot's best run); quartile or quartile:train-loss (as Golmant et al. 2018) [default: auto]
    #[arg(long, value_name = "TARGET", value_parser = values::target)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetChoice>,
    /// Batch size of the pilot, and from which the rules scale [default: 64]
    #[arg(long, value_name = "B")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_batch: Option<u64>,
    /// Tuning trials per batch size (and round of widening) [default: 8]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_trials: Option<u32>,
    /// Widen a batch size's range of rates by this factor where its best lies on an edge [default: 4]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widen_factor: Option<f64>,
    /// Widen a batch size's range of rates at most this many times [default: 2]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_widenings: Option<u32>,
    /// Fresh seeds per batch size and rule: what the estimates rest on [default: 3]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<u32>,
    /// First evaluated step [default: 5]
    #[arg(long, value_name = "STEP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_first: Option<u64>,
    /// Ratio between successive evaluated steps, above 1 [default: 1.2]
    #[arg(long, value_name = "R")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ratio: Option<f64>,
    /// Parts into which the steps between two evaluations are divided near the target; 1 leaves them whole [default: 2]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_refine: Option<u32>,
    /// No trial makes more steps than this
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Scale adam's beta2 to keep its half-life in examples at every batch size
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_half_life: Option<Switch>,
    /// Trials at a time, sharing the cores (default: as many as are measured to be fastest)
    #[arg(long, value_name = "N", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
}

/// What a study asks besides.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Study")]
pub struct PlanArgs {
    /// Tune the learning rate at every batch size, or once at the base batch size [default: every]
    #[arg(long, value_name = "every|base", value_parser = values::of_plan::<Tune>)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
    /// With --tune base: the rules to follow, of blr, lsr, srsr, legw, surge, sde, half_life, timescale; parts of one rule are joined, sqrt+half_life [default: blr,lsr,srsr]
    #[arg(long, value_name = "RULES")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Learning rates to search, log-uniformly: 0.01..1 [default: 0.005..2] [other optimizers: a twentieth to twenty times their usual rate]
    #[arg(long, value_name = "LOW..HIGH", value_parser = values::of_plan::<RateRange>)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub learning_rates: Option<RateRange>,
    /// Try --learning-rates themselves at every batch size, or a window this wide (ratio) around the pilot's best [default: 16]
    #[arg(long, value_name = "RATIO|full")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub tune_width: Option<TuneWidth>,
    /// Tune momentum too, in this range, with as many trials as without: 0.5..0.99
    #[arg(long, value_name = "LOW..HIGH", value_parser = values::of_plan::<MomentumRange>)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub tune_momentum: Option<MomentumRange>,
    /// Seeds of the lsr curve that also measure how linear the loss is along a step [default: 1]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linearity_seeds: Option<u32>,
    /// Cap: stop a trial after this many times the steps that the pilot predicts for it [default: 4]
    #[arg(long, value_name = "C")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_factor: Option<f64>,
    /// Pilot trials at each of its two batch sizes [default: 6]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_trials: Option<u32>,
    /// Epochs the pilot may train at most [default: 10]
    #[arg(long, value_name = "E")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_epochs: Option<f64>,
    /// The pilot's other batch size (default: 16 times the base, within the range)
    #[arg(long, value_name = "B")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_batch: Option<u64>,
    /// Price of one device, per hour, in your currency
    #[arg(long, value_name = "PRICE", help_heading = "Cost", value_parser = values::at_least_zero)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Power of one device in watts
    #[arg(long, value_name = "W", help_heading = "Cost", value_parser = values::at_least_zero)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watts: Option<f64>,
}
