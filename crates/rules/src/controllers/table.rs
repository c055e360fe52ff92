//! Follows a table of learning rates and batch sizes, whoever made it.

use std::fmt::Write;

use batchscope_core::{
    Descriptor, Kind, Parameter, ParameterDefault, Schedule, ScheduleRow, StepBatch,
};

use crate::{BatchSizes, Controller, ControllerKind, RulesError, StepSetting};

/// Follows a table.
pub(crate) static TABLE: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "table",
        aliases: &[],
        about: "Learning rate and batch size of a table, each row holding to the next",
        source: "",
        parameters: &[Parameter {
            name: "rows",
            about: "A CSV or JSON file with step, batch_size, learning_rate; or rows of the three: 0 32 0.1; 640 64 0.1",
            kind: Kind::Text(
                "a file, or rows of step, batch size and learning rate: 0 32 0.1; 640 64 0.1",
            ),
            default: ParameterDefault::Required,
        }],
    },
    finds_rate: true,
    build: |choice, course| {
        let rows = read_rows(choice.text("rows").unwrap_or_default())?;
        if *course.schedule != Schedule::constant() {
            return Err(RulesError::Table(
                "it has the rate of every step: leave out the schedule and the warm-up".to_owned(),
            ));
        }
        let first = rows[0].batch_size;
        if first != course.batch_size {
            return Err(RulesError::Table(format!(
                "its first batch size is {first}, the run's {}: they must agree",
                course.batch_size
            )));
        }
        Ok(Box::new(Table::new(&rows)))
    },
};

/// Reads `0 32 0.1; 640 64 0.1`: rows of step, batch size and learning rate.
///
/// # Errors
/// [`RulesError::Table`] with what is wrong, as [`check_rows`].
pub fn read_rows(text: &str) -> Result<Vec<ScheduleRow>, RulesError> {
    let wrong = |why: String| RulesError::Table(why);
    let mut rows = Vec::new();
    for row in text.split(';') {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let read = || -> Option<ScheduleRow> {
            let [step, batch_size, learning_rate] = cells.as_slice() else {
                return None;
            };
            Some(ScheduleRow {
                step: step.parse().ok()?,
                batch_size: batch_size.parse().ok()?,
                learning_rate: learning_rate.parse().ok()?,
            })
        };
        let unread = || {
            let shown: String = row.trim().chars().take(40).collect();
            wrong(format!(
                "'{shown}' is no row: write STEP BATCH_SIZE LEARNING_RATE"
            ))
        };
        rows.push(read().ok_or_else(unread)?);
    }
    check_rows(&rows)?;
    Ok(rows)
}

/// Writes rows as [`read_rows`] reads them, to the bit.
pub fn write_rows(rows: &[ScheduleRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let separator = if text.is_empty() { "" } else { "; " };
        let ScheduleRow {
            step,
            batch_size,
            learning_rate,
        } = row;
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{step} {batch_size} {learning_rate}");
    }
    text
}

/// Refuses rows that lead no run: none at all, a first one not at step 0, steps that do not increase, batch sizes of 0,
/// rates that are negative or not finite.
///
/// # Errors
/// [`RulesError::Table`], naming the row, counted from 1.
pub fn check_rows(rows: &[ScheduleRow]) -> Result<(), RulesError> {
    let wrong = |why: String| Err(RulesError::Table(why));
    match rows.first() {
        None => return wrong("it has no rows".to_owned()),
        Some(first) if first.step != 0 => {
            return wrong(format!("its first row is at step {}, not 0", first.step));
        }
        Some(_) => {}
    }
    for (at, row) in rows.iter().enumerate() {
        let number = at + 1;
        if at > 0 && rows[at - 1].step >= row.step {
            return wrong(format!(
                "the step of row {number} is not after the one before it"
            ));
        }
        // Beyond this no product of the two is counted exactly.
        if row.batch_size == 0 || row.batch_size > u64::from(u32::MAX) {
            return wrong(format!(
                "row {number} has batch size {}: it must be from 1 to {}",
                row.batch_size,
                u32::MAX
            ));
        }
        if !(row.learning_rate.is_finite() && row.learning_rate >= 0.0) {
            return wrong(format!(
                "row {number} has learning rate {}: it must be finite and at least 0",
                row.learning_rate
            ));
        }
    }
    Ok(())
}

struct Table {
    /// By step, with the examples drawn before each.
    rows: Vec<(ScheduleRow, u64)>,
}

impl Table {
    /// Of rows that [`check_rows`] has passed.
    fn new(rows: &[ScheduleRow]) -> Self {
        let mut drawn = 0u64;
        let mut before: Option<&ScheduleRow> = None;
        let rows = rows.iter().map(|row| {
            if let Some(last) = before.replace(row) {
                let passed = row.step - last.step;
                drawn = drawn.saturating_add(passed.saturating_mul(last.batch_size));
            }
            (*row, drawn)
        });
        Self {
            rows: rows.collect(),
        }
    }
}

impl Controller for Table {
    fn at(&self, step: u64) -> StepSetting {
        let next = self.rows.partition_point(|(row, _)| row.step <= step);
        let (row, drawn) = &self.rows[next - 1];
        let since = (step - row.step).saturating_mul(row.batch_size);
        StepSetting {
            learning_rate: row.learning_rate,
            batch: StepBatch {
                step,
                first_draw: drawn.saturating_add(since),
                batch_size: row.batch_size,
            },
        }
    }

    fn batch_sizes(&self) -> Option<BatchSizes> {
        BatchSizes::of(self.rows.iter().map(|(row, _)| row.batch_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_until_the_next() {
        let rows = read_rows("0 32 0.1; 10 64 0.1 ;12 64 0.05").unwrap();
        assert_eq!(read_rows(&write_rows(&rows)).unwrap(), rows);
        let table = Table::new(&rows);
        let at = |step| {
            let setting = table.at(step);
            (
                setting.batch.first_draw,
                setting.batch.batch_size,
                setting.learning_rate,
            )
        };
        assert_eq!(at(9), (9 * 32, 32, 0.1));
        assert_eq!(at(10), (320, 64, 0.1));
        assert_eq!(at(12), (320 + 128, 64, 0.05));
        assert_eq!(at(u64::MAX).2, 0.05);
        let sizes = table.batch_sizes().unwrap();
        assert_eq!((sizes.smallest, sizes.largest, sizes.divisor), (32, 64, 32));
    }

    #[test]
    fn what_is_no_table_is_refused_by_row() {
        for (text, what) in [
            ("", "'' is no row"),
            ("0 32", "'0 32' is no row"),
            ("1 32 0.1", "first row is at step 1"),
            ("0 32 0.1; 0 64 0.1", "the step of row 2"),
            ("0 0 0.1", "batch size 0"),
            ("0 9999999999 0.1", "batch size 9999999999"),
            ("0 32 -1", "learning rate -1"),
            ("0 32 NaN", "learning rate NaN"),
        ] {
            let message = read_rows(text).unwrap_err().to_string();
            assert!(message.contains(what), "{text}: {message}");
        }
    }
}
