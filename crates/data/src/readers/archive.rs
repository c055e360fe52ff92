//! Tar archives, plain or gzip'd, read whole into memory without unpacking anything to disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::limits::{self, Limited, MAX_DECODED_BYTES};

/// Largest member that is kept: no single image or CIFAR batch is larger.
pub const MAX_MEMBER_BYTES: u64 = 512 << 20;
/// Longest record that names a member.
const MAX_NAME_BYTES: u64 = 1 << 16;

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
    let broken = |source: io::Error| {
        DataError::corrupt(file, format!("is not a whole tar archive ({source})"))
    };
    let mut members = Vec::new();
    // Raw entries: the library would read names of any length into memory.
    let mut long_name = None;
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let size = limits::grant(
                file,
                "a member's name",
                u128::from(entry.size()),
                MAX_NAME_BYTES,
            )?;
            let record = limits::take(file, "a member's name", &mut entry, size)?;
            long_name = if kind.is_gnu_longname() {
                Some(name_of(record))
            } else {
                pax_path(&record).or(long_name)
            };
            continue;
        }
        let path = match long_name.take() {
            Some(path) => path,
            None => entry.path().map_err(broken)?.into_owned(),
        };
        if !kind.is_file() || !wanted(&path) {
            continue;
        }
        let name = member_name(file, &path);
        let size = limits::grant(
            &name,
            "the archive's member",
            u128::from(entry.size()),
            MAX_MEMBER_BYTES,
        )?;
        let content = limits::take(&name, "the archive's member", &mut entry, size)?;
        members.push(Member {
            path,
            bytes: content,
        });
    }
    // Past the end mark too, so that a cut or damaged gzip file is found out by its checksum.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(members)
}

/// The name in a GNU long-name record, which ends in a zero byte.
fn name_of(record: Vec<u8>) -> PathBuf {
    let name = record.split(|&byte| byte == 0).next().unwrap_or_default();
    PathBuf::from(String::from_utf8_lossy(name).into_owned())
}

/// The path in a record of POSIX extensions, if it gives one.
fn pax_path(record: &[u8]) -> Option<PathBuf> {
    let extensions = tar::PaxExtensions::new(record).filter_map(Result::ok);
    let path = extensions
        .filter(|extension| extension.key() == Ok("path"))
        .last()?;
    Some(PathBuf::from(path.value().ok()?))
}

/// `archive:member`, for errors.
pub(crate) fn member_name(archive: &Path, member: &Path) -> PathBuf {
    PathBuf::from(format!("{}:{}", archive.display(), member.display()))
}
