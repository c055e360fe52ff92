use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use batchscope_core::{
    DataShape, Examples,
    format::{fixed, percent, plain},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::array_split::ArraySplit;
use crate::dataset::{Loaded, LoadedSplits};
use crate::error::DataError;
use crate::fingerprint::hex;
use crate::limits;
use crate::load::LoadOptions;
use crate::source;
use crate::text::TextSplit;

/// What is in a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Name of the data set.
    pub name: String,
    /// Its format, by name.
    pub format: String,
    /// Format, counts, settings and the beginning of the fingerprint in a line.
    pub description: String,
    /// Shape of an example.
    pub shape: DataShape,
    /// The splits, training first.
    pub splits: Vec<SplitReport>,
    /// Class names, by class number.
    pub classes: Vec<String>,
    /// Mean of each channel or feature over the training split; bytes as 0..=1. Empty for text.
    pub mean: Vec<f64>,
    /// Standard deviation, likewise.
    pub std: Vec<f64>,
    /// The files it was read from.
    pub files: Vec<FileReport>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Why [`crate::open`] refuses the data by the setting `test`: most of the test part lies in the training part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// SHA-256 of content and choice of examples, as in [`crate::Dataset::fingerprint`].
    pub fingerprint: String,
}

/// A split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// Examples; windows for text.
    pub examples: u64,
    /// Examples of each class; empty for regression and text.
    pub class_counts: Vec<u64>,
    /// Tokens, for text.
    pub tokens: Option<u64>,
    /// The share of tokens outside the vocabulary, in millionths; for text.
    pub unknown_ppm: Option<u64>,
}

/// A file that was read; for an image folder, the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes; `None` for a folder.
    pub bytes: Option<u64>,
    /// SHA-256 of its content, hexadecimal; `None` for a folder.
    pub sha256: Option<String>,
}

/// Reads a source through and reports what is in it.
///
/// # Errors
/// As [`crate::open`], except for data that are read and [`refused`](CheckReport::refused).
pub fn check(source: &str, options: &LoadOptions) -> Result<CheckReport, DataError> {
    let loaded = Loaded::new(source::read(source, options)?, options)?;
    let refused = loaded.refused().cloned();
    let files = loaded
        .files
        .iter()
        .map(|path| file_report(path))
        .collect::<Result<_, _>>()?;
    let (shape, splits, mean, std, notes, fingerprint) = match loaded.splits {
        LoadedSplits::Arrays(splits) => {
            let reports = named(&splits.train, &splits.validation, splits.test.as_ref())
                .map(|(name, split)| array_report(name, split, loaded.classes.len()))
                .collect();
            let normalization = &splits.train.inputs;
            (
                splits.train.shape,
                reports,
                normalization.mean.clone(),
                normalization.std.clone(),
                splits.notes,
                splits.fingerprint,
            )
        }
        LoadedSplits::Text(splits) => {
            let reports = named(&splits.train, &splits.validation, splits.test.as_ref())
                .map(|(name, split)| text_report(name, split))
                .collect();
            (
                splits.train.shape(),
                reports,
                Vec::new(),
                Vec::new(),
                splits.notes,
                splits.fingerprint,
            )
        }
    };
    Ok(CheckReport {
        name: loaded.name,
        format: loaded.format.to_string(),
        description: loaded.description,
        shape,
        splits,
        classes: loaded.classes,
        mean,
        std,
        files,
        notes,
        refused,
        fingerprint,
    })
}

/// The splits that are there, with their names.
fn named<'a, T>(
    train: &'a T,
    validation: &'a T,
    test: Option<&'a T>,
) -> impl Iterator<Item = (&'static str, &'a T)> {
    [
        Some(("train", train)),
        Some(("validation", validation)),
        test.map(|test| ("test", test)),
    ]
    .into_iter()
    .flatten()
}

fn array_report(name: &'static str, split: &ArraySplit, classes: usize) -> SplitReport {
    let mut class_counts = vec![0; classes];
    for class in split.classes().into_iter().flatten() {
        class_counts[class as usize] += 1;
    }
    SplitReport {
        name,
        examples: split.rows.len() as u64,
        class_counts,
        tokens: None,
        unknown_ppm: None,
    }
}

fn text_report(name: &'static str, split: &TextSplit) -> SplitReport {
    let tokens = split.tokens();
    let unknown = tokens.iter().filter(|&&token| token == 0).count() as u64;
    SplitReport {
        name,
        examples: split.len(),
        class_counts: Vec::new(),
        tokens: Some(tokens.len() as u64),
        unknown_ppm: Some(unknown * 1_000_000 / tokens.len().max(1) as u64),
    }
}

fn file_report(path: &Path) -> Result<FileReport, DataError> {
    let failed = |source| DataError::io(path, "read", source);
    if fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(FileReport {
            path: path.to_owned(),
            bytes: None,
            sha256: None,
        });
    }
    let (mut file, metadata) = limits::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut block).map_err(failed)?;
        if n == 0 {
            break;
        }
        hash.update(&block[..n]);
    }
    Ok(FileReport {
        path: path.to_owned(),
        bytes: Some(metadata.len()),
        sha256: Some(hex(&hash.finalize())),
    })
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {}", self.name, self.description)?;
        for split in &self.splits {
            write!(f, "  {:<11} {:>9}", split.name, split.examples)?;
            if let (Some(tokens), Some(ppm)) = (split.tokens, split.unknown_ppm) {
                write!(
                    f,
                    " windows, {tokens} tokens, {} unknown",
                    plain(&percent(ppm as f64 / 1e6))
                )?;
            } else {
                write!(f, " examples")?;
            }
            if let (Some(least), Some(most)) = (
                split.class_counts.iter().min(),
                split.class_counts.iter().max(),
            ) {
                write!(f, ", {least} to {most} of a class")?;
            }
            writeln!(f)?;
        }
        const SHOWN: usize = 20;
        if !self.classes.is_empty() && self.classes.len() <= SHOWN {
            let train = &self.splits[0].class_counts;
            let classes: Vec<String> = self
                .classes
                .iter()
                .zip(train)
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            writeln!(f, "  classes in train: {}", classes.join(", "))?;
        }
        if !self.mean.is_empty() && self.mean.len() <= SHOWN {
            let list = |values: &[f64]| {
                values
                    .iter()
                    .map(|&x| fixed(x))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            writeln!(
                f,
                "  mean {}; standard deviation {}",
                list(&self.mean),
                list(&self.std)
            )?;
        }
        for file in &self.files {
            match (&file.sha256, file.bytes) {
                (Some(sha), Some(bytes)) => {
                    writeln!(f, "  {} ({bytes} bytes, sha256 {sha})", file.path.display())?
                }
                _ => writeln!(f, "  {}", file.path.display())?,
            }
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        writeln!(f, "  content {}", self.fingerprint)
    }
}
