use serde::{Deserialize, Serialize};

use crate::{Decision, Divergence, EvaluationPlan, Measurement, NoiseRecord, Outcome, ScheduleRow};

/// When a run is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// As the trial's [`EvaluationPlan`] says: geometrically.
    #[default]
    Planned,
    /// Every so many steps.
    Every(u64),
}

impl Cadence {
    /// The first evaluated step after the evaluated step `step` (0 at first), `cap` at the latest.
    pub fn next_after(self, step: u64, plan: &EvaluationPlan, cap: u64) -> u64 {
        let next = match self {
            Cadence::Planned => plan.next_after(step),
            Cadence::Every(steps) => step.saturating_add(steps.max(1)),
        };
        next.min(cap)
    }
}

/// Everything a trial has come to so far, beside the trainer's own state: what a checkpoint holds
/// of a [`crate::TrialDriver`]. The default is nothing done yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// The last step at which an evaluation was planned, made or left out; 0 before the first.
    pub evaluated: u64,
    /// Examples that evaluations passed through so far ([`crate::EvaluationCost`]).
    #[serde(default)]
    pub evaluated_examples: u64,
    /// Seconds of training, evaluations left out.
    pub seconds: f64,
    /// The watch for divergence; `None` before the first step, or where only a loss that is not
    /// finite counts.
    pub divergence: Option<Divergence>,
    /// Gradient noise since the last evaluation.
    #[serde(default)]
    pub noise: Option<NoiseRecord>,
    /// The evaluations so far, in the order of their steps.
    pub measurements: Vec<Measurement>,
    /// What the controller decided so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// What the steps so far were made with, where that is asked for: a row where it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduleRow>,
    /// Examples that the steps so far have drawn; `None` where every step has the spec's batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<u64>,
    /// The step at which the trial ends before its cap: its examples are drawn, or its controller has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step: Option<u64>,
    /// Remarks for the reader of the record.
    pub notes: Vec<String>,
    /// How the trial ended, if it ended for good: a cap alone may still be raised.
    pub ended: Option<Outcome>,
}

impl Progress {
    /// Adds a remark, once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
