//! Folders and files that one process works on at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// Why something could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process works on it.
    Held {
        /// Its number, where it could be read.
        holder: Option<u32>,
    },
    /// The system refused.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An advisory lock on `PATH.lock`, which holds the number of the process that has it.
///
/// The system releases it however the process ends. The file is removed when the lock is dropped; one
/// that a killed process left behind is taken over.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock beside `path`, which need not exist; its folder must.
    ///
    /// # Errors
    /// When another process holds it, or the system refuses.
    pub fn beside(path: &Path) -> Result<Self, LockError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let path = PathBuf::from(beside);
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut number = String::new();
                    let _ = (&mut file).take(20).read_to_string(&mut number);
                    let holder = number.trim().parse().ok();
                    return Err(LockError::Held { holder });
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Whoever held it may have removed the file between its opening and its locking here: a
            // lock on a file without a name keeps nobody out.
            if FileId::of(&file).ok() != FileId::at(&path).ok() {
                continue;
            }
            // The number only helps whoever is refused: failing to write it fails nothing.
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            return Ok(Self { file, path });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held: removed later, it could be another process's.
        if FileId::of(&self.file).ok() == FileId::at(&self.path).ok() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a file is, whatever its name: two names of one file have the same, and a file that replaced
/// another has a different one.
///
/// Where the system does not tell (anywhere but on Unix), all files are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    /// Of the file at a path.
    ///
    /// # Errors
    /// When there is none, or the system refuses.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::new(&metadata))
    }

    /// Of an open file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::new(&metadata))
    }

    #[cfg(unix)]
    fn new(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }

    #[cfg(not(unix))]
    fn new(_: &fs::Metadata) -> Self {
        Self {
            device: 0,
            number: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two runs on one checkpoint once wrote over each other's work.
    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let first = Lock::beside(&path).unwrap();
        match Lock::beside(&path) {
            Err(LockError::Held { holder }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
        assert!(Lock::beside(&path).is_ok());
    }

    #[test]
    fn what_a_killed_process_left_is_taken_over() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        fs::write(place.path().join("run.lock"), "999999999").unwrap();
        drop(Lock::beside(&path).unwrap());
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let lock = Lock::beside(&place.path().join("nowhere/run"));
        assert!(matches!(lock, Err(LockError::Io(_))));
    }
}
