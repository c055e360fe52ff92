//! Files written whole or not at all, by one process at a time.
//!
//! Settings, checkpoints, results and reports all go through [`write()`]: whenever the program or the
//! machine stops, a reader finds the old file or the new one, never half of one. What a killed program
//! leaves half written, [`sweep`] removes; a [`Lock`] keeps two programs from the same work.

mod lock;
pub mod tensors;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

pub use lock::{FileId, Lock, LockError};
use tempfile::{Builder, NamedTempFile};

/// Writes `content` to a temporary file beside `path`, flushes it to the disk and renames it to
/// `path`, which it replaces. The folder must exist.
///
/// The temporary name is random, so that two programs that write the same file do not mix their
/// bytes: the last one to finish wins. After an error nothing is left behind; a program killed while it
/// writes leaves a hidden file `.NAME.PROCESS.XXXXXX.tmp`, which [`sweep`] removes.
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
    prefix.push(format!(".{}.", std::process::id()));
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Temporary files are private by default; the umask takes from this what it takes from any.
    #[cfg(unix)]
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(everybody);
    builder.tempfile_in(folder)
}

/// Removes from a folder what programs that were killed while they wrote had left half written:
/// temporary files of [`write()`] whose process is no more. A folder that is not there has none.
pub fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let writer = name.to_str().and_then(writer);
        if writer.is_some_and(|process| !is_alive(process)) {
            // What cannot be removed harms nobody.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process that wrote a temporary file, by the file's name: `.NAME.PROCESS.XXXXXX.tmp`.
fn writer(name: &str) -> Option<u32> {
    let mut parts = name
        .strip_prefix('.')?
        .strip_suffix(".tmp")?
        .rsplitn(3, '.');
    let (random, process) = (parts.next()?, parts.next()?);
    parts.next().filter(|name| !name.is_empty())?;
    let is_random = random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric());
    process.parse().ok().filter(|_| is_random)
}

/// False for a process that is no more. One of another user is alive, and so is one that the system
/// says nothing of.
fn is_alive(process: u32) -> bool {
    #[cfg(unix)]
    {
        use rustix::{io::Errno, process::Pid};
        let process = i32::try_from(process).ok().and_then(Pid::from_raw);
        let asked = process.map(rustix::process::test_kill_process);
        !matches!(asked, None | Some(Err(Errno::SRCH)))
    }
    #[cfg(not(unix))]
    {
        process == std::process::id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary file of every killed run once stayed for good.
    #[test]
    fn what_the_killed_left_is_swept_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let mine = format!(".a.json.{}.abcdef.tmp", std::process::id());
        // no process has such a number
        let dead = ".a.json.2147483646.abcdef.tmp";
        let kept = [
            mine.as_str(),
            "a.json",
            ".tmp",
            ".a.json.tmp",
            ".a.json.abcdef.tmp",
            ".hidden.2147483646.toolong.tmp",
            "a.json.2147483646.abcdef.tmp",
        ];
        for name in kept.iter().chain([&dead]) {
            fs::write(place.path().join(name), "x").unwrap();
        }
        sweep(place.path());
        assert!(!place.path().join(dead).exists());
        for name in kept {
            assert!(place.path().join(name).exists(), "{name}");
        }
        sweep(&place.path().join("nowhere"));
    }

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
