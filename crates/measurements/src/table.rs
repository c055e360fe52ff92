//! A table of text: what every format is read into.

use std::path::Path;

use crate::MeasurementsError;

/// A table: headings, and rows of as many cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The file's name, or those of several.
    pub name: String,
    /// Headings.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Row>,
    /// How it was read, a sentence each.
    pub notes: Vec<String>,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Where it stands: `line 3`.
    pub place: String,
    /// As many cells as there are headings; an empty one is missing.
    pub cells: Vec<String>,
}

impl Table {
    /// Puts the folder's name before those of its runs, which other folders may have too.
    pub(crate) fn name_runs_after(&mut self, folder: &Path) {
        if let Some(at) = self.columns.iter().position(|column| column == "run") {
            for row in &mut self.rows {
                row.cells[at] = format!("{}/{}", folder.display(), row.cells[at]);
            }
        }
    }

    /// Both tables' rows, where they have the same headings in any order.
    ///
    /// # Errors
    /// When the headings differ.
    pub(crate) fn joined(mut self, other: Table, path: &Path) -> Result<Self, MeasurementsError> {
        let place = |column: &String| self.columns.iter().position(|c| c == column);
        let order: Option<Vec<usize>> = other.columns.iter().map(place).collect();
        let order = order.filter(|order| order.len() == self.columns.len());
        let Some(order) = order else {
            let why = format!(
                "its headings ({}) are not those of {} ({}): fit them one by one, or give all the same headings",
                other.columns.join(", "),
                self.name,
                self.columns.join(", ")
            );
            return Err(MeasurementsError::Format {
                path: path.to_owned(),
                why,
            });
        };
        let rows = other.rows.into_iter().map(|row| {
            let mut cells = vec![String::new(); order.len()];
            for (cell, &at) in row.cells.into_iter().zip(&order) {
                cells[at] = cell;
            }
            Row {
                place: format!("{} of {}", row.place, other.name),
                cells,
            }
        });
        self.rows.extend(rows);
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        self.name = format!("{}, {}", self.name, other.name);
        Ok(self)
    }
}
