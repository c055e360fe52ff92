//! Rows with their numbers read.

use batchscope_core::SettingError;

use crate::{Columns, MeasurementsError, ReadOptions, Role, Row, Table, states::End};

/// Largest batch size or length of a run that is taken for one.
const LARGEST: f64 = 1e15;

/// A row of a table or log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Where it stands.
    pub place: String,
    pub curve: String,
    pub batch_size: u64,
    /// The run it belongs to, where the table says.
    pub run: Option<String>,
    /// Steps, not rounded; `None` where the cell is empty.
    pub steps: Option<f64>,
    /// The end that a column states.
    pub end: Option<End>,
    /// NaN where it is not stated.
    pub learning_rate: f64,
    pub step_seconds: Option<f64>,
    pub seconds: Option<f64>,
    /// The size of its curve, where the table says.
    pub size: Option<String>,
    /// The metric of a log; `None` where it is not measured in this row.
    pub value: Option<f64>,
}

/// What turns the column that counts into steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    role: Role,
    /// Examples per unit; not used for steps.
    examples: f64,
}

impl Unit {
    /// Of the column that counts.
    ///
    /// # Errors
    /// When a number that it needs is not given.
    pub fn new(role: Role, options: &ReadOptions) -> Result<Self, SettingError> {
        let examples = match role {
            Role::Epochs => match options.train_examples {
                Some(n) => n as f64,
                None => {
                    let why = "the table counts epochs: say how many examples one has (the critical batch size is the same for any number, steps and examples are not)";
                    return Err(SettingError::new("train-examples", why));
                }
            },
            Role::Tokens => options.tokens_per_example.map_or(1.0, |n| 1.0 / n as f64),
            _ => 1.0,
        };
        Ok(Self { role, examples })
    }

    /// A count as steps of a batch size.
    pub fn steps(self, count: f64, batch_size: u64) -> f64 {
        match self.role {
            Role::Steps => count,
            _ => count * self.examples / batch_size as f64,
        }
    }

    /// True where lengths are in steps.
    pub fn counts_steps(self) -> bool {
        self.role == Role::Steps
    }

    /// What is taken for granted, if anything.
    pub fn note(self, options: &ReadOptions) -> Option<String> {
        (self.role == Role::Tokens && options.tokens_per_example.is_none()).then(|| {
            "batch sizes are taken to be in tokens, like lengths: if they count sequences, give --tokens-per-example"
                .to_owned()
        })
    }
}

/// Reads cells of one table.
pub(crate) struct Reading<'a> {
    pub table: &'a Table,
    pub columns: &'a Columns,
    pub unit: Unit,
}

impl Reading<'_> {
    /// The numbers of a row.
    ///
    /// # Errors
    /// When a cell is not what its column holds.
    pub fn row(&self, row: &Row) -> Result<Measured, MeasurementsError> {
        let text = |role: Role| self.columns.at(role).map(|at| row.cells[at].as_str());
        let named = |role: Role| {
            text(role)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
        };
        let batch_size = self.batch_size(row)?;
        let (count, at) = self.columns.count().unwrap_or((Role::Steps, 0));
        let counted = self.number(row, at, "a length above 0", |x| {
            (0.0..=LARGEST).contains(&x)
        })?;
        let rate = self.optional(
            row,
            Role::LearningRate,
            "a learning rate of at least 0",
            |x| x >= 0.0,
        )?;
        debug_assert!(self.columns.role(at) == Some(count));
        Ok(Measured {
            place: row.place.clone(),
            curve: named(Role::Curve).unwrap_or_else(|| "table".to_owned()),
            batch_size,
            run: named(Role::Run),
            steps: counted.map(|count| self.unit.steps(count, batch_size)),
            end: self.end(row)?,
            learning_rate: rate.unwrap_or(f64::NAN),
            step_seconds: self.optional(row, Role::StepSeconds, "seconds above 0", |x| x > 0.0)?,
            seconds: self.optional(row, Role::Seconds, "seconds of at least 0", |x| x >= 0.0)?,
            size: named(Role::Size),
            value: self.value(row)?,
        })
    }

    fn batch_size(&self, row: &Row) -> Result<u64, MeasurementsError> {
        let at = self.columns.need(self.table, Role::BatchSize)?;
        let wanted = "a batch size: a whole number of at least 1";
        let found = self.number(row, at, wanted, |x| {
            x >= 1.0 && x.fract() == 0.0 && x <= LARGEST
        })?;
        found
            .map(|x| x as u64)
            .ok_or_else(|| self.wrong(row, at, wanted))
    }

    fn end(&self, row: &Row) -> Result<Option<End>, MeasurementsError> {
        let Some(at) = self.columns.at(Role::State) else {
            return Ok(None);
        };
        if row.cells[at].is_empty() {
            return Ok(None);
        }
        let end = End::read(&row.cells[at]);
        end.map(Some).map_err(|wanted| self.wrong(row, at, &wanted))
    }

    /// A log's metric: not a number where it blew up.
    fn value(&self, row: &Row) -> Result<Option<f64>, MeasurementsError> {
        let Some(at) = self.columns.at(Role::Metric) else {
            return Ok(None);
        };
        match row.cells[at].as_str() {
            "" => Ok(None),
            cell => match cell.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.wrong(row, at, "a number")),
            },
        }
    }

    fn optional(
        &self,
        row: &Row,
        role: Role,
        wanted: &str,
        holds: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, MeasurementsError> {
        match self.columns.at(role) {
            None => Ok(None),
            Some(at) => self.number(row, at, wanted, holds),
        }
    }

    /// A cell's number; `None` where it is empty.
    fn number(
        &self,
        row: &Row,
        at: usize,
        wanted: &str,
        holds: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, MeasurementsError> {
        let cell = row.cells[at].as_str();
        if cell.is_empty() {
            return Ok(None);
        }
        let read = cell
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite() && holds(*x));
        read.map(Some).ok_or_else(|| self.wrong(row, at, wanted))
    }

    fn wrong(&self, row: &Row, at: usize, wanted: &str) -> MeasurementsError {
        const SHOWN: usize = 40;
        let cell = &row.cells[at];
        let value = match cell.chars().count() {
            long if long > SHOWN => cell.chars().take(SHOWN).chain(['…']).collect(),
            _ => cell.clone(),
        };
        MeasurementsError::Cell {
            table: self.table.name.clone(),
            place: row.place.clone(),
            column: self.table.columns[at].clone(),
            value,
            wanted: wanted.to_owned(),
        }
    }
}
