//! Measurements that somebody else made, as trial records that the analysis takes like its own.
//!
//! A *table* has a row a run: the batch size and the steps (or examples, epochs, tokens) to some target. A
//! *log* has several rows a run: a metric after some steps, from which the crossing of a target is taken as a
//! study takes it ([`batchscope_core::Crossing`]). Both come as CSV, TSV, JSON lines or Parquet ([`Table`]); a log
//! also as TensorBoard's event files, one run a folder.
//!
//! Which column holds what is matched by headings ([`ROLES`]). Every match is told ([`Measurements::notes`])
//! and can be overruled. Rows that are left out are counted and named; a row that makes no sense is an error.
//!
//! Files are untrusted input: sizes are bounded, and nothing panics.

mod columns;
mod error;
mod event_files;
mod formats;
mod logs;
mod options;
mod records;
mod roles;
mod rows;
mod states;
mod table;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use batchscope_core::{StepTiming, TrialRecord};

pub use columns::Columns;
pub use error::MeasurementsError;
pub use formats::{read_table, table_of_bytes};
pub use options::{Censoring, ReadOptions};
pub use roles::{ROLES, Role, RoleInfo};
pub use table::{Row, Table};

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurements {
    /// The runs, as fresh trials of the curves that the table names. What the table does not state of a
    /// trial is empty: its learning rate is then not a number, its seconds are 0.
    pub records: Vec<TrialRecord>,
    /// Seconds per step by batch size, where a column states them.
    pub timings: Vec<StepTiming>,
    /// What was taken for granted, inferred or left out, a sentence each.
    pub notes: Vec<String>,
    /// What the column of sizes says of each curve, by its name: as text, which may have a unit.
    pub sizes: BTreeMap<String, String>,
    /// Rows that hold data.
    pub rows: u64,
    /// What each column that is used was taken for, and its heading.
    pub columns: Vec<(Role, String)>,
}

/// Reads files of one kind of table as one table.
///
/// # Errors
/// When a file cannot be read, is no table, or its headings are not those of the others.
pub fn read_tables(paths: &[PathBuf], options: &ReadOptions) -> Result<Table, MeasurementsError> {
    let mut table: Option<Table> = None;
    for path in paths {
        let mut next = read_table(path, options)?;
        if paths.len() > 1 && path.is_dir() {
            next.name_runs_after(path);
        }
        table = Some(match table {
            None => next,
            Some(table) => table.joined(next, path)?,
        });
    }
    table.ok_or(MeasurementsError::Nothing)
}

/// Reads files of one kind of table as one set of runs.
///
/// # Errors
/// When a file cannot be read, a column is missing, or a row makes no sense.
pub fn read(paths: &[PathBuf], options: &ReadOptions) -> Result<Measurements, MeasurementsError> {
    options.check()?;
    of_table(&read_tables(paths, options)?, options)
}

/// Measurements of a table that is in memory.
///
/// # Errors
/// As [`read`].
pub fn of_table(table: &Table, options: &ReadOptions) -> Result<Measurements, MeasurementsError> {
    options.check()?;
    records::of_table(table, options)
}

/// The name of a file, without its folder.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
