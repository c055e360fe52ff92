//! The numbers and labels of a table's rows.

use std::path::Path;

use csv::StringRecord;

use super::Table;
use super::cells::{Decimals, is_missing};
use super::columns::Columns;
use super::dialect::Rows;
use crate::error::DataError;
use crate::precision::Rounding;
use crate::readers::labels::RawLabels;
use crate::table_options::{Separator, TableTask};

/// The rows of a table.
pub(super) struct Read {
    values: Vec<f32>,
    labels: RawLabels,
    pub(super) rounding: Rounding,
    pub(super) decimals: Decimals,
}

impl Read {
    pub(super) fn table(self, columns: &Columns, offsets: Vec<f64>, notes: Vec<String>) -> Table {
        Table {
            features: columns.features.len(),
            values: self.values,
            offsets,
            labels: self.labels,
            header: columns.feature_names(),
            notes,
        }
    }
}

/// Reads all rows; the `offsets`, one for each feature or none, are taken off before rounding.
pub(super) fn read(
    rows: &Rows<'_>,
    columns: &Columns,
    offsets: &[f64],
    task: TableTask,
    file: &Path,
) -> Result<Read, DataError> {
    let broken = |error: csv::Error| {
        DataError::malformed(
            file,
            format!("is not a table ({error})"),
            "save it as CSV in UTF-8",
        )
    };
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let mut rounding = Rounding::new(columns.features.len());
    let mut decimals = Decimals::new(rows.separator != Separator::COMMA);
    let header = columns.header.as_ref().filter(|header| header.is_row);
    let mut header_is_next = header.is_some();
    let (mut reader, mut record) = (rows.reader(), StringRecord::new());
    while reader.read_record(&mut record).map_err(broken)? {
        if record.iter().all(|cell| cell.trim().is_empty()) || std::mem::take(&mut header_is_next) {
            continue;
        }
        let line = rows.line(record.position());
        let is_header = |names: &[String]| {
            record
                .iter()
                .zip(names)
                .all(|(cell, name)| cell.trim() == name)
        };
        if header.is_some_and(|header| is_header(&header.names)) {
            return Err(DataError::malformed(
                file,
                format!("line {line} repeats the header"),
                "remove the line, and check that the tables put together here belong together",
            ));
        }
        for (place, &column) in columns.features.iter().enumerate() {
            let cell = record.get(column).unwrap_or_default().trim();
            let offset = offsets.get(place).copied().unwrap_or(0.0);
            // Without an offset, bit for bit what reading in single precision gives.
            let x = decimals
                .read(cell, line)
                .filter(|x| ((x - offset) as f32).is_finite());
            let x = x.ok_or_else(|| no_number(cell, column, line, columns, file))?;
            rounding.add(place, x);
            values.push((x - offset) as f32);
        }
        let label = record.get(columns.label).unwrap_or_default().trim();
        if label.is_empty() {
            return Err(no_label(line, columns, file));
        }
        labels.push((line, label.to_owned()));
    }
    if labels.is_empty() {
        return Err(DataError::malformed(
            file,
            "has a header and no rows",
            "give at least one row",
        ));
    }
    let labels = read_labels(labels, &mut decimals, task, columns, file)?;
    decimals.check(file)?;
    Ok(Read {
        values,
        labels,
        rounding,
        decimals,
    })
}

fn no_number(cell: &str, column: usize, line: u64, columns: &Columns, file: &Path) -> DataError {
    let shown: String = cell.chars().take(40).collect();
    let name = columns
        .header
        .as_ref()
        .map(|header| header.names[column].as_str());
    let name = name.filter(|name| !name.is_empty());
    let name = name.map_or_else(String::new, |name| format!(" ('{name}')"));
    DataError::malformed(
        file,
        format!(
            "line {line}, column {}{name}: '{shown}' is not a finite number",
            column + 1
        ),
        "fill missing values in, encode names as numbers, leave the column out (`ignore-columns`), take \
         it for the label (`label-column`), or say whether the first row is a `header`",
    )
}

fn no_label(line: u64, columns: &Columns, file: &Path) -> DataError {
    DataError::malformed(
        file,
        format!(
            "has no label in line {line}, {}",
            columns.described(columns.label)
        ),
        "fill it in or remove the row",
    )
}

/// Labels as integers if all are, else as real values, else, for classes, as names. `cells` have the
/// lines they are from.
fn read_labels(
    cells: Vec<(u64, String)>,
    decimals: &mut Decimals,
    task: TableTask,
    columns: &Columns,
    file: &Path,
) -> Result<RawLabels, DataError> {
    let mut tried = decimals.clone();
    let number = |(line, cell): &(u64, String)| tried.read(cell, *line).filter(|x| x.is_finite());
    let numbers: Vec<Option<f64>> = cells.iter().map(number).collect();
    if let Some(values) = numbers.iter().copied().collect::<Option<Vec<f64>>>() {
        let integers = cells.iter().map(|(_, cell)| cell.parse::<i64>());
        if task == TableTask::Classify
            && let Ok(integers) = integers.collect::<Result<Vec<_>, _>>()
        {
            return Ok(RawLabels::Integers(integers));
        }
        *decimals = tried;
        return Ok(RawLabels::Reals { values, outputs: 1 });
    }
    let mut odd = cells
        .iter()
        .zip(&numbers)
        .filter(|(_, number)| number.is_none());
    let missing = odd.clone().all(|((_, cell), _)| is_missing(cell));
    let Some(((line, cell), _)) = odd.next() else {
        unreachable!("some label is no number")
    };
    if missing && numbers.iter().any(Option::is_some) {
        return Err(no_label(*line, columns, file));
    }
    if task == TableTask::Regress {
        let shown: String = cell.chars().take(40).collect();
        return Err(DataError::malformed(
            file,
            format!("line {line}: its label '{shown}' is not a finite number"),
            "give numbers, or ask for classification",
        ));
    }
    Ok(RawLabels::Names(
        cells.into_iter().map(|(_, cell)| cell).collect(),
    ))
}
