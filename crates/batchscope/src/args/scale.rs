//! `batchscope scale`.

use std::{path::PathBuf, str::FromStr};

use batchscope_core::{Call, Choice, Length};
use batchscope_optim::OPTIMIZERS;
use clap::Args;

use crate::values::BatchSizes;

/// `batchscope scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// A setting that works: batch=256,lr=0.1,optimizer=adamw; also warm_up=5ep and noise_scale=3000
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
    /// Warm-up.
    pub warm_up: Length,
    /// Gradient noise scale, in examples.
    pub noise_scale: Option<f64>,
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut batch_size, mut learning_rate, mut optimizer) = (None, None, "sgd".to_owned());
        let (mut warm_up, mut noise_scale) = (Length::Steps(0), None);
        let above_0 = |text: &str| {
            text.parse()
                .ok()
                .filter(|x: &f64| x.is_finite() && *x > 0.0)
        };
        for part in batchscope_core::split_list(text).map_err(|e| e.to_string())? {
            let (key, value) = part.split_once('=').ok_or("write batch=256,lr=0.1")?;
            let value = value.trim();
            match key.trim() {
                "batch" | "batch_size" | "batch-size" => {
                    let size = value.parse().ok().filter(|&size: &u64| size > 0);
                    batch_size = Some(size.ok_or("batch must be a whole number of at least 1")?);
                }
                "lr" | "learning_rate" | "learning-rate" => {
                    learning_rate = Some(above_0(value).ok_or("lr must be a number above 0")?);
                }
                "optimizer" => optimizer = value.to_owned(),
                "warm_up" | "warm-up" => warm_up = value.parse().map_err(|e| format!("{e}"))?,
                "noise_scale" | "noise-scale" => {
                    let scale = above_0(value).ok_or("noise_scale must be a number above 0")?;
                    noise_scale = Some(scale);
                }
                other => {
                    return Err(format!(
                        "'{other}' is none of batch, lr, optimizer, warm_up and noise_scale"
                    ));
                }
            }
        }
        let call: Call = optimizer.parse().map_err(|e| format!("{e}"))?;
        let kind = OPTIMIZERS.find(&call.name).map_err(|e| e.to_string())?;
        Ok(Self {
            batch_size: batch_size.ok_or("batch is missing: write batch=256,lr=0.1")?,
            learning_rate: learning_rate.ok_or("lr is missing: write batch=256,lr=0.1")?,
            optimizer: kind.descriptor.read(&call).map_err(|e| e.to_string())?,
            warm_up,
            noise_scale,
        })
    }
}
