//! What a runner knows of its store.

use std::collections::BTreeMap;

use batchscope_core::{TrialRecord, TrialSpec};

use crate::{Cursor, Finished, Store, StoreError, StoredTrial, TrialState};

/// The trials of a store as last read. Asks only for what has changed since.
#[derive(Debug, Default)]
pub(crate) struct Known {
    cursor: Cursor,
    finished: Finished,
    /// By number.
    unfinished: BTreeMap<u64, StoredTrial>,
}

impl Known {
    /// All that a store holds.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut known = Self::default();
        known.refresh(store)?;
        Ok(known)
    }

    /// Reads what has changed since the last time.
    pub fn refresh(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let changes = store.changes_since(self.cursor)?;
        self.cursor = changes.cursor;
        for trial in changes.trials {
            match trial.state {
                TrialState::Finished(record) => self.finish(*record),
                _ => {
                    self.finished.remove(&trial.spec);
                    self.unfinished.insert(trial.spec.id, trial);
                }
            }
        }
        Ok(())
    }

    /// Takes a record that has just been stored.
    pub fn finish(&mut self, record: TrialRecord) {
        self.unfinished.remove(&record.spec.id);
        self.finished.insert(record);
    }

    /// The finished trials.
    pub fn finished(&self) -> &Finished {
        &self.finished
    }

    /// Those of these trials that wait for a worker, in the order given.
    pub fn waiting(&self, numbers: &[u64]) -> Vec<TrialSpec> {
        numbers
            .iter()
            .filter_map(|id| self.unfinished.get(id))
            .filter(|trial| trial.state == TrialState::Waiting)
            .map(|trial| trial.spec.clone())
            .collect()
    }

    /// Whether all of these trials are finished.
    pub fn are_finished(&self, numbers: &[u64]) -> bool {
        !numbers.iter().any(|id| self.unfinished.contains_key(id))
    }
}
