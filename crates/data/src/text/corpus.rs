//! Files of text, and which split each is.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::limits;
use crate::paths::file_name;
use crate::readers::split_names::{SplitName, Splits};

/// Most bytes of a text file (WikiText-103's training part has 541 million).
const MAX_TEXT_BYTES: u64 = 2 << 30;

/// The text of each split, not yet cut into tokens.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    pub(crate) train: Text,
    pub(crate) validation: Option<Text>,
    pub(crate) test: Option<Text>,
    pub(crate) notes: Vec<String>,
}

/// A text and the file it came from, for errors.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
}

/// Checks that a file is UTF-8 text that is not empty; a byte order mark is dropped.
///
/// # Errors
/// When it is not, naming the place.
pub fn parse(bytes: Vec<u8>, file: &Path) -> Result<String, DataError> {
    limits::grant(file, "the text", bytes.len() as u128, MAX_TEXT_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        DataError::malformed(
            file,
            format!(
                "is not UTF-8 text (byte {})",
                error.utf8_error().valid_up_to()
            ),
            "convert it to UTF-8, for example with iconv",
        )
    })?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    if text.trim().is_empty() {
        return Err(DataError::malformed(
            file,
            "holds no text",
            "give a file with text",
        ));
    }
    Ok(text)
}

/// True for file names that are read as text.
pub(crate) fn is_text(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
        .to_ascii_lowercase();
    let notice = ["readme", "license", "license"]
        .iter()
        .any(|word| name.to_ascii_lowercase().starts_with(word));
    matches!(extension.as_str(), "txt" | "tokens" | "raw" | "text") && !notice
}

/// Reads text files: by split where their names say which (`wiki.train.tokens`, `ptb.valid.txt`),
/// one after the other as one training text where none does.
pub(crate) fn read(folder: &Path, files: &[PathBuf]) -> Result<Corpus, DataError> {
    let mut named: Splits<PathBuf> = Splits::default();
    for file in files {
        if let Some(split) = SplitName::within(&file_name(file))
            && let Some(other) = named.slot(split).replace(file.clone())
        {
            return Err(DataError::malformed(
                file,
                format!("and {} are both named as the same split", other.display()),
                "keep one corpus per folder",
            ));
        }
    }
    let load = |file: &PathBuf| {
        Ok(Text {
            file: file.clone(),
            text: parse(limits::read_file(file)?, file)?,
        })
    };
    let mut notes = Vec::new();
    if named.present().next().is_none() {
        let mut joined = Text {
            file: folder.to_owned(),
            text: String::new(),
        };
        for file in files {
            let text = load(file)?.text;
            let total = joined.text.len() as u128 + text.len() as u128 + 1;
            limits::grant(folder, "the text of all files", total, MAX_TEXT_BYTES)?;
            joined.text += &text;
            if !joined.text.ends_with('\n') {
                joined.text.push('\n');
            }
        }
        if let [only] = files {
            joined.file = only.clone();
        }
        return Ok(Corpus {
            train: joined,
            validation: None,
            test: None,
            notes,
        });
    }
    let mut texts = named.try_map(|file| load(&file))?;
    let train = match texts.train.take() {
        Some(train) => train,
        None => {
            let (train, other) = match (texts.validation.take(), texts.test.take()) {
                (Some(a), Some(b)) if a.text.len() > b.text.len() => (a, Some(b)),
                (Some(a), Some(b)) => (b, Some(a)),
                (a, b) => (a.or(b).expect("a split is present"), None),
            };
            notes.push(match &other {
                Some(other) => format!(
                    "the corpus has no training part: {} was used to train and {} to validate",
                    file_name(&train.file),
                    file_name(&other.file)
                ),
                None => format!(
                    "the corpus has no training part: {} was used to train",
                    file_name(&train.file)
                ),
            });
            texts.validation = other;
            train
        }
    };
    Ok(Corpus {
        train,
        validation: texts.validation,
        test: texts.test,
        notes,
    })
}
