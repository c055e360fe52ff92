//! The number of the last change, kept beside the database.
//!
//! SQLite drops what it cannot read of its write-ahead log, and everything after it, without a word. The
//! number is written after every change that was committed, so that it never runs ahead: a database whose
//! last change has a lower one has lost changes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    open::{beside, classify},
    rows,
};
use crate::StoreError;

/// Where the number is kept.
pub(super) fn file(path: &Path) -> PathBuf {
    beside(path, ".revision")
}

/// The number that was kept, if any was.
pub(super) fn kept(path: &Path) -> Option<i64> {
    fs::read_to_string(file(path)).ok()?.trim().parse().ok()
}

/// The number of the last change in the database. 0 in a layout without such numbers.
fn stored(db: &Connection) -> rusqlite::Result<i64> {
    match rows::has_revisions(db)? {
        true => Ok(rows::next_revision(db)? - 1),
        false => Ok(0),
    }
}

/// Keeps the number. One that cannot be written protects less, and fails nothing.
pub(super) fn keep(path: &Path, revision: i64) {
    let _ = fs::write(file(path), revision.to_string());
}

/// Refuses a database that has lost changes; `kept` was read before the database was.
pub(super) fn check(path: &Path, db: &Connection, kept: Option<i64>) -> Result<(), StoreError> {
    let stored = stored(db).map_err(|error| classify(path, "read", error))?;
    match kept {
        Some(kept) if kept > stored => Err(StoreError::Behind {
            path: path.to_owned(),
            changes: kept.abs_diff(stored),
            kept: file(path),
        }),
        _ => Ok(()),
    }
}
