use batchscope_core::{Metric, SettingError, Target, TrainerError, format::number};

use crate::{Remedy, StoreError};

/// Why a study ended without a result. Every finished trial is stored; [`StudyError::remedies`] says
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A setting makes no sense.
    #[error(transparent)]
    Plan(#[from] SettingError),
    /// The stored study is another one.
    #[error("the stored study has {key} = {stored}, not {given}")]
    Mismatch {
        /// The setting that differs.
        key: String,
        /// Its value in the store.
        stored: String,
        /// Its value now.
        given: String,
    },
    /// Trials of an earlier version ended where a smoothed metric met the target, which is later than
    /// where the metric without its noise crosses it ([`batchscope_core::Located`]). Steps of both
    /// kinds are not compared.
    #[error(
        "trial {trial} was ended by an earlier version, which counted steps to where the smoothed metric met the target: they come out 7 to 16 % higher than today's"
    )]
    EarlierCrossings {
        /// The first such trial.
        trial: u64,
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
        "no pilot trial at batch size {batch_size} reached {target} within {}; the best value was {}",
        epochs.map_or_else(|| "its steps".to_owned(), |epochs| format!("{epochs} epochs")),
        best.map_or_else(|| "never finite".to_owned(), number)
    )]
    TargetNotReached {
        /// The target.
        target: Target,
        /// Base batch size.
        batch_size: u64,
        /// The pilot's bound; `None` where there is no training set to pass over.
        epochs: Option<f64>,
        /// The best smoothed value that any pilot trial measured.
        best: Option<f64>,
    },
    /// No target follows from the pilot.
    #[error("no target can be chosen from the pilot at batch size {batch_size}: {why}")]
    NoTarget {
        /// Where the pilot ran.
        batch_size: u64,
        /// What was missing.
        why: NoTarget,
    },
    /// Every trial of a stage failed: the fault is the trainer's or the setting's, not a trial's.
    #[error("every trial of the {stage} failed, the first with: {why}")]
    AllFailed {
        /// Which stage.
        stage: String,
        /// Numbers of the trials.
        trials: Vec<u64>,
        /// The first failure.
        why: String,
    },
    /// The system gives no thread to train in.
    #[error("no thread can be started to train in: {0}")]
    Threads(std::io::Error),
    /// A fault of batchscope itself.
    #[error("internal fault: {0}")]
    Bug(String),
}

/// Why no target can be chosen from a pilot.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoTarget {
    /// No trial trained well enough to measure anything.
    #[error("every trial diverged")]
    AllDiverged,
    /// The metric is in no measurement.
    #[error("the trainer measured no {metric}")]
    NotMeasured {
        /// The metric asked for.
        metric: Metric,
    },
    /// No trial got better than at its first evaluation.
    #[error("{metric} never improved")]
    NeverImproved {
        /// The metric asked for.
        metric: Metric,
    },
}

impl StudyError {
    /// What can be done about it, the likeliest first.
    pub fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::Plan(_) => Vec::new(),
            Self::EarlierCrossings { .. } => vec![Remedy::OnlyRead, Remedy::OtherFolder],
            Self::Mismatch { key, stored, .. } => vec![
                Remedy::KeepSetting {
                    key: key.clone(),
                    value: stored.clone(),
                },
                Remedy::OtherFolder,
            ],
            Self::Store(error) => error.remedies(),
            Self::Trainer { .. } | Self::AllFailed { .. } | Self::Threads(_) => {
                vec![Remedy::RunAgain]
            }
            Self::TargetNotReached { .. } => vec![
                change("target", "an easier value"),
                change("pilot-epochs", "a larger value"),
                change("learning-rates", "another range"),
            ],
            Self::NoTarget { why, .. } => why.remedies(),
            Self::Bug(_) => vec![Remedy::Report],
        }
    }
}

impl NoTarget {
    fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::AllDiverged => vec![change("learning-rates", "a lower range")],
            Self::NotMeasured { .. } => vec![change("target", "another metric")],
            Self::NeverImproved { metric } => vec![
                change("target", format!("a fixed value, such as {metric}=0.1")),
                change("pilot-epochs", "a larger value"),
                change("learning-rates", "another range"),
            ],
        }
    }
}

fn change(key: &'static str, to: impl Into<String>) -> Remedy {
    Remedy::ChangeSetting { key, to: to.into() }
}
