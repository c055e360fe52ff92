//! Small files that the program reads and writes whole, and the folders it works in alone.

use std::{fs, path::Path};

use batchscope_files::{Lock, LockError};

use crate::error::CliError;

/// Reads a text file of at most `limit` bytes. What is no regular file is refused before it is
/// opened: a FIFO may have no writer, a device no end.
///
/// # Errors
/// When it is too long, not a regular file, or the system refuses.
pub fn read_text(path: &Path, limit: u64) -> Result<String, CliError> {
    let cannot = |e| CliError::file("cannot read", path, e);
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(CliError::Usage(format!(
            "{} is not a regular file: give the path of one",
            path.display()
        )));
    }
    if metadata.len() > limit {
        return Err(CliError::Usage(format!(
            "{} has {} bytes, more than the {limit} that such a file may have",
            path.display(),
            metadata.len()
        )));
    }
    fs::read_to_string(path).map_err(cannot)
}

/// The run in the folder of `batchscope train --checkpoint DIR`.
pub const CHECKPOINT: &str = "run.safetensors";

/// Makes a folder where it is not there, takes the lock of a file in it, which need not be there either,
/// and removes what killed runs left half written in it and its figures. The lock is held until it is dropped.
///
/// # Errors
/// When another process works on the file, or the system refuses.
pub fn work_alone(folder: &Path, file: &str) -> Result<Lock, CliError> {
    fs::create_dir_all(folder)
        .map_err(|e| CliError::file("cannot create the folder", folder, e))?;
    let path = folder.join(file);
    let lock = Lock::beside(&path).map_err(|error| match error {
        LockError::Held { holder } => {
            let holder = match holder {
                Some(process) => format!("process {process}"),
                None => "another process".to_owned(),
            };
            CliError::Failed(format!(
                "{} is in use by {holder}: wait for it to end, or choose another folder",
                folder.display()
            ))
        }
        LockError::Io(error) => CliError::file("cannot work in", folder, error),
    })?;
    batchscope_files::sweep(folder);
    batchscope_files::sweep(&folder.join("figures"));
    Ok(lock)
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When the system refuses.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), CliError> {
    batchscope_files::write(path, content).map_err(|e| CliError::file("cannot write", path, e))
}
