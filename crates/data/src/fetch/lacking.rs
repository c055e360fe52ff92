//! A build that downloads nothing.

use std::path::Path;
use std::time::Duration;

use super::{Failure, FetchOptions};
use crate::catalog::RemoteFile;
use crate::error::DataError;

/// What would ask addresses.
pub(super) struct Agent;

pub(super) fn agent(_timeout: Duration) -> Agent {
    Agent
}

pub(super) fn attempt(
    _: &Agent,
    _: &str,
    _: &RemoteFile,
    _: &Path,
    _: u64,
    _: &mut FetchOptions<'_>,
) -> Result<(), Failure> {
    Err(Failure::Lasting(DataError::NoDownloads))
}
