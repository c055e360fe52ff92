//! Names of files, and the name of a source by its path.

use std::path::Path;

/// The last part of a path; empty where there is none.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The path of a file within a source: empty for the source itself, the whole path for a file elsewhere.
pub(crate) fn within<'a>(source: &Path, file: &'a Path) -> &'a Path {
    file.strip_prefix(source).unwrap_or(file)
}

/// The folder of a file.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// True if a name ends in one of these extensions, in any case.
pub(crate) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, end)| extensions.contains(&end.to_ascii_lowercase().as_str()))
}

/// True for the name of an archive that is read: zip or tar.
pub(crate) fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".zip", ".tar", ".tar.gz", ".tgz"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// True for the name of a packed file that is not read as it is.
pub(crate) fn is_packed(name: &str) -> bool {
    let packed = [
        "gz", "bz2", "xz", "zst", "lz4", "lzma", "z", "rar", "7z", "tbz", "tbz2", "txz",
    ];
    has_extension(name, &packed) && !is_archive(name)
}

/// The name of a source by its path.
pub(crate) fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full
        .file_name()
        .map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    if full.is_dir() {
        return name;
    }
    let mut stem = name.as_str();
    for end in [
        ".gz", ".tar", ".tgz", ".zip", ".npz", ".csv", ".mat", ".txt", ".tokens",
    ] {
        stem = stem.strip_suffix(end).unwrap_or(stem);
    }
    if stem.is_empty() {
        name
    } else {
        stem.to_owned()
    }
}
