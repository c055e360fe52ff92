use std::path::PathBuf;

use batchscope_core::{
    ChoiceError, ExamplesError, GroupError, NetworkError, SettingError, TrainerError,
};
use batchscope_optim::StateError;
use batchscope_rules::{ControllerError, RulesError};

use crate::augment::AugmentError;

/// Why a training run could not be set up or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The network refused or its device failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The data cannot be batched so.
    #[error(transparent)]
    Examples(#[from] ExamplesError),
    /// A setting makes no sense, on its own or with this model and these data.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A stored optimizer state does not belong to this optimizer.
    #[error(transparent)]
    State(#[from] StateError),
    /// The replicas could not exchange their gradients.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A setting does not go with the others: what, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The run is too large: for the memory, or for the data.
    #[error("{0}")]
    Infeasible(String),
    /// A checkpoint could not be used.
    #[error("checkpoint {} cannot be resumed: {why}; delete it or leave it out to start from the beginning", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A stored network could not be used.
    #[error("{} cannot be used: {why}; give a whole checkpoint of this model", path.display())]
    Stored {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the run's failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried: `cannot write checkpoint`.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Told to stop in the middle of a gradient, of which nothing is kept.
    #[error("it was told to stop")]
    Stopped,
    /// A fault of batchscope itself.
    #[error("this is a fault in batchscope, please report it: {0}")]
    Bug(String),
}

impl TrainError {
    /// What was chosen for a key is none that there is, or has a wrong parameter.
    pub(crate) fn choice(key: &'static str, error: &ChoiceError) -> Self {
        SettingError::new(key, error.to_string()).into()
    }
}

impl From<RulesError> for TrainError {
    fn from(error: RulesError) -> Self {
        SettingError::new("schedule", error.to_string()).into()
    }
}

impl From<AugmentError> for TrainError {
    fn from(error: AugmentError) -> Self {
        Self::Setting(error.into())
    }
}

impl From<ControllerError> for TrainError {
    fn from(error: ControllerError) -> Self {
        match error {
            ControllerError::Choice(error) => Self::choice("controller", &error),
            ControllerError::Rules(error) => error.into(),
        }
    }
}

impl From<TrainError> for TrainerError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::File { what, path, source } => TrainerError::File { what, path, source },
            TrainError::Bug(what) => TrainerError::Bug(what),
            TrainError::Setting(error) => TrainerError::Setting(error),
            TrainError::Network(error) => match error {
                NetworkError::Unfit { .. } => SettingError::new("model", error.to_string()).into(),
                NetworkError::GhostSize { .. } => {
                    SettingError::new("micro-batch", error.to_string()).into()
                }
                error => TrainerError::Refused(error.to_string()),
            },
            other => TrainerError::Refused(other.to_string()),
        }
    }
}
