//! Checkpoints: a safetensors file that holds a run entirely, so that it resumes to the bit.
//!
//! | part | where |
//! | --- | --- |
//! | the network's state | tensors `network.NAME` |
//! | the update rule's memory | tensors `rule.NAME` |
//! | the gradient source's memory, if it has one | tensors `source.NAME` |
//! | what the run is, how far it came, its measurements, the controller's memory | bytes `state` (JSON; metadata up to 0.1.0) |
//! | CRC-32 of all the above | metadata `checksum` |
//!
//! Data order, augmentation and noise need no state: they are functions of the step.

mod file;
mod start;
mod stored;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use batchscope_core::{Cadence, Choice, Event, Events, Progress, StateTensor, TrialSpec};
use serde::{Deserialize, Serialize};

pub(crate) use start::begin_at;
pub use stored::{Origin, Stored, StoredRun, load_network, read_state, write_state};

use crate::{METHODS, Run, TrainError};

/// Version of the files written; others are refused.
const FORMAT: u32 = 1;

/// Room a file may take beside its tensors: the measurements, above all, of which a run that is
/// evaluated at every step has as many as steps. More than that is not written either.
const STATE_BYTES: u64 = 1 << 30;

/// What a checkpoint belongs to. A run takes up only checkpoints of the same identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredIdentity")]
pub struct Identity {
    /// What was asked.
    pub spec: TrialSpec,
    /// The model, with its settings.
    pub model: String,
    /// The data, augmentation included.
    pub data: String,
    /// Examples per forward pass.
    pub micro_batch: u64,
    /// When evaluations are made.
    pub cadence: Cadence,
}

/// An [`Identity`] as it stands in a file. Up to 0.1.0 step methods stood beside the spec, as
/// `adversarial 0.1:0.5, conservative 0.001:3`.
#[derive(Deserialize)]
struct StoredIdentity {
    spec: TrialSpec,
    model: String,
    data: String,
    #[serde(default)]
    method: String,
    micro_batch: u64,
    cadence: Cadence,
}

impl From<StoredIdentity> for Identity {
    fn from(stored: StoredIdentity) -> Self {
        let StoredIdentity {
            mut spec,
            model,
            data,
            method,
            micro_batch,
            cadence,
        } = stored;
        let earlier = method.split(", ").filter(|method| !method.is_empty());
        spec.methods.extend(earlier.map(|method| {
            let read = METHODS.read(&method.replacen(' ', ":", 1));
            // A method that is not known is no run of today's: its text is its name, for the message.
            read.map_or_else(
                |_| Choice::new(method, std::iter::empty::<(String, _)>()),
                |(_, choice)| choice,
            )
        }));
        Self {
            spec,
            model,
            data,
            micro_batch,
            cadence,
        }
    }
}

/// Saves a run at intervals.
#[derive(Debug)]
pub struct Checkpointer {
    path: PathBuf,
    every: Duration,
    last: Instant,
    identity: Identity,
    /// Steps after which the run is saved for good.
    keep: Vec<u64>,
}

/// The JSON in the bytes `state` of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct StoredState {
    format: u32,
    identity: Identity,
    progress: Progress,
    /// The controller's memory: the bits of each number, since JSON has no infinity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    controller: Vec<u64>,
}

/// Numbers as they are stored.
fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// Numbers as they were stored.
fn numbers(bits: &[u64]) -> Vec<f64> {
    bits.iter().copied().map(f64::from_bits).collect()
}

impl Checkpointer {
    /// Saves to `path` when `every` has passed since the last time.
    pub fn new(path: PathBuf, every: Duration, identity: Identity) -> Self {
        Self {
            path,
            every,
            last: Instant::now(),
            identity,
            keep: Vec::new(),
        }
    }

    /// Also saves, for good, after these steps.
    #[must_use]
    pub fn keeping(self, steps: Vec<u64>) -> Self {
        Self {
            keep: steps,
            ..self
        }
    }

    /// Where it saves to.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the checkpoint that is kept of a step lies, beside the run's own.
pub fn kept(checkpoint: &Path, step: u64) -> PathBuf {
    checkpoint.with_file_name(format!("step-{step}.safetensors"))
}

/// All that training changes, beside what the driver knows.
struct RunState {
    network: Vec<StateTensor>,
    rule: Vec<StateTensor>,
    source: Vec<StateTensor>,
    controller: Vec<f64>,
}

impl Run<'_> {
    fn export(&self) -> Result<RunState, TrainError> {
        Ok(RunState {
            network: self.network.export()?,
            rule: self.rule.state(),
            source: self.source.state(),
            controller: self.controller.state(),
        })
    }

    fn import(&mut self, state: &RunState) -> Result<(), TrainError> {
        self.network.import(&state.network)?;
        self.rule.load(&state.rule)?;
        self.source.load(&state.source)?;
        self.controller.load(&state.controller)?;
        Ok(())
    }

    /// Saves the run, if it is to be saved at all.
    ///
    /// # Errors
    /// When the device or the disk fails; an earlier checkpoint then still stands.
    pub fn save(&mut self, events: &mut Events<'_>) -> Result<(), TrainError> {
        let Some(path) = self.checkpointer.as_ref().map(|c| c.path.clone()) else {
            return Ok(());
        };
        self.save_to(&path)?;
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.last = Instant::now();
        }
        events(Event::Checkpointed {
            step: self.driver.progress().step,
        });
        Ok(())
    }

    fn save_to(&mut self, path: &Path) -> Result<(), TrainError> {
        let Some(checkpointer) = &self.checkpointer else {
            return Ok(());
        };
        let stored = StoredState {
            format: FORMAT,
            identity: checkpointer.identity.clone(),
            progress: self.driver.progress().clone(),
            controller: bits(&self.controller.state()),
        };
        let json = serde_json::to_string(&stored)
            .map_err(|e| TrainError::Bug(format!("a checkpoint's state cannot be written: {e}")))?;
        if json.len() as u64 > STATE_BYTES / 2 {
            return Err(TrainError::Refused(format!(
                "{} measurements are too many for a checkpoint: evaluate less often",
                stored.progress.measurements.len()
            )));
        }
        let state = self.export()?;
        let parts = [
            ("network.", state.network.as_slice()),
            ("rule.", state.rule.as_slice()),
            ("source.", state.source.as_slice()),
        ];
        file::write(path, &parts, &json)
    }

    /// Saves the run for good, where that is asked for after this step. A failure is noted.
    pub(crate) fn keep(&mut self) {
        let step = self.driver.step();
        let Some(checkpointer) = self.checkpointer.as_ref() else {
            return;
        };
        if !checkpointer.keep.contains(&step) {
            return;
        }
        let path = kept(&checkpointer.path, step);
        if let Err(error) = self.save_to(&path) {
            self.driver
                .note(format!("step {step} is not kept: {error}"));
        }
    }

    /// Saves the run if it is time to, and something is new. A failure is noted and training goes on: what is lost is
    /// only the shortcut.
    pub(crate) fn save_if_due(&mut self, events: &mut Events<'_>) {
        if !self.driver.has_stepped() {
            return;
        }
        let due = self
            .checkpointer
            .as_ref()
            .is_some_and(|c| c.last.elapsed() >= c.every);
        if due && let Err(error) = self.save(events) {
            self.driver
                .note(format!("not saved while running: {error}"));
            if let Some(checkpointer) = &mut self.checkpointer {
                checkpointer.last = Instant::now();
            }
        }
    }

    /// Takes up the run saved at `path` by one of this identity (but for the cap, which may be
    /// another when `longer` is set). The run is unchanged on error.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the file is damaged, foreign, or of another run.
    pub fn resume(
        &mut self,
        path: &Path,
        identity: &Identity,
        longer: bool,
    ) -> Result<(), TrainError> {
        let wrong = |why: String| TrainError::Checkpoint {
            path: path.to_owned(),
            why,
        };
        let before = self.export()?;
        let scalars =
            |tensors: &[StateTensor]| tensors.iter().map(|t| t.values.len() as u64).sum::<u64>();
        let known = scalars(&before.network) + scalars(&before.rule) + self.source.state_len();
        let most = 2 * 4 * known + STATE_BYTES;
        let contents = file::read(path, most).map_err(wrong)?;
        let state: StoredState = serde_json::from_str(&contents.state)
            .map_err(|e| wrong(format!("its state cannot be read: {e}")))?;
        if state.format != FORMAT {
            return Err(wrong(format!(
                "it has format {}, this version of batchscope reads {FORMAT}",
                state.format
            )));
        }
        if let Some(difference) = difference(&state.identity, identity, longer) {
            return Err(wrong(difference));
        }
        let (step, cap) = (state.progress.step, self.driver.spec().cap);
        if step > cap {
            return Err(wrong(format!(
                "it is at step {step} already, beyond the cap of {cap} steps"
            )));
        }
        let [mut network, mut rule, _, source] = contents.parts;
        // Files hold tensors in the order of their names; the network and the rule have their own.
        for (part, like) in [(&mut network, &before.network), (&mut rule, &before.rule)] {
            part.sort_by_cached_key(|t| {
                like.iter()
                    .position(|l| l.name == t.name)
                    .unwrap_or(like.len())
            });
        }
        if state.progress.evaluated > state.progress.step {
            return Err(wrong("its steps contradict each other".to_owned()));
        }
        let stored = RunState {
            network,
            rule,
            source,
            controller: numbers(&state.controller),
        };
        if let Err(error) = self.import(&stored) {
            self.import(&before)?;
            return Err(wrong(error.to_string()));
        }
        self.driver.resume(state.progress);
        Ok(())
    }
}

/// The first difference between what a checkpoint belongs to and what it should belong to.
fn difference(found: &Identity, expected: &Identity, longer: bool) -> Option<String> {
    let mut found = found.clone();
    if longer {
        found.spec.cap = expected.spec.cap;
        found.spec.max_examples = expected.spec.max_examples;
    }
    if found == *expected {
        return None;
    }
    let json = |identity: &Identity| serde_json::to_value(identity).unwrap_or_default();
    let (found, expected) = (json(&found), json(expected));
    // The spec's settings are compared one by one, for the message's sake.
    for part in ["spec", ""] {
        let (found, expected) = if part.is_empty() {
            (&found, &expected)
        } else {
            (&found[part], &expected[part])
        };
        let names = expected.as_object().into_iter().flat_map(|map| map.keys());
        for name in names.filter(|name| *name != "spec") {
            if found[name] != expected[name] {
                let (found, expected) = (&found[name], &expected[name]);
                return Some(format!(
                    "it belongs to a run with {name} {found}, this run has {expected}"
                ));
            }
        }
    }
    Some("it belongs to another run".to_owned())
}
