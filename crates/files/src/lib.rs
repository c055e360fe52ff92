//! Files written whole or not at all.
//!
//! Settings, checkpoints, results and reports all go through [`write()`]: whenever the program or the
//! machine stops, a reader finds the old file or the new one, never half of one.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

/// Writes `content` to a temporary file beside `path`, flushes it to the disk and renames it to
/// `path`, which it replaces. The folder must exist.
///
/// The temporary name is random, so that two programs that write the same file do not mix their
/// bytes: the last one to finish wins. After an error nothing is left behind; a program killed while it
/// writes leaves a hidden file `.NAME.XXXXXX.tmp`, which may be deleted.
///
/// # Errors
/// When the system refuses.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = beside(path, folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // The new name itself must reach the disk too. Windows cannot open a folder, and need not.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// An empty temporary file in `folder`, removed when dropped, readable by whom any new file is.
fn beside(path: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Temporary files are private by default; the umask takes from this what it takes from any.
    #[cfg(unix)]
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(everybody);
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        write(&path, b"a long first content").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_leaves_the_old_file_and_no_temporary_one() {
        let place = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file.
        let path = place.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        assert!(write(&path, b"new").is_err());
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        assert!(write(&place.path().join("nowhere/a.json"), b"new").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let (ours, plain) = (place.path().join("ours"), place.path().join("plain"));
        write(&ours, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
