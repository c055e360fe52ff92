use std::path::PathBuf;

use batchscope_core::SettingError;

use crate::Role;

/// Why measurements could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MeasurementsError {
    /// No file was named.
    #[error("no table was named")]
    Nothing,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no table of its format.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// No column has a heading that is known for what is needed.
    #[error(
        "no column of {what} among {}: name it by --column {role}=HEADING (known headings: {}){hint}",
        list(columns), known.join(", ")
    )]
    NoColumn {
        /// What is looked for.
        role: Role,
        /// In words.
        what: &'static str,
        /// The headings there are.
        columns: Vec<String>,
        /// Headings that would be taken.
        known: &'static [&'static str],
        /// A heading that looks like it and is not, and why; or nothing.
        hint: String,
    },
    /// A cell does not hold what its column should.
    #[error("{table}, {place}: '{value}' in column '{column}' is not {wanted}")]
    Cell {
        /// The table.
        table: String,
        /// `row 3` or `line 4`.
        place: String,
        /// The heading.
        column: String,
        /// What it holds, cut where it is long.
        value: String,
        /// What it should hold.
        wanted: String,
    },
    /// Rows contradict each other.
    #[error("{table}, {place}: {why}")]
    Row {
        /// The table.
        table: String,
        /// Where.
        place: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A setting makes no sense, or is missing.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// Headings, in quotes; the first of many.
fn list(columns: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = columns.iter().take(SHOWN).map(|c| format!("'{c}'"));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if columns.len() > SHOWN {
        text += &format!(" and {} more", columns.len() - SHOWN);
    }
    text
}
