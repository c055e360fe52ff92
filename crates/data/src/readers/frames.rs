//! Labeled frames of speech: what a Kaldi recipe leaves, as examples.
//!
//! A folder with `train`, and `test` and `dev` where there are any (other names of the splits are
//! understood too). Each holds archives `*.ark` or `*.ark.gz` of [Kaldi's format](super::kaldi): matrices
//! are the features of utterances, a row for each frame; vectors of integers are the labels of their
//! frames, pdfs (tied states) as a rule. Utterances are joined by their keys. For TIMIT, from the folder
//! of Kaldi's recipe:
//!
//! ```text
//! copy-feats scp:data/train/feats.scp ark:timit/train/features.ark
//! ali-to-pdf exp/tri3_ali/final.mdl "ark:gunzip -c exp/tri3_ali/ali.*.gz|" ark:timit/train/pdfs.ark
//! ```
//!
//! and the same with an alignment of the test part. An example is a frame with its neighbors (see
//! [`FrameOptions::context`]), its class the label in the middle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task};

use batchscope_core::{Described, Descriptor};

use super::kaldi::{self, Entry, Matrix, Object};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::limits;
use crate::listing::Listing;
use crate::options::FrameOptions;
use crate::windows::Windows;

/// Inputs of the network that Keskar et al. 2016 train on TIMIT.
const INPUTS: usize = 360;
/// Frames on either side where no number of them makes [`INPUTS`]: Kaldi's usual choice.
const USUAL_CONTEXT: u32 = 5;
/// Most frames on either side.
const MOST_CONTEXT: u32 = 100;
/// Most numbers of a frame: far above any features of speech.
const MOST_WIDTH: usize = 4096;
/// Most classes, as with labels of other formats.
const MOST_CLASSES: usize = 65_536;

/// An archive that was read, and the file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub entries: Vec<Entry>,
    /// The split that its folder is named as.
    split: SplitName,
}

impl Archive {
    /// An archive in the folder of a split: `None` for a folder of another name.
    pub fn new(file: PathBuf, folder: &str, entries: Vec<Entry>) -> Option<Self> {
        let split = SplitName::of(folder)?;
        Some(Self {
            file,
            entries,
            split,
        })
    }
}

/// True for the name of an archive.
pub(crate) fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".ark") || name.ends_with(".ark.gz")
}

/// Frames on either side of each: those asked for, or those that make the paper's inputs.
fn context(width: usize, options: &FrameOptions) -> Result<usize, DataError> {
    let made = |context: &u32| width * (2 * *context as usize + 1) == INPUTS;
    let context = match options.context {
        Some(context) => context,
        None => (0..=MOST_CONTEXT).find(made).unwrap_or(USUAL_CONTEXT),
    };
    if context > MOST_CONTEXT {
        return Err(DataError::setting(
            "context",
            format!("{context} frames on either side are too many: choose 0 to {MOST_CONTEXT}"),
        ));
    }
    Ok(context as usize)
}

/// Features and labels of one split, by utterance.
#[derive(Default)]
struct Utterances {
    /// With the number of the file.
    features: BTreeMap<String, (Matrix, usize)>,
    labels: BTreeMap<String, (Vec<i32>, usize)>,
}

/// Makes examples of archives; `source` is named where no file can be.
///
/// # Errors
/// When there is nothing to train on, an utterance is there twice, its frames and labels differ in
/// number, widths differ, a label is negative, or the windows would take too much memory.
pub fn assemble(
    source: &Path,
    archives: Vec<Archive>,
    options: &FrameOptions,
) -> Result<Arrays, DataError> {
    let files: Vec<PathBuf> = archives
        .iter()
        .map(|archive| archive.file.clone())
        .collect();
    let splits = by_utterance(archives, &files)?;
    let matrices = splits.present().flat_map(|u| u.features.values());
    let width = matrices
        .map(|(m, _)| m.columns)
        .find(|&columns| columns > 0);
    let Some(width) = width else {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "its archives hold no features".into(),
            remedy: "put archives of feature matrices into train and test".into(),
        });
    };
    if width > MOST_WIDTH {
        return Err(DataError::malformed(
            source,
            format!("has frames of {width} numbers"),
            format!("features of speech have at most {MOST_WIDTH}"),
        ));
    }
    let context = context(width, options)?;
    let mut notes = vec![format!(
        "an example is {} frames of {width} numbers",
        2 * context + 1
    )];
    let mut classes = 0;
    let mut make = |name: &str, utterances: Option<Utterances>| match utterances {
        None => Ok(None),
        Some(utterances) => {
            let shape = (width, context);
            let places = (source, &files[..]);
            part(places, name, utterances, shape, &mut classes, &mut notes)
        }
    };
    let (train, validation, test) = (
        make("train", splits.train)?,
        make("validation", splits.validation)?,
        make("test", splits.test)?,
    );
    let Some(train) = train else {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "no frame of a training part has a label".into(),
            remedy: "put archives of features and of labels of the same utterances into train"
                .into(),
        });
    };
    Ok(Arrays {
        input: InputShape::Vector {
            features: width * (2 * context + 1),
        },
        task: Task::Classify { classes },
        train,
        validation,
        test,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        notes,
    })
}

/// Features and labels of every split; an utterance that is there twice is refused.
fn by_utterance(
    archives: Vec<Archive>,
    files: &[PathBuf],
) -> Result<Splits<Utterances>, DataError> {
    let mut splits: Splits<Utterances> = Splits::default();
    for (file, archive) in archives.into_iter().enumerate() {
        let utterances = splits.slot(archive.split).get_or_insert_default();
        for Entry { key, object } in archive.entries {
            let again = match object {
                Object::Matrix(matrix) => {
                    let old = utterances.features.insert(key.clone(), (matrix, file));
                    old.map(|(_, file)| file)
                }
                Object::Integers(labels) => {
                    let old = utterances.labels.insert(key.clone(), (labels, file));
                    old.map(|(_, file)| file)
                }
            };
            if let Some(first) = again {
                return Err(DataError::malformed(
                    &files[file],
                    format!("utterance '{key}' is in {} already", files[first].display()),
                    "keep one of the two",
                ));
            }
        }
    }
    Ok(splits)
}

/// The examples of a split; `None` when no utterance has both features and labels.
fn part(
    (source, files): (&Path, &[PathBuf]),
    name: &str,
    utterances: Utterances,
    (width, context): (usize, usize),
    classes: &mut usize,
    notes: &mut Vec<String>,
) -> Result<Option<ArrayPart>, DataError> {
    let Utterances {
        features,
        mut labels,
    } = utterances;
    let all = features.len();
    let mut both = Vec::with_capacity(all.min(labels.len()));
    let mut frames = 0;
    for (key, (matrix, file)) in features {
        let Some((labels, labels_file)) = labels.remove(&key) else {
            continue;
        };
        let rows = matrix.rows();
        if labels.len() != rows {
            return Err(DataError::malformed(
                &files[labels_file],
                format!(
                    "has {} labels for the {rows} frames of utterance '{key}' in {}",
                    labels.len(),
                    files[file].display()
                ),
                "align the features that are given",
            ));
        }
        if rows > 0 && matrix.columns != width {
            return Err(DataError::malformed(
                &files[file],
                format!(
                    "utterance '{key}' has frames of {} numbers, others of {width}",
                    matrix.columns
                ),
                "give all utterances the same features",
            ));
        }
        let wrong = |&&label: &&i32| !(0..MOST_CLASSES as i32).contains(&label);
        if let Some(label) = labels.iter().find(wrong) {
            return Err(DataError::malformed(
                &files[labels_file],
                format!("utterance '{key}' has the label {label}"),
                format!("labels are classes from 0, at most {MOST_CLASSES} of them"),
            ));
        }
        frames += rows;
        both.push((matrix.values, labels));
    }
    let bytes = Windows::bytes(width, context, both.len(), frames);
    limits::grant(source, "the frames", bytes, limits::MAX_DECODED_BYTES)?;
    for (count, what) in [(all - both.len(), "labels"), (labels.len(), "features")] {
        if count > 0 {
            notes.push(format!(
                "{name}: {count} utterances without {what} were left out, {} used",
                both.len()
            ));
        }
    }
    let mut windows = Windows::new(width, context);
    let mut answers = Vec::with_capacity(frames);
    for (values, labels) in both {
        if !windows.push(&values) {
            return Err(DataError::malformed(
                source,
                format!("has more than {} frames", u32::MAX),
                "split it",
            ));
        }
        answers.extend(labels.into_iter().map(|label| label as u32));
    }
    let most = answers.iter().max().map_or(0, |&class| class as usize + 1);
    *classes = (*classes).max(most);
    Ok((!windows.is_empty()).then_some(ArrayPart {
        inputs: InputRows::Windows(Box::new(windows)),
        answers: Answers::Classes(answers),
    }))
}

/// The reader of folders of Kaldi's archives.
#[derive(Debug)]
pub struct Kaldi;

const KALDI: Descriptor = Descriptor {
    name: "kaldi",
    aliases: &[],
    about: "train/*.ark and test/*.ark, Kaldi archives of features and of frame labels (TIMIT)",
    source: "",
    parameters: &[],
};

impl Described for Kaldi {
    fn descriptor(&self) -> &Descriptor {
        &KALDI
    }
}

impl Reader for Kaldi {
    fn settings(&self) -> &'static [&'static str] {
        &["context"]
    }

    fn detect(&self, folder: &Listing) -> bool {
        let mut names = folder.folders.iter();
        names.any(|name| holds_archives(&folder.folder, name))
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let Source::Folder(listing) = source else {
            return Err(source.unrecognized(self));
        };
        let folder = &listing.folder;
        let (mut archives, mut files) = (Vec::new(), Vec::new());
        let mut inferred = Inferred::default();
        for name in &listing.folders {
            let Some(split) = SplitName::of(name).filter(|_| holds_archives(folder, name)) else {
                continue;
            };
            inferred.took(split.name(), name.clone());
            for file in Listing::read(&folder.join(name))?.select(is_archive) {
                let entries = kaldi::parse(&limits::read_file(&file)?, &file)?;
                archives.extend(Archive::new(file.clone(), name, entries));
                files.push(file);
            }
        }
        let mut arrays = assemble(folder, archives, options.frames)?;
        let most = arrays.classes.len().saturating_sub(1);
        inferred.took("classes", format!("labels 0 to {most}"));
        arrays.notes.splice(0..0, inferred.line());
        Ok(Reading::arrays(files, arrays))
    }
}

/// True for the folder of a split with archives of Kaldi's in it.
fn holds_archives(folder: &Path, name: &str) -> bool {
    SplitName::of(name).is_some()
        && Listing::read(&folder.join(name)).is_ok_and(|inner| inner.any(is_archive))
}
