//! Text: a file, or a folder of the files of the splits.

use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor};

use super::reader::{Reader, ReaderOptions, Reading, Source};
use crate::error::DataError;
use crate::listing::Listing;
use crate::paths::parent;
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
    fn settings(&self) -> &'static [&'static str] {
        &["text-level", "vocabulary", "sequence"]
    }

    fn detect(&self, folder: &Listing) -> bool {
        folder.any(corpus::is_text)
    }

    fn detect_file(&self, name: &str) -> bool {
        corpus::is_text(name)
    }

    fn splits_by_path(&self) -> bool {
        true
    }

    fn speaks_of(&self, _name: &str) -> bool {
        true
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (path, files, left_out) = match source {
            Source::Folder(listing) => {
                let (texts, others): (Vec<&String>, Vec<&String>) =
                    listing.files.iter().partition(|name| corpus::is_text(name));
                let mut left_out: Vec<PathBuf> = others.iter().map(PathBuf::from).collect();
                let folders = listing
                    .folders
                    .iter()
                    .map(|folder| Path::new(folder).join(""));
                left_out.extend(folders.filter(|_| options.parts.is_empty()));
                let files = texts.iter().map(PathBuf::from).collect();
                (listing.folder.clone(), files, left_out)
            }
            Source::File(path) => {
                let file = PathBuf::from(path.file_name().unwrap_or_default());
                (parent(path).to_owned(), vec![file], Vec::new())
            }
            other => return Err(other.unrecognized(self)),
        };
        let (corpus, used) = corpus::read(&path, &files, left_out, options.parts)?;
        Ok(Reading::text(used, corpus))
    }
}
