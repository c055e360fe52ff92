//! Downloads: to a temporary name, continued where an earlier attempt stopped, verified, then renamed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};

use crate::catalog::{RemoteFile, list};
use crate::error::DataError;
use crate::fingerprint::hex;
use crate::limits;

#[cfg(not(feature = "download"))]
#[path = "fetch/lacking.rs"]
mod transfer;
#[cfg(feature = "download")]
mod transfer;

use transfer::{Agent, agent, attempt};

/// Called with a file's name, the bytes of it that are there, and all its bytes where known.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, Option<u64>);

/// How to download.
pub struct FetchOptions<'a> {
    /// Fetch from this address instead of the publishers': a folder that holds the same files.
    pub base_url: Option<String>,
    /// Told of progress, at most once per block of 64 KiB.
    pub progress: Option<Progress<'a>>,
    /// How often an address is tried, each time going on where the last attempt stopped; at least 1.
    pub attempts: u32,
    /// How long to wait for a connection and for the header. A body may take this long and a second for
    /// every 50 kB that were published, so that a stalled connection ends.
    pub timeout: Duration,
}

impl Default for FetchOptions<'_> {
    fn default() -> Self {
        Self {
            base_url: None,
            progress: None,
            attempts: 3,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Downloads the files of a data set ([`list`]) into `folder`, which is made if need be, and returns
/// their paths. Files that are there and have the published checksum are left alone.
///
/// # Errors
/// For an unknown name, a folder that cannot be written, addresses that all fail, or a file that is not
/// the published one. What has arrived of an interrupted download is kept and used by the next call.
pub fn fetch(
    name: &str,
    folder: &Path,
    mut options: FetchOptions<'_>,
) -> Result<Vec<PathBuf>, DataError> {
    let known = list()
        .iter()
        .find(|known| known.name == name)
        .ok_or_else(|| DataError::UnknownName {
            name: name.to_owned(),
            choices: list()
                .iter()
                .map(|known| known.name)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let addresses: Vec<String> = match options.base_url.take() {
        Some(base) => vec![base],
        None => known
            .addresses
            .iter()
            .map(|&address| address.to_owned())
            .collect(),
    };
    known
        .files
        .iter()
        .map(|file| download(file, &addresses, folder, &mut options))
        .collect()
}

/// Downloads one file from the first of `addresses` (folders) that serves it; see [`fetch`].
///
/// # Errors
/// As [`fetch`].
pub fn download(
    file: &RemoteFile,
    addresses: &[String],
    folder: &Path,
    options: &mut FetchOptions<'_>,
) -> Result<PathBuf, DataError> {
    fs::create_dir_all(folder).map_err(|source| DataError::io(folder, "create", source))?;
    let target = folder.join(file.name);
    if target.is_file() && md5_of(&target)? == file.md5 {
        options.report(file, file.bytes, Some(file.bytes));
        return Ok(target);
    }
    let part = folder.join(format!("{}.part", file.name));
    let agent = agent(options.timeout);
    let mut last = None;
    for address in addresses {
        let url = format!("{}/{}", address.trim_end_matches('/'), file.name);
        match from_address(&agent, &url, file, &part, &target, options) {
            Ok(()) => return Ok(target),
            Err(error @ DataError::Io { .. }) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| DataError::Download {
        url: file.name.to_owned(),
        why: "no address is known".into(),
    }))
}

impl FetchOptions<'_> {
    fn report(&mut self, file: &RemoteFile, done: u64, total: Option<u64>) {
        if let Some(progress) = &mut self.progress {
            progress(file.name, done, total);
        }
    }
}

/// Why an attempt did not complete the file.
enum Failure {
    /// Worth another attempt.
    #[cfg_attr(not(feature = "download"), expect(dead_code))]
    Passing(String),
    /// This address will not serve it.
    Lasting(DataError),
}

/// Tries an address until the file is whole and verified.
fn from_address(
    agent: &Agent,
    url: &str,
    file: &RemoteFile,
    part: &Path,
    target: &Path,
    options: &mut FetchOptions<'_>,
) -> Result<(), DataError> {
    let mut why = String::new();
    // A continued file may have been begun from another address or version: one more, fresh attempt.
    let mut fresh_left = true;
    let mut attempts = options.attempts.max(1);
    while attempts > 0 {
        attempts -= 1;
        let begun = fs::metadata(part).map_or(0, |metadata| metadata.len());
        match attempt(agent, url, file, part, begun, options) {
            Ok(()) => {
                let found = md5_of(part)?;
                if found == file.md5 {
                    return fs::rename(part, target)
                        .map_err(|source| DataError::io(target, "create", source));
                }
                fs::remove_file(part).map_err(|source| DataError::io(part, "remove", source))?;
                if begun > 0 && fresh_left {
                    fresh_left = false;
                    attempts += 1;
                    continue;
                }
                return Err(DataError::Checksum {
                    file: target.to_owned(),
                    expected: file.md5.to_owned(),
                    found,
                });
            }
            Err(Failure::Passing(reason)) => why = reason,
            Err(Failure::Lasting(error)) => return Err(error),
        }
    }
    Err(DataError::Download {
        url: url.to_owned(),
        why,
    })
}

fn md5_of(path: &Path) -> Result<String, DataError> {
    let failed = |source| DataError::io(path, "read", source);
    let (mut file, _) = limits::open(path)?;
    let (mut hash, mut block) = (Md5::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block).map_err(failed)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}
