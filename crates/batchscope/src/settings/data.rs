//! Which data, and how much of them.

use std::path::{Path, PathBuf};

use batchscope_data::{ColumnList, Format, Resize, Separator, TextLevel, Validation};
use batchscope_train::augment::AugmentSpec;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::Switch;

use super::text;

/// The data.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Data to train on: `glyphs` (built in), or a file or folder (IDX, CIFAR, images, images with masks, .mat, text, .npz, CSV) [default: glyphs]
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The folder that a relative `data` starts from, or the working directory: not a setting, but
    /// where the setting was made.
    #[arg(skip)]
    #[serde(skip)]
    pub data_from: Option<PathBuf>,
}

/// How the data are read.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Data")]
pub struct ReadArgs {
    /// Read the data as this format instead of detecting it
    #[arg(long, value_name = "FORMAT")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Train on this file or folder of the data (default: found by its name, such as `train`)
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// Validate on this file or folder of the data (default: found by its name, such as `val`, or examples held out of the training part)
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_part: Option<String>,
    /// Test on this file or folder of the data (default: found by its name, such as `test`, if there is one)
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// Images: bring them to this size, HEIGHTxWIDTH or one number (default: all must have one size)
    #[arg(long, value_name = "HxW")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Text: read words or characters [default: word]
    #[arg(long, value_name = "word|char")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub text_level: Option<TextLevel>,
    /// Text: keep this many different tokens, the rest becomes `<unk>` [default: 10000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<u32>,
    /// Text: tokens per window of truncated back-propagation [default: 35]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
    /// Speech: frames on either side of each (default: as many as make 360 inputs, else 5)
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Tables: the label column, by name or by number from 0, negative from the end (default: the last)
    #[arg(long, value_name = "NAME|NUMBER", allow_hyphen_values = true)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// Tables: columns to leave out, or `none` (default: an unnamed first one that numbers the rows)
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub ignore_columns: Option<ColumnList>,
    /// Tables: whether the first row names the columns (default: found out from the rows)
    #[arg(long, value_name = "yes|no")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Switch>,
    /// Tables: comma, semicolon, tab, pipe, space or one character (default: found out from the rows)
    #[arg(long, value_name = "NAME")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
    /// Arrays: name of the inputs (default: x)
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_array: Option<String>,
    /// Arrays: name of the labels (default: y)
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_array: Option<String>,
    /// Tables and arrays: predict a number by squared error instead of a class
    // A value only after `=`: the next word may be the path of `data check`.
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regression: Option<Switch>,
}

/// Which of the training examples, and what is done to them.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Data")]
pub struct ExamplesArgs {
    /// Use this many training examples (a seeded subset; a smaller subset is part of every larger one)
    #[arg(long, value_name = "N", conflicts_with = "fraction")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Use this fraction of the training examples, in (0, 1]
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Hold this many training examples (5000) or this fraction of them (0.1) out for validation (default: a tenth, at most 10000)
    #[arg(long, value_name = "N|F")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Augment training images: crop:4,flip,rotate:10,translate:0.2,cutout:8
    #[arg(long, value_name = "LIST")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentSpec>,
}

impl DataArgs {
    /// The data to read, if any are named. A relative path is looked up from where it was given; if
    /// nothing is there any more, from the working directory.
    pub fn source(&self) -> Option<String> {
        let data = self.data.clone()?;
        Some(match self.start() {
            Some(start) if start != Path::new(".") => start.join(data).display().to_string(),
            _ => data,
        })
    }

    /// The folder that `data` is looked up from; `None` if it is not a relative path.
    pub fn start(&self) -> Option<PathBuf> {
        let data = Path::new(self.data.as_deref()?);
        if data.is_absolute() || data.to_str().is_some_and(batchscope_data::is_built_in) {
            return None;
        }
        Some(match &self.data_from {
            Some(from) if from.join(data).exists() || !data.exists() => from.clone(),
            _ => PathBuf::from("."),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(data: &str, from: Option<&Path>) -> DataArgs {
        DataArgs {
            data: Some(data.to_owned()),
            data_from: from.map(Path::to_owned),
        }
    }

    #[test]
    fn relative_data_start_where_they_were_given() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("table.csv"), "1,2\n").unwrap();
        let found = place.path().join("table.csv");
        let from = named("table.csv", Some(place.path()));
        assert_eq!(from.source().as_deref(), found.to_str());
        // Moved away: the working directory is that of the crate.
        let moved = named("Cargo.toml", Some(place.path()));
        assert_eq!(moved.source().as_deref(), Some("Cargo.toml"));
        // Nowhere: the error should name where it was.
        let lost = named("lost.csv", Some(place.path()));
        assert_eq!(
            lost.source().as_deref(),
            place.path().join("lost.csv").to_str()
        );
        for data in ["glyphs", "/somewhere/table.csv"] {
            let fixed = named(data, Some(place.path()));
            assert_eq!(
                (fixed.source().as_deref(), fixed.start()),
                (Some(data), None)
            );
        }
    }
}
