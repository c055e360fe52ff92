use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which network. Sizes of input and output come from the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Architecture {
    /// Softmax regression: one linear layer.
    Softmax,
    /// Multi-layer perceptron with ReLU.
    Mlp {
        /// Width of each hidden layer, 1 to 64 of them.
        widths: Vec<usize>,
        /// Batch norm before each ReLU.
        norm: bool,
    },
    /// Keskar et al. 2016, F1: five hidden layers of 512, each with batch norm and ReLU.
    F1,
    /// Two 5 × 5 convolutions (16, 32 channels) with ReLU and 2 × 2 max-pooling, then 128 hidden.
    Lenet,
    /// Keskar et al. 2016, C1: a shallow AlexNet with batch norm and dropout.
    C1,
    /// He et al. 2016 for 32 × 32 images: 3 stages of 3 blocks, 16 to 64 channels.
    Resnet20,
    /// He et al. 2016, 34 layers, with the stem for small images: 64 to 512 channels.
    Resnet34,
    /// LSTM language model.
    Lstm {
        /// Recurrent layers, 1 to 8.
        layers: usize,
        /// Width of the embedding and of every recurrent layer.
        width: usize,
        /// Use the embedding as the output matrix too (Press and Wolf 2017).
        tied: bool,
    },
}

/// A model with its settings, written `NAME` or `NAME(ITEM,…)`:
///
/// | model | items, with defaults |
/// | --- | --- |
/// | `softmax` | |
/// | `mlp` | hidden widths `512,512`; `norm`; `dropout=0` |
/// | `f1` | |
/// | `lenet` | `dropout=0` |
/// | `c1` | `dropout=0.5` |
/// | `resnet20`, `resnet34` | |
/// | `lstm` | `layers=2`, `width=200`, `tied`, `dropout=0` |
///
/// Every model takes `smoothing=0` (label smoothing, of classification and text); those with batch
/// norm take `ghost=32`. `mlp:128,64` means `mlp(128,64)`. It is written back in its shortest
/// form, and serialises as that text.
///
/// The ghost size is the number of examples batch norm normalises over, whatever the batch size:
/// it belongs to the model. 32 is what each worker of Goyal et al. 2017 normalised over, who kept
/// it fixed for the same reason.
///
/// ```
/// use batchwise_nn::ModelSpec;
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

/// Examples batch norm normalises over unless the model says otherwise.
const DEFAULT_GHOST: u64 = 32;
/// Largest accepted width, number of layers and text: far above use, small enough to be safe.
const MAX_WIDTH: usize = 1 << 16;
const MAX_HIDDEN: usize = 64;
const MAX_RECURRENT: usize = 8;
const MAX_TEXT: usize = 1024;

/// Why a model could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No such model.
    #[error(
        "'{0}' is not a model: choose softmax, mlp, f1, lenet, c1, resnet20, resnet34 or lstm, with settings in parentheses: mlp(512,512)"
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
        let dropout = if architecture == Architecture::C1 {
            0.5
        } else {
            0.0
        };
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

    /// Examples batch norm normalises over; `None` without batch norm.
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
        match (name, &mut self.architecture) {
            ("smoothing", _) => self.label_smoothing = fraction()?,
            ("dropout", architecture) if architecture.has_dropout() => self.dropout = fraction()?,
            ("ghost", architecture) if architecture.has_norm() => {
                self.ghost = whole(1 << 24)? as u64
            }
            ("norm", Architecture::Mlp { norm, .. }) if text.is_none() => *norm = true,
            ("tied", Architecture::Lstm { tied, .. }) if text.is_none() => *tied = true,
            ("layers", Architecture::Lstm { layers, .. }) => *layers = whole(MAX_RECURRENT)?,
            ("width", Architecture::Lstm { width, .. }) => *width = whole(MAX_WIDTH)?,
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

impl Architecture {
    /// The model's name without settings.
    pub fn name(&self) -> &'static str {
        match self {
            Architecture::Softmax => "softmax",
            Architecture::Mlp { .. } => "mlp",
            Architecture::F1 => "f1",
            Architecture::Lenet => "lenet",
            Architecture::C1 => "c1",
            Architecture::Resnet20 => "resnet20",
            Architecture::Resnet34 => "resnet34",
            Architecture::Lstm { .. } => "lstm",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "softmax" => Architecture::Softmax,
            "mlp" => Architecture::Mlp {
                widths: vec![512, 512],
                norm: false,
            },
            "f1" => Architecture::F1,
            "lenet" => Architecture::Lenet,
            "c1" => Architecture::C1,
            "resnet20" => Architecture::Resnet20,
            "resnet34" => Architecture::Resnet34,
            "lstm" => Architecture::Lstm {
                layers: 2,
                width: 200,
                tied: false,
            },
            _ => return None,
        })
    }

    fn has_norm(&self) -> bool {
        match self {
            Architecture::Mlp { norm, .. } => *norm,
            Architecture::F1
            | Architecture::C1
            | Architecture::Resnet20
            | Architecture::Resnet34 => true,
            Architecture::Softmax | Architecture::Lenet | Architecture::Lstm { .. } => false,
        }
    }

    fn has_dropout(&self) -> bool {
        matches!(
            self,
            Architecture::Mlp { .. }
                | Architecture::Lenet
                | Architecture::C1
                | Architecture::Lstm { .. }
        )
    }

    /// The settings it takes, for a reader.
    fn takes(&self) -> String {
        let mut items = match self {
            Architecture::Mlp { .. } => vec!["hidden widths", "norm"],
            Architecture::Lstm { .. } => vec!["layers=N", "width=N", "tied"],
            _ => vec![],
        };
        if self.has_dropout() {
            items.push("dropout=P");
        }
        if self.has_norm() {
            items.push("ghost=N");
        }
        items.push("smoothing=P");
        items.join(", ")
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
        let mut model = ModelSpec::new(Architecture::from_name(name).ok_or_else(unknown)?);
        let mut items: Vec<&str> = items.split(',').map(str::trim).collect();
        if items == [""] {
            items.clear();
        }
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
        let mut items: Vec<String> = Vec::new();
        match &self.architecture {
            Architecture::Mlp { widths, norm } => {
                items.extend(widths.iter().map(usize::to_string));
                items.extend(norm.then(|| "norm".to_owned()));
            }
            Architecture::Lstm {
                layers,
                width,
                tied,
            } => {
                items.extend((*layers != 2).then(|| format!("layers={layers}")));
                items.extend((*width != 200).then(|| format!("width={width}")));
                items.extend(tied.then(|| "tied".to_owned()));
            }
            _ => {}
        }
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
            "lenet(dropout=0.25)",
            "c1",
            "c1(dropout=0)",
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
        fn any_text_is_read_or_refused(text in "(mlp|lstm|c1|f1)?[(:]?[a-z0-9=.,() é]{0,40}\\)?") {
            if let Ok(model) = text.parse::<ModelSpec>() {
                prop_assert_eq!(model.to_string().parse::<ModelSpec>().unwrap(), model);
            }
        }
    }
}
