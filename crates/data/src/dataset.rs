use std::sync::Arc;

use batchscope_core::{DataShape, Examples, Task};

use crate::arrays::Arrays;
use crate::error::DataError;
use crate::load::LoadOptions;
use crate::options::TextLevel;
use crate::readers::{Content, Format};
use crate::source;
use crate::split::{self, ArraySplits, TextSplits};
use crate::text::TextSplit;

/// Digits of the fingerprint in a description: 48 bits, enough to tell a person's data sets apart.
const SHOWN_DIGITS: usize = 12;

/// A data set, ready to train on.
#[derive(Clone)]
pub struct Dataset {
    /// Short name: `glyphs`, or the file's or folder's.
    pub name: String,
    /// Format, counts, shape, the settings that chose them, and the first digits of the fingerprint:
    /// part of a study's identity, so that other data in the same place are other data.
    pub description: String,
    /// Shape of the examples of all splits.
    pub shape: DataShape,
    /// What is trained on.
    pub train: Arc<dyn Examples>,
    /// The validation examples, on which targets are checked: the source's own, or held out of its
    /// training part.
    pub validation: Arc<dyn Examples>,
    /// The source's test part, if it has one. Nothing is chosen by it.
    pub test: Option<Arc<dyn Examples>>,
    /// Class names by class number; empty for regression and text.
    pub classes: Vec<String>,
    /// What whoever reads results should know.
    pub notes: Vec<String>,
    /// SHA-256 (hexadecimal) of the content of all splits and the choice of examples.
    pub fingerprint: String,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset")
            .field("name", &self.name)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// Opens `source`: `glyphs` for the built-in characters, or the path of a file or folder, whose
/// format is found out unless [`LoadOptions::format`] says it. (A folder of that name is `./glyphs`.)
///
/// # Errors
/// [`DataError`], naming the file or setting and the remedy.
pub fn open(source: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    let found = source::read(source, options)?;
    let loaded = Loaded::new(found, options)?;
    match loaded.refused() {
        Some(why) => Err(DataError::setting("test", why)),
        None => Ok(loaded.into_dataset()),
    }
}

/// A source after reading and splitting, its splits still of their own types.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) files: Vec<std::path::PathBuf>,
    pub(crate) description: String,
    pub(crate) classes: Vec<String>,
    pub(crate) splits: LoadedSplits,
}

/// The splits by kind of example.
pub(crate) enum LoadedSplits {
    Arrays(ArraySplits),
    Text(TextSplits),
}

impl Loaded {
    pub(crate) fn new(found: source::ReadSource, options: &LoadOptions) -> Result<Self, DataError> {
        let (splits, classes, description) = match found.content {
            Content::Arrays(arrays) => {
                let what = describe_arrays(&arrays, options);
                let (splits, classes) = split::arrays(arrays, options)?;
                let counts = counts(
                    splits.train.rows.len(),
                    splits.validation.rows.len(),
                    splits.held_out.then_some(options.seed),
                    splits.test.as_ref().map(|test| test.rows.len()),
                );
                (
                    LoadedSplits::Arrays(splits),
                    classes,
                    format!("{}: {counts}; {what}", found.format),
                )
            }
            Content::Text(corpus) => {
                let splits = split::text(corpus, options)?;
                let windows = |split: &TextSplit| split.len() as usize;
                let counts = counts(
                    windows(&splits.train),
                    windows(&splits.validation),
                    splits.held_out.then_some(options.seed),
                    splits.test.as_ref().map(windows),
                );
                let level = match options.text.level {
                    TextLevel::Word => "words",
                    TextLevel::Character => "characters",
                };
                let description = format!(
                    "{}: {counts} windows of {} {level}; vocabulary of {} of {} (cap {})",
                    found.format,
                    options.text.sequence,
                    splits.train.vocabulary(),
                    splits.distinct,
                    options.text.vocabulary
                );
                (LoadedSplits::Text(splits), Vec::new(), description)
            }
        };
        let fingerprint = match &splits {
            LoadedSplits::Arrays(splits) => &splits.fingerprint,
            LoadedSplits::Text(splits) => &splits.fingerprint,
        };
        Ok(Self {
            name: found.name,
            format: found.format,
            files: found.files,
            description: format!("{description}; content {}", &fingerprint[..SHOWN_DIGITS]),
            classes,
            splits,
        })
    }

    /// Why nothing may be trained on it, by the setting `test`.
    pub(crate) fn refused(&self) -> Option<&String> {
        match &self.splits {
            LoadedSplits::Arrays(splits) => splits.refused.as_ref(),
            LoadedSplits::Text(splits) => splits.refused.as_ref(),
        }
    }

    fn into_dataset(self) -> Dataset {
        let Self {
            name,
            description,
            classes,
            splits,
            ..
        } = self;
        match splits {
            LoadedSplits::Arrays(splits) => Dataset {
                name,
                description,
                shape: splits.train.shape,
                train: Arc::new(splits.train),
                validation: Arc::new(splits.validation),
                test: splits.test.map(|test| Arc::new(test) as Arc<dyn Examples>),
                classes,
                notes: splits.notes,
                fingerprint: splits.fingerprint,
            },
            LoadedSplits::Text(splits) => Dataset {
                name,
                description,
                shape: splits.train.shape(),
                train: Arc::new(splits.train),
                validation: Arc::new(splits.validation),
                test: splits.test.map(|test| Arc::new(test) as Arc<dyn Examples>),
                classes,
                notes: splits.notes,
                fingerprint: splits.fingerprint,
            },
        }
    }
}

/// `18000 train, 2000 validation (held out, seed 0), 4000 test`.
fn counts(train: usize, validation: usize, held_out: Option<u64>, test: Option<usize>) -> String {
    let how = held_out.map_or_else(
        || "the source's own".to_owned(),
        |seed| format!("held out, seed {seed}"),
    );
    let test = test.map_or_else(|| "no test part".to_owned(), |test| format!("{test} test"));
    format!("{train} train, {validation} validation ({how}), {test}")
}

/// `28×28×1, 10 classes`.
fn describe_arrays(arrays: &Arrays, options: &LoadOptions) -> String {
    let task = match arrays.task {
        Task::Classify { classes } => format!("{classes} classes"),
        Task::Regress { outputs } if options.table.raw_targets => format!("{outputs} real outputs"),
        Task::Regress { outputs } => format!("{outputs} real outputs, standardized"),
        Task::Segment { classes } => format!("masks of {classes} classes"),
        Task::NextToken => unreachable!("arrays have no tokens"),
    };
    format!("{}, {task}", arrays.input)
}
