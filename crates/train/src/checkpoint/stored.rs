//! The network in a file, for whoever looks at it without training on: one reader for the
//! checkpoints of runs and for states alone.

use std::path::{Path, PathBuf};

use batchscope_core::{
    Group, Network, ParameterKind, ParameterLayout, ParameterTensor, Solo, StateTensor,
};
use batchscope_rules::{Course, StepSetting, controller};
use serde::{Deserialize, de::IgnoredAny};

use super::{FORMAT, Identity, STATE_BYTES, StoredState, file, from_first};
use crate::TrainError;

/// Most bytes of a file whose network is not known beforehand: 16 GiB.
const LARGEST: u64 = 16 << 30;

/// A file holds so many numbers for each of its network's: itself, two moments of an optimizer, and
/// all again at the last evaluation; or itself and a momentum of up to 4,096 replicas and their mean.
const COPIES: u64 = 2 * (4096 + 1);

/// A network as it was stored, by a run or alone.
#[derive(Debug, Clone)]
pub struct Stored {
    path: PathBuf,
    /// The network's state, as it was in training. [`Stored::read`] gives its tensors in the order of their names,
    /// [`Stored::read_like`] in that of the network.
    pub network: Vec<StateTensor>,
    /// The update rule's memory.
    pub(super) rule: Vec<StateTensor>,
    /// What stored it.
    pub origin: Origin,
    /// CRC-32 of the file's content, in hexadecimal digits: tells files apart.
    pub checksum: String,
}

/// What a stored network belongs to.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A checkpoint of a run.
    Run {
        /// The run.
        identity: Box<Identity>,
        /// Optimizer steps done.
        step: u64,
        /// The controller's memory.
        controller: Vec<f64>,
    },
    /// A state alone, written by [`write_state`].
    Alone {
        /// The note written with it.
        note: String,
    },
}

/// The network of a run's checkpoint.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// The run.
    pub identity: Identity,
    /// Optimizer steps done.
    pub step: u64,
    /// The controller's memory ([`batchscope_rules::Controller::state`]).
    pub controller: Vec<f64>,
    /// The network's state, as in [`Stored::network`]; with the averaged parameters where a run is judged by those. Batch
    /// norm's running statistics are those of training.
    pub network: Vec<StateTensor>,
    /// The parameters are averages.
    pub is_average: bool,
    /// As in [`Stored::checksum`].
    pub checksum: String,
}

impl StoredRun {
    /// What its step number `step`, counted from 0, is made with, on so many training examples: for the step after the
    /// checkpoint, and earlier ones where nothing is decided on the way.
    ///
    /// # Errors
    /// When its controller cannot lead it.
    pub fn setting(
        &self,
        step: u64,
        train_examples: Option<u64>,
    ) -> Result<StepSetting, TrainError> {
        let spec = &self.identity.spec;
        let mut led = controller(spec.controller.as_ref(), &Course::of(spec, train_examples))?;
        led.load(&self.controller)?;
        Ok(led.at(step))
    }
}

impl Stored {
    /// Reads a file whose network is not known beforehand, of at most 16 GiB.
    ///
    /// # Errors
    /// [`TrainError::Stored`] when it cannot be read, is no file of this crate, or is damaged.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        Self::within(path, LARGEST).map_err(|why| unusable(path, why))
    }

    /// Reads the bytes of a file; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Stored::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, TrainError> {
        file::parse(bytes)
            .and_then(|contents| Self::of(contents, path))
            .map_err(|why| unusable(path, why))
    }

    /// Reads a file for the network whose own state is `like`: no more bytes than it could need, and
    /// every tensor of `like` in its order and shape. A run may hold tensors beside them (the hidden
    /// states of its text streams): they come last.
    ///
    /// # Errors
    /// As [`Stored::read`], and when the file is of another network.
    pub fn read_like(path: &Path, like: &[StateTensor]) -> Result<Self, TrainError> {
        Self::shared_like(path, like, &Solo)
    }

    /// As [`Stored::read_like`], on every member of a group; member 0 reads the file.
    ///
    /// # Errors
    /// As [`Stored::read_like`], and when a member is lost.
    pub(crate) fn shared_like(
        path: &Path,
        like: &[StateTensor],
        group: &dyn Group,
    ) -> Result<Self, TrainError> {
        let scalars: u64 = like.iter().map(|t| t.values.len() as u64).sum();
        let most = (COPIES * 4 * scalars + STATE_BYTES).min(LARGEST + STATE_BYTES);
        from_first(group, || file::read(path, most))?
            .and_then(|bytes| Self::of(file::parse(&bytes)?, path))
            .and_then(|stored| stored.ordered(like))
            .map_err(|why| unusable(path, why))
    }

    /// The run it is a checkpoint of.
    ///
    /// # Errors
    /// [`TrainError::Stored`] when it is a state alone, or its optimizer's memory is not that optimizer's.
    pub fn into_run(self) -> Result<StoredRun, TrainError> {
        match self.origin {
            Origin::Run {
                identity,
                step,
                controller,
            } => {
                let mut network = self.network;
                let is_average = to_average(&identity, &mut network, &self.rule)
                    .map_err(|why| unusable(&self.path, why))?;
                Ok(StoredRun {
                    identity: *identity,
                    step,
                    controller,
                    network,
                    is_average,
                    checksum: self.checksum,
                })
            }
            Origin::Alone { .. } => Err(unusable(
                &self.path,
                "it holds a network's state, not a run".to_owned(),
            )),
        }
    }

    /// The state and the note written by [`write_state`].
    ///
    /// # Errors
    /// [`TrainError::Stored`] when it is a checkpoint of a run.
    pub fn into_state(self) -> Result<(Vec<StateTensor>, String), TrainError> {
        match self.origin {
            Origin::Alone { note } => Ok((self.network, note)),
            Origin::Run { .. } => Err(unusable(
                &self.path,
                "it is a checkpoint of a run, not a network's state".to_owned(),
            )),
        }
    }

    fn within(path: &Path, most: u64) -> Result<Self, String> {
        Self::of(file::parse(&file::read(path, most)?)?, path)
    }

    fn of(contents: file::Contents, path: &Path) -> Result<Self, String> {
        let [network, rule, rest, _] = contents.parts;
        let origin = origin(contents.state)?;
        let is_of_a_run = !(rule.is_empty() && rest.is_empty());
        if matches!(origin, Origin::Alone { .. }) && is_of_a_run {
            return Err("it holds tensors of a run, but says nothing of the run".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            network,
            rule,
            origin,
            checksum: contents.checksum,
        })
    }

    /// Brings the tensors into the order of `like`, or says which does not fit.
    fn ordered(mut self, like: &[StateTensor]) -> Result<Self, String> {
        let mut network = Vec::with_capacity(self.network.len());
        for expected in like {
            let Some(place) = self.network.iter().position(|t| t.name == expected.name) else {
                return Err(format!("tensor {} is missing", expected.name));
            };
            let tensor = self.network.remove(place);
            if tensor.shape != expected.shape {
                return Err(format!(
                    "tensor {} has shape {:?}, the network's has {:?}",
                    tensor.name, tensor.shape, expected.shape
                ));
            }
            network.push(tensor);
        }
        if let (Origin::Alone { .. }, Some(foreign)) = (&self.origin, self.network.first()) {
            return Err(format!("the network has no tensor {}", foreign.name));
        }
        network.append(&mut self.network);
        self.network = network;
        Ok(self)
    }
}

/// Where a run is judged by an average of its parameters, puts that in their place and returns true.
fn to_average(
    identity: &Identity,
    network: &mut [StateTensor],
    rule: &[StateTensor],
) -> Result<bool, String> {
    let (optimizer, decay) = (&identity.spec.optimizer, identity.spec.decay);
    let build = |layout: &ParameterLayout| {
        batchscope_optim::build(optimizer, layout, decay).map_err(|error| error.to_string())
    };
    if !build(&ParameterLayout::default())?.averages() {
        return Ok(false);
    }
    let is_parameter = |tensor: &StateTensor| {
        rule.iter().any(|memory| {
            let of = memory.name.split_once('.');
            of.is_some_and(|(_, name)| name == tensor.name)
        })
    };
    let parameters: Vec<&mut StateTensor> = network
        .iter_mut()
        .filter(|tensor| is_parameter(tensor))
        .collect();
    let tensors = parameters.iter().map(|tensor| ParameterTensor {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        // The memory is the same for every kind.
        kind: ParameterKind::Matrix,
    });
    let mut optimizer = build(&ParameterLayout {
        tensors: tensors.collect(),
    })?;
    optimizer.load(rule).map_err(|error| error.to_string())?;
    for (at, tensor) in parameters.into_iter().enumerate() {
        optimizer.average(at, &mut tensor.values);
    }
    Ok(true)
}

/// What the metadata's text says: a run's is JSON with a format and an identity, all else is a note.
fn origin(text: String) -> Result<Origin, String> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
        #[serde(rename = "identity")]
        _identity: IgnoredAny,
    }
    match serde_json::from_str::<Head>(&text) {
        Err(_) => Ok(Origin::Alone { note: text }),
        Ok(head) if head.format != FORMAT => Err(format!(
            "it has format {}, this version of batchscope reads {FORMAT}",
            head.format
        )),
        Ok(_) => {
            let state: StoredState = serde_json::from_str(&text)
                .map_err(|e| format!("its state cannot be read: {e}"))?;
            Ok(Origin::Run {
                identity: Box::new(state.identity),
                step: state.progress.step,
                controller: super::numbers(&state.controller),
            })
        }
    }
}

pub(super) fn unusable(path: &Path, why: String) -> TrainError {
    TrainError::Stored {
        path: path.to_owned(),
        why,
    }
}

/// Writes the state of a network, made by [`Network::export`], with a note of what it is. The file is
/// a checkpoint without anything to resume: safetensors, tensors `network.NAME`, checked by a
/// checksum, whole or not there at all.
///
/// # Errors
/// When the system refuses.
pub fn write_state(path: &Path, state: &[StateTensor], note: &str) -> Result<(), TrainError> {
    file::write(path, &[("network.", state)], note)
}

/// Reads a state written by [`write_state`] for a network whose own is `like`, and the note.
///
/// # Errors
/// As [`Stored::read_like`] and [`Stored::into_state`].
pub fn read_state(
    path: &Path,
    like: &[StateTensor],
) -> Result<(Vec<StateTensor>, String), TrainError> {
    Stored::read_like(path, like)?.into_state()
}

/// Brings a network to the state stored in a file, whatever it belongs to.
///
/// # Errors
/// As [`Stored::read_like`]; the network is unchanged then.
pub fn load_network(path: &Path, network: &mut dyn Network) -> Result<(), TrainError> {
    load_shared(path, network, &Solo)
}

/// As [`load_network`], on every member of a group; member 0 reads the file.
///
/// # Errors
/// As [`load_network`], and when a member is lost.
pub(crate) fn load_shared(
    path: &Path,
    network: &mut dyn Network,
    group: &dyn Group,
) -> Result<(), TrainError> {
    let stored = Stored::shared_like(path, &network.export()?, group)?;
    network
        .import(&stored.network)
        .map_err(|error| unusable(path, error.to_string()))
}
