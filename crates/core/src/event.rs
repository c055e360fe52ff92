use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Metric, NoiseRecord};

/// One evaluation during a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Optimizer steps done so far.
    pub step: u64,
    /// Training examples consumed so far: `step · batch_size`, unless the batch size changed.
    pub examples: u64,
    /// Wall-clock seconds of training so far, evaluations left out. Never steers a decision.
    pub seconds: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// What was measured, unsmoothed.
    pub metrics: BTreeMap<Metric, f64>,
    /// True for the finer evaluations near the target (in older records: of a replay), which measure
    /// the target's split alone and which curves need not draw.
    #[serde(
        default,
        rename = "replayed",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub finer: bool,
    /// Gradient noise over the steps since the evaluation before, where it is watched
    /// ([`crate::Diagnostic::NOISE`]) and a step was measured or cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseRecord>,
}

/// A row of a run's schedule, as other trainers can follow it: learning rate and batch size from a step on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRow {
    /// The first step, from 0.
    pub step: u64,
    /// Examples per step, at least 1.
    pub batch_size: u64,
    /// Learning rate, finite and at least 0.
    pub learning_rate: f64,
}

/// What a controller decided on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The first step made so, from 0.
    pub step: u64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Its examples.
    pub batch_size: u64,
    /// Why, in a sentence without a full stop.
    pub why: String,
}

/// What a trainer says while it runs a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Event {
    /// Training took up its first step, or resumed at `step`.
    Started {
        /// Steps already done (from a checkpoint).
        step: u64,
    },
    /// A step is done. Sent for every step: receivers must be cheap.
    Step {
        /// Optimizer steps done so far.
        step: u64,
        /// Mean training loss over the step's examples.
        loss: f64,
        /// Learning rate of the step.
        learning_rate: f64,
    },
    /// An evaluation is done.
    Measured(Measurement),
    /// The controller decided something.
    Decided(Decision),
    /// A checkpoint was written after `step` steps.
    Checkpointed {
        /// Optimizer steps done so far.
        step: u64,
    },
}
