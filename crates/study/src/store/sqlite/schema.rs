//! The layout of `study.db`, version by version.
//!
//! `PRAGMA user_version` holds the number of migrations applied; a database is brought forward by
//! the rest in one transaction. A migration that was released is never edited.

use batchscope_core::TrialSpec;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::identity;

/// Marks a database as ours (`PRAGMA application_id`): "BWsd".
pub(super) const APPLICATION_ID: i64 = 0x4257_7364;

/// How a database is brought to a version from the one before.
enum Migration {
    /// By statements.
    Sql(&'static str),
    /// By a function, where values are computed.
    Code(fn(&Transaction<'_>) -> rusqlite::Result<()>),
}

/// One entry for each version.
const MIGRATIONS: &[Migration] = &[
    Migration::Sql(V1),
    Migration::Sql(V2),
    Migration::Code(respell_identities),
    Migration::Sql(V4),
];

/// The latest version.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Version 1. Columns beside `spec` and `outcome` repeat what is in them, for people who query.
/// Digests are those of the module `checksum`.
const V1: &str = "
CREATE TABLE study (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    header TEXT NOT NULL,
    digest INTEGER NOT NULL
) STRICT;
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    purpose TEXT NOT NULL,
    curves TEXT NOT NULL,
    batch_size INTEGER NOT NULL,
    learning_rate REAL NOT NULL,
    seed INTEGER NOT NULL,
    cap INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'finished')),
    worker TEXT,
    outcome TEXT,
    ended TEXT,
    steps INTEGER,
    micro_batch INTEGER,
    seconds REAL,
    notes TEXT,
    digest INTEGER
) STRICT;
CREATE TABLE workers (
    name TEXT PRIMARY KEY,
    heartbeat REAL NOT NULL
) STRICT;
-- A value that is NULL was not a number.
CREATE TABLE measurements (
    trial INTEGER NOT NULL REFERENCES trials (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    step INTEGER NOT NULL,
    examples INTEGER NOT NULL,
    seconds REAL,
    learning_rate REAL,
    replayed INTEGER NOT NULL,
    PRIMARY KEY (trial, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE metrics (
    trial INTEGER NOT NULL,
    place INTEGER NOT NULL,
    metric TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (trial, place, metric),
    FOREIGN KEY (trial, place) REFERENCES measurements (trial, place) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (
    place INTEGER PRIMARY KEY,
    decision TEXT NOT NULL
) STRICT;
";

/// Version 2: gradient noise beside the evaluations, where a run has watched it, as JSON.
const V2: &str = "
CREATE TABLE noise (
    trial INTEGER NOT NULL,
    place INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (trial, place),
    FOREIGN KEY (trial, place) REFERENCES measurements (trial, place) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
";

/// Version 3: batchwise became batchscope, and `optimiser` in a trial's spec `optimizer`. Trials are
/// found by their identity, which is computed again in today's spelling. A spec that cannot be read
/// keeps its own, for reading it to refuse.
fn respell_identities(db: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut select = db.prepare("SELECT id, spec FROM trials")?;
    let mut update = db.prepare("UPDATE trials SET identity = ?2 WHERE id = ?1")?;
    let mut rows = select.query([])?;
    let mut specs: Vec<(i64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        specs.push((row.get(0)?, row.get(1)?));
    }
    for (id, text) in specs {
        if let Ok(spec) = serde_json::from_str::<TrialSpec>(&text) {
            update.execute((id, identity(&spec)))?;
        }
    }
    Ok(())
}

/// Version 4: the revision of each trial's last change, so that readers ask for what is new. Every
/// change of a trial takes a number above all there are; trials stored before count as one change.
const V4: &str = "
ALTER TABLE trials ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
CREATE INDEX trials_by_revision ON trials (revision);
";

/// What `migrate` found the database to be.
pub(super) enum Layout {
    /// Brought to [`LATEST`], or there already.
    Current,
    /// From the future.
    Newer(i64),
    /// Not ours.
    Foreign,
}

/// Brings a database to the latest layout.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<Layout> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application: i64 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Ok(Layout::Foreign);
    }
    if !(0..=LATEST).contains(&version) {
        return Ok(Layout::Newer(version));
    }
    for migration in &MIGRATIONS[version as usize..] {
        match migration {
            Migration::Sql(statements) => transaction.execute_batch(statements)?,
            Migration::Code(change) => change(&transaction)?,
        }
    }
    if version < LATEST {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", LATEST)?;
    }
    transaction.commit()?;
    Ok(Layout::Current)
}
