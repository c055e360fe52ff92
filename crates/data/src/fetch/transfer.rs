//! One file from one address, by HTTP.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode, header};

pub(super) use ureq::Agent;

use super::{Failure, FetchOptions};
use crate::catalog::RemoteFile;
use crate::error::DataError;

/// How addresses are asked.
pub(super) fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .user_agent(concat!("batchscope/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// One request: continues `part`, which has `begun` bytes.
pub(super) fn attempt(
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
