use std::{fmt, str::FromStr};

use batchscope_core::{Metric, SettingError, Target, TargetError};
use serde::{Deserialize, Serialize};

/// Where the learning rate of a batch size comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tune {
    /// Tuned afresh at every batch size, each with the same budget: one curve, `tuned`.
    Every,
    /// Tuned once at the base batch size and carried over by each rule: one curve per rule.
    Base,
}

impl Tune {
    /// Default length of the warm-up, in optimizer steps: 0 with [`Tune::Every`], 10 with
    /// [`Tune::Base`]. A rate tuned at its own batch size needs none. Rules scale a rate beyond
    /// where it was tuned, and linear scaling was proposed with a warm-up (Goyal et al. 2017, arXiv
    /// 1706.02677, section 2.2). It is ten steps, since targets here are often reached within an
    /// epoch.
    pub fn warm_up_steps(self) -> u64 {
        match self {
            Tune::Every => 0,
            Tune::Base => 10,
        }
    }
}

impl fmt::Display for Tune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tune::Every => "every",
            Tune::Base => "base",
        })
    }
}

impl FromStr for Tune {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text {
            "every" => Ok(Tune::Every),
            "base" => Ok(Tune::Base),
            other => Err(SettingError::new(
                "tune",
                format!("'{other}' is neither 'every' nor 'base'"),
            )),
        }
    }
}

/// Where the target comes from. Written `val-error=0.03`, `auto:val-error`, `quartile:train-loss`.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetChoice {
    /// Fixed beforehand.
    Fixed(Target),
    /// From the pilot at the base batch size: nine tenths of its best run's improvement.
    Auto {
        /// The metric that the target is set for.
        metric: Metric,
    },
    /// Golmant et al. 2018: the lowest quartile of the values a run at the *largest* batch size
    /// goes through (highest where higher is better). It favors large batches.
    Quartile {
        /// The metric that the target is set for.
        metric: Metric,
    },
}

impl TargetChoice {
    /// The metric watched.
    pub fn metric(&self) -> &Metric {
        match self {
            TargetChoice::Fixed(target) => &target.metric,
            TargetChoice::Auto { metric } | TargetChoice::Quartile { metric } => metric,
        }
    }
}

impl fmt::Display for TargetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetChoice::Fixed(target) => target.fmt(f),
            TargetChoice::Auto { metric } => write!(f, "auto:{metric}"),
            TargetChoice::Quartile { metric } => write!(f, "quartile:{metric}"),
        }
    }
}

impl FromStr for TargetChoice {
    type Err = SettingError;

    /// Reads a target; bare `auto` means `auto:val-error`, bare `quartile` `quartile:train-loss`.
    fn from_str(text: &str) -> Result<Self, SettingError> {
        let metric = |name: &str| {
            name.parse::<Metric>()
                .map_err(|e| SettingError::new("target", e.to_string()))
        };
        match text.trim().split_once(':').unwrap_or((text.trim(), "")) {
            ("auto", "") => Ok(TargetChoice::Auto {
                metric: metric("val-error")?,
            }),
            ("auto", name) => Ok(TargetChoice::Auto {
                metric: metric(name)?,
            }),
            ("quartile", "") => Ok(TargetChoice::Quartile {
                metric: metric("train-loss")?,
            }),
            ("quartile", name) => Ok(TargetChoice::Quartile {
                metric: metric(name)?,
            }),
            _ => text
                .parse()
                .map(TargetChoice::Fixed)
                .map_err(|e: TargetError| SettingError::new("target", e.to_string())),
        }
    }
}

impl Serialize for TargetChoice {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetChoice {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
