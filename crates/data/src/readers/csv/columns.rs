//! Which column holds the label, which are features, and which are left out.

use std::path::Path;

use super::dialect::Rows;
use super::header::{Header, find, listed};
use super::survey::Survey;
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::table_options::TableOptions;

/// Rows from which a column that counts them is worth a note.
const NOTED_ROWS: u64 = 10;

/// What the columns of a table are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    pub(super) header: Option<Header>,
    /// Columns of the file.
    pub(super) all: usize,
    pub(super) label: usize,
    /// Columns that are features, in order.
    pub(super) features: Vec<usize>,
}

impl Columns {
    /// Finds out what the columns are, says it, and notes what is worth a second look.
    pub(super) fn of(
        rows: &Rows<'_>,
        survey: &Survey,
        options: &TableOptions,
        file: &Path,
        inferred: &mut Inferred,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let header = find(rows, survey, options, inferred);
        inferred.took("separator", rows.separator.to_string());
        let all = survey.columns;
        let names = header.as_ref().map(|header| header.names.as_slice());
        let resolve = |setting, asked: &str| column(asked, names, all, setting, file);
        let mut left_out: Vec<usize> = Vec::new();
        let keeps_all = options.ignore.is_none()
            && !names.is_some_and(|names| names.iter().any(|name| name == "none"));
        if !keeps_all {
            for asked in &options.ignore.0 {
                left_out.push(resolve("ignore-columns", asked)?);
            }
        }
        let mut why: Vec<String> = left_out.iter().map(|&i| described(i, names)).collect();
        let unnamed = names.is_some_and(|names| is_no_name(&names[0]));
        let index = unnamed && survey.first_numbers_rows && survey.rows > 1;
        if index && !keeps_all && all > 2 && !left_out.contains(&0) {
            left_out.push(0);
            why.push("column number 0 (it has no name and numbers the rows)".to_owned());
        }
        let label = match &options.label {
            Some(asked) => resolve("label-column", asked)?,
            None => (0..all)
                .rev()
                .find(|i| !left_out.contains(i))
                .unwrap_or(all - 1),
        };
        if left_out.contains(&label) && options.label.is_some() && label == 0 && index {
            // Asked for by name or number: then it is no index.
            left_out.retain(|&i| i != 0);
            why.retain(|why| !why.contains("numbers the rows"));
        }
        if left_out.contains(&label) {
            return Err(DataError::setting(
                "ignore-columns",
                format!(
                    "{} is the label: leave it in, or name another label-column",
                    described(label, names)
                ),
            ));
        }
        let features: Vec<usize> = (0..all)
            .filter(|i| *i != label && !left_out.contains(i))
            .collect();
        if features.is_empty() {
            return Err(DataError::setting(
                "ignore-columns",
                "leaves no feature: leave fewer columns out",
            ));
        }
        let last = if options.label.is_none() {
            ", the last"
        } else {
            ""
        };
        inferred.took("label", format!("{}{last}", described(label, names)));
        let columns = Self {
            header,
            all,
            label,
            features,
        };
        columns.note(survey, notes);
        if !why.is_empty() {
            inferred.took("columns left out", why.join(", "));
        }
        Ok(columns)
    }

    /// The names of the features, if columns have names.
    pub(super) fn feature_names(&self) -> Option<Vec<String>> {
        let names = &self.header.as_ref()?.names;
        Some(self.features.iter().map(|&i| names[i].clone()).collect())
    }

    /// A column, by number and name.
    pub(super) fn described(&self, column: usize) -> String {
        described(
            column,
            self.header.as_ref().map(|header| header.names.as_slice()),
        )
    }

    /// Notes on features that only number the rows, or are called like the label.
    fn note(&self, survey: &Survey, notes: &mut Vec<String>) {
        let header_row = self.header.as_ref().is_some_and(|header| header.is_row);
        let rows = survey.rows - u64::from(header_row);
        for &(column, second) in &survey.counting {
            // Without a header the count begins in the row before.
            let first = if header_row {
                second
            } else {
                second.saturating_sub(1)
            };
            let begins = header_row
                || survey.sample[0]
                    .get(column)
                    .and_then(|cell| cell.parse().ok())
                    == Some(first);
            if rows >= NOTED_ROWS
                && begins
                && (0..=1).contains(&first)
                && self.features.contains(&column)
            {
                notes.push(format!(
                    "{} only counts the rows, and is used as a feature: leave it out (`ignore-columns`) \
                     if it is none",
                    self.described(column)
                ));
            }
        }
        let Some(header) = &self.header else { return };
        let label = &header.names[self.label];
        if self.features.iter().any(|&i| header.names[i] == *label) && !label.is_empty() {
            notes.push(format!(
                "a feature is called '{label}' too, as is the label"
            ));
        }
    }
}

/// True for the name of pandas' index column: none, or what pandas makes of none.
fn is_no_name(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

fn described(column: usize, names: Option<&[String]>) -> String {
    match names.map(|names| names[column].as_str()) {
        None | Some("") => format!("column number {column} (from 0)"),
        Some(name) => format!("column number {column} (from 0), '{name}'"),
    }
}

/// The column of this name, or else of this number.
fn column(
    asked: &str,
    names: Option<&[String]>,
    columns: usize,
    setting: &'static str,
    file: &Path,
) -> Result<usize, DataError> {
    let named: Vec<usize> = names
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, name)| *name == asked)
        .map(|(i, _)| i)
        .collect();
    let number = asked.parse::<i64>().ok().and_then(|number| {
        let at = if number < 0 {
            number.checked_add(columns as i64)?
        } else {
            number
        };
        usize::try_from(at).ok().filter(|at| *at < columns)
    });
    let wrong = |what: String, remedy: String| {
        Err(DataError::malformed(
            file,
            format!("{setting}: {what}"),
            remedy,
        ))
    };
    match (named.as_slice(), number) {
        ([at], None) => Ok(*at),
        ([at], Some(number)) if *at == number => Ok(*at),
        ([], Some(number)) => Ok(number),
        ([at], Some(number)) => wrong(
            format!(
                "'{asked}' is the name of column number {at} and the number of another, {number}"
            ),
            format!(
                "count from the end: {} is the column of that name",
                *at as i64 - columns as i64
            ),
        ),
        ([], None) => match names {
            Some(names) => wrong(
                format!("has no column '{asked}' in its header ({})", listed(names)),
                format!("name one of these, or a number from 0 to {}", columns - 1),
            ),
            None => wrong(
                format!("has no header to find '{asked}' in"),
                format!(
                    "give the column's number, from 0 to {}, or set `header` if the first row names \
                     columns",
                    columns - 1
                ),
            ),
        },
        (several, _) => wrong(
            format!(
                "{} columns are named '{asked}' (numbers {several:?})",
                several.len()
            ),
            "give the column's number from the end, such as -1".to_owned(),
        ),
    }
}
