//! Trials to rows and back. A row is untrusted: what does not parse is damage, not a panic.

use std::collections::BTreeMap;

use batchscope_core::{Decision, Measurement, Metric, TrialPurpose, TrialRecord, TrialSpec};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::checksum;
use crate::{
    identity,
    store::{Changes, Cursor, StoredTrial, TrialState},
};

/// A failure inside one operation: SQLite's, or a row that makes no sense.
#[derive(Debug)]
pub(super) enum RowError {
    Sqlite(rusqlite::Error),
    Damaged(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            // A column of the wrong type in a row we wrote.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => RowError::Damaged(error.to_string()),
            error => RowError::Sqlite(error),
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|e| RowError::Damaged(format!("{what}: {e}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data")
}

/// Larger counts than SQLite's integers hold (2⁶³) are kept at their greatest: only a cap without
/// bound is so large, and the JSON beside it is exact.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn purpose_name(purpose: TrialPurpose) -> &'static str {
    match purpose {
        TrialPurpose::Pilot { .. } => "pilot",
        TrialPurpose::Tune { .. } => "tune",
        TrialPurpose::Fresh { .. } => "fresh",
        TrialPurpose::Single => "single",
    }
}

/// The number of the change being made: above those of all changes before.
pub(super) fn next_revision(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(revision), 0) + 1 FROM trials")?
        .query_row([], |row| row.get(0))
}

/// False for an earlier layout, whose changes have no numbers.
pub(super) fn has_revisions(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT count(*) FROM pragma_table_info('trials') WHERE name = 'revision'",
        [],
        |row| row.get(0),
    )
}

/// Adds a trial, waiting.
pub(super) fn insert_trial(db: &Connection, id: u64, spec: &TrialSpec) -> rusqlite::Result<()> {
    let spec = TrialSpec { id, ..spec.clone() };
    db.prepare_cached(
        "INSERT INTO trials
            (id, identity, spec, purpose, curves, batch_size, learning_rate, seed, cap, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        integer(id),
        identity(&spec),
        to_json(&spec),
        purpose_name(spec.purpose),
        spec.curves.join(","),
        integer(spec.batch_size),
        spec.learning_rate,
        integer(spec.seed),
        integer(spec.cap),
        next_revision(db)?,
    ])?;
    Ok(())
}

/// Writes a record into its trial's row and measurements, replacing what was there.
pub(super) fn write_record(db: &Connection, record: &TrialRecord) -> rusqlite::Result<()> {
    let id = integer(record.spec.id);
    let [spec, outcome, notes] = [
        to_json(&record.spec),
        to_json(&record.outcome),
        to_json(&match record.decisions.is_empty() {
            true => Remarks::Notes(record.notes.clone()),
            false => Remarks::WithDecisions {
                notes: record.notes.clone(),
                decisions: record.decisions.clone(),
            },
        }),
    ];
    let digest = checksum::of_row(
        [&spec, &outcome, &notes],
        record.micro_batch,
        record.seconds,
        &record.measurements,
    );
    db.prepare_cached(
        "UPDATE trials SET spec = ?2, curves = ?3, state = 'finished', worker = NULL, outcome = ?4, ended = ?5,
            steps = ?6, micro_batch = ?7, seconds = ?8, notes = ?9, digest = ?10, revision = ?11 WHERE id = ?1",
    )?
    .execute(params![
        id,
        spec,
        record.spec.curves.join(","),
        outcome,
        record.outcome.name(),
        record.steps().map(integer),
        integer(record.micro_batch),
        record.seconds,
        notes,
        digest,
        next_revision(db)?,
    ])?;
    clear_measurements(db, record.spec.id)?;
    let mut measurement = db.prepare_cached(
        "INSERT INTO measurements (trial, place, step, examples, seconds, learning_rate, replayed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut metric = db.prepare_cached(
        "INSERT INTO metrics (trial, place, metric, value) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut noise =
        db.prepare_cached("INSERT INTO noise (trial, place, record) VALUES (?1, ?2, ?3)")?;
    for (place, m) in record.measurements.iter().enumerate() {
        let place = place as i64;
        measurement.execute(params![
            id,
            place,
            integer(m.step),
            integer(m.examples),
            m.seconds,
            m.learning_rate,
            m.finer
        ])?;
        for (name, value) in &m.metrics {
            metric.execute(params![id, place, name.to_string(), value])?;
        }
        if let Some(record) = &m.noise {
            noise.execute(params![id, place, to_json(record)])?;
        }
    }
    Ok(())
}

pub(super) fn clear_measurements(db: &Connection, id: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM noise WHERE trial = ?1")?
        .execute([integer(id)])?;
    db.prepare_cached("DELETE FROM metrics WHERE trial = ?1")?
        .execute([integer(id)])?;
    db.prepare_cached("DELETE FROM measurements WHERE trial = ?1")?
        .execute([integer(id)])?;
    Ok(())
}

/// What changed after a cursor. A study of a layout without revisions, which can only be looked at,
/// tells everything every time.
pub(super) fn read_changes(db: &Connection, cursor: Cursor) -> Result<Changes, RowError> {
    let (cursor, next, selection) = if has_revisions(db)? {
        (cursor, next_revision(db)? - 1, Selection::REVISED)
    } else {
        (Cursor::START, 0, Selection::ALL)
    };
    Ok(Changes {
        trials: read_trials(db, cursor, &selection)?,
        cursor: Cursor(u64::try_from(next).unwrap_or(0)),
    })
}

/// Which trials to read, as conditions whose parameter `?1` is the cursor.
struct Selection {
    /// On a row of `trials`.
    trials: &'static str,
    /// On a row of a table with a column `trial`.
    rows: &'static str,
}

impl Selection {
    const REVISED: Self = Self {
        trials: "revision > ?1",
        rows: "trial IN (SELECT id FROM trials WHERE revision > ?1)",
    };
    const ALL: Self = Self {
        trials: "?1 >= 0",
        rows: "?1 >= 0",
    };
}

/// The selected trials, by number.
fn read_trials(
    db: &Connection,
    cursor: Cursor,
    selection: &Selection,
) -> Result<Vec<StoredTrial>, RowError> {
    let after = integer(cursor.0);
    let mut measurements = read_measurements(db, after, selection)?;
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, spec, state, worker, outcome, micro_batch, seconds, notes, digest, identity
         FROM trials WHERE {} ORDER BY id",
        selection.trials
    ))?;
    let mut rows = statement.query([after])?;
    let mut trials = Vec::new();
    while let Some(row) = rows.next()? {
        let id: u64 = row.get(0)?;
        if cursor == Cursor::START && id != trials.len() as u64 {
            return Err(RowError::Damaged(format!(
                "trial {} is missing",
                trials.len()
            )));
        }
        trials.push(read_trial(row, id, &mut measurements)?);
    }
    Ok(trials)
}

fn read_trial(
    row: &Row<'_>,
    id: u64,
    measurements: &mut BTreeMap<u64, Vec<Measurement>>,
) -> Result<StoredTrial, RowError> {
    let spec: TrialSpec = json(&format!("spec of trial {id}"), &row.get::<_, String>(1)?)?;
    if spec.id != id {
        return Err(RowError::Damaged(format!(
            "trial {id} says it is {}",
            spec.id
        )));
    }
    let asked: TrialSpec = json(
        &format!("identity of trial {id}"),
        &row.get::<_, String>(9)?,
    )?;
    if identity(&asked) != identity(&spec) {
        return Err(RowError::Damaged(format!(
            "trial {id} is not the one that was asked for"
        )));
    }
    let state = match row.get_ref(2)?.as_str().unwrap_or_default() {
        "waiting" => TrialState::Waiting,
        "running" => TrialState::Running {
            worker: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        },
        "finished" => TrialState::Finished(Box::new(read_record(
            row,
            &spec,
            measurements.remove(&id).unwrap_or_default(),
        )?)),
        other => return Err(RowError::Damaged(format!("trial {id} is '{other}'"))),
    };
    Ok(StoredTrial { spec, state })
}

/// The column `notes`: the notes alone, or what a controller decided beside them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Remarks {
    Notes(Vec<String>),
    WithDecisions {
        notes: Vec<String>,
        decisions: Vec<Decision>,
    },
}

fn read_record(
    row: &Row<'_>,
    spec: &TrialSpec,
    measurements: Vec<Measurement>,
) -> Result<TrialRecord, RowError> {
    let id = spec.id;
    let (spec_text, outcome, notes): (String, String, String) =
        (row.get(1)?, row.get(4)?, row.get(7)?);
    let seconds = row.get::<_, Option<f64>>(6)?.unwrap_or(f64::NAN);
    let micro_batch: u64 = row.get(5)?;
    let digest = checksum::of_row(
        [&spec_text, &outcome, &notes],
        micro_batch,
        seconds,
        &measurements,
    );
    if row.get::<_, Option<i64>>(8)? != Some(digest) {
        return Err(RowError::Damaged(format!(
            "trial {id} is not what was written"
        )));
    }
    let remarks: Remarks = json(&format!("notes of trial {id}"), &notes)?;
    let (notes, decisions) = match remarks {
        Remarks::Notes(notes) => (notes, Vec::new()),
        Remarks::WithDecisions { notes, decisions } => (notes, decisions),
    };
    Ok(TrialRecord {
        spec: spec.clone(),
        outcome: json(&format!("outcome of trial {id}"), &outcome)?,
        measurements,
        micro_batch,
        seconds,
        decisions,
        // No trial of a study asks for it.
        schedule: Vec::new(),
        notes,
    })
}

/// The measurements of the selected trials, by trial.
fn read_measurements(
    db: &Connection,
    after: i64,
    selection: &Selection,
) -> Result<BTreeMap<u64, Vec<Measurement>>, RowError> {
    let mut by_trial: BTreeMap<u64, Vec<Measurement>> = BTreeMap::new();
    let mut statement = db.prepare_cached(&format!(
        "SELECT trial, place, step, examples, seconds, learning_rate, replayed
             FROM measurements WHERE {} ORDER BY trial, place",
        selection.rows
    ))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let list = by_trial.entry(row.get(0)?).or_default();
        if row.get::<_, u64>(1)? != list.len() as u64 {
            return Err(RowError::Damaged(format!(
                "a measurement of trial {} is missing",
                row.get::<_, u64>(0)?
            )));
        }
        list.push(Measurement {
            step: row.get(2)?,
            examples: row.get(3)?,
            seconds: row.get::<_, Option<f64>>(4)?.unwrap_or(f64::NAN),
            learning_rate: row.get::<_, Option<f64>>(5)?.unwrap_or(f64::NAN),
            metrics: BTreeMap::new(),
            finer: row.get(6)?,
            noise: None,
        });
    }
    let mut statement = db.prepare_cached(&format!(
        "SELECT trial, place, metric, value FROM metrics WHERE {}",
        selection.rows
    ))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let (trial, place): (u64, usize) = (row.get(0)?, row.get(1)?);
        let name: String = row.get(2)?;
        let metric: Metric = name
            .parse()
            .map_err(|e| RowError::Damaged(format!("trial {trial}: {e}")))?;
        let measurement = by_trial
            .get_mut(&trial)
            .and_then(|list| list.get_mut(place));
        let measurement = measurement.ok_or_else(|| {
            RowError::Damaged(format!("trial {trial} has a value without its measurement"))
        })?;
        measurement
            .metrics
            .insert(metric, row.get::<_, Option<f64>>(3)?.unwrap_or(f64::NAN));
    }
    read_noise(db, after, selection, &mut by_trial)?;
    Ok(by_trial)
}

/// Gradient noise, for which studies of layout 1 have no table.
fn read_noise(
    db: &Connection,
    after: i64,
    selection: &Selection,
    by_trial: &mut BTreeMap<u64, Vec<Measurement>>,
) -> Result<(), RowError> {
    let tables: i64 = db.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'noise'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(());
    }
    let mut statement = db.prepare_cached(&format!(
        "SELECT trial, place, record FROM noise WHERE {}",
        selection.rows
    ))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let (trial, place): (u64, usize) = (row.get(0)?, row.get(1)?);
        let measurement = by_trial
            .get_mut(&trial)
            .and_then(|list| list.get_mut(place));
        let measurement = measurement.ok_or_else(|| {
            RowError::Damaged(format!("trial {trial} has noise without its measurement"))
        })?;
        measurement.noise = Some(json(
            &format!("noise of trial {trial}"),
            &row.get::<_, String>(2)?,
        )?);
    }
    Ok(())
}
