//! Opening a database: the lock beside it, its settings, its layout, and what its errors mean.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use super::schema::{self, Layout};
use crate::StoreError;

/// Takes the lock beside the database.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let io = |error: std::io::Error| StoreError::Io {
        what: "open",
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&beside)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {
            // The number only helps whoever is refused: failing to write it fails nothing.
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut number = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut number);
            Err(StoreError::Locked {
                path: path.to_owned(),
                holder: number.trim().parse().ok(),
            })
        }
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Sets how the connection waits, writes and checks.
pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)
}

/// The layout of the database, which is not changed.
pub(super) fn layout(db: &Connection) -> rusqlite::Result<Layout> {
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(match version {
        _ if application != schema::APPLICATION_ID => Layout::Foreign,
        // An earlier layout lacks tables that are read only where they are.
        version if (1..=schema::LATEST).contains(&version) => Layout::Current,
        version => Layout::Newer(version),
    })
}

/// Refuses a layout that this version does not read.
pub(super) fn accept(path: &Path, layout: &Layout) -> Result<(), StoreError> {
    match *layout {
        Layout::Current => Ok(()),
        Layout::Newer(found) => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: schema::LATEST,
        }),
        Layout::Foreign => Err(StoreError::Foreign {
            path: path.to_owned(),
            why: "it is a database of another program".to_owned(),
        }),
    }
}

/// SQLite's own look for damage.
pub(super) fn check(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let said: String = db
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(|e| classify(path, "read", e))?;
    if said == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            why: said,
        })
    }
}

/// SQLite's error as one that names the file.
pub(super) fn classify(path: &Path, what: &'static str, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::NotADatabase) => StoreError::Foreign {
            path,
            why: "it is not an SQLite database".to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged {
            path,
            why: error.to_string(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Locked { path, holder: None }
        }
        _ => StoreError::Io {
            what,
            path,
            why: error.to_string(),
        },
    }
}
