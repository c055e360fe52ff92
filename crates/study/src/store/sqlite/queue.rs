//! The queue: which trials wait, run and have ended.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batchscope_core::TrialRecord;
use rusqlite::{Connection, params};

use super::{Fault, SqliteStore, require, rows, state};
use crate::{Queue, StoreError};

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// Notes that a worker is alive.
fn beat(db: &Connection, worker: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO workers (name, heartbeat) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET heartbeat = ?2")?
        .execute(params![worker, now()])?;
    Ok(())
}

impl Queue for SqliteStore {
    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError> {
        self.atomically(|db| {
            if state(db, id)?.is_none() {
                return Err(Fault::State(StoreError::State {
                    id,
                    wanted: "claimed",
                    state: "unknown",
                }));
            }
            let taken = db
                .prepare_cached(
                    "UPDATE trials SET state = 'running', worker = ?2, revision = ?3
                     WHERE id = ?1 AND state = 'waiting'",
                )?
                .execute(params![id as i64, worker, rows::next_revision(db)?])?;
            beat(db, worker)?;
            Ok(taken == 1)
        })
    }

    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError> {
        self.atomically(|db| Ok(beat(db, worker)?))
    }

    fn finish(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.atomically(|db| {
            require(db, record.spec.id, "finished", "running")?;
            Ok(rows::write_record(db, record)?)
        })
    }

    fn release(&mut self, id: u64) -> Result<(), StoreError> {
        self.atomically(|db| {
            require(db, id, "released", "running")?;
            db.execute(
                "UPDATE trials SET state = 'waiting', worker = NULL, revision = ?2 WHERE id = ?1",
                params![id as i64, rows::next_revision(db)?],
            )?;
            Ok(())
        })
    }

    fn requeue(&mut self, id: u64) -> Result<(), StoreError> {
        self.atomically(|db| {
            require(db, id, "tried again", "finished")?;
            rows::clear_measurements(db, id)?;
            db.execute(
                "UPDATE trials SET state = 'waiting', outcome = NULL, ended = NULL, steps = NULL,
                    micro_batch = NULL, seconds = NULL, notes = NULL, digest = NULL, revision = ?2
                 WHERE id = ?1",
                params![id as i64, rows::next_revision(db)?],
            )?;
            Ok(())
        })
    }

    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError> {
        self.atomically(|db| {
            // No silence at all means every worker, whatever the clock has done meanwhile.
            let since = if silence.is_zero() {
                f64::INFINITY
            } else {
                now() - silence.as_secs_f64()
            };
            let ids = db
                .prepare(
                    "SELECT id FROM trials WHERE state = 'running'
                        AND worker NOT IN (SELECT name FROM workers WHERE heartbeat > ?1)
                     ORDER BY id",
                )?
                .query_map([since], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<u64>>>()?;
            let revision = rows::next_revision(db)?;
            for &id in &ids {
                db.execute(
                    "UPDATE trials SET state = 'waiting', worker = NULL, revision = ?2 WHERE id = ?1",
                    params![id as i64, revision],
                )?;
            }
            db.execute("DELETE FROM workers WHERE heartbeat <= ?1", [since])?;
            Ok(ids)
        })
    }
}
