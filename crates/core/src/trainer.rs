use serde::{Deserialize, Serialize};

use crate::{Event, Metric, TrialRecord, TrialSpec};

/// What a trainer should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Finish the step, save a checkpoint, end as [`crate::Outcome::Interrupted`].
    Interrupt,
}

/// Says to a running trial whether it goes on.
pub trait Control: Send + Sync {
    /// Asked after every step.
    fn flow(&self) -> Flow;

    /// Steps beyond which a tuning trial can no longer win, as known now. It only falls while the
    /// trial runs; a trial past it ends as `Raced` there.
    fn race_bound(&self) -> Option<u64> {
        None
    }
}

/// Lets every trial run to its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverStop;

impl Control for NeverStop {
    fn flow(&self) -> Flow {
        Flow::Continue
    }
}

/// What a study must know of a trainer. Part of the study's identity: a resumed study refuses a
/// trainer that describes itself differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerInfo {
    /// Name and version of the trainer.
    pub trainer: String,
    /// The model, with its settings.
    pub model: String,
    /// The data, with its settings.
    pub data: String,
    /// Where it computes.
    pub device: String,
    /// Training examples, `N`.
    pub train_examples: u64,
    /// Trainable parameters.
    pub parameters: u64,
    /// Metrics it can report.
    pub metrics: Vec<Metric>,
}

/// Time of one optimizer step at a batch and micro-batch size, measured alone on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepTiming {
    /// Examples per step.
    pub batch_size: u64,
    /// Examples per forward pass.
    pub micro_batch: u64,
    /// Median seconds per step.
    pub seconds: f64,
    /// Lower quartile.
    pub low: f64,
    /// Upper quartile.
    pub high: f64,
    /// Steps timed.
    pub n: u64,
}

/// Why a trial could not be run at all (a trial that ran and ended badly is an `Outcome`).
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The spec asks for something the trainer cannot do: remedy in the text.
    #[error("{0}")]
    Refused(String),
    /// A file of the trainer's failed.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried: `cannot write checkpoint`.
        what: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A fault of batchscope itself.
    #[error("this is a fault in batchscope, please report it: {0}")]
    Bug(String),
}

/// Runs trials: our own loop, somebody's program, a fake for tests.
///
/// The contract, tested by one suite for all trainers:
///
/// * the same spec gives the same outcome and measurements (times aside), however often it was
///   interrupted and resumed, and whatever else runs beside it;
/// * evaluations follow `spec.evaluation`, and one more is made at the spec's own cap (never at a
///   race bound);
/// * a trial stopped by [`Control::race_bound`] ends as `Raced`, after the first evaluation at or past
///   the bound at the latest. Cut at the bound ([`TrialRecord::cut`]), its record is the full run's.
///
/// A trainer that walks through a [`crate::TrialDriver`] keeps all of it but the first.
pub trait Trainer: Send + Sync {
    /// What this trainer is.
    fn info(&self) -> TrainerInfo;

    /// Runs one trial to its end. Events come one at a time, in order, possibly on another thread
    /// than the caller's (a trial may run in a pool of its own): hence `Send`.
    ///
    /// # Errors
    /// When it cannot be run at all.
    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError>;

    /// Forgets whatever was saved to resume the trial, once its record is stored.
    fn forget(&self, _spec: &TrialSpec) {}

    /// Times steps of a spec for about `budget` seconds. `None` if the trainer cannot, or `control`,
    /// asked after every step, told it to stop.
    ///
    /// # Errors
    /// When the size cannot be run.
    fn time(
        &self,
        _spec: &TrialSpec,
        _budget: f64,
        _control: &dyn Control,
    ) -> Result<Option<StepTiming>, TrainerError> {
        Ok(None)
    }

    /// Largest micro-batch whose training step stays within `bytes`, if the trainer knows.
    fn micro_batch_within(&self, _bytes: u64) -> Option<u64> {
        None
    }
}
