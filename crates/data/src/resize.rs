//! The size that images are brought to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::readers::images::MAX_SIDE;

/// Height and width in pixels, each 1 to [`MAX_SIDE`]. Written `HxW`, or `N` for a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
        let side = |side: &str| {
            let side = side.trim().parse().ok();
            side.filter(|side| (1..=MAX_SIDE).contains(side)).ok_or_else(|| {
                format!("'{text}' is no size of images: write HEIGHTxWIDTH or one number, each 1 to {MAX_SIDE}")
            })
        };
        Ok(Self {
            height: side(height)?,
            width: side(width)?,
        })
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl TryFrom<String> for Resize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Resize> for String {
    fn from(size: Resize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, height, width) in [("32", 32, 32), ("48x64", 48, 64), ("1×4096", 1, 4096)] {
            let size: Resize = text.parse().unwrap();
            assert_eq!((size.height, size.width), (height, width));
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        for text in ["", "0", "x", "3x", "3x0", "5000", "-1x4", "1x2x3"] {
            assert!(text.parse::<Resize>().is_err(), "{text}");
        }
    }
}
