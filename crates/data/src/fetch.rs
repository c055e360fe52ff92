//! Downloads: to a temporary name, continued where an earlier attempt stopped, verified, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use crate::catalog::{RemoteFile, list};
use crate::error::DataError;
use crate::fingerprint::hex;
use crate::limits;

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

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .user_agent(concat!("batchscope/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Why an attempt did not complete the file.
enum Failure {
    /// Worth another attempt.
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

/// One request: continues `part`, which has `begun` bytes.
fn attempt(
    agent: &Agent,
    url: &str,
    file: &RemoteFile,
    part: &Path,
    begun: u64,
    options: &mut FetchOptions<'_>,
) -> Result<(), Failure> {
    let lasting = |why: String| {
        Failure::Lasting(DataError::Download {
            url: url.to_owned(),
            why,
        })
    };
    // Compressed transfer would change the bytes that ranges and checksums count.
    let for_body = options.timeout + Duration::from_secs(file.bytes / 50_000);
    let mut request = agent
        .get(url)
        .config()
        .timeout_recv_body(Some(for_body))
        .build()
        .header(header::ACCEPT_ENCODING, "identity");
    if begun > 0 {
        request = request.header(header::RANGE, format!("bytes={begun}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            lasting(format!("is not an address ({error})"))
        }
        error => Failure::Passing(format!("no answer ({error})")),
    })?;
    let status = response.status();
    let start = match status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(begun) => begun,
        // Nothing is left to send, or the part is longer than the file: the checksum tells.
        StatusCode::RANGE_NOT_SATISFIABLE if begun > 0 => return Ok(()),
        StatusCode::PARTIAL_CONTENT => {
            return Err(lasting(
                "the server sent another range than was asked for".into(),
            ));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Passing(format!("the server answered {status}")));
        }
        status => return Err(lasting(format!("the server answered {status}"))),
    };
    let total = content_length(&response).map(|rest| start + rest);
    let failed = |source| Failure::Lasting(DataError::io(part, "write", source));
    let mut out = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(start == 0)
        .append(start > 0)
        .open(part)
        .map_err(failed)?;
    let done = copy(response.into_body(), &mut out, file, start, total, options)?;
    out.sync_all().map_err(failed)?;
    match total {
        Some(total) if done < total => Err(Failure::Passing(format!(
            "the connection ended after {done} of {total} bytes"
        ))),
        _ => Ok(()),
    }
}

/// Writes the body out and returns how many bytes of the file are there.
fn copy(
    body: Body,
    out: &mut File,
    file: &RemoteFile,
    start: u64,
    total: Option<u64>,
    options: &mut FetchOptions<'_>,
) -> Result<u64, Failure> {
    // A server that sends much more than was published is not serving the file.
    let most = file.bytes.saturating_mul(2).saturating_add(1 << 20);
    let mut reader = body.into_reader();
    let (mut done, mut block) = (start, vec![0; 1 << 16]);
    options.report(file, done, total);
    loop {
        let n = match reader.read(&mut block) {
            Ok(0) => return Ok(done),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::Passing(format!(
                    "the connection broke after {done} bytes ({error})"
                )));
            }
        };
        out.write_all(&block[..n]).map_err(|source| {
            Failure::Lasting(DataError::io(Path::new(file.name), "write", source))
        })?;
        done += n as u64;
        options.report(file, done, total);
        if done > most {
            return Ok(done);
        }
    }
}

/// The first byte a partial response holds.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    range
        .trim()
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
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
