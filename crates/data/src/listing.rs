//! What a folder holds.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::DataError;
use crate::left_out;
use crate::parts::PartPaths;

/// Subfolders are searched this deep for images and for the folder that holds the data.
pub(crate) const MAX_DEPTH: usize = 6;

/// A folder's visible files and subfolders, sorted by name.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: PathBuf,
    /// Names of its files.
    pub files: Vec<String>,
    /// Names of its subfolders.
    pub folders: Vec<String>,
    /// What is neither a file nor a folder, such as a link that leads nowhere, and files whose names
    /// are not UTF-8: no reader finds them by name.
    pub(crate) odd: Vec<PathBuf>,
    walk: OnceLock<Walk>,
}

impl Listing {
    /// Lists a folder; links are followed, names that begin with a dot left out.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let entries = entries(folder)?;
        let mut odd = entries.odd;
        let mut named = |names: Vec<OsString>| {
            let named = names.into_iter().filter_map(|name| {
                name.into_string()
                    .map_err(|name| odd.push(name.into()))
                    .ok()
            });
            named.collect()
        };
        Ok(Self {
            folder: folder.to_owned(),
            files: named(entries.files),
            folders: named(entries.folders),
            odd,
            walk: OnceLock::new(),
        })
    }

    /// Adds the files of parts that lie in subfolders, by their paths within the folder, so that
    /// readers of files find them.
    pub(crate) fn include(&mut self, parts: &PartPaths) -> Result<(), DataError> {
        for (setting, _, part) in parts.set() {
            let path = self.folder.join(&part);
            let inner = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => Self::read(&path)?.files,
                Ok(_) => vec![String::new()],
                Err(_) => {
                    let why = format!(
                        "there is no {}: give a path relative to the source",
                        path.display()
                    );
                    return Err(DataError::setting(setting, why));
                }
            };
            for name in inner {
                let file = if name.is_empty() {
                    part.clone()
                } else {
                    part.join(name)
                };
                let file = file.to_string_lossy().into_owned();
                if !self.files.contains(&file) {
                    self.files.push(file);
                }
            }
        }
        self.files.sort();
        Ok(())
    }

    /// All files below the folder, listed once.
    pub(crate) fn walk(&self) -> Result<&Walk, DataError> {
        if let Some(walk) = self.walk.get() {
            return Ok(walk);
        }
        let mut walk = Walk::default();
        visit(&self.folder, Path::new(""), &mut Vec::new(), &mut walk)?;
        Ok(self.walk.get_or_init(|| walk))
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

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The files, by their paths within the folder.
    pub(crate) files: Vec<PathBuf>,
    /// Folders without visible content.
    pub(crate) empty: Vec<PathBuf>,
    /// Folders that lie too deep to be searched, or are links to a folder that they lie in.
    pub(crate) unsearched: Vec<PathBuf>,
    /// What is neither a file nor a folder.
    pub(crate) odd: Vec<PathBuf>,
}

impl Walk {
    /// Notes of what was not searched.
    pub(crate) fn note(&self, notes: &mut Vec<String>) {
        left_out::note(
            notes,
            &format!(
                "folders lie more than {MAX_DEPTH} deep or within themselves and were not searched"
            ),
            &self.unsearched,
        );
        left_out::note(
            notes,
            "entries are neither files nor folders and were left out",
            &self.odd,
        );
    }
}

/// Names in a folder, hidden ones left out.
#[derive(Default)]
struct Entries {
    files: Vec<OsString>,
    folders: Vec<OsString>,
    odd: Vec<PathBuf>,
}

fn entries(folder: &Path) -> Result<Entries, DataError> {
    let failed = |source| DataError::io(folder, "list", source);
    let mut entries = Entries::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if is_hidden(&name) {
            continue;
        }
        // Follows links: data folders are often linked.
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => entries.folders.push(name),
            Ok(metadata) if metadata.is_file() => entries.files.push(name),
            _ => entries.odd.push(name.into()),
        }
    }
    entries.files.sort();
    entries.folders.sort();
    entries.odd.sort();
    Ok(entries)
}

/// True for names that are not shown: those that begin with a dot, and what macOS adds to archives.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX"
}

/// Adds what lies in the folder `below` of `root`; `above` holds the real paths of the folders that
/// lead there, of which none is entered again.
fn visit(
    root: &Path,
    below: &Path,
    above: &mut Vec<PathBuf>,
    walk: &mut Walk,
) -> Result<(), DataError> {
    let folder = root.join(below);
    let real = folder
        .canonicalize()
        .map_err(|e| DataError::io(&folder, "list", e))?;
    if above.len() > MAX_DEPTH || above.contains(&real) {
        walk.unsearched.push(below.to_owned());
        return Ok(());
    }
    let entries = entries(&folder)?;
    if entries.files.is_empty() && entries.folders.is_empty() && !above.is_empty() {
        walk.empty.push(below.to_owned());
    }
    walk.odd
        .extend(entries.odd.iter().map(|name| below.join(name)));
    walk.files
        .extend(entries.files.iter().map(|name| below.join(name)));
    above.push(real);
    for name in &entries.folders {
        visit(root, &below.join(name), above, walk)?;
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_lists_all_and_ends() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("1/2/3/4/5/6/7");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(root.path().join("empty/.hidden")).unwrap();
        fs::write(root.path().join("1/2/a.png"), "").unwrap();
        let listing = Listing::read(root.path()).unwrap();
        let walk = listing.walk().unwrap();
        assert_eq!(walk.files, [Path::new("1/2/a.png")]);
        assert_eq!(walk.empty, [Path::new("empty")]);
        assert_eq!(walk.unsearched, [Path::new("1/2/3/4/5/6/7")]);
    }

    /// A link to the folder above made the walk go round until it was deep enough.
    #[cfg(unix)]
    #[test]
    fn a_folder_within_itself_is_searched_once() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("a/lost")).unwrap();
        let listing = Listing::read(root.path()).unwrap();
        let walk = listing.walk().unwrap();
        assert_eq!(walk.unsearched, [Path::new("a/up")]);
        assert_eq!(walk.odd, [Path::new("a/lost")]);
    }
}
