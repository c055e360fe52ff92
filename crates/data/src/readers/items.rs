//! The image files of a folder or archive.

use std::path::{Path, PathBuf};

use super::archive::{Member, member_name};
use super::images::is_image;
use super::reader::{Reader, Source};
use crate::error::DataError;
use crate::left_out;
use crate::limits;
use crate::paths::file_name;

/// A file of a source.
pub(crate) struct Item {
    /// Its path within the source.
    pub(crate) path: PathBuf,
    content: Content,
}

/// Where the encoded bytes are.
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Item {
    /// What `decode` makes of the file's bytes; it is also given the name for errors.
    pub(crate) fn read<T>(
        &self,
        source: &Path,
        decode: impl FnOnce(&[u8], &Path) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        match &self.content {
            Content::Bytes(bytes) => decode(bytes, &member_name(source, &self.path)),
            Content::File(path) => decode(&limits::read_file(path)?, path),
        }
    }
}

/// The images of a source.
pub(crate) struct Items {
    /// The folder or archive.
    pub(crate) source: PathBuf,
    pub(crate) items: Vec<Item>,
    /// Folders that hold nothing.
    pub(crate) empty: Vec<PathBuf>,
    /// Images of kinds that are not read.
    pub(crate) other_kinds: Vec<PathBuf>,
    /// What was left out.
    pub(crate) notes: Vec<String>,
}

impl Items {
    /// Finds them.
    pub(crate) fn of(source: Source<'_>, reader: &dyn Reader) -> Result<Self, DataError> {
        let (mut notes, mut others, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        let (source, items) = match source {
            Source::Folder(listing) => {
                let walk = listing.walk()?;
                walk.note(&mut notes);
                empty.clone_from(&walk.empty);
                let mut items = Vec::new();
                for path in &walk.files {
                    if is_image(&file_name(path)) {
                        let content = Content::File(listing.folder.join(path));
                        let path = path.clone();
                        items.push(Item { path, content });
                    } else {
                        others.push(path.clone());
                    }
                }
                (listing.folder.clone(), items)
            }
            Source::Archive(path, members) => {
                let mut items = Vec::new();
                for Member { path, bytes } in members {
                    if is_image(&file_name(&path)) {
                        let content = Content::Bytes(bytes);
                        items.push(Item { path, content });
                    }
                }
                (path.to_owned(), items)
            }
            other => return Err(other.unrecognized(reader)),
        };
        let other_kinds = note_others(&mut notes, others);
        Ok(Self {
            source,
            items,
            empty,
            other_kinds,
            notes,
        })
    }
}

/// Notes of files that are no images or of kinds that are not read; gives the latter.
pub(crate) fn note_others(notes: &mut Vec<String>, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let (kinds, mut others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| is_other_image(path));
    left_out::note_kinds(
        notes,
        "images of kinds that are not read (only PNG and JPEG are) were left out",
        &kinds,
    );
    others.retain(|path| !is_notice(&file_name(path)));
    left_out::note_kinds(notes, "files that are no images were left out", &others);
    kinds
}

/// True for the names of files that tell of the data or belong to the desktop.
pub(crate) fn is_notice(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    matches!(
        stem,
        "readme" | "license" | "licence" | "copying" | "notice" | "thumbs" | "desktop"
    )
}

/// True for images of kinds that are not read.
pub(crate) fn is_other_image(path: &Path) -> bool {
    let kinds = [
        "bmp", "gif", "tif", "tiff", "webp", "avif", "heic", "heif", "jfif", "jp2", "jxl", "pgm",
        "ppm", "pbm", "pnm", "tga", "ico", "svg", "exr", "hdr", "dcm", "raw", "cr2", "nef", "dng",
    ];
    path.extension()
        .is_some_and(|ending| kinds.contains(&&*ending.to_string_lossy().to_ascii_lowercase()))
}
