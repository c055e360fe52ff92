//! Tables: rows of numbers with a label column, as programs and spreadsheets write them.
//!
//! What is not set (header, separator, decimal mark, label) is found out from the rows, the same way
//! for all splits, and said in one line, the first note of the data.

mod cells;
mod columns;
mod decode;
mod dialect;
mod header;
mod rows;
mod survey;

use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape};

use self::columns::Columns;
use self::dialect::Rows;
use self::survey::Survey;
use super::labels::{RawLabels, join};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Arrays, InputRows, Shifted};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out;
use crate::limits;
use crate::listing::Listing;
use crate::parts::{PartPaths, Place, Told};
use crate::paths::{file_name, has_extension, within};
use crate::precision;
use crate::table_options::TableOptions;

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Feature columns.
    pub features: usize,
    /// Row-major features, without the offsets; every one finite.
    pub values: Vec<f32>,
    /// What was taken off each feature before it was rounded; empty where nothing was.
    pub offsets: Vec<f64>,
    /// One label for each row.
    pub labels: RawLabels,
    /// The names of the features, if there is a header.
    pub header: Option<Vec<String>>,
    /// What was inferred, in one line, and what else is worth knowing.
    pub notes: Vec<String>,
}

/// Parses a table, packed by gzip or not; `file` is named in errors.
///
/// # Errors
/// When rows differ in length, a feature is not a finite number, a label is missing, there is no row,
/// the bytes are no text, a column that was asked for does not exist, or its name is that of two.
pub fn parse(bytes: &[u8], options: &TableOptions, file: &Path) -> Result<Table, DataError> {
    let (opened, mut inferred) = (Opened::of(bytes, options, file)?, Inferred::default());
    let (mut table, _) = opened.as_first(options, file, &mut inferred)?;
    table.notes.splice(0..0, inferred.line());
    Ok(table)
}

/// A table whose rows have been looked at.
struct Opened<'a> {
    rows: Rows<'a>,
    survey: Survey,
}

impl<'a> Opened<'a> {
    fn of(bytes: &'a [u8], options: &TableOptions, file: &Path) -> Result<Self, DataError> {
        let rows = Rows::of(decode::text(bytes, file)?, options.separator, file)?;
        let survey = survey::survey(&rows, file)?;
        Ok(Self { rows, survey })
    }

    /// The first of some tables, by which the others are read.
    fn as_first(
        &self,
        options: &TableOptions,
        file: &Path,
        inferred: &mut Inferred,
    ) -> Result<(Table, Columns), DataError> {
        let mut notes = Vec::new();
        let (rows, survey) = (&self.rows, &self.survey);
        let columns = Columns::of(rows, survey, options, file, inferred, &mut notes)?;
        let mut read = rows::read(rows, &columns, &[], options.task, file)?;
        let offsets = read.rounding.offsets();
        if !offsets.is_empty() {
            read = rows::read(rows, &columns, &offsets, options.task, file)?;
        }
        let shifted = columns.features.iter().zip(&offsets);
        for (&column, &offset) in shifted.filter(|(_, offset)| **offset != 0.0) {
            notes.push(precision::note(&columns.described(column), offset));
        }
        if let Some(mark) = read.decimals.said() {
            inferred.took("decimal mark", mark);
        }
        if let Some(left_out) = self.left_out() {
            inferred.took("left out", left_out);
        }
        Ok((read.table(&columns, offsets, notes), columns))
    }

    /// A further table, with the columns of the first.
    fn like(
        &self,
        columns: &Columns,
        offsets: &[f64],
        options: &TableOptions,
        file: &Path,
    ) -> Result<Table, DataError> {
        let named = columns.header.as_ref().filter(|header| header.is_row);
        let names = self.survey.sample[0].iter();
        let other_names = named.is_some_and(|header| {
            let names: Vec<&str> = names.collect();
            let name = |i: &usize| names.get(*i) != Some(&header.names[*i].as_str());
            columns.features.iter().any(name)
        });
        if self.survey.columns != columns.all || other_names {
            return Err(DataError::malformed(
                file,
                format!(
                    "its columns are not those of the other tables: it has {} ({}), they have {}",
                    self.survey.columns,
                    self.survey.sample[0]
                        .iter()
                        .take(8)
                        .collect::<Vec<_>>()
                        .join(", "),
                    columns.all
                ),
                "give all splits the same columns, with a header in all of them or in none",
            ));
        }
        let read = rows::read(&self.rows, columns, offsets, options.task, file)?;
        let left_out = self.left_out();
        let notes = left_out.map(|what| format!("{}: left out: {what}", file_name(file)));
        Ok(read.table(columns, offsets.to_vec(), notes.into_iter().collect()))
    }

    /// The lines and columns that are no data.
    fn left_out(&self) -> Option<String> {
        let (rows, survey) = (&self.rows, &self.survey);
        let counted = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let all = [
            rows.sep_line.then(|| "the line sep=".to_owned()),
            counted(rows.comments, "comment line", "comment lines"),
            counted(
                survey.empty_rows,
                "row of empty cells",
                "rows of empty cells",
            ),
            counted(
                survey.empty_columns as u64,
                "column at the end that is empty in every row",
                "columns at the end that are empty in every row",
            ),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// Reads one table, or the tables of the splits.
pub(crate) fn read(
    source: &Path,
    files: &[PathBuf],
    options: &TableOptions,
    parts: &PartPaths,
) -> Result<Arrays, DataError> {
    let mut notes = Vec::new();
    let paths = by_split(source, files, parts, &mut notes)?;
    let (mut first, mut inferred) = (None, Inferred::default());
    let mut offsets = Vec::new();
    let files_of = paths.clone();
    let tables = paths.try_map(|file| {
        let bytes = limits::read_file(&file)?;
        let opened = Opened::of(&bytes, options, &file)?;
        let mut table = match &first {
            Some(columns) => opened.like(columns, &offsets, options, &file)?,
            None => {
                let (table, columns) = opened.as_first(options, &file, &mut inferred)?;
                offsets.clone_from(&table.offsets);
                first = Some(columns);
                table
            }
        };
        notes.append(&mut table.notes);
        Ok::<_, DataError>(table)
    })?;
    for (split, path, table) in [
        ("train", &files_of.train, &tables.train),
        ("validation", &files_of.validation, &tables.validation),
        ("test", &files_of.test, &tables.test),
    ] {
        if let (Some(path), Some(table)) = (path, table) {
            let rows = table.values.len() / table.features.max(1);
            let file = match within(source, path) {
                same if same.as_os_str().is_empty() => path.file_name().map_or(same, Path::new),
                inside => inside,
            };
            inferred.took(split, format!("{} ({rows})", file.display()));
        }
    }
    let features = first.as_ref().map_or(0, |columns| columns.features.len());
    let (mut inputs, mut raw) = (Splits::default(), Splits::default());
    for (split, table) in [
        (SplitName::Train, tables.train),
        (SplitName::Validation, tables.validation),
        (SplitName::Test, tables.test),
    ] {
        if let Some(table) = table {
            let (values, offsets) = (table.values, table.offsets);
            *inputs.slot(split) = Some(match offsets.is_empty() {
                true => InputRows::Floats(values),
                false => InputRows::Shifted(Box::new(Shifted { values, offsets })),
            });
            *raw.slot(split) = Some(table.labels);
        }
    }
    let input = InputShape::Vector { features };
    let label = first.map(|columns| columns.described(columns.label));
    let mut arrays = join(source, input, inputs, raw, options)
        .map_err(|error| of_label(error, label.as_deref().unwrap_or_default()))?;
    if !arrays.classes.is_empty() {
        let (count, shown) = (arrays.classes.len(), left_out::shown(&arrays.classes));
        inferred.took("classes", format!("{count} ({shown})"));
    }
    notes.splice(0..0, inferred.line());
    arrays.notes.splice(0..0, notes);
    Ok(arrays)
}

/// An error about labels, with the column that they were taken from.
fn of_label(error: DataError, label: &str) -> DataError {
    match error {
        DataError::Malformed { file, what, remedy } => DataError::Malformed {
            file,
            what: format!("{what} (the label is {label})"),
            remedy,
        },
        other => other,
    }
}

/// Which file is which split.
fn by_split(
    source: &Path,
    files: &[PathBuf],
    parts: &PartPaths,
    notes: &mut Vec<String>,
) -> Result<Splits<PathBuf>, DataError> {
    let mut paths: Splits<PathBuf> = Splits::default();
    let mut outside = Vec::new();
    for (file, place) in parts.places(source, files)? {
        match place {
            Place::Part(split) => paths.claim(split, file)?,
            Place::Outside => outside.push(within(source, file)),
            Place::Unnamed => {
                return Err(DataError::malformed(
                    file,
                    "its name says no split",
                    "name tables train.csv, validation.csv and test.csv, give one table, or say which is which (`train`, `test`)",
                ));
            }
        }
    }
    left_out::note(notes, "tables are of no part and were left out", &outside);
    Ok(paths)
}

/// The reader of this format.
#[derive(Debug)]
pub struct Csv;

const CSV: Descriptor = Descriptor {
    name: "csv",
    aliases: &[],
    about: "table of numbers and a label column: .csv or .tsv, also .gz, or folder of train.csv and test.csv",
    source: "",
    parameters: &[],
};

impl Described for Csv {
    fn descriptor(&self) -> &Descriptor {
        &CSV
    }
}

impl Reader for Csv {
    fn settings(&self) -> &'static [&'static str] {
        &[
            "label-column",
            "regression",
            "header",
            "separator",
            "ignore-columns",
        ]
    }

    fn splits_by_path(&self) -> bool {
        true
    }

    fn detect(&self, folder: &Listing) -> bool {
        folder.any(is_table)
    }

    fn detect_asked(&self, folder: &Listing) -> bool {
        folder.any(|name| is_table(name) || may_be_table(name))
    }

    fn detect_file(&self, name: &str) -> bool {
        is_table(name)
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (path, files) = match source {
            Source::Folder(listing) => {
                let said =
                    |name: &str| matches!(options.parts.told(Path::new(name)), Told::Part(..));
                let mut files = listing.select(|name| is_table(name) || said(name));
                if files.is_empty() {
                    files = listing.select(may_be_table);
                }
                (listing.folder.as_path(), files)
            }
            Source::File(path) => (path, vec![path.to_owned()]),
            other => return Err(other.unrecognized(self)),
        };
        let arrays = read(path, &files, options.table, options.parts)?;
        Ok(Reading::arrays(files, arrays))
    }
}

/// True for an ending that tables have among other things: they are read where the format is asked
/// for.
pub(crate) fn may_be_table(name: &str) -> bool {
    has_extension(unpacked(name), &["txt", "data", "dat", "tab", "psv", "asc"])
}

/// True for the name of a table, packed or not.
pub(crate) fn is_table(name: &str) -> bool {
    has_extension(unpacked(name), &["csv", "tsv"])
}

/// A name without the ending of gzip.
fn unpacked(name: &str) -> &str {
    match has_extension(name, &["gz"]) {
        true => &name[..name.len() - ".gz".len()],
        false => name,
    }
}
