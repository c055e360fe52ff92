use std::path::PathBuf;

use batchscope_core::{ChoiceError, ExamplesError, GroupError, NetworkError, TrainerError};
use batchscope_optim::StateError;
use batchscope_rules::{ControllerError, RulesError};

/// Why a training run could not be set up or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The network refused or its device failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The data cannot be batched so.
    #[error(transparent)]
    Examples(#[from] ExamplesError),
    /// A learning-rate schedule makes no sense.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A setting of the optimizer, the controller or a step method makes no sense.
    #[error(transparent)]
    Setting(Box<ChoiceError>),
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

impl From<ChoiceError> for TrainError {
    fn from(error: ChoiceError) -> Self {
        Self::Setting(Box::new(error))
    }
}

impl From<ControllerError> for TrainError {
    fn from(error: ControllerError) -> Self {
        match error {
            ControllerError::Choice(error) => error.into(),
            ControllerError::Rules(error) => error.into(),
        }
    }
}

impl From<TrainError> for TrainerError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::File { what, path, source } => TrainerError::File { what, path, source },
            TrainError::Bug(what) => TrainerError::Bug(what),
            other => TrainerError::Refused(other.to_string()),
        }
    }
}
