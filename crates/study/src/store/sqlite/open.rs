//! Opening a database: the lock beside it, its settings, its layout, and what its errors mean.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use batchscope_files::{Lock, LockError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, Layout};
use crate::StoreError;

/// SQLite takes paths of 512 bytes, its own endings such as `-journal` included.
const LONGEST_PATH: usize = 500;

/// Refuses a path that SQLite would refuse without a reason.
pub(super) fn check_path(path: &Path) -> Result<(), StoreError> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match whole.as_os_str().len() {
        length if length > LONGEST_PATH => Err(StoreError::LongPath {
            path: path.to_owned(),
            length,
            longest: LONGEST_PATH,
        }),
        _ => Ok(()),
    }
}

/// Takes the lock beside the database.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    Lock::beside(path).map_err(|error| match error {
        LockError::Held { holder } => StoreError::Locked {
            path: path.to_owned(),
            holder,
        },
        LockError::Io(error) => StoreError::Io {
            what: "open",
            path: path.to_owned(),
            why: error.to_string(),
        },
    })
}

/// Opens a database to look at it.
///
/// A reader of a write-ahead log needs files beside the database, which it cannot make on a medium that
/// is read only. Without such a log nothing can change there, and the database is read as it is.
pub(super) fn look(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|db| {
        db.busy_timeout(Duration::from_secs(10))?;
        layout(&db).map(|_| db)
    });
    match opened {
        Err(error) if needs_files(&error) && !has_log(path) => look_at_unchanging(path),
        opened => opened,
    }
}

/// Opens a database that nobody changes, without any other file.
pub(super) fn look_at_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = whole.as_os_str().as_encoded_bytes().iter();
    let escaped: String = bytes
        .map(|&byte| match byte {
            b'%' | b'?' | b'#' | 0x80.. => format!("%{byte:02x}"),
            byte => char::from(byte).to_string(),
        })
        .collect();
    let uri = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(uri, flags)
}

/// True if SQLite could not make or open a file beside the database.
fn needs_files(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// True if changes lie in a write-ahead log beside the database.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// The file of the same name with this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// A database on a medium that cannot be written is opened as one that nobody changes, whatever its folder is called.
    #[test]
    fn a_database_that_nobody_changes_is_opened_by_its_bytes() {
        let place = tempfile::tempdir().unwrap();
        for name in [&b"a%20b?mode=rwc#c"[..], b"\xff\xfe", "ü".as_bytes()] {
            let folder = place.path().join(std::ffi::OsStr::from_bytes(name));
            fs::create_dir(&folder).unwrap();
            let path = folder.join("study.db");
            let made = Connection::open(&path).unwrap();
            made.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (7)")
                .unwrap();
            drop(made);
            let opened = look_at_unchanging(&path).unwrap();
            let x: i64 = opened
                .query_row("SELECT x FROM t", [], |row| row.get(0))
                .unwrap();
            assert_eq!(x, 7);
            assert!(opened.execute("INSERT INTO t VALUES (8)", []).is_err());
        }
    }
}
