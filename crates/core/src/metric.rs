use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::format::exact;

/// Which examples a metric is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The fixed subset of the training examples that evaluations use.
    Train,
    /// The validation examples.
    Val,
    /// The test examples, looked at once, at the end.
    Test,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Mean loss per example (per token for text), without regularization.
    Loss,
    /// Fraction of examples (tokens) classified wrongly.
    Error,
    /// One minus the error.
    Accuracy,
    /// `exp(loss)`.
    Perplexity,
    /// Mean intersection over union of segmentation, in 0 to 1.
    MeanIou,
    /// A metric only the trainer knows (its own name: letters, digits, `_`, `.`).
    Other(String),
}

/// A named measurement, written `val-error`, `train-loss`, `test-accuracy`; a trainer's own metric
/// on the validation set is `val-NAME`.
///
/// ```
/// use batchscope_core::Metric;
/// let metric: Metric = "val-error".parse().unwrap();
/// assert_eq!(metric.to_string(), "val-error");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric {
    /// On which examples.
    pub split: Split,
    /// What is measured: loss, error, accuracy or a name of the trainer's own.
    pub quantity: Quantity,
}

/// Whether smaller or larger values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Smaller is better: losses, errors.
    Lower,
    /// Larger is better: accuracies, rewards.
    Higher,
}

/// A goal fixed beforehand: a trial has reached it when the metric, noise apart, first is as good.
///
/// Written `val-error=0.03`; `>=` or `<=` in place of `=` states the direction, which is otherwise
/// the metric's natural one (higher for accuracy, `miou`, and an agent's `success`, `spl` and `return`; lower for everything
/// else).
///
/// ```
/// use batchscope_core::{Direction, Target};
/// let target: Target = "val-reward>=12.5".parse().unwrap();
/// assert_eq!(target.direction, Direction::Higher);
/// assert!(target.is_met(13.0) && !target.is_met(12.0) && !target.is_met(f64::NAN));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The metric watched.
    pub metric: Metric,
    /// Its goal value.
    pub value: f64,
    /// Which side of `value` is good.
    pub direction: Direction,
}

/// Why a metric or target could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// The metric's name does not start with a split.
    #[error(
        "'{0}' is not a metric: write SPLIT-QUANTITY, for example val-error, train-loss or test-accuracy"
    )]
    Metric(String),
    /// The goal is not a finite number.
    #[error(
        "'{0}' is not a target: write METRIC=VALUE with a finite value, for example val-error=0.03"
    )]
    Value(String),
}

impl Metric {
    /// The metric on a split.
    pub fn new(split: Split, quantity: Quantity) -> Self {
        Self { split, quantity }
    }

    /// True if other programs call this metric so: `val-loss` is `val_loss`, `Validation Loss`, `eval/loss`,
    /// `valid_loss`; `val-accuracy` also `val_acc`.
    ///
    /// ```
    /// use batchscope_core::Metric;
    /// let metric: Metric = "val-accuracy".parse().unwrap();
    /// assert!(metric.is_called("eval/acc") && !metric.is_called("accuracy"));
    /// ```
    pub fn is_called(&self, name: &str) -> bool {
        let splits: &[&str] = match self.split {
            Split::Train => &["train", "training"],
            Split::Val => &["val", "valid", "validation", "eval"],
            Split::Test => &["test"],
        };
        let name = plain_name(name);
        let rest = splits.iter().filter_map(|split| name.strip_prefix(split));
        let own;
        let quantities: &[&str] = match &self.quantity {
            Quantity::Loss => &["loss"],
            Quantity::Error => &["error", "err"],
            Quantity::Accuracy => &["accuracy", "acc"],
            Quantity::Perplexity => &["perplexity", "ppl"],
            Quantity::MeanIou => &["miou", "meaniou"],
            Quantity::Other(name) => {
                own = plain_name(name);
                &[own.as_str()]
            }
        };
        rest.into_iter().any(|rest| quantities.contains(&rest))
    }

    /// The direction people expect of this metric.
    pub fn natural_direction(&self) -> Direction {
        match &self.quantity {
            Quantity::Accuracy | Quantity::MeanIou => Direction::Higher,
            Quantity::Other(name) if HIGHER.contains(&name.as_str()) => Direction::Higher,
            _ => Direction::Lower,
        }
    }
}

/// Names of trainers' own metrics that are better higher wherever they are met: of agents and their episodes.
const HIGHER: [&str; 3] = ["success", "spl", "return"];

/// A name in small letters and digits alone: `Batch Size`, `batch-size` and `batch_size` are one.
pub fn plain_name(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

impl Direction {
    /// True if `a` is strictly better than `b`; a NaN is never better.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Direction::Lower => a < b,
            Direction::Higher => a > b,
        }
    }
}

impl Target {
    /// True if `value` is at least as good as the goal. NaN never is.
    pub fn is_met(&self, value: f64) -> bool {
        match self.direction {
            Direction::Lower => value <= self.value,
            Direction::Higher => value >= self.value,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantity = match &self.quantity {
            Quantity::Loss => "loss",
            Quantity::Error => "error",
            Quantity::Accuracy => "accuracy",
            Quantity::Perplexity => "perplexity",
            Quantity::MeanIou => "miou",
            Quantity::Other(name) => name,
        };
        write!(f, "{}-{quantity}", self.split)
    }
}

impl FromStr for Metric {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError::Metric(text.to_owned());
        let (split, quantity) = text.split_once('-').ok_or_else(wrong)?;
        let split = match split {
            "train" => Split::Train,
            "val" | "validation" => Split::Val,
            "test" => Split::Test,
            _ => return Err(wrong()),
        };
        let quantity = match quantity {
            "loss" => Quantity::Loss,
            "error" => Quantity::Error,
            "accuracy" => Quantity::Accuracy,
            "perplexity" => Quantity::Perplexity,
            "miou" => Quantity::MeanIou,
            name if !name.is_empty()
                && name.len() <= 64
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') =>
            {
                Quantity::Other(name.to_owned())
            }
            _ => return Err(wrong()),
        };
        Ok(Self { split, quantity })
    }
}

impl Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A metric by its name: val-error, train-loss, test-accuracy",
            "type": "string",
            "pattern": "^(train|val|test)-[A-Za-z0-9_.]+$",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.direction {
            d if d == self.metric.natural_direction() => "=",
            Direction::Lower => "<=",
            Direction::Higher => ">=",
        };
        write!(f, "{}{sign}{}", self.metric, exact(self.value))
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError::Value(text.to_owned());
        let (metric, sign, value) = ["<=", ">=", "="]
            .iter()
            .find_map(|sign| {
                text.split_once(sign)
                    .map(|(metric, value)| (metric, *sign, value))
            })
            .ok_or_else(wrong)?;
        let metric: Metric = metric.trim().parse()?;
        let value: f64 = value.trim().parse().map_err(|_| wrong())?;
        if !value.is_finite() {
            return Err(wrong());
        }
        let direction = match sign {
            "<=" => Direction::Lower,
            ">=" => Direction::Higher,
            _ => metric.natural_direction(),
        };
        Ok(Self {
            metric,
            value,
            direction,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_back_as_written() {
        for text in [
            "val-error=0.03",
            "train-loss=1.5",
            "val-accuracy=0.97",
            "val-miou=0.68",
            "val-f1>=0.5",
            "val-accuracy<=0.2",
            "val-success=0.8",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_targets_are_refused() {
        for text in [
            "",
            "val-error",
            "error=0.1",
            "val-error=",
            "val-error=inf",
            "val-=1",
            "dev-loss=1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
