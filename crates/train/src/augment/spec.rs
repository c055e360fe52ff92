use std::{fmt, str::FromStr};

use batchscope_core::{Choice, ChoiceError, SettingError, Value, split_list};
use serde::{Deserialize, Serialize};

use super::{AUGMENTATIONS, Augmentation, Size};

/// Augmentations in the order of their application, written `crop:4,flip,rotate:10`; empty is
/// written `none`.
///
/// ```
/// use batchscope_train::augment::AugmentSpec;
/// let spec: AugmentSpec = "crop:4,flip,rotate:10,translate:0.2,cutout:8".parse().unwrap();
/// assert_eq!(spec.to_string(), "crop:4,flip,rotate:10,translate:0.2,cutout:8");
/// assert!("none".parse::<AugmentSpec>().unwrap().is_empty());
/// assert!("shear:3".parse::<AugmentSpec>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AugmentSpec(Vec<Choice>);

/// Why an augmentation was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AugmentError {
    /// It could not be read, or a setting is out of its range.
    #[error("{0}; write a list such as crop:4,flip, or none")]
    Choice(#[from] ChoiceError),
    /// The data have no images.
    #[error("augmentation needs images, and these data have none: set augment to none")]
    NoImages,
    /// The images are too small for it.
    #[error(
        "augmentation {augmentation} is too large for images of {height} × {width} pixels: choose a smaller number"
    )]
    TooLarge {
        /// The augmentation.
        augmentation: String,
        /// Rows of the images.
        height: usize,
        /// Columns of the images.
        width: usize,
    },
}

impl From<AugmentError> for SettingError {
    fn from(error: AugmentError) -> Self {
        Self::new("augment", error.to_string())
    }
}

impl AugmentSpec {
    /// True if images stay as they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where one of this name is among them.
    pub fn names(&self, name: &str) -> bool {
        self.0.iter().any(|choice| choice.name() == name)
    }

    /// With further ones after these.
    #[must_use]
    pub fn with(&self, further: impl IntoIterator<Item = Choice>) -> Self {
        Self(self.0.iter().cloned().chain(further).collect())
    }

    /// The augmentations, for images of this size.
    ///
    /// # Errors
    /// When one could blank or push out whole images.
    pub(super) fn build(&self, size: Size) -> Result<Vec<Box<dyn Augmentation>>, AugmentError> {
        let side = size.height.min(size.width);
        let build = |choice: &Choice| {
            let (kind, checked) = AUGMENTATIONS.check(choice)?;
            let augmentation = (kind.build)(&checked);
            if augmentation.reach() as usize > side {
                return Err(AugmentError::TooLarge {
                    augmentation: written(choice),
                    height: size.height,
                    width: size.width,
                });
            }
            Ok(augmentation)
        };
        self.0.iter().map(build).collect()
    }
}

/// A choice as it is stored in settings and identities: `crop:4`.
fn written(choice: &Choice) -> String {
    let mut text = choice.name().to_owned();
    for (key, value) in choice.values() {
        match value {
            Value::Switch(_) => text += &format!(":{key}={value}"),
            value => text += &format!(":{value}"),
        }
    }
    text
}

impl fmt::Display for AugmentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let items: Vec<String> = self.0.iter().map(written).collect();
        f.write_str(&items.join(","))
    }
}

impl FromStr for AugmentSpec {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, AugmentError> {
        match text.trim() {
            "" | "none" => Ok(Self::default()),
            list => {
                let items = split_list(list).map_err(ChoiceError::from)?;
                let read = |item| AUGMENTATIONS.read(item).map(|(_, choice)| choice);
                let choices: Result<_, _> = items.into_iter().map(read).collect();
                Ok(Self(choices?))
            }
        }
    }
}

impl Serialize for AugmentSpec {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AugmentSpec {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_specs_are_refused() {
        for text in [
            "crop",
            "crop:",
            "crop:0",
            "crop:-1",
            "crop:1.5",
            "flip:2",
            "rotate:181",
            "rotate:nan",
            "rotate:-3",
            "translate:1.1",
            "translate:0",
            "cutout:99999999999",
            "flip,,flip",
            "none,flip",
            "crop:4;flip",
        ] {
            assert!(text.parse::<AugmentSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_checked_against_the_images() {
        let size = Size {
            height: 28,
            width: 20,
            channels: 1,
        };
        assert!(
            "crop:20,cutout:20"
                .parse::<AugmentSpec>()
                .unwrap()
                .build(size)
                .is_ok()
        );
        assert!(
            "crop:21"
                .parse::<AugmentSpec>()
                .unwrap()
                .build(size)
                .is_err()
        );
        assert!(
            "cutout:21"
                .parse::<AugmentSpec>()
                .unwrap()
                .build(size)
                .is_err()
        );
    }
}
