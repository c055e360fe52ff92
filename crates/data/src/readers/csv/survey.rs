//! A first look at all rows of a table: their widths, what is empty, and which columns only count.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use csv::{ByteRecord, StringRecord};

use super::dialect::{Rows, trimmed};
use crate::error::DataError;

/// Rows that the header is told by.
const SAMPLE_ROWS: usize = 50;

/// What the rows of a table have in common.
pub(super) struct Survey {
    /// Columns without those at the end that are empty in every row.
    pub(super) columns: usize,
    /// Columns at the end that are empty in every row.
    pub(super) empty_columns: usize,
    /// Rows of nothing but empty cells, which are left out.
    pub(super) empty_rows: u64,
    /// Rows, the header included.
    pub(super) rows: u64,
    /// The first rows.
    pub(super) sample: Vec<StringRecord>,
    /// Columns that count up by one from the second row on, with their number there.
    pub(super) counting: Vec<(usize, i64)>,
    /// Whether the first column holds different integers from 0 on from the second row on.
    pub(super) first_numbers_rows: bool,
}

/// Looks at all rows; `file` is named in errors.
pub(super) fn survey(rows: &Rows<'_>, file: &Path) -> Result<Survey, DataError> {
    let broken = |error: csv::Error| {
        DataError::malformed(
            file,
            format!("is not a table ({error})"),
            "save it as CSV in UTF-8",
        )
    };
    let mut reader = rows.reader();
    let mut record = ByteRecord::new();
    let mut widths = Widths::default();
    let mut found = Survey {
        columns: 0,
        empty_columns: 0,
        empty_rows: 0,
        rows: 0,
        sample: Vec::new(),
        counting: Vec::new(),
        first_numbers_rows: true,
    };
    let mut numbers = HashSet::new();
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let line = rows.line(record.position());
        if record.as_slice().contains(&b'\n') {
            return Err(DataError::malformed(
                file,
                format!("line {line} opens a quote that is not closed in it"),
                "close the quote, or remove line ends from the cell",
            ));
        }
        let filled = record
            .iter()
            .rposition(|cell| !cell.trim_ascii().is_empty())
            .map_or(0, |at| at + 1);
        if filled == 0 {
            found.empty_rows += 1;
            continue;
        }
        widths.add(record.len(), filled, line);
        let number = |cell: &[u8]| std::str::from_utf8(cell).ok()?.trim().parse::<i64>().ok();
        if found.rows == 1 {
            let cells = record.iter().enumerate();
            found.counting = cells
                .filter_map(|(i, cell)| Some((i, number(cell)?)))
                .collect();
        } else if found.rows > 1 {
            let nth = found.rows as i64 - 1;
            let goes_on = |&(i, start): &(usize, i64)| {
                record.get(i).and_then(number) == start.checked_add(nth)
            };
            found.counting.retain(goes_on);
        }
        if found.rows > 0 && found.first_numbers_rows {
            let first = record.get(0).and_then(number).filter(|&x| x >= 0);
            found.first_numbers_rows = first.is_some_and(|x| numbers.insert(x));
            if !found.first_numbers_rows {
                numbers = HashSet::new();
            }
        }
        if found.sample.len() < SAMPLE_ROWS {
            let row = StringRecord::from_byte_record_lossy(record.clone());
            found.sample.push(trimmed(row));
        }
        found.rows += 1;
    }
    if found.rows == 0 {
        return Err(DataError::malformed(
            file,
            "is empty but for separators",
            "give a table with at least one row",
        ));
    }
    (found.columns, found.empty_columns) = widths.settle(rows, file)?;
    Ok(found)
}

/// The widths of rows, with the first line of each.
#[derive(Default)]
struct Widths {
    /// How many rows have so many cells.
    all: BTreeMap<usize, (u64, u64)>,
    /// Cells up to the last that is not empty.
    filled: BTreeMap<usize, u64>,
}

impl Widths {
    fn add(&mut self, width: usize, filled: usize, line: u64) {
        self.all.entry(width).or_insert((0, line)).0 += 1;
        self.filled.entry(filled).or_insert(line);
    }

    /// The columns that some row fills, and those after them; refuses rows of other widths.
    fn settle(self, rows: &Rows<'_>, file: &Path) -> Result<(usize, usize), DataError> {
        let first = |(_, (_, line)): &(&usize, &(u64, u64))| *line;
        let usual = self.all.iter().max_by(|a, b| {
            let (count_a, count_b) = (a.1.0, b.1.0);
            count_a.cmp(&count_b).then(first(b).cmp(&first(a)))
        });
        let (usual, columns) = (
            usual.map_or(0, |(width, _)| *width),
            self.filled.keys().next_back().copied().unwrap_or(0),
        );
        let long = self.filled.iter().find(|(filled, _)| **filled > usual);
        let short = self.all.iter().find(|(width, _)| **width < columns);
        let odd = long.map(|(width, line)| (*width, *line));
        if let Some((width, line)) = odd.or(short.map(|(width, (_, line))| (*width, *line))) {
            return Err(DataError::malformed(
                file,
                format!("is not a table: line {line} has {width} cells, others {usual}"),
                format!(
                    "give every row the same number of cells; the separator was taken to be {} \
                     (`separator`)",
                    rows.separator
                ),
            ));
        }
        if columns < 2 {
            return Err(DataError::malformed(
                file,
                format!("has one column where the separator is {}", rows.separator),
                "give at least one feature and the label, separated by comma, semicolon, tab, pipe or \
                 space, or name another `separator`",
            ));
        }
        Ok((columns, usual - columns))
    }
}
