//! Small files that the program reads and writes whole.

use std::{fs, path::Path};

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

/// Writes a file, whole or not at all.
///
/// # Errors
/// When the system refuses.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), CliError> {
    batchscope_files::write(path, content).map_err(|e| CliError::file("cannot write", path, e))
}
