//! The trainer of point-goal navigation.

use batchscope_navigation::{NAVIGATION, NavigationSettings, NavigationTrainer};

use super::TrainerKind;
use crate::error::CliError;

/// Trains an agent that finds its way.
pub(super) static KIND: TrainerKind = TrainerKind {
    descriptor: NAVIGATION,
    // As Shacklett et al. 2021, but for Lamb, whose rates have to be searched elsewhere.
    prefers: &[("optimizer", "adamw(weight_decay=0.01)"), ("clip", "1")],
    open: |opening| {
        let wrong = |error: batchscope_core::SettingError| {
            CliError::flag("trainer", format!("{}: {}", error.key, error.why))
        };
        let settings = NavigationSettings::of(opening.choice).map_err(wrong)?;
        let workload = NAVIGATION.shortest(opening.choice);
        let checkpoints = opening.checkpoints.map(ToOwned::to_owned);
        let trainer = NavigationTrainer::new(settings, workload, checkpoints);
        Ok(Box::new(trainer.map_err(CliError::trainer)?))
    },
};
