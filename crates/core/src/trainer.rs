use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format::number;
use crate::setting::require;
use crate::statistics::quantile;
use crate::{Direction, Event, Metric, SettingError, TrialRecord, TrialSpec};

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
    /// Training examples, `N`; `None` where there is no training set to pass over, as for a simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u64>,
    /// Trainable parameters.
    pub parameters: u64,
    /// Metrics it can report.
    pub metrics: Vec<Metric>,
    /// Which values of its metrics are better, where that is not the metric's natural direction:
    /// a reward, for one, is better higher.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directions: BTreeMap<Metric, Direction>,
    /// What can be relied on.
    #[serde(
        default = "Capabilities::all",
        skip_serializing_if = "Capabilities::is_all"
    )]
    pub capabilities: Capabilities,
    /// True if it has an optimizer and a schedule of its own, of which a study knows no more than what it tunes:
    /// a program of somebody's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_settings: bool,
}

impl TrainerInfo {
    /// Refuses targets that no evaluation could meet.
    ///
    /// # Errors
    /// [`SettingError`] of the key `target`.
    pub fn check_target(&self, spec: &TrialSpec) -> Result<(), SettingError> {
        let Some(target) = &spec.target else {
            return Ok(());
        };
        let names: Vec<String> = self.metrics.iter().map(Metric::to_string).collect();
        require(
            self.metrics.contains(&target.metric),
            "target",
            &format!(
                "{target} watches a metric that is not measured here: choose one of {}",
                names.join(", ")
            ),
        )
    }

    /// Which values of a metric are better.
    pub fn direction(&self, metric: &Metric) -> Direction {
        let stated = self.directions.get(metric).copied();
        stated.unwrap_or_else(|| metric.natural_direction())
    }
}

/// What a trainer promises. Nothing else is asked of it, nor relied on.
///
/// Trainers described before there were capabilities promised [`Capabilities::all`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// An interrupted trial continues where it was, and gives the record it would have given.
    pub exact_resume: bool,
    /// The same spec gives the same record (times aside), whatever runs beside it.
    pub deterministic: bool,
    /// It measures gradient noise where [`crate::Diagnostic::NOISE`] is asked for.
    pub measures_noise: bool,
    /// [`Trainer::time`] times steps.
    pub times_steps: bool,
    /// It trains on a training set of [`TrainerInfo::train_examples`], over and over.
    pub has_epochs: bool,
}

impl Capabilities {
    /// Every promise there is.
    pub fn all() -> Self {
        Self {
            exact_resume: true,
            deterministic: true,
            measures_noise: true,
            times_steps: true,
            has_epochs: true,
        }
    }

    /// True if nothing is missing.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }
}

/// Time of one optimizer step at a batch and micro-batch size, measured alone on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepTiming {
    /// Examples per step.
    pub batch_size: u64,
    /// Examples per forward pass.
    pub micro_batch: u64,
    /// Median seconds per step.
    pub seconds: f64,
    /// Lower quartile, in seconds per step.
    pub low: f64,
    /// Upper quartile, in seconds per step.
    pub high: f64,
    /// Steps timed.
    pub n: u64,
}

impl StepTiming {
    /// The median and quartiles of steps that took so many seconds each; `None` of none.
    pub fn of(batch_size: u64, micro_batch: u64, mut seconds: Vec<f64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        (!seconds.is_empty()).then(|| Self {
            batch_size,
            micro_batch,
            seconds: quantile(&seconds, 0.5),
            low: quantile(&seconds, 0.25),
            high: quantile(&seconds, 0.75),
            n: seconds.len() as u64,
        })
    }
}

/// Why a trial could not be run at all (a trial that ran and ended badly is an `Outcome`).
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The spec asks for something the trainer cannot do: remedy in the text.
    #[error("{0}")]
    Refused(String),
    /// The same, where one setting is at fault.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A training program ended on its own, without a result.
    #[error("{program} ended with {status}{}", last_words(stderr))]
    Crashed {
        /// The program.
        program: String,
        /// How it ended: `exit code 1`, `signal 9`.
        status: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
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

/// The end of a program's messages, as it follows how the program ended.
fn last_words(stderr: &str) -> String {
    match stderr.trim() {
        "" => " and wrote nothing to its standard error".to_owned(),
        words => format!("; its last words: {words}"),
    }
}

/// Runs trials: our own loop, somebody's program, a fake for tests.
///
/// The contract, tested by one suite for all trainers:
///
/// * as far as its [`Capabilities`] promise, the same spec gives the same outcome and measurements
///   (times aside), however often the trial was interrupted and resumed, and whatever runs beside
///   it;
/// * evaluations follow `spec.evaluation`, finer ones near the target marked as such; one more is made
///   where the target is found reached, or else at the spec's own cap (never at a race bound);
/// * a trial stopped by [`Control::race_bound`] ends as `Raced`, after the first evaluation at or past
///   the bound at the latest. Cut at the bound ([`TrialRecord::cut`]), its record is the full run's.
///
/// A trainer that walks through a [`crate::TrialDriver`] keeps the last two.
pub trait Trainer: Send + Sync {
    /// What this trainer is.
    fn info(&self) -> TrainerInfo;

    /// What it took for granted of its data and settings, a sentence each: shown before a study, and
    /// kept in its report.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses a spec that asks for what it cannot do, before anything runs. What only a running
    /// trial can tell, such as too little memory, is the trial's outcome.
    ///
    /// # Errors
    /// [`TrainerError::Setting`] or [`TrainerError::Refused`], with the remedy.
    fn check(&self, spec: &TrialSpec) -> Result<(), TrainerError> {
        match spec.start {
            None => Ok(spec.check()?),
            Some(_) => {
                let why = "this trainer cannot begin at a checkpoint";
                Err(TrainerError::Refused(why.to_owned()))
            }
        }
    }

    /// The value of a metric before the first step of a spec; `None` if the trainer cannot tell, or
    /// the spec cannot be run.
    ///
    /// # Errors
    /// When the device fails.
    fn untrained(&self, _spec: &TrialSpec, _metric: &Metric) -> Result<Option<f64>, TrainerError> {
        Ok(None)
    }

    /// Trials that run side by side where nobody says how many; `None` lets that be measured.
    fn side_by_side(&self) -> Option<usize> {
        None
    }

    /// Gives each trial that begins from now on so many threads; `None` is all there are. Changes no
    /// number of a trial. A trainer that computes elsewhere does nothing.
    fn limit_threads(&self, _each: Option<usize>) {}

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

    /// Micro-batches of a larger batch are multiples of this, at least 1.
    fn micro_batch_multiple(&self) -> u64 {
        1
    }

    /// Largest micro-batch with which a trial's training step stays within `bytes`, if the trainer knows.
    fn micro_batch_within(&self, _spec: &TrialSpec, _bytes: u64) -> Option<u64> {
        None
    }
}

/// Refuses a spec whose target is met before the first step: whatever is measured then says nothing
/// of training.
///
/// # Errors
/// [`TrainerError::Setting`] of the key `target`, or as [`Trainer::untrained`].
pub fn check_untrained(trainer: &dyn Trainer, spec: &TrialSpec) -> Result<(), TrainerError> {
    let Some(target) = &spec.target else {
        return Ok(());
    };
    match trainer.untrained(spec, &target.metric)? {
        Some(value) if target.is_met(value) => Err(SettingError::new(
            "target",
            format!(
                "{target} is met before training, at {} {}: choose a harder one",
                target.metric,
                number(value)
            ),
        )
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> TrainerInfo {
        TrainerInfo {
            trainer: "t".to_owned(),
            model: "m".to_owned(),
            data: "d".to_owned(),
            device: "cpu".to_owned(),
            train_examples: Some(10),
            parameters: 1,
            metrics: Vec::new(),
            own_settings: false,
            directions: BTreeMap::new(),
            capabilities: Capabilities::all(),
        }
    }

    /// As `TrainerInfo` was stored before it had directions and capabilities.
    #[test]
    fn what_was_stored_before_capabilities_promised_all_of_them() {
        let stored = r#"{"trainer":"t","model":"m","data":"d","device":"cpu","train_examples":10,"parameters":1,"metrics":[]}"#;
        assert_eq!(serde_json::from_str::<TrainerInfo>(stored).unwrap(), info());
        assert_eq!(serde_json::to_string(&info()).unwrap(), stored);
    }

    #[test]
    fn promises_and_directions_read_back() {
        let reward: Metric = "val-reward".parse().unwrap();
        let stated = TrainerInfo {
            own_settings: false,
            directions: BTreeMap::from([(reward.clone(), Direction::Higher)]),
            capabilities: Capabilities {
                deterministic: true,
                ..Capabilities::default()
            },
            ..info()
        };
        let json = serde_json::to_string(&stated).unwrap();
        assert_eq!(serde_json::from_str::<TrainerInfo>(&json).unwrap(), stated);
        assert_eq!(stated.direction(&reward), Direction::Higher);
        assert_eq!(info().direction(&reward), Direction::Lower);
        assert_eq!(
            stated.direction(&"val-accuracy".parse().unwrap()),
            Direction::Higher
        );
    }

    #[test]
    fn a_crash_tells_its_last_words() {
        let crashed = |stderr: &str| TrainerError::Crashed {
            program: "python train.py".to_owned(),
            status: "exit code 1".to_owned(),
            stderr: stderr.to_owned(),
        };
        let says = crashed("MemoryError\n").to_string();
        assert_eq!(
            says,
            "python train.py ended with exit code 1; its last words: MemoryError"
        );
        assert!(
            crashed("\n")
                .to_string()
                .contains("nothing to its standard error")
        );
    }
}
