use batchscope_core::{SettingError, Target};

use crate::Role;

/// Which rows count as having reached the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Censoring {
    /// As the column of states says; all of them where there is none.
    #[default]
    State,
    /// All of them, whatever a column says.
    None,
}

/// How measurements are read: what a table does not say of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadOptions {
    /// Columns named by hand: the heading of a role, or `None` where no column is to be taken for it.
    pub columns: Vec<(Role, Option<String>)>,
    /// What separates the cells of a text table; `None` finds out by its first line.
    pub separator: Option<u8>,
    /// Training examples, `N`: what an epoch is.
    pub train_examples: Option<u64>,
    /// Tokens per example, where lengths are in tokens and batch sizes in examples.
    pub tokens_per_example: Option<u64>,
    /// Interval that counts were rounded up to, in the unit of the column that holds them.
    pub rounded_to: Option<f64>,
    /// Which rows count as having reached the target.
    pub censoring: Censoring,
    /// The goal. Needed for logs; of a table it is only named.
    pub target: Option<Target>,
    /// The table is a log, or is not; `None` finds out: several rows of one run are a log.
    pub log: Option<bool>,
}

impl ReadOptions {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// Which, and what would.
    pub fn check(&self) -> Result<(), SettingError> {
        let counts = [
            (self.train_examples, "train-examples"),
            (self.tokens_per_example, "tokens-per-example"),
        ];
        if let Some((_, key)) = counts.iter().find(|(count, _)| *count == Some(0)) {
            return Err(SettingError::new(*key, "must be at least 1"));
        }
        match self.rounded_to {
            Some(n) if !(n.is_finite() && n > 0.0) => {
                Err(SettingError::new("rounded-to", "must be a number above 0"))
            }
            _ => Ok(()),
        }
    }
}
