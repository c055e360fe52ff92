//! What a driver asks for, what it is answered, and how it is set up.

use std::collections::BTreeMap;

use crate::{Cadence, Metric, Outcome, Split};

/// What a trainer does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Take the optimizer step of this number, counted from 0, and answer
    /// [`TrialDriver::stepped`](crate::TrialDriver::stepped).
    Step {
        /// Steps done before it.
        step: u64,
    },
    /// Measure, and answer [`TrialDriver::measured`](crate::TrialDriver::measured).
    Evaluate(Evaluate),
    /// Stop here, with the trial to be resumed: save [`TrialDriver::progress`](crate::TrialDriver::progress) and the trainer's
    /// own state.
    Interrupt,
    /// The trial has ended.
    End(Outcome),
}

/// What is to be measured, beside the diagnostics ([`TrialDriver::wants_diagnostics`](crate::TrialDriver::wants_diagnostics)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluate {
    /// The training and validation examples.
    Whole,
    /// This split alone.
    Only(Split),
    /// Every split of a whole evaluation but this one, which was measured after the same step.
    Rest(Split),
    /// The test examples, at the last evaluation, where [`Driving::looks_at_test`].
    Test,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The metrics, unsmoothed.
    pub metrics: BTreeMap<Metric, f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// False if a loss was not finite: the trial has diverged.
    pub finite: bool,
    /// Training examples consumed so far; `None` is the spec's batch size for every step.
    pub examples: Option<u64>,
}

impl Evaluation {
    /// These metrics after a step at `learning_rate`; a value that is not finite is a divergence.
    pub fn new(metrics: BTreeMap<Metric, f64>, learning_rate: f64) -> Self {
        Self {
            finite: metrics.values().all(|value| value.is_finite()),
            metrics,
            learning_rate,
            examples: None,
        }
    }
}

/// Examples through which an evaluation passes; 0 is a trainer for which evaluations are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvaluationCost {
    /// Of the target's split.
    pub target: u64,
    /// Of all splits but the test examples.
    pub whole: u64,
}

impl EvaluationCost {
    /// Of one evaluation.
    pub fn of(self, what: Evaluate) -> u64 {
        match what {
            Evaluate::Whole => self.whole,
            Evaluate::Only(_) => self.target,
            Evaluate::Rest(_) => self.whole.saturating_sub(self.target),
            // Once, and asked for.
            Evaluate::Test => 0,
        }
    }
}

/// How a trainer is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Driving {
    /// When it evaluates.
    pub cadence: Cadence,
    /// What evaluations cost, where they are planned ([`Cadence::Planned`]).
    pub cost: EvaluationCost,
    /// The last evaluation looks at the test examples too.
    pub looks_at_test: bool,
    /// Steps of warm-up: a target reached within them is remarked upon.
    pub warm_up_steps: u64,
}
