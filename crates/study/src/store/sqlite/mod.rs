//! One SQLite file.

mod checksum;
mod open;
mod queue;
mod revision;
mod rows;
mod schema;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use batchscope_core::{TrialRecord, TrialSpec};
use batchscope_files::{FileId, Lock};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use self::{
    open::{accept, check, check_path, classify, layout, lock, look, prepare},
    rows::RowError,
};
use super::{Changes, Cursor, Header, Queue, Store, StoreError};
use crate::identity;

/// Keeps a study in one SQLite file, `study.db`.
///
/// Write-ahead log with `synchronous = FULL`: what was committed survives `kill -9` and a power
/// cut. One process works on a study at a time: it holds an advisory lock on `study.db.lock`,
/// which the system releases however the process ends, so claims found on opening are those of ended
/// processes and are put back to waiting. Others may read meanwhile ([`SqliteStore::read`]).
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    db: Connection,
    /// Held while the store is open for writing.
    _lock: Option<Lock>,
    /// The file that was opened for writing.
    file: Option<FileId>,
    /// The number of the last change that is kept beside the database.
    revision: i64,
}

impl SqliteStore {
    /// Opens a study for work, making it if there is none.
    ///
    /// # Errors
    /// When another process works on it, the file is not a study, was written by a later version,
    /// is damaged, or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        check_path(&path)?;
        let lock = lock(&path)?;
        let kept = revision::kept(&path);
        let fail = |error| classify(&path, "open", error);
        let mut db = Connection::open(&path).map_err(fail)?;
        let layout = prepare(&db)
            .and_then(|()| schema::migrate(&mut db))
            .map_err(fail)?;
        accept(&path, &layout)?;
        check(&path, &db)?;
        revision::check(&path, &db, kept)?;
        let mut store = Self {
            file: FileId::at(&path).ok(),
            path,
            db,
            _lock: Some(lock),
            revision: 0,
        };
        store.recover(Duration::ZERO)?;
        Ok(store)
    }

    /// Opens a study to look at, while another process may be working on it. Methods that write
    /// fail.
    ///
    /// # Errors
    /// When there is none, or as for [`SqliteStore::open`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        check_path(&path)?;
        // Before the database, to which changes may come meanwhile.
        let kept = revision::kept(&path);
        let fail = |error| classify(&path, "read", error);
        let db = look(&path).map_err(fail)?;
        let layout = layout(&db).map_err(fail)?;
        accept(&path, &layout)?;
        check(&path, &db)?;
        revision::check(&path, &db, kept)?;
        Ok(Self {
            path,
            db,
            _lock: None,
            file: None,
            revision: 0,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the database grow to so many pages at most, as a full disk would: for tests.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn limit_pages(&mut self, pages: u64) -> Result<(), StoreError> {
        let set = self
            .db
            .pragma_update_and_check(None, "max_page_count", pages as i64, |row| {
                row.get::<_, i64>(0)
            });
        set.map(|_| ())
            .map_err(|error| classify(&self.path, "write", error))
    }

    /// Pages in use.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn pages(&self) -> Result<u64, StoreError> {
        let pages = self
            .db
            .pragma_query_value(None, "page_count", |row| row.get(0));
        pages.map_err(|error| classify(&self.path, "read", error))
    }

    /// Does `work` whole or not at all.
    fn atomically<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let fault = |fault| match fault {
            Fault::Sqlite(error) => classify(path, "write", error),
            Fault::State(error) => error,
        };
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| classify(path, "write", e))?;
        let value = work(&transaction).map_err(fault)?;
        transaction
            .commit()
            .map_err(|e| classify(path, "write", e))?;
        // SQLite goes on writing to a file that has lost its name.
        if FileId::at(path).ok() != self.file {
            return Err(StoreError::Gone { path: path.clone() });
        }
        let next = rows::next_revision(&self.db).map_err(|e| classify(path, "read", e))?;
        let revision = next - 1;
        if revision != self.revision {
            revision::keep(path, revision);
            self.revision = revision;
        }
        Ok(value)
    }

    /// Reads with `work`.
    fn reading<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, RowError>,
    ) -> Result<T, StoreError> {
        work(&self.db).map_err(|error| match error {
            RowError::Sqlite(error) => classify(&self.path, "read", error),
            RowError::Damaged(why) => StoreError::Damaged {
                path: self.path.clone(),
                why,
            },
        })
    }
}

/// What can stop a transaction.
enum Fault {
    Sqlite(rusqlite::Error),
    State(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

/// The state of a trial, if there is one.
fn state(db: &Connection, id: u64) -> rusqlite::Result<Option<&'static str>> {
    let id = i64::try_from(id).unwrap_or(-1);
    let state: Option<String> = db
        .prepare_cached("SELECT state FROM trials WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(state.map(|state| match state.as_str() {
        "waiting" => "waiting",
        "running" => "running",
        _ => "finished",
    }))
}

/// Refuses a move from any other state than `from`.
fn require(
    db: &Connection,
    id: u64,
    wanted: &'static str,
    from: &'static str,
) -> Result<(), Fault> {
    match state(db, id)? {
        Some(state) if state == from => Ok(()),
        other => Err(Fault::State(StoreError::State {
            id,
            wanted,
            state: other.unwrap_or("unknown"),
        })),
    }
}

impl Store for SqliteStore {
    fn header(&self) -> Result<Option<Header>, StoreError> {
        self.reading(|db| {
            let row = db.query_row("SELECT header, digest FROM study", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            });
            let Some((text, digest)) = row.optional()? else {
                return Ok(None);
            };
            if digest != checksum::of_text(&text) {
                return Err(RowError::Damaged(
                    "the header is not what was written".to_owned(),
                ));
            }
            let header = serde_json::from_str(&text);
            header
                .map(Some)
                .map_err(|e| RowError::Damaged(format!("header: {e}")))
        })
    }

    fn set_header(&mut self, header: &Header) -> Result<(), StoreError> {
        let text = serde_json::to_string(header).expect("plain data");
        self.atomically(|db| {
            db.execute(
                "INSERT INTO study (one, header, digest) VALUES (1, ?1, ?2)
                 ON CONFLICT (one) DO UPDATE SET header = ?1, digest = ?2",
                params![text, checksum::of_text(&text)],
            )?;
            Ok(())
        })
    }

    fn add(&mut self, specs: &[TrialSpec]) -> Result<Vec<u64>, StoreError> {
        self.atomically(|db| {
            let mut next: u64 =
                db.query_row("SELECT count(*) FROM trials", [], |row| row.get(0))?;
            let mut find = db.prepare_cached("SELECT id FROM trials WHERE identity = ?1")?;
            let mut ids = Vec::new();
            for spec in specs {
                let known: Option<u64> = find
                    .query_row([identity(spec)], |row| row.get(0))
                    .optional()?;
                if known.is_none() {
                    rows::insert_trial(db, next, spec)?;
                    next += 1;
                }
                ids.push(known.unwrap_or(next - 1));
            }
            Ok(ids)
        })
    }

    fn changes_since(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        // One snapshot: trials and measurements of the same moment, whoever writes meanwhile.
        self.reading(|db| rows::read_changes(&*db.unchecked_transaction()?, cursor))
    }

    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.atomically(|db| {
            require(db, record.spec.id, "amended", "finished")?;
            Ok(rows::write_record(db, record)?)
        })
    }

    fn decisions(&self) -> Result<Vec<String>, StoreError> {
        self.reading(|db| {
            let mut statement =
                db.prepare_cached("SELECT decision FROM decisions ORDER BY place")?;
            let decisions = statement
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(decisions)
        })
    }

    fn set_decisions(&mut self, decisions: &[String]) -> Result<(), StoreError> {
        self.atomically(|db| {
            db.execute("DELETE FROM decisions", [])?;
            let mut insert =
                db.prepare_cached("INSERT INTO decisions (place, decision) VALUES (?1, ?2)")?;
            for (place, decision) in decisions.iter().enumerate() {
                insert.execute(params![place as i64, decision])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let mut n = 0;
        crate::store_contract(&mut || {
            n += 1;
            SqliteStore::open(folder.path().join(format!("{n}.db"))).unwrap()
        });
    }
}
