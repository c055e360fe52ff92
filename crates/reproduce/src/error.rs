use std::path::PathBuf;

use batchscope_core::NetworkError;
use batchscope_landscape::LandscapeError;
use batchscope_train::TrainError;

/// Why an experiment could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// A setting makes no sense.
    #[error("{name}: {why}")]
    Setting {
        /// The setting's key, such as `learning-rate`.
        name: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The folder holds another experiment.
    #[error("{} holds an experiment with {difference}: choose another folder, or the same settings to go on with it", path.display())]
    OtherExperiment {
        /// The folder.
        path: PathBuf,
        /// What differs, with both values.
        difference: String,
    },
    /// A file of the experiment's failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the experiment's is damaged.
    #[error("{} is damaged ({why}): delete it, and what it held is made again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A training run could not be made.
    #[error("{task}: {source}")]
    Training {
        /// The task, in words.
        task: String,
        /// The cause.
        source: TrainError,
    },
    /// A measurement failed.
    #[error("{task}: {source}")]
    Measuring {
        /// The task, in words.
        task: String,
        /// The cause.
        source: LandscapeError,
    },
    /// The network refused.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No threads could be had.
    #[error("no threads for {jobs} tasks at a time: {why}; choose fewer jobs")]
    Threads {
        /// Tasks at a time.
        jobs: usize,
        /// What the system said.
        why: String,
    },
    /// Stopped from outside; what is finished is stored, and what was under way where it can be.
    #[error("interrupted")]
    Interrupted,
}
