//! What a reader is: how it knows its files, and what it makes of them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use batchscope_core::Described;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::archive::Member;
use crate::arrays::Arrays;
use crate::error::DataError;
use crate::glyphs::GlyphOptions;
use crate::listing::Listing;
use crate::options::FrameOptions;
use crate::parts::PartPaths;
use crate::resize::Resize;
use crate::table_options::TableOptions;
use crate::text::Corpus;

/// A reader of one format, as [`READERS`](super::READERS) lists them.
///
/// It is asked in the order of that list whether a folder, file or archive is of its format; what it
/// claims it reads. A format that was asked for by name is read without asking.
pub trait Reader: Described {
    /// True for a folder that holds files of this format.
    fn detect(&self, _folder: &Listing) -> bool {
        false
    }

    /// As [`Reader::detect`] where the format was asked for by name: endings may be unusual.
    fn detect_asked(&self, folder: &Listing) -> bool {
        self.detect(folder)
    }

    /// True for the name of a single file of this format.
    fn detect_file(&self, _name: &str) -> bool {
        false
    }

    /// True for the members of an archive that are to be kept for [`Reader::detect_members`].
    fn wants(&self, _member: &Path) -> bool {
        false
    }

    /// True for the members of an archive that holds this format.
    fn detect_members(&self, _members: &[Member]) -> bool {
        false
    }

    /// True where the parts of a source may be named by [`PartPaths`]: the reader follows them.
    fn splits_by_path(&self) -> bool {
        false
    }

    /// The settings that it follows beside those of every format, by their keys: `label-column`. Others
    /// would have no effect on its data, and are refused.
    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// True for the name of a file in a folder (or of a subfolder, with a slash at its end) of which its
    /// own notes speak, where it does not read it. Others are noted as left out.
    fn speaks_of(&self, _name: &str) -> bool {
        false
    }

    /// True for data that are made rather than read: their source is the format's name.
    fn is_built_in(&self) -> bool {
        false
    }

    /// Reads a source.
    ///
    /// # Errors
    /// [`Source::unrecognized`] for a source that it cannot read; else what is wrong with a file, by
    /// name.
    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError>;
}

/// Where data come from.
#[derive(Debug)]
pub enum Source<'a> {
    /// Nowhere: they are made.
    BuiltIn,
    /// A folder.
    Folder(&'a Listing),
    /// A single file.
    File(&'a Path),
    /// An archive and its members that some reader wants.
    Archive(&'a Path, Vec<Member>),
}

impl Source<'_> {
    /// The path that errors name.
    fn path(&self) -> PathBuf {
        match self {
            Source::BuiltIn => PathBuf::new(),
            Source::Folder(listing) => listing.folder.clone(),
            Source::File(path) | Source::Archive(path, _) => path.to_path_buf(),
        }
    }

    /// The error of a reader that cannot read this: it says what it can.
    pub fn unrecognized(&self, reader: &dyn Reader) -> DataError {
        unrecognized(&self.path(), [reader].into_iter())
    }
}

/// The error of a path that none of these readers can read.
pub(crate) fn unrecognized<'a>(
    path: &Path,
    readers: impl Iterator<Item = &'a dyn Reader>,
) -> DataError {
    let formats: Vec<&str> = readers.map(|reader| reader.descriptor().about).collect();
    DataError::NotFound {
        path: path.to_owned(),
        what: "holds no data that can be read".into(),
        remedy: format!("it should hold one of: {}", formats.join("; ")),
    }
}

/// What a reader is told of how to read.
#[derive(Debug, Clone, Copy)]
pub struct ReaderOptions<'a> {
    /// For tables and arrays.
    pub table: &'a TableOptions,
    /// For frames of speech.
    pub frames: &'a FrameOptions,
    /// For the built-in glyphs.
    pub glyphs: &'a GlyphOptions,
    /// Which files are which part, where that is said.
    pub parts: &'a PartPaths,
    /// For images: bring them to this size.
    pub resize: Option<Resize>,
}

/// What a reader made of a source.
#[derive(Debug)]
pub struct Reading {
    /// The files read, or the folder of an image folder.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) content: Content,
}

/// What was in it.
#[derive(Debug)]
pub(crate) enum Content {
    Arrays(Arrays),
    Text(Corpus),
}

impl Reading {
    /// Independent examples, and the files they were read from.
    pub fn arrays(files: Vec<PathBuf>, arrays: Arrays) -> Self {
        Self {
            files,
            content: Content::Arrays(arrays),
        }
    }

    /// Where notes on it go.
    pub(crate) fn notes(&mut self) -> &mut Vec<String> {
        match &mut self.content {
            Content::Arrays(arrays) => &mut arrays.notes,
            Content::Text(corpus) => &mut corpus.notes,
        }
    }

    /// Text, and the files it was read from.
    pub(crate) fn text(files: Vec<PathBuf>, corpus: Corpus) -> Self {
        Self {
            files,
            content: Content::Text(corpus),
        }
    }
}

/// A format that can be read, by its reader. It is written and serialized as the reader's name.
#[derive(Clone, Copy)]
pub struct Format(&'static dyn Reader);

impl Format {
    /// The format of a reader, which may be one of one's own.
    pub const fn of(reader: &'static dyn Reader) -> Self {
        Self(reader)
    }

    /// Its reader.
    pub fn reader(self) -> &'static dyn Reader {
        self.0
    }

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        self.0.descriptor().name
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Format {}

impl Hash for Format {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Format({})", self.name())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        name.parse().map_err(D::Error::custom)
    }
}
