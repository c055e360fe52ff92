//! What a path holds: finding its reader, and giving it the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::limits;
use crate::listing::{Listing, MAX_DEPTH};
use crate::load::LoadOptions;
use crate::paths::{file_name, is_archive, name_of};
use crate::readers::archive::{self, Member};
use crate::readers::{Content, Format, READERS, Reader, Reading, Source, unrecognized};

/// A source that has been read.
pub(crate) struct ReadSource {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The files read, or the folder of an image folder.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) content: Content,
}

/// Reads a source.
pub(crate) fn read(source: &str, options: &LoadOptions) -> Result<ReadSource, DataError> {
    let asked = options.format.map(Format::reader);
    if let Some(reader) = built_in(source).or(asked.filter(|reader| reader.is_built_in())) {
        let reading = reader.read(Source::BuiltIn, options.of_readers())?;
        let name = reader.descriptor().name.to_owned();
        return Ok(finished(name, reader, reading));
    }
    let path = Path::new(source);
    let name = name_of(path);
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(source),
        _ => DataError::io(path, "read", error),
    })?;
    let (reader, reading) = if metadata.is_dir() {
        folder(path, options, MAX_DEPTH)?
    } else {
        limits::expect_file(path, &metadata)?;
        file(path, options)?
    };
    Ok(finished(name, reader, reading))
}

/// The reader that makes built-in data of this name.
fn built_in(source: &str) -> Option<&'static dyn Reader> {
    let mut readers = READERS.all.iter().copied();
    readers.find(|reader| reader.is_built_in() && reader.descriptor().name == source)
}

/// True for the name of built-in data, which is not a path.
pub fn is_built_in(source: &str) -> bool {
    built_in(source).is_some()
}

fn finished(name: String, reader: &'static dyn Reader, reading: Reading) -> ReadSource {
    ReadSource {
        name,
        format: Format::of(reader),
        files: reading.files,
        content: reading.content,
    }
}

/// The readers that may read: the one asked for, or all.
fn candidates(options: &LoadOptions) -> Vec<&'static dyn Reader> {
    match options.format {
        Some(format) => vec![format.reader()],
        None => READERS.all.to_vec(),
    }
}

/// The error of a path that no candidate can read.
fn refuse(path: &Path, options: &LoadOptions) -> DataError {
    let asked = options.format.is_some();
    let candidates = candidates(options).into_iter();
    unrecognized(
        path,
        candidates.filter(|reader| asked || !reader.is_built_in()),
    )
}

/// The error of a path that does not exist.
fn missing(source: &str) -> DataError {
    if let Some(known) = crate::catalog::list().iter().find(|k| k.name == source) {
        return DataError::NotFetched { name: known.name };
    }
    let remedy = match source {
        "timit" => {
            "TIMIT is sold by the LDC (LDC93S1): give the folder of what Kaldi's recipe makes of it, \
             train/*.ark and test/*.ark of features and of frame labels"
        }
        _ => "check the path, or use the built-in data set `glyphs`",
    };
    DataError::NoSuchPath {
        path: source.into(),
        remedy: remedy.to_owned(),
    }
}

type ReadBy = (&'static dyn Reader, Reading);

/// Reads a folder, going into its only subfolder where it holds nothing itself.
fn folder(path: &Path, options: &LoadOptions, depth: usize) -> Result<ReadBy, DataError> {
    let listing = Listing::read(path)?;
    let mut readers = candidates(options).into_iter();
    if let Some(reader) = readers.find(|reader| reader.detect(&listing)) {
        let reading = reader.read(Source::Folder(&listing), options.of_readers())?;
        return Ok((reader, reading));
    }
    // As downloaded: one archive and nothing else that is known.
    if let [only] = &listing.select(is_archive)[..] {
        return tar(only, options);
    }
    let inner = match &listing.folders[..] {
        [only] => Some(only.as_str()),
        folders => folders
            .iter()
            .map(String::as_str)
            .find(|name| *name == "raw"),
    };
    if let (Some(inner), true) = (inner, depth > 0) {
        return folder(&path.join(inner), options, depth - 1);
    }
    Err(refuse(path, options))
}

/// Reads a single file: by the reader asked for, or by its name.
fn file(path: &Path, options: &LoadOptions) -> Result<ReadBy, DataError> {
    let name = file_name(path);
    if is_archive(&name) {
        return tar(path, options);
    }
    let mut readers = candidates(options).into_iter();
    let asked = options.format.is_some();
    let reader = readers.find(|reader| asked || reader.detect_file(&name));
    let reader = reader.ok_or_else(|| refuse(path, options))?;
    let reading = reader.read(Source::File(path), options.of_readers())?;
    Ok((reader, reading))
}

/// Reads a tar archive.
fn tar(path: &Path, options: &LoadOptions) -> Result<ReadBy, DataError> {
    let bytes = limits::read_file(path)?;
    let readers = candidates(options);
    let mut wanted = |member: &Path| readers.iter().any(|reader| reader.wants(member));
    let members: Vec<Member> = archive::parse(&bytes, path, &mut wanted)?;
    drop(bytes);
    let asked = options.format.is_some();
    let claims = |reader: &&dyn Reader| asked || reader.detect_members(&members);
    let reader = readers.iter().copied().find(|reader| claims(reader));
    let reader = reader.ok_or_else(|| refuse(path, options))?;
    let reading = reader.read(Source::Archive(path, members), options.of_readers())?;
    Ok((reader, reading))
}
