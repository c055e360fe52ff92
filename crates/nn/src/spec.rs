use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;

/// A model with its settings, written `NAME` or `NAME(ITEM,…)`:
///
/// | model | items, with defaults |
/// | --- | --- |
/// | `softmax` | |
/// | `mlp` | hidden widths `512,512`; `norm`; `dropout=0` |
/// | `f1`, `f2` | |
/// | `lenet` | `dropout=0` |
/// | `c1`, `c2`, `c3`, `c4` | `dropout=0.5` |
/// | `alexnet` | |
/// | `vgg16` | `dropout=0`; `imagenet`, with which `dropout=0.5` |
/// | `mobilenetv2` | `width=1` (multiplier); `dropout=0`; `imagenet`, with which `dropout=0.2` |
/// | `resnet20`, `resnet34`, `drn-d-22` | |
/// | `lstm` | `layers=2`, `width=200`, `tied`, `dropout=0` |
/// | `row-lstm` | `width=128`, `dropout=0` |
///
/// Every model takes `smoothing=0` (label smoothing, of classification and text); those with batch
/// norm take `ghost=32`. `mlp:128,64` means `mlp(128,64)`. It is written back in its shortest
/// form, and serializes as that text.
///
/// The ghost size is the number of examples batch norm normalizes over, whatever the batch size:
/// it belongs to the model. 32 is what each worker of Goyal et al. 2017 normalized over, who kept
/// it fixed for the same reason.
///
/// ```
/// use batchscope_nn::ModelSpec;
/// let model: ModelSpec = "mlp:512, 512, smoothing=0.1".parse().unwrap();
/// assert_eq!(model.to_string(), "mlp(512,512,smoothing=0.1)");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelSpec {
    architecture: Architecture,
    label_smoothing: f64,
    dropout: f64,
    ghost: u64,
}

/// Examples batch norm normalizes over unless the model says otherwise.
const DEFAULT_GHOST: u64 = 32;
/// Largest accepted width, number of layers and text: far above use, small enough to be safe.
const MAX_WIDTH: usize = 1 << 16;
/// Multipliers of widths.
const MULTIPLIERS: std::ops::RangeInclusive<f64> = 0.05..=8.0;
const MAX_HIDDEN: usize = 64;
const MAX_RECURRENT: usize = 8;
const MAX_TEXT: usize = 1024;

/// Why a model could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No such model.
    #[error(
        "'{0}' is not a model: choose {names}, with settings in parentheses: mlp(512,512)",
        names = Architecture::names()
    )]
    Unknown(String),
    /// A setting the model does not have.
    #[error("model {model} has no setting '{item}'; it takes {takes}")]
    Item {
        /// The model.
        model: String,
        /// What was written.
        item: String,
        /// What can be written.
        takes: String,
    },
    /// A setting's value is out of its range.
    #[error("'{item}' in model {model}: {why}")]
    Value {
        /// The model.
        model: String,
        /// What was written.
        item: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ModelSpec {
    /// The architecture with its default settings.
    pub fn new(architecture: Architecture) -> Self {
        let dropout = architecture.default_dropout();
        Self {
            architecture,
            label_smoothing: 0.0,
            dropout,
            ghost: DEFAULT_GHOST,
        }
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Label smoothing ε in [0, 1): targets are `(1 − ε)·one-hot + ε/classes`.
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// Probability in [0, 1) of dropping a number.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// Examples batch norm normalizes over; `None` without batch norm.
    pub fn ghost(&self) -> Option<u64> {
        self.architecture.has_norm().then_some(self.ghost)
    }

    fn set(&mut self, item: &str) -> Result<(), SpecError> {
        let model = self.architecture.name();
        let value = |why: &str| SpecError::Value {
            model: model.to_owned(),
            item: item.to_owned(),
            why: why.to_owned(),
        };
        let (name, text) = item.split_once('=').map_or((item, None), |(name, text)| {
            (name.trim(), Some(text.trim()))
        });
        let fraction = || {
            text.and_then(|text| text.parse::<f64>().ok())
                .filter(|p| (0.0..1.0).contains(p))
                .ok_or_else(|| value("write a number of at least 0 and below 1"))
        };
        let whole = |most: usize| {
            text.and_then(|text| text.parse::<usize>().ok())
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| value(&format!("write a whole number from 1 to {most}")))
        };
        let multiplier = || {
            text.and_then(|text| text.parse::<f64>().ok())
                .filter(|x| MULTIPLIERS.contains(x))
                .ok_or_else(|| value("write a number from 0.05 to 8"))
        };
        match (name, &mut self.architecture) {
            ("smoothing", _) => self.label_smoothing = fraction()?,
            ("dropout", architecture) if architecture.has_dropout() => self.dropout = fraction()?,
            ("ghost", architecture) if architecture.has_norm() => {
                self.ghost = whole(1 << 24)? as u64
            }
            ("norm", Architecture::Mlp { norm, .. }) if text.is_none() => *norm = true,
            // Taken in before the other settings.
            ("imagenet", Architecture::Vgg16 { .. } | Architecture::MobilenetV2 { .. })
                if text.is_none() => {}
            ("tied", Architecture::Lstm { tied, .. }) if text.is_none() => *tied = true,
            ("layers", Architecture::Lstm { layers, .. }) => *layers = whole(MAX_RECURRENT)?,
            ("width", Architecture::Lstm { width, .. } | Architecture::RowLstm { width }) => {
                *width = whole(MAX_WIDTH)?
            }
            ("width", Architecture::MobilenetV2 { width, .. }) => *width = multiplier()?,
            (_, architecture) => {
                return Err(SpecError::Item {
                    model: architecture.name().to_owned(),
                    item: item.to_owned(),
                    takes: architecture.takes(),
                });
            }
        }
        Ok(())
    }
}

impl FromStr for ModelSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let unknown = || SpecError::Unknown(text.chars().take(80).collect());
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(unknown());
        }
        let (name, items) = match text.split_once(['(', ':']) {
            None => (text, ""),
            Some((name, rest)) if text[name.len()..].starts_with('(') => {
                (name.trim(), rest.strip_suffix(')').ok_or_else(unknown)?)
            }
            Some((name, rest)) => (name.trim(), rest),
        };
        let mut architecture = Architecture::from_name(name).ok_or_else(unknown)?;
        let mut items: Vec<&str> = items.split(',').map(str::trim).collect();
        if items == [""] {
            items.clear();
        }
        // For which images decides the defaults of other settings.
        if let Some(imagenet) = architecture.imagenet_mut() {
            *imagenet = items.contains(&"imagenet");
        }
        let mut model = ModelSpec::new(architecture);
        if let Architecture::Mlp { widths, norm } = &mut model.architecture {
            let given: Vec<&str> = items
                .iter()
                .copied()
                .filter(|item| item.starts_with(|c: char| c.is_ascii_digit()))
                .collect();
            items.retain(|item| !given.contains(item));
            // Whether there is batch norm decides which other settings there are.
            *norm = items.contains(&"norm");
            if !given.is_empty() {
                let value = |item: &str, why: String| SpecError::Value {
                    model: "mlp".to_owned(),
                    item: item.to_owned(),
                    why,
                };
                if given.len() > MAX_HIDDEN {
                    return Err(value(
                        given[MAX_HIDDEN],
                        format!("at most {MAX_HIDDEN} hidden layers"),
                    ));
                }
                let width = |item: &&str| {
                    item.parse::<usize>()
                        .ok()
                        .filter(|width| (1..=MAX_WIDTH).contains(width))
                        .ok_or_else(|| {
                            value(
                                item,
                                format!("a width is a whole number from 1 to {MAX_WIDTH}"),
                            )
                        })
                };
                *widths = given.iter().map(width).collect::<Result<_, _>>()?;
            }
        }
        for item in items {
            model.set(item)?;
        }
        Ok(model)
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = ModelSpec::new(self.architecture.clone());
        let mut items = self.architecture.items();
        items
            .extend((self.dropout != default.dropout).then(|| format!("dropout={}", self.dropout)));
        items.extend((self.ghost != default.ghost).then(|| format!("ghost={}", self.ghost)));
        items.extend(
            (self.label_smoothing != 0.0).then(|| format!("smoothing={}", self.label_smoothing)),
        );
        f.write_str(self.architecture.name())?;
        if items.is_empty() {
            Ok(())
        } else {
            write!(f, "({})", items.join(","))
        }
    }
}

impl TryFrom<String> for ModelSpec {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<ModelSpec> for String {
    fn from(model: ModelSpec) -> Self {
        model.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn models_read_back_as_written() {
        for text in [
            "softmax",
            "mlp(512,512)",
            "mlp(128,64,norm,ghost=16)",
            "f1(ghost=256,smoothing=0.1)",
            "f2",
            "lenet(dropout=0.25)",
            "c1",
            "c1(dropout=0)",
            "c4(dropout=0.25,ghost=16)",
            "alexnet(smoothing=0.1)",
            "vgg16(dropout=0.5,ghost=64)",
            "vgg16(imagenet)",
            "vgg16(imagenet,dropout=0)",
            "drn-d-22(ghost=4)",
            "mobilenetv2",
            "mobilenetv2(width=0.5,ghost=16)",
            "mobilenetv2(width=1.4,imagenet)",
            "row-lstm(width=64,dropout=0.1)",
            "resnet20(ghost=64)",
            "resnet34",
            "lstm",
            "lstm(layers=1,width=650,tied,dropout=0.5)",
        ] {
            assert_eq!(text.parse::<ModelSpec>().unwrap().to_string(), text);
        }
        for (text, same) in [
            ("mlp", "mlp(512,512)"),
            ("mlp:128, 64", "mlp(128,64)"),
            (" lstm( ) ", "lstm"),
            ("c1(dropout=0.5)", "c1"),
            ("vgg16(dropout=0.5,imagenet)", "vgg16(imagenet)"),
            ("mobilenetv2(width=1.0)", "mobilenetv2"),
            ("row-lstm:width=128", "row-lstm"),
        ] {
            assert_eq!(text.parse::<ModelSpec>().unwrap().to_string(), same);
        }
    }

    #[test]
    fn broken_models_are_refused() {
        for text in [
            "",
            "mlp(",
            "mlp(512",
            "mlp(0)",
            "mlp(65537)",
            "mlp(99999999999999999999999)",
            "mlp(12a)",
            "mlp(,)",
            "mlp(ghost=2)",
            "softmax(dropout=0.5)",
            "f1(norm)",
            "resnet18",
            "lstm(layers=9)",
            "lstm(layers)",
            "lstm(tied=1)",
            "lstm(dropout=1)",
            "lenet(smoothing=nan)",
            "lenet(smoothing=-0.1)",
            "c1(ghost=0)",
            "alexnet(ghost=8)",
            "drn-d-22(dropout=0.1)",
            "alexnet(imagenet)",
            "vgg16(imagenet,ghost=8)",
            "vgg16(imagenet=1)",
            "mobilenetv2(width=0)",
            "mobilenetv2(width=nan)",
            "mobilenetv2(width=9)",
            "row-lstm(layers=2)",
            "row-lstm(width=0)",
        ] {
            assert!(text.parse::<ModelSpec>().is_err(), "{text}");
        }
        let deep = format!("mlp({})", vec!["1"; 65].join(","));
        assert!(deep.parse::<ModelSpec>().is_err());
    }

    #[test]
    fn errors_say_what_can_be_written() {
        let error = "lstm(hidden=3)"
            .parse::<ModelSpec>()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("layers=N, width=N, tied, dropout=P, smoothing=P"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(mlp|lstm|c1|f1|vgg16|mobilenetv2)?[(:]?[a-z0-9=.,() é]{0,40}\\)?") {
            if let Ok(model) = text.parse::<ModelSpec>() {
                prop_assert_eq!(model.to_string().parse::<ModelSpec>().unwrap(), model);
            }
        }
    }
}
