//! Checkpoints: a safetensors file that holds a run entirely, so that it resumes to the bit.
//!
//! | part | where |
//! | --- | --- |
//! | the network's state | tensors `network.NAME` |
//! | the update rule's memory | tensors `rule.NAME` |
//! | the gradient source's memory, if it has one | tensors `source.NAME` |
//! | all of these of replica `R`, where replicas hold parameters of their own | tensors `replica.R.network.NAME` and so on; those above are their averages |
//! | what the run is, how far it came, its measurements, the controller's memory | bytes `state` (JSON; metadata up to 0.1.0) |
//! | CRC-32 of all the above | metadata `checksum` |
//!
//! Data order, augmentation and noise need no state: they are functions of the step.

mod file;
mod shared;
mod start;
mod stored;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use batchscope_core::{Cadence, Choice, Event, Events, Progress, StateTensor, TrialSpec};
use serde::{Deserialize, Serialize};

pub(crate) use shared::from_first;
pub(crate) use start::begin_at;
pub(crate) use stored::load_shared;
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

/// The parts of a state, as they are named in a file.
const PARTS: [&str; 3] = ["network.", "rule.", "source."];

impl RunState {
    /// The tensors in the order of [`PARTS`].
    fn parts(&self) -> [&[StateTensor]; 3] {
        [&self.network, &self.rule, &self.source]
    }

    /// All numbers, one after the other.
    fn numbers(&self) -> Vec<f32> {
        let tensors = self.parts().into_iter().flatten();
        tensors.flat_map(|t| t.values.iter().copied()).collect()
    }

    /// The parts of a state whose tensors have the shapes of this one's, from [`RunState::numbers`] of it.
    fn with_numbers(&self, numbers: &[f32]) -> [Vec<StateTensor>; 3] {
        let mut rest = numbers;
        self.parts().map(|part| {
            let tensors = part.iter().map(|tensor| {
                let (values, others) = rest.split_at(tensor.values.len());
                rest = others;
                StateTensor {
                    values: values.to_vec(),
                    ..tensor.clone()
                }
            });
            tensors.collect()
        })
    }
}

/// The mean over replicas, number by number.
fn average(replicas: &[Vec<f32>]) -> Vec<f32> {
    let places = 0..replicas.first().map_or(0, Vec::len);
    let mean = |place: usize| {
        let sum: f64 = replicas.iter().map(|r| f64::from(r[place])).sum();
        (sum / replicas.len() as f64) as f32
    };
    places.map(mean).collect()
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

    /// The tensors of a checkpoint by the prefixes of their names, on member 0 of the group; nothing on the others.
    fn gathered(&mut self) -> Result<Vec<(String, Vec<StateTensor>)>, TrainError> {
        if self.rule.is_synchronous() {
            self.gather_streams()?;
        }
        let state = self.export()?;
        let named = |prefix: &str, parts: [Vec<StateTensor>; 3]| {
            let names = PARTS.map(|part| format!("{prefix}{part}"));
            names.into_iter().zip(parts).collect::<Vec<_>>()
        };
        if self.rule.is_synchronous() {
            return Ok(match self.group.rank() {
                0 => named("", [state.network, state.rule, state.source]),
                _ => Vec::new(),
            });
        }
        let replicas = self.group.gather(&state.numbers(), 0)?;
        let own = replicas.iter().enumerate().flat_map(|(rank, numbers)| {
            named(&file::of_replica(rank), state.with_numbers(numbers))
        });
        let mut parts: Vec<_> = own.collect();
        if !replicas.is_empty() {
            parts.extend(named("", state.with_numbers(&average(&replicas))));
        }
        Ok(parts)
    }

    /// Brings the hidden states of all streams of a text to every replica. Each has carried on those of its own part.
    fn gather_streams(&mut self) -> Result<(), TrainError> {
        if self.group.size() == 1 {
            return Ok(());
        }
        let step = self.driver.step().saturating_sub(1);
        let mine = (self.portions).share(self.controller.at(step).batch.batch_size);
        let mut states = Vec::new();
        self.network.visit_streams(&mut |position, state| {
            let kept = if mine.contains(&position) { 1.0 } else { 0.0 };
            states.extend(state.iter().map(|x| kept * x));
        });
        if states.is_empty() {
            return Ok(());
        }
        self.group.all_reduce_sum(&mut states)?;
        let mut from = 0;
        self.network.visit_streams(&mut |_, state| {
            state.copy_from_slice(&states[from..from + state.len()]);
            from += state.len();
        });
        Ok(())
    }

    /// Saves the run, if it is to be saved at all. The members of a group all come here; the first one writes.
    ///
    /// # Errors
    /// When the device, the group or the disk fails; an earlier checkpoint then still stands.
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
        let parts = self.gathered()?;
        match self.group.rank() {
            0 => file::write(path, &parts, &json),
            _ => Ok(()),
        }
    }

    /// Saves the run for good, where that is asked for after this step. A failure is noted.
    ///
    /// # Errors
    /// When the group fails.
    pub(crate) fn keep(&mut self) -> Result<(), TrainError> {
        let step = self.driver.step();
        let Some(checkpointer) = self.checkpointer.as_ref() else {
            return Ok(());
        };
        if !checkpointer.keep.contains(&step) {
            return Ok(());
        }
        let path = kept(&checkpointer.path, step);
        let saved = self.save_to(&path);
        self.note_failure(saved, &format!("step {step} is not kept"))
    }

    /// True where it is time to save the run, and something is new.
    pub(crate) fn save_is_due(&self) -> bool {
        let due = |c: &Checkpointer| c.last.elapsed() >= c.every;
        self.driver.has_stepped() && self.checkpointer.as_ref().is_some_and(due)
    }

    /// Saves the run between two steps. A failure is noted and training goes on: what is lost is only the shortcut.
    ///
    /// # Errors
    /// When the group fails.
    pub(crate) fn save_in_passing(&mut self, events: &mut Events<'_>) -> Result<(), TrainError> {
        let saved = self.save(events);
        if let (Err(_), Some(checkpointer)) = (&saved, &mut self.checkpointer) {
            checkpointer.last = Instant::now();
        }
        self.note_failure(saved, "not saved while running")
    }

    /// Takes down why something could not be saved. The loss of a member ends the run.
    fn note_failure(
        &mut self,
        saved: Result<(), TrainError>,
        what: &str,
    ) -> Result<(), TrainError> {
        match saved {
            Err(error @ TrainError::Group(_)) => Err(error),
            Err(error) => {
                self.driver.note(format!("{what}: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Takes up the run saved at `path` by one of this identity (but for the cap, which may be
    /// another when `longer` is set). The run is unchanged on error. In a group member 0 reads the file and gives it to
    /// the others.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the file is damaged, foreign, or of another run; [`TrainError::Group`] when a
    /// member is lost.
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
        let size = self.group.size();
        let expected = if self.rule.is_synchronous() { 0 } else { size };
        let most = 2 * 4 * known * (1 + expected as u64) + STATE_BYTES;
        let read = || file::read(path, most);
        let bytes = shared::from_first(self.group, read)?.map_err(wrong)?;
        let contents = file::parse(&bytes).map_err(wrong)?;
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
        let mut replicas = contents.replicas;
        if replicas.len() != expected {
            return Err(wrong(format!(
                "it holds {} replicas with parameters of their own, and this run has {expected}",
                replicas.len()
            )));
        }
        let parts = match expected {
            0 => contents.parts,
            _ => replicas.swap_remove(self.group.rank()),
        };
        let [mut network, mut rule, _, source] = parts;
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
    Some(batchscope_files::tensors::difference(&found, expected))
}
