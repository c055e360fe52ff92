//! Tar archives, plain or gzip'd, read whole into memory without unpacking anything to disk.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::limits::{self, Limited, MAX_DECODED_BYTES};

/// Largest member that is kept: no single image or CIFAR batch is larger.
pub const MAX_MEMBER_BYTES: u64 = 512 << 20;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The regular files of an archive that `wanted` accepts by path; `file` is named in errors.
///
/// # Errors
/// When the archive is damaged or truncated, a member is above [`MAX_MEMBER_BYTES`], or all of it
/// expands to more than [`limits::MAX_DECODED_BYTES`].
pub fn parse(
    bytes: &[u8],
    file: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
) -> Result<Vec<Member>, DataError> {
    let (reader, _) = limits::inflate(bytes);
    let mut archive = tar::Archive::new(Limited::new(reader, MAX_DECODED_BYTES));
    let broken = |source: std::io::Error| {
        DataError::corrupt(file, format!("is not a whole tar archive ({source})"))
    };
    let mut members = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(broken)?.into_owned();
        if !wanted(&path) {
            continue;
        }
        let size = entry.size();
        let name = member_name(file, &path);
        limits::grant(
            &name,
            "the archive's member",
            u128::from(size),
            MAX_MEMBER_BYTES,
        )?;
        let content = limits::take(
            &name,
            "the archive's member",
            &mut entry as &mut dyn Read,
            size,
        )?;
        members.push(Member {
            path,
            bytes: content,
        });
    }
    Ok(members)
}

/// `archive:member`, for errors.
pub(crate) fn member_name(archive: &Path, member: &Path) -> PathBuf {
    PathBuf::from(format!("{}:{}", archive.display(), member.display()))
}
