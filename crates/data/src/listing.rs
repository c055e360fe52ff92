//! What a folder holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Subfolders are searched this deep for images and for the folder that holds the data.
pub(crate) const MAX_DEPTH: usize = 4;

/// A folder's visible files and subfolders, sorted by name.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: PathBuf,
    /// Names of its files.
    pub files: Vec<String>,
    /// Names of its subfolders.
    pub folders: Vec<String>,
}

impl Listing {
    /// Lists a folder; links are followed, names that begin with a dot left out.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::io(folder, "list", source);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // Follows links: data folders are often linked.
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => folders.push(name),
                Ok(metadata) if metadata.is_file() => files.push(name),
                _ => {}
            }
        }
        files.sort();
        folders.sort();
        Ok(Self {
            folder: folder.to_owned(),
            files,
            folders,
        })
    }

    /// True if `test` accepts the name of a file.
    pub fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.files.iter().any(|name| test(name))
    }

    /// The files that `test` accepts.
    pub fn select(&self, test: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter(|name| test(name))
            .map(|name| self.folder.join(name))
            .collect()
    }
}

/// Calls `f` with the path below `root` of every file in the folder `below` and its subfolders.
pub(crate) fn visit_files(
    root: &Path,
    below: &Path,
    depth: usize,
    f: &mut impl FnMut(&str, PathBuf),
) -> Result<(), DataError> {
    let listing = Listing::read(&root.join(below))?;
    for name in &listing.files {
        f(name, below.join(name));
    }
    if depth > 0 {
        for name in &listing.folders {
            visit_files(root, &below.join(name), depth - 1, f)?;
        }
    }
    Ok(())
}
