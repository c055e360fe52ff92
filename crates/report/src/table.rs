//! A table by columns, written as CSV; as Parquet by `parquet`.

use std::io::Write;

use crate::ReportError;

/// Cells of a column; `None` is no value.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Counts (`INT64`; numbers above 2^63 − 1 wrap as Parquet's `UINT_64` does).
    Whole(Vec<Option<u64>>),
    /// Real numbers (`DOUBLE`).
    Real(Vec<Option<f64>>),
    /// Text (`STRING`).
    Text(Vec<Option<String>>),
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in every format.
    pub name: String,
    /// What it holds, with its unit; written into the metadata of a Parquet file.
    pub about: &'static str,
    /// Its cells.
    pub values: Values,
}

/// Columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns, in order.
    pub columns: Vec<Column>,
}

impl Table {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |c| match &c.values {
            Values::Whole(v) => v.len(),
            Values::Real(v) => v.len(),
            Values::Text(v) => v.len(),
        })
    }

    /// Writes the table as CSV with a header; an empty cell is no value.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn write_csv(&self, out: impl Write) -> Result<(), ReportError> {
        let failed = |e: csv::Error| match e.into_kind() {
            csv::ErrorKind::Io(source) => ReportError::Export(source),
            other => ReportError::Encode {
                format: "CSV",
                why: format!("{other:?}"),
            },
        };
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.columns.iter().map(|c| &c.name))
            .map_err(failed)?;
        for row in 0..self.rows() {
            csv.write_record(self.columns.iter().map(|c| c.cell(row)))
                .map_err(failed)?;
        }
        csv.flush().map_err(ReportError::Export)
    }

    /// Would write the table as Parquet.
    ///
    /// # Errors
    /// [`ReportError::Lacks`]: this build does not.
    #[cfg(not(feature = "parquet"))]
    pub fn write_parquet(&self, _out: impl Write + Send) -> Result<(), ReportError> {
        Err(ReportError::Lacks { feature: "parquet" })
    }
}

impl Column {
    fn cell(&self, row: usize) -> String {
        let text = match &self.values {
            Values::Whole(v) => v[row].map(|x| x.to_string()),
            Values::Real(v) => v[row].map(|x| x.to_string()),
            Values::Text(v) => v[row].clone(),
        };
        text.unwrap_or_default()
    }
}
