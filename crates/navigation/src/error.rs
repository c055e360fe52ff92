//! What can go wrong.

use batchscope_core::{ChoiceError, NetworkError, SettingError, TrainerError};
use batchscope_rules::RulesError;

use crate::render::RenderError;

/// Why a navigation run failed.
#[derive(Debug, thiserror::Error)]
pub enum NavigationError {
    /// A setting is at fault.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The optimizer cannot be built so.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The schedule cannot be followed.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The network or its device failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The environments could not be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A checkpoint does not belong to the run, or is damaged.
    #[error("cannot resume from {path}: {why}")]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A file failed.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried: `cannot write checkpoint`.
        what: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<NavigationError> for TrainerError {
    fn from(error: NavigationError) -> Self {
        match error {
            NavigationError::Setting(error) => Self::Setting(error),
            NavigationError::File { what, path, source } => Self::File { what, path, source },
            error => Self::Refused(error.to_string()),
        }
    }
}
