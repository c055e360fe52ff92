use std::{fmt, str::FromStr};

use batchscope_core::{Choice, ChoiceError, Described, Registry};
use serde::{Deserialize, Serialize};

use crate::models::{DROPOUT, GHOST, MODELS, ModelKind, SMOOTHING, Settings};

/// A model with its settings, written `NAME` or `NAME(VALUE,KEY=VALUE,…)`; [`MODELS`] lists the
/// names and the settings of each.
///
/// `mlp:128,64` means `mlp(128,64)`. It is written back in its shortest form, and serializes as
/// that text.
///
/// ```
/// use batchscope_nn::ModelSpec;
/// let model: ModelSpec = "mlp:512, 512, smoothing=0.1".parse().unwrap();
/// assert_eq!(model.to_string(), "mlp(512,512,smoothing=0.1)");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelSpec {
    kind: &'static ModelKind,
    choice: Choice,
}

impl PartialEq for ModelSpec {
    fn eq(&self, other: &Self) -> bool {
        self.choice == other.choice
    }
}

impl ModelSpec {
    /// Reads a model of a registry, which may hold models of one's own beside those of [`MODELS`].
    ///
    /// # Errors
    /// When there is no such model, or a setting is wrong.
    pub fn read(models: &Registry<ModelKind>, text: &str) -> Result<Self, ChoiceError> {
        let (kind, choice) = models.read(text)?;
        Ok(Self { kind, choice })
    }

    /// What kind of model it is.
    pub fn kind(&self) -> &'static ModelKind {
        self.kind
    }

    /// Its settings.
    pub fn settings(&self) -> Settings<'_> {
        Settings::new(&self.choice)
    }

    /// Label smoothing ε in [0, 1): targets are `(1 − ε)·one-hot + ε/classes`.
    pub fn label_smoothing(&self) -> f64 {
        self.settings().number(SMOOTHING.name)
    }

    /// Probability in [0, 1) of dropping a number.
    pub fn dropout(&self) -> f64 {
        self.settings().number(DROPOUT.name)
    }

    /// Examples batch norm normalizes over; `None` without batch norm.
    pub fn ghost(&self) -> Option<u64> {
        self.choice.whole(GHOST.name)
    }
}

impl FromStr for ModelSpec {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        Self::read(&MODELS, text)
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.descriptor().shortest(&self.choice))
    }
}

impl TryFrom<String> for ModelSpec {
    type Error = ChoiceError;

    fn try_from(text: String) -> Result<Self, ChoiceError> {
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
            error.contains("layers=N, width=N, tied, dropout=X, smoothing=X"),
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
