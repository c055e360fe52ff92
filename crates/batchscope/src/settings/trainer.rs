//! What trains a study's trials.

use clap::Args;
use serde::{Deserialize, Serialize};

/// The trainer.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Trainer")]
pub struct TrainerArgs {
    /// What trains: built-in, or a trainer that this program was built with, with its settings [default: built-in]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<String>,
}
