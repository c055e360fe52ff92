//! Files into tables. The format goes by the file's first bytes, not by its name; a folder is one of event files.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use batchscope_core::format::json_words;

use crate::{MeasurementsError, ReadOptions, Row, Table, event_files, name};

/// Most bytes of a table.
const MOST_BYTES: u64 = 256 << 20;
/// Most columns of a table.
const MOST_COLUMNS: usize = 10_000;
/// Most cells of a table.
const MOST_CELLS: usize = 20_000_000;

/// Reads one file, or standard input for `-`: CSV, TSV, JSON lines or Parquet, or TensorBoard's event files of a
/// folder or one of them.
///
/// # Errors
/// When it cannot be read, is too large, or is no table.
pub fn read_table(path: &Path, options: &ReadOptions) -> Result<Table, MeasurementsError> {
    let cannot = |source| MeasurementsError::File {
        path: path.to_owned(),
        source,
    };
    let bytes = if path == Path::new("-") {
        limited(std::io::stdin().lock(), path)?
    } else {
        let metadata = std::fs::metadata(path).map_err(cannot)?;
        if metadata.is_dir() {
            return event_files::of_folder(path, options);
        }
        if !metadata.is_file() {
            return Err(wrong(path, "is no file: name a table".to_owned()));
        }
        if event_files::is_one(path).map_err(cannot)? {
            return event_files::of_file(path, options);
        }
        limited(File::open(path).map_err(cannot)?, path)?
    };
    let mut table = table_of_bytes(&bytes, path, options)?;
    table.name = name(path);
    Ok(table)
}

/// At most [`MOST_BYTES`] of a source.
fn limited(source: impl Read, path: &Path) -> Result<Vec<u8>, MeasurementsError> {
    let mut bytes = Vec::new();
    let read = source.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| MeasurementsError::File {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(
            path,
            format!("has more than {MOST_BYTES} bytes, which is no table of runs"),
        ));
    }
    Ok(bytes)
}

/// As [`read_table`], of bytes in memory; `path` names them in errors.
///
/// # Errors
/// As [`read_table`].
pub fn table_of_bytes(
    bytes: &[u8],
    path: &Path,
    options: &ReadOptions,
) -> Result<Table, MeasurementsError> {
    if bytes.starts_with(b"PAR1") {
        return parquet(bytes, path);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        let why =
            "is neither UTF-8 text nor Parquet: save it as CSV, JSON lines or Parquet".to_owned();
        return Err(wrong(path, why));
    };
    match text.trim_start().chars().next() {
        None => Err(wrong(path, "is empty".to_owned())),
        Some('{') => json_lines(text, path),
        Some('[') => {
            let why = "is a JSON array: write one object a line, without the brackets".to_owned();
            Err(wrong(path, why))
        }
        Some(_) => separated(text, path, options.separator),
    }
}

pub(crate) fn wrong(path: &Path, why: String) -> MeasurementsError {
    MeasurementsError::Format {
        path: path.to_owned(),
        why,
    }
}

/// Refuses a table of more cells than any table of runs has.
pub(crate) fn bounded(columns: usize, rows: usize, path: &Path) -> Result<(), MeasurementsError> {
    if columns > MOST_COLUMNS || columns.saturating_mul(rows) > MOST_CELLS {
        return Err(wrong(
            path,
            format!("has {columns} columns and more cells than {MOST_CELLS}"),
        ));
    }
    Ok(())
}

/// Text with a line of headings.
fn separated(text: &str, path: &Path, separator: Option<u8>) -> Result<Table, MeasurementsError> {
    let mut notes = Vec::new();
    let separator = separator.unwrap_or_else(|| {
        let found = likely_separator(text);
        if found != b',' {
            notes.push(format!("read as separated by {}", named(found)));
        }
        found
    });
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let broken = |e: csv::Error| match e.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            let why = format!(
                "line {line} has {len} cells and the headings are {expected_len}: mend the line, or name another --separator"
            );
            wrong(path, why)
        }
        _ => wrong(path, format!("is no text table: {e}")),
    };
    let columns: Vec<String> = reader
        .headers()
        .map_err(broken)?
        .iter()
        .map(str::to_owned)
        .collect();
    if columns.iter().all(|c| c.parse::<f64>().is_ok()) {
        let why = format!(
            "its first line holds numbers ({}): put headings above it, such as batch_size{}steps",
            columns.join(", "),
            char::from(separator)
        );
        return Err(wrong(path, why));
    }
    refuse_doubled(&columns, path)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Row {
            place: format!("line {line}"),
            cells: record.iter().map(str::to_owned).collect(),
        });
        bounded(columns.len(), rows.len(), path)?;
    }
    let lines = text
        .lines()
        .skip_while(|line| line.starts_with('#') || line.trim().is_empty());
    let comments = lines.filter(|line| line.starts_with('#')).count();
    if comments > 0 {
        notes.push(format!(
            "{comments} lines that begin with # are left out as comments"
        ));
    }
    Ok(Table {
        columns,
        rows,
        notes,
        ..Table::default()
    })
}

/// The separator that the line of headings holds most of.
fn likely_separator(text: &str) -> u8 {
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let count = |separator: u8| first.bytes().filter(|&b| b == separator).count();
    // The last of equals: a comma, where there is none of them.
    [b'|', b';', b'\t', b',']
        .into_iter()
        .max_by_key(|&s| count(s))
        .unwrap_or(b',')
}

fn named(separator: u8) -> &'static str {
    match separator {
        b'\t' => "tabs",
        b';' => "semicolons",
        b'|' => "bars",
        _ => "commas",
    }
}

fn refuse_doubled(columns: &[String], path: &Path) -> Result<(), MeasurementsError> {
    let mut seen = BTreeMap::new();
    for (at, column) in columns.iter().enumerate() {
        if let Some(first) = seen.insert(column, at) {
            let why = format!(
                "columns {} and {} are both called '{column}': rename one",
                first + 1,
                at + 1
            );
            return Err(wrong(path, why));
        }
    }
    Ok(())
}

/// One object a line; the headings are all keys. Objects within are flattened with a dot, lists are
/// left out.
fn json_lines(text: &str, path: &Path) -> Result<Table, MeasurementsError> {
    let mut table = Table::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut left_out: BTreeMap<String, ()> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("line {}", number + 1);
        let broken = |why: String| {
            wrong(
                path,
                format!("{place}: {why}: each line is one JSON object"),
            )
        };
        // Python writes numbers that JSON does not have.
        let value = serde_json::from_str(line)
            .or_else(|e| serde_json::from_str(&json_words(line)).map_err(|_| e));
        let value: serde_json::Value =
            value.map_err(|e| broken(format!("column {}: is no JSON", e.column())))?;
        let serde_json::Value::Object(object) = value else {
            return Err(broken("is no object".to_owned()));
        };
        let mut row = Row {
            place,
            cells: vec![String::new(); table.columns.len()],
        };
        flatten("", &object, &mut |key, cell| {
            let Some(cell) = cell else {
                left_out.insert(key, ());
                return;
            };
            let next = table.columns.len();
            let at = *places.entry(key.clone()).or_insert(next);
            if at == next {
                table.columns.push(key);
                row.cells.push(String::new());
            }
            row.cells[at] = cell;
        });
        table.rows.push(row);
        bounded(table.columns.len(), table.rows.len(), path)?;
    }
    // Early rows lack the keys that came later.
    for row in &mut table.rows {
        row.cells.resize(table.columns.len(), String::new());
    }
    if !left_out.is_empty() {
        let keys: Vec<String> = left_out.into_keys().take(5).collect();
        table
            .notes
            .push(format!("lists are left out: {}", keys.join(", ")));
    }
    Ok(table)
}

/// Calls `take` with each key's text; with `None` for a list.
fn flatten(
    prefix: &str,
    object: &serde_json::Map<String, serde_json::Value>,
    take: &mut dyn FnMut(String, Option<String>),
) {
    use serde_json::Value;
    for (key, value) in object {
        let key = format!("{prefix}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{key}."), inner, take),
            Value::Array(_) => take(key, None),
            Value::Null => take(key, Some(String::new())),
            Value::String(text) => take(key, Some(text.trim().to_owned())),
            other => take(key, Some(other.to_string())),
        }
    }
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &[u8], path: &Path) -> Result<Table, MeasurementsError> {
    let why =
        "is Parquet, which this build lacks: build with --features parquet, or save it as CSV"
            .to_owned();
    Err(wrong(path, why))
}

#[cfg(feature = "parquet")]
fn parquet(bytes: &[u8], path: &Path) -> Result<Table, MeasurementsError> {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::Field,
    };
    let broken = |e: parquet::errors::ParquetError| {
        wrong(path, format!("is no Parquet file that can be read: {e}"))
    };
    // The library may take time to find a damaged file out by a panic; such a file is refused like others.
    let read = || {
        let reader =
            SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).map_err(broken)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns: Vec<String> = schema
            .root_schema()
            .get_fields()
            .iter()
            .map(|f| f.name().to_owned())
            .collect();
        let count =
            usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX);
        bounded(columns.len(), count, path)?;
        refuse_doubled(&columns, path)?;
        let mut rows = Vec::new();
        for (number, row) in reader.get_row_iter(None).map_err(broken)?.enumerate() {
            let row = row.map_err(broken)?;
            let cells = row.get_column_iter().map(|(_, field)| match field {
                Field::Null => String::new(),
                Field::Str(text) => text.trim().to_owned(),
                Field::Float(x) => x.to_string(),
                Field::Double(x) => x.to_string(),
                other => other.to_string(),
            });
            rows.push(Row {
                place: format!("row {}", number + 1),
                cells: cells.collect(),
            });
            bounded(columns.len(), rows.len(), path)?;
        }
        Ok(Table {
            columns,
            rows,
            ..Table::default()
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(wrong(path, "is a damaged Parquet file".to_owned())))
}
