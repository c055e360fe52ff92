use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// How much of the training part is held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// This fraction, in (0, 1).
    Fraction(f64),
    /// This many examples (text: windows).
    Count(u64),
}

impl Validation {
    /// Examples held out of `n` when nothing was set: a tenth, at most this many.
    pub const DEFAULT_CAP: u64 = 10_000;

    /// The number held out of `n`.
    pub(crate) fn count(setting: Option<Self>, n: u64) -> Result<u64, DataError> {
        let count = match setting {
            None => (n / 10).clamp(1, Self::DEFAULT_CAP),
            Some(Self::Fraction(f)) if f > 0.0 && f < 1.0 => ((n as f64 * f).round() as u64).max(1),
            Some(Self::Fraction(f)) => {
                return Err(DataError::setting(
                    "validation",
                    format!("{f} is not a fraction in (0, 1)"),
                ));
            }
            Some(Self::Count(0)) => {
                return Err(DataError::setting(
                    "validation",
                    "0 examples validate nothing: hold out at least 1",
                ));
            }
            Some(Self::Count(count)) => count,
        };
        if count >= n {
            return Err(DataError::setting(
                "validation",
                format!(
                    "holding out {count} of {n} training examples leaves none to train on: hold out fewer"
                ),
            ));
        }
        Ok(count)
    }
}

/// Reads a count (`5000`) or a fraction with a point or per cent sign (`0.1`, `10%`).
impl FromStr for Validation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("'{text}' is neither a number of examples (5000) nor a fraction (0.1 or 10%)")
        };
        if let Some(percent) = text.strip_suffix('%') {
            return percent
                .trim()
                .parse()
                .map(|p: f64| Self::Fraction(p / 100.0))
                .map_err(|_| wrong());
        }
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        text.parse().map(Self::Fraction).map_err(|_| wrong())
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // With a point, so that it reads back as a fraction.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
        }
    }
}

/// Level at which text is cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextLevel {
    /// Words between white space, and `<eos>` at the end of every line.
    #[default]
    Word,
    /// Unicode scalar values, line ends included.
    Character,
}

impl fmt::Display for TextLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word => "word",
            Self::Character => "char",
        })
    }
}

impl FromStr for TextLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "word" => Ok(Self::Word),
            "char" | "character" => Ok(Self::Character),
            other => Err(format!("'{other}' is not a level: choose word or char")),
        }
    }
}

/// How text becomes tokens and windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextOptions {
    /// What a token is.
    pub level: TextLevel,
    /// Most distinct tokens, `<unk>` and `<eos>` included; the rarest become `<unk>`. At least 3.
    pub vocabulary: u32,
    /// Tokens in a window. At least 1.
    pub sequence: u32,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            level: TextLevel::Word,
            vocabulary: 10_000,
            sequence: 35,
        }
    }
}

/// How frames of speech become examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameOptions {
    /// Frames on either side of a frame that belong to its example, 0 to 100: frames of `d` numbers
    /// make `d·(2·context + 1)` inputs. `None` is the context that makes 360 inputs, those of Keskar et
    /// al. 2016 (7 for 24 numbers, 4 for 40), or 5 where none does.
    pub context: Option<u32>,
}
