//! Text: a file, or a folder of the files of the splits.

use batchscope_core::{Described, Descriptor};

use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::SplitName;
use crate::error::DataError;
use crate::listing::Listing;
use crate::paths::file_name;
use crate::text::corpus;

/// The reader of text.
#[derive(Debug)]
pub struct Text;

const TEXT: Descriptor = Descriptor {
    name: "text",
    aliases: &[],
    about: "wiki.{train,valid,test}.tokens, ptb.{train,valid,test}.txt, a file or folder of .txt",
    source: "",
    parameters: &[],
};

impl Described for Text {
    fn descriptor(&self) -> &Descriptor {
        &TEXT
    }
}

impl Reader for Text {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(corpus::is_text)
    }

    fn detect_file(&self, name: &str) -> bool {
        corpus::is_text(name)
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (path, mut files) = match source {
            Source::Folder(listing) => (listing.folder.as_path(), listing.select(corpus::is_text)),
            Source::File(path) => (path, vec![path.to_owned()]),
            other => return Err(other.unrecognized(self)),
        };
        // Those whose names say a split, where any does.
        let named = |file: &std::path::PathBuf| SplitName::within(&file_name(file)).is_some();
        if files.len() > 1 && files.iter().any(named) {
            files.retain(named);
        }
        let corpus = corpus::read(path, &files)?;
        Ok(Reading::text(files, corpus))
    }
}
