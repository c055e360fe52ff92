//! Archives, zip or tar, the latter plain or gzip'd, read whole into memory without unpacking anything to disk.

use std::io::{self, Cursor};
use std::path::{Component, Path, PathBuf};

use crate::error::DataError;
use crate::limits::{self, Limited, MAX_DECODED_BYTES};
use crate::listing;

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

/// What an archive holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The files that were wanted.
    pub members: Vec<Member>,
    /// Visible files that were not.
    pub others: Vec<PathBuf>,
    /// Links, devices and the like: nothing that can be read.
    pub links: Vec<PathBuf>,
}

/// The regular files of an archive that `wanted` accepts by path: of a zip archive, or of a tar
/// archive, plain or gzip'd. Hidden files and folders are left out, as in folders. `file` is named in
/// errors.
///
/// # Errors
/// When the archive is damaged or truncated, a member is above [`MAX_MEMBER_BYTES`], or all of it
/// expands to more than [`limits::MAX_DECODED_BYTES`].
pub fn parse(
    bytes: &[u8],
    file: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
) -> Result<Contents, DataError> {
    match bytes.starts_with(b"PK") {
        true => zip(bytes, file, wanted),
        false => tar(bytes, file, wanted),
    }
}

fn tar(
    bytes: &[u8],
    file: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
) -> Result<Contents, DataError> {
    let (reader, _) = limits::inflate(bytes);
    let mut archive = tar::Archive::new(Limited::new(reader, MAX_DECODED_BYTES));
    let broken = |source: io::Error| {
        DataError::corrupt(file, format!("is not a whole tar archive ({source})"))
    };
    let mut contents = Contents::default();
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
                record.split(|&byte| byte == 0).next().map(path_of)
            } else {
                pax_path(&record).or(long_name)
            };
            continue;
        }
        let path = match long_name.take() {
            Some(path) => path,
            None => path_of(&entry.path_bytes()),
        };
        if is_hidden(&path) {
            continue;
        }
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            continue;
        }
        if !kind.is_file() {
            contents.links.push(path);
            continue;
        }
        if !wanted(&path) {
            contents.others.push(path);
            continue;
        }
        let name = member_name(file, &path);
        let size = limits::grant(
            &name,
            "the archive's member",
            u128::from(entry.size()),
            MAX_MEMBER_BYTES,
        )?;
        let bytes = limits::take(&name, "the archive's member", &mut entry, size)?;
        contents.members.push(Member { path, bytes });
    }
    // Past the end mark too, so that a cut or damaged gzip file is found out by its checksum.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(contents)
}

fn zip(
    bytes: &[u8],
    file: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
) -> Result<Contents, DataError> {
    let broken = |error: zip::result::ZipError| match error {
        zip::result::ZipError::UnsupportedArchive(why) => DataError::malformed(
            file,
            format!("is packed in a way that is not read ({why})"),
            "unpack it and give the folder",
        ),
        error => DataError::corrupt(file, format!("is not a whole zip archive ({error})")),
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let could_hold = (bytes.len() as u64)
        .saturating_mul(limits::MAX_DEFLATE_RATIO)
        .min(MAX_DECODED_BYTES);
    let (mut contents, mut total) = (Contents::default(), 0u64);
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(broken)?;
        let path = PathBuf::from(&*member.name().map_err(broken)?);
        if member.is_dir() || is_hidden(&path) {
            continue;
        }
        let kind = member.unix_mode().unwrap_or(0) & 0o170_000;
        if kind != 0 && kind != 0o100_000 {
            contents.links.push(path);
            continue;
        }
        if !wanted(&path) {
            contents.others.push(path);
            continue;
        }
        let name = member_name(file, &path);
        let size = member.size();
        limits::grant(
            &name,
            "the archive's member",
            u128::from(size),
            MAX_MEMBER_BYTES,
        )?;
        total = total.saturating_add(size);
        limits::grant(
            &name,
            "the archive's members",
            u128::from(total),
            could_hold,
        )?;
        let bytes = limits::take(&name, "the archive's member", &mut member, size)?;
        limits::expect_end(&name, &mut member)?;
        contents.members.push(Member { path, bytes });
    }
    Ok(contents)
}

/// True for what is not shown in folders.
fn is_hidden(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part, Component::Normal(name) if listing::is_hidden(name)))
}

/// The path of these bytes, which need not be UTF-8.
#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// The path of these bytes, as far as they are UTF-8.
#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// The path in a record of POSIX extensions, if it gives one.
fn pax_path(record: &[u8]) -> Option<PathBuf> {
    let extensions = tar::PaxExtensions::new(record).filter_map(Result::ok);
    let path = extensions
        .filter(|extension| extension.key() == Ok("path"))
        .last()?;
    Some(path_of(path.value_bytes()))
}

/// `archive:member`, for errors.
pub(crate) fn member_name(archive: &Path, member: &Path) -> PathBuf {
    PathBuf::from(format!("{}:{}", archive.display(), member.display()))
}
