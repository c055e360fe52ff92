//! `batchscope scale`.

use std::{path::PathBuf, str::FromStr};

use batchscope_core::{Call, Choice};
use batchscope_optim::OPTIMIZERS;
use clap::Args;

use crate::values::BatchSizes;

/// `batchscope scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// A setting that works: batch=256,lr=0.1,optimizer=adamw
    #[arg(long, value_name = "SETTING")]
    pub from: Known,
    /// Batch sizes to carry it to: 2048, 512..4096
    #[arg(long, value_name = "SIZES")]
    pub to: BatchSizes,
    /// Also by the power law of the rates that this study tuned
    #[arg(long, value_name = "DIR", conflicts_with = "table")]
    pub study: Option<PathBuf>,
    /// Also by the power law of the best rates of this table (see `batchscope fit`)
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Print as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// A setting that somebody has.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Examples per step.
    pub batch_size: u64,
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer, with its settings.
    pub optimizer: Choice,
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut batch_size, mut learning_rate, mut optimizer) = (None, None, "sgd".to_owned());
        for part in batchscope_core::split_list(text).map_err(|e| e.to_string())? {
            let (key, value) = part.split_once('=').ok_or("write batch=256,lr=0.1")?;
            let value = value.trim();
            match key.trim() {
                "batch" | "batch_size" | "batch-size" => {
                    let size = value.parse().ok().filter(|&size: &u64| size > 0);
                    batch_size = Some(size.ok_or("batch must be a whole number of at least 1")?);
                }
                "lr" | "learning_rate" | "learning-rate" => {
                    let rate = value
                        .parse()
                        .ok()
                        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
                    learning_rate = Some(rate.ok_or("lr must be a number above 0")?);
                }
                "optimizer" => optimizer = value.to_owned(),
                other => return Err(format!("'{other}' is none of batch, lr and optimizer")),
            }
        }
        let call: Call = optimizer.parse().map_err(|e| format!("{e}"))?;
        let kind = OPTIMIZERS.find(&call.name).map_err(|e| e.to_string())?;
        Ok(Self {
            batch_size: batch_size.ok_or("batch is missing: write batch=256,lr=0.1")?,
            learning_rate: learning_rate.ok_or("lr is missing: write batch=256,lr=0.1")?,
            optimizer: kind.descriptor.read(&call).map_err(|e| e.to_string())?,
        })
    }
}
