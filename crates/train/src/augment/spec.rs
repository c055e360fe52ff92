use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Size;

/// One augmentation, applied at random to every training image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Augmentation {
    /// `crop:P`: pad by `P` pixels of 0 and cut out the original size anywhere (He et al. 2016).
    Crop {
        /// Pixels of padding on every side.
        padding: u32,
    },
    /// `flip`: mirror left and right, half the time.
    Flip,
    /// `rotate:D`: turn by an angle uniform in ±`D` degrees.
    Rotate {
        /// Largest angle, in (0, 180].
        degrees: f64,
    },
    /// `translate:F`: move by whole pixels, uniform in ±`F` of each side's length.
    Translate {
        /// Largest fraction, in (0, 1].
        fraction: f64,
    },
    /// `cutout:S`: blank an `S × S` square about a uniformly chosen pixel (DeVries and Taylor 2017).
    Cutout {
        /// Side of the square in pixels.
        side: u32,
    },
}

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
pub struct AugmentSpec(pub Vec<Augmentation>);

/// Why an augmentation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AugmentError {
    /// It could not be read.
    #[error(
        "'{0}' is not an augmentation: write a list of crop:PIXELS, flip, rotate:DEGREES (at most 180), translate:FRACTION (at most 1), cutout:PIXELS, or none"
    )]
    Unknown(String),
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

impl AugmentSpec {
    /// True if images stay as they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that no augmentation could blank or push out whole images of this size.
    pub(super) fn check(&self, size: Size) -> Result<(), AugmentError> {
        let side = size.height.min(size.width);
        for augmentation in &self.0 {
            let reach = match *augmentation {
                Augmentation::Crop { padding } => padding,
                Augmentation::Cutout { side } => side,
                _ => 0,
            };
            if reach as usize > side {
                return Err(AugmentError::TooLarge {
                    augmentation: augmentation.to_string(),
                    height: size.height,
                    width: size.width,
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Augmentation::Crop { padding } => write!(f, "crop:{padding}"),
            Augmentation::Flip => f.write_str("flip"),
            Augmentation::Rotate { degrees } => write!(f, "rotate:{degrees}"),
            Augmentation::Translate { fraction } => write!(f, "translate:{fraction}"),
            Augmentation::Cutout { side } => write!(f, "cutout:{side}"),
        }
    }
}

impl FromStr for Augmentation {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, AugmentError> {
        let wrong = || AugmentError::Unknown(text.to_owned());
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value.trim())),
            None => (text, None),
        };
        let pixels = || {
            value
                .and_then(|v| v.parse::<u32>().ok())
                .filter(|&p| p > 0)
                .ok_or_else(wrong)
        };
        let number = |most: f64| {
            value
                .and_then(|v| v.parse::<f64>().ok())
                .filter(|&x| x > 0.0 && x <= most)
                .ok_or_else(wrong)
        };
        match (name.trim(), value) {
            ("crop", _) => Ok(Augmentation::Crop { padding: pixels()? }),
            ("flip", None) => Ok(Augmentation::Flip),
            ("rotate", _) => Ok(Augmentation::Rotate {
                degrees: number(180.0)?,
            }),
            ("translate", _) => Ok(Augmentation::Translate {
                fraction: number(1.0)?,
            }),
            ("cutout", _) => Ok(Augmentation::Cutout { side: pixels()? }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for AugmentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, augmentation) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{augmentation}")?;
        }
        Ok(())
    }
}

impl FromStr for AugmentSpec {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, AugmentError> {
        match text.trim() {
            "" | "none" => Ok(Self::default()),
            list => list
                .split(',')
                .map(|item| item.trim().parse())
                .collect::<Result<_, _>>()
                .map(Self),
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
                .check(size)
                .is_ok()
        );
        assert!(
            "crop:21"
                .parse::<AugmentSpec>()
                .unwrap()
                .check(size)
                .is_err()
        );
        assert!(
            "cutout:21"
                .parse::<AugmentSpec>()
                .unwrap()
                .check(size)
                .is_err()
        );
    }
}
