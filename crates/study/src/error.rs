use batchscope_core::{Target, TrainerError};

use crate::{PlanError, StoreError};

/// Why a study ended without a result. What was finished is stored; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A setting makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The stored study is another one.
    #[error(
        "this folder holds a study with {key} = {stored}, not {given}: give {key} its old value, or choose another --dir"
    )]
    Mismatch {
        /// The setting that differs.
        key: String,
        /// Its value in the store.
        stored: String,
        /// Its value now.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the trainer's failed (a full disk, say): the trial is not counted as failed.
    #[error("trial {trial}: {source}")]
    Trainer {
        /// The trial that was running.
        trial: u64,
        /// What happened.
        source: TrainerError,
    },
    /// A target fixed beforehand was too hard for every trial of the pilot.
    #[error(
        "no pilot trial at batch size {batch_size} reached {target} within {epochs} epochs; the best value was {}: \
         choose an easier --target, more --pilot-epochs, or other --learning-rates",
        best.map_or_else(|| "never finite".to_owned(), |b| format!("{b:.4}"))
    )]
    TargetNotReached {
        /// The target.
        target: Target,
        /// Base batch size.
        batch_size: u64,
        /// The pilot's bound.
        epochs: f64,
        /// The best smoothed value any pilot trial saw.
        best: Option<f64>,
    },
    /// The pilot says nothing about a target.
    #[error("no target can be chosen from the pilot at batch size {batch_size}: {why}")]
    NoTarget {
        /// Where the pilot ran.
        batch_size: u64,
        /// What was missing, and the remedy.
        why: String,
    },
    /// Every trial of a stage failed: the fault is the trainer's or the setting's, not a trial's.
    #[error(
        "every trial of the {stage} failed, the first with: {why}. Mend that and run the command again: failed trials are tried again"
    )]
    AllFailed {
        /// Which stage.
        stage: String,
        /// Numbers of the trials.
        trials: Vec<u64>,
        /// The first failure.
        why: String,
    },
    /// A fault of batchscope itself.
    #[error("this is a fault in batchscope, please report it: {0}")]
    Bug(String),
}
