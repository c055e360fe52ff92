//! Tables: rows of numbers with a label column, separated by commas, semicolons or tabs.

use std::path::{Path, PathBuf};

use batchscope_core::InputShape;

use batchscope_core::{Described, Descriptor};

use super::labels::{RawLabels, join};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Arrays, InputRows};
use crate::error::DataError;
use crate::limits;
use crate::listing::Listing;
use crate::options::{TableOptions, TableTask};
use crate::paths::{file_name, has_extension};

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Feature columns.
    pub features: usize,
    /// Row-major features; every one finite.
    pub values: Vec<f32>,
    /// One label for each row.
    pub labels: RawLabels,
    /// The header without the label column, if there is one.
    pub header: Option<Vec<String>>,
}

/// Parses a table; `file` is named in errors. The first row is a header when none of its cells is a
/// number, or when the label column is named.
///
/// # Errors
/// When rows differ in length, a feature is not a finite number, a label is missing, there is no row,
/// or the named label column does not exist.
pub fn parse(bytes: &[u8], options: &TableOptions, file: &Path) -> Result<Table, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter(bytes))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let broken = |error: csv::Error| {
        DataError::malformed(
            file,
            format!("is not a table ({error})"),
            "give every row the same number of cells, in UTF-8",
        )
    };
    let mut record = csv::StringRecord::new();
    if !reader.read_record(&mut record).map_err(broken)? {
        return Err(DataError::malformed(
            file,
            "is empty",
            "give a table with at least one row",
        ));
    }
    let columns = record.len();
    if columns < 2 {
        return Err(DataError::malformed(
            file,
            "has one column",
            "give at least one feature and the label",
        ));
    }
    let has_header =
        options.label.is_some() || record.iter().all(|cell| cell.parse::<f64>().is_err());
    let label_column = match &options.label {
        None => columns - 1,
        Some(name) => column_of(&record, name, file)?,
    };
    let header = has_header.then(|| {
        record
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != label_column)
            .map(|(_, cell)| cell.to_owned())
            .collect()
    });
    let (mut values, mut cells) = (Vec::new(), Vec::new());
    let mut more = if has_header {
        reader.read_record(&mut record).map_err(broken)?
    } else {
        true
    };
    while more {
        cells.push(read_row(&record, label_column, &mut values, file)?);
        more = reader.read_record(&mut record).map_err(broken)?;
    }
    if cells.is_empty() {
        return Err(DataError::malformed(
            file,
            "has a header and no rows",
            "give at least one row",
        ));
    }
    Ok(Table {
        features: columns - 1,
        values,
        labels: read_labels(cells, options.task, file)?,
        header,
    })
}

/// The column of this name in the header.
fn column_of(header: &csv::StringRecord, name: &str, file: &Path) -> Result<usize, DataError> {
    header.iter().position(|cell| cell == name).ok_or_else(|| {
        DataError::malformed(
            file,
            format!(
                "has no column '{name}' in its first row ({})",
                header.iter().take(20).collect::<Vec<_>>().join(", ")
            ),
            "name one of these as the label column",
        )
    })
}

/// Adds a row's features to `values`; returns its label. Every row has as many cells as the first:
/// the parser sees to it.
fn read_row(
    row: &csv::StringRecord,
    label_column: usize,
    values: &mut Vec<f32>,
    file: &Path,
) -> Result<String, DataError> {
    let line = row.position().map_or(0, csv::Position::line);
    let mut label = String::new();
    for (column, cell) in row.iter().enumerate() {
        if column == label_column {
            if cell.is_empty() {
                return Err(DataError::malformed(
                    file,
                    format!("has no label in line {line}"),
                    "fill it in or remove the row",
                ));
            }
            label = cell.to_owned();
            continue;
        }
        match cell.parse::<f32>() {
            Ok(x) if x.is_finite() => values.push(x),
            _ => {
                let shown: String = cell.chars().take(40).collect();
                return Err(DataError::malformed(
                    file,
                    format!(
                        "line {line}, column {}: '{shown}' is not a finite number",
                        column + 1
                    ),
                    "fill missing values in and encode names as numbers",
                ));
            }
        }
    }
    Ok(label)
}

/// Labels as integers if all are, else as names (or real values, for regression).
fn read_labels(cells: Vec<String>, task: TableTask, file: &Path) -> Result<RawLabels, DataError> {
    if task == TableTask::Regress {
        let values = cells.iter().map(|cell| {
            cell.parse::<f32>()
                .ok()
                .filter(|x| x.is_finite())
                .ok_or_else(|| {
                    let shown: String = cell.chars().take(40).collect();
                    DataError::malformed(
                        file,
                        format!("its label '{shown}' is not a finite number"),
                        "give numbers, or ask for classification",
                    )
                })
        });
        return Ok(RawLabels::Reals {
            values: values.collect::<Result<_, _>>()?,
            outputs: 1,
        });
    }
    if let Ok(numbers) = cells
        .iter()
        .map(|cell| cell.parse::<i64>())
        .collect::<Result<Vec<_>, _>>()
    {
        return Ok(RawLabels::Integers(numbers));
    }
    if let Ok(values) = cells
        .iter()
        .map(|cell| cell.parse::<f32>())
        .collect::<Result<Vec<_>, _>>()
    {
        return Ok(RawLabels::Reals { values, outputs: 1 });
    }
    Ok(RawLabels::Names(cells))
}

/// The separator that occurs most in the first line.
fn delimiter(bytes: &[u8]) -> u8 {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let count = |c: u8| line.iter().filter(|&&b| b == c).count();
    // `max_by_key` takes the last of equals: the comma.
    *b"\t;,".iter().max_by_key(|&&c| count(c)).unwrap_or(&b',')
}

/// Reads one table, or the tables of the splits.
pub(crate) fn read(
    source: &Path,
    files: &[PathBuf],
    options: &TableOptions,
) -> Result<Arrays, DataError> {
    let mut paths: Splits<PathBuf> = Splits::default();
    for file in files {
        let split = if files.len() == 1 {
            SplitName::Train
        } else {
            SplitName::within(&file_name(file)).ok_or_else(|| {
                DataError::malformed(
                    file,
                    "its name says no split",
                    "name tables train.csv, validation.csv and test.csv, or give one table",
                )
            })?
        };
        if let Some(other) = paths.slot(split).replace(file.clone()) {
            return Err(DataError::malformed(
                file,
                format!("and {} are both named as the same split", other.display()),
                "keep one of them",
            ));
        }
    }
    let mut first: Option<(usize, Option<Vec<String>>)> = None;
    let tables = paths.try_map(|file| {
        let table = parse(&limits::read_file(&file)?, options, &file)?;
        let columns = (table.features, table.header.clone());
        if *first.get_or_insert(columns.clone()) != columns {
            return Err(DataError::malformed(
                &file,
                "its columns are not those of the other tables",
                "give all splits the same columns",
            ));
        }
        Ok(table)
    })?;
    let features = first.map_or(0, |(features, _)| features);
    let (mut inputs, mut raw) = (Splits::default(), Splits::default());
    for (split, table) in [
        (SplitName::Train, tables.train),
        (SplitName::Validation, tables.validation),
        (SplitName::Test, tables.test),
    ] {
        if let Some(table) = table {
            *inputs.slot(split) = Some(InputRows::Floats(table.values));
            *raw.slot(split) = Some(table.labels);
        }
    }
    join(
        source,
        InputShape::Vector { features },
        inputs,
        raw,
        options.task,
    )
}

/// The reader of this format.
#[derive(Debug)]
pub struct Csv;

const CSV: Descriptor = Descriptor {
    name: "csv",
    aliases: &[],
    about: "table of numbers and a label column: .csv, or folder of train.csv and test.csv",
    source: "",
    parameters: &[],
};

impl Described for Csv {
    fn descriptor(&self) -> &Descriptor {
        &CSV
    }
}

impl Reader for Csv {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(is_table)
    }

    fn detect_file(&self, name: &str) -> bool {
        is_table(name)
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (path, files) = match source {
            Source::Folder(listing) => (listing.folder.as_path(), listing.select(is_table)),
            Source::File(path) => (path, vec![path.to_owned()]),
            other => return Err(other.unrecognized(self)),
        };
        let arrays = read(path, &files, options.table)?;
        Ok(Reading::arrays(files, arrays))
    }
}

fn is_table(name: &str) -> bool {
    has_extension(name, &["csv", "tsv"])
}
