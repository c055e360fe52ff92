//! Files of text, and which split each is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out::{self, shown};
use crate::limits;
use crate::parts::{PartPaths, Told};
use crate::paths::file_name;
use crate::readers::items::is_notice;
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
/// When it is not, naming the place, or holds NUL characters, as text of other encodings does.
pub fn parse(bytes: Vec<u8>, file: &Path) -> Result<String, DataError> {
    limits::grant(file, "the text", bytes.len() as u128, MAX_TEXT_BYTES)?;
    let convert = "convert it to UTF-8, for example with iconv";
    if let Some(encoding) = encoding(&bytes) {
        return Err(DataError::malformed(
            file,
            format!("is {encoding}, not UTF-8 text"),
            convert,
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        DataError::malformed(
            file,
            format!(
                "is not UTF-8 text (byte {})",
                error.utf8_error().valid_up_to()
            ),
            convert,
        )
    })?;
    if let Some(at) = text.find('\0') {
        let count = text.bytes().filter(|&byte| byte == 0).count();
        return Err(DataError::malformed(
            file,
            format!("holds {count} NUL characters, the first at byte {at}, and is no plain text"),
            "give a text file, or take them out",
        ));
    }
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

/// The encoding that a mark at the beginning names, or that zero bytes give away: where letters are
/// stored in two or four bytes, most of the others are zero.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    /// Enough to tell, and little enough to look at.
    const SAMPLE: usize = 1 << 16;
    for (mark, encoding) in [
        (&b"\xff\xfe\0\0"[..], "UTF-32"),
        (b"\0\0\xfe\xff", "UTF-32"),
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
    ] {
        if bytes.starts_with(mark) {
            return Some(encoding);
        }
    }
    let sample = &bytes[..bytes.len().min(SAMPLE) / 4 * 4];
    let mut zeros = [0usize; 4];
    for four in sample.chunks_exact(4) {
        for (zeros, &byte) in zeros.iter_mut().zip(four) {
            *zeros += usize::from(byte == 0);
        }
    }
    let units = sample.len() / 4;
    let mostly = |count: usize| units > 0 && 2 * count > units;
    let never = |count: usize| 10 * count < units.max(1);
    match zeros.map(mostly) {
        [false, true, true, true] | [true, true, true, false] => Some("UTF-32 without a mark"),
        [false, true, false, true] if never(zeros[0]) && never(zeros[2]) => {
            Some("UTF-16 without a mark")
        }
        [true, false, true, false] if never(zeros[1]) && never(zeros[3]) => {
            Some("UTF-16 without a mark")
        }
        _ => None,
    }
}

/// True for file names that are read as text.
pub(crate) fn is_text(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
        .to_ascii_lowercase();
    matches!(extension.as_str(), "txt" | "tokens" | "raw" | "text") && !is_notice(name)
}

/// The split that a file is named as: it is called nothing else (`train.txt`), or that is the last of
/// words between dots (`wiki.train.tokens`).
fn named(path: &Path) -> Option<SplitName> {
    let name = file_name(path);
    let (stem, _) = name.rsplit_once('.')?;
    SplitName::of(stem.rsplit('.').next()?)
}

/// The file's name without the word of its split, if it holds just one.
fn without_split(path: &Path) -> Option<(String, SplitName)> {
    let name = file_name(path);
    let mut found = None;
    let rest: Vec<&str> = name
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let split = SplitName::of(word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
            match (split, found) {
                (Some(split), None) => {
                    found = Some(split);
                    ""
                }
                _ => word,
            }
        })
        .collect();
    found.map(|split| (rest.concat(), split))
}

/// Which split each file is. Settings come first. Then files that are named as splits; or two or more
/// whose names differ in the split alone (`my-train.txt`, `my-test.txt`). A title that holds such a
/// word (`the-test-of-time.txt`) is no split's name. Where nothing is named so, all are trained on.
fn assign(files: &[PathBuf], parts: &PartPaths) -> Vec<Option<SplitName>> {
    let mut forms: BTreeMap<String, BTreeSet<SplitName>> = BTreeMap::new();
    for (form, split) in files.iter().filter_map(|file| without_split(file)) {
        forms.entry(form).or_default().insert(split);
    }
    let by_name = |file: &PathBuf| {
        let (form, split) = without_split(file)?;
        let partners = forms[&form].len() > 1;
        named(file).or(partners.then_some(split))
    };
    let any = files.iter().any(|file| by_name(file).is_some());
    let trained = files
        .iter()
        .any(|file| by_name(file) == Some(SplitName::Train));
    files
        .iter()
        .map(|file| match parts.told(file) {
            Told::Part(split, _) => Some(split),
            Told::Outside => None,
            Told::Unsaid => match by_name(file) {
                Some(split) => Some(split).filter(|&split| !parts.names(split)),
                // Beside a test part alone, what is not named is the training text.
                None => (!any || !trained).then_some(SplitName::Train),
            },
        })
        .collect()
}

/// Reads text files by split; those of the training part one after the other. Gives the files read.
pub(crate) fn read(
    folder: &Path,
    files: &[PathBuf],
    mut left_out: Vec<PathBuf>,
    parts: &PartPaths,
) -> Result<(Corpus, Vec<PathBuf>), DataError> {
    parts.expect_used(folder, files.iter().map(PathBuf::as_path))?;
    let mut splits: Splits<Vec<PathBuf>> = Splits::default();
    let mut used = Vec::new();
    for (file, split) in files.iter().zip(assign(files, parts)) {
        match split {
            Some(split) => {
                splits
                    .slot(split)
                    .get_or_insert_default()
                    .push(file.clone());
                used.push(folder.join(file));
            }
            None => left_out.push(file.clone()),
        }
    }
    let mut inferred = Inferred::default();
    for (split, files) in [
        (SplitName::Train, &splits.train),
        (SplitName::Validation, &splits.validation),
        (SplitName::Test, &splits.test),
    ] {
        let Some(files) = files else { continue };
        let twice = |file: &&PathBuf| named(file) == Some(split);
        let named: Vec<&PathBuf> = files.iter().filter(twice).collect();
        if let ([first, second, ..], true) = (&named[..], parts.is_empty()) {
            return Err(DataError::malformed(
                &folder.join(second),
                format!("and {} are both named as the same split", first.display()),
                "keep one corpus per folder, or name the parts by the settings `train` and `test`",
            ));
        }
        let names: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let how = if names.len() > 1 {
            ", one after the other"
        } else {
            ""
        };
        inferred.took(split.name(), format!("{}{how}", shown(&names)));
    }
    let mut notes = Vec::new();
    left_out::note(
        &mut notes,
        "files and folders beside the text were left out",
        &left_out,
    );
    let mut texts = splits.try_map(|files| join(folder, &files))?;
    let train = match texts.train.take() {
        Some(train) => {
            notes.splice(0..0, inferred.line());
            train
        }
        None => {
            let (train, other) = match (texts.validation.take(), texts.test.take()) {
                (Some(a), Some(b)) if a.text.len() > b.text.len() => (a, Some(b)),
                (Some(a), Some(b)) => (b, Some(a)),
                (a, b) => (a.or(b).expect("a split is present"), None),
            };
            let name = |text: &Text| file_name(&text.file);
            let validated = other.as_ref().map_or_else(String::new, |other| {
                format!(" and {} to validate", name(other))
            });
            let said = format!(
                "the corpus has no training part: {} was used to train{validated}",
                name(&train)
            );
            notes.insert(0, said);
            texts.validation = other;
            train
        }
    };
    let corpus = Corpus {
        train,
        validation: texts.validation,
        test: texts.test,
        notes,
    };
    Ok((corpus, used))
}

/// Files one after the other, each ending with a line. A single one is left as it is where its name
/// speaks of a split.
fn join(folder: &Path, files: &[PathBuf]) -> Result<Text, DataError> {
    let load = |file: &PathBuf| {
        let file = folder.join(file);
        parse(limits::read_file(&file)?, &file)
    };
    if let [only] = files {
        let mut text = load(only)?;
        if without_split(only).is_none() && !text.ends_with('\n') {
            text.push('\n');
        }
        let file = folder.join(only);
        return Ok(Text { file, text });
    }
    let mut joined = String::new();
    for file in files {
        let text = load(file)?;
        let total = joined.len() as u128 + text.len() as u128 + 1;
        limits::grant(folder, "the text of all files", total, MAX_TEXT_BYTES)?;
        joined += &text;
        if !joined.ends_with('\n') {
            joined.push('\n');
        }
    }
    Ok(Text {
        file: folder.to_owned(),
        text: joined,
    })
}
