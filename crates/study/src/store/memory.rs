use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use batchscope_core::{TrialRecord, TrialSpec};

use super::{Changes, Cursor, Header, Queue, Store, StoreError, StoredTrial, TrialState};
use crate::identity;

/// Keeps a study in memory: for tests, and for studies that need not outlive their process.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    header: Option<Header>,
    trials: BTreeMap<u64, Revised>,
    numbers: BTreeMap<String, u64>,
    alive: BTreeMap<String, Instant>,
    decisions: Vec<String>,
    /// Changes so far.
    revision: u64,
}

/// A trial, and the revision of its last change.
#[derive(Debug, Clone)]
struct Revised {
    trial: StoredTrial,
    revision: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self, id: u64, wanted: &'static str) -> Result<&TrialState, StoreError> {
        let revised = self.trials.get(&id).ok_or(StoreError::State {
            id,
            wanted,
            state: "unknown",
        })?;
        Ok(&revised.trial.state)
    }

    /// Puts a trial into a state, whatever its state is.
    fn put(&mut self, id: u64, state: TrialState) {
        self.revision += 1;
        let revision = self.revision;
        if let Some(revised) = self.trials.get_mut(&id) {
            revised.revision = revision;
            if let TrialState::Finished(record) = &state {
                revised.trial.spec = record.spec.clone();
            }
            revised.trial.state = state;
        }
    }

    /// Moves a trial from one state to another.
    fn change(
        &mut self,
        id: u64,
        wanted: &'static str,
        from: &'static str,
        to: TrialState,
    ) -> Result<(), StoreError> {
        let state = self.state(id, wanted)?.name();
        if state != from {
            return Err(StoreError::State { id, wanted, state });
        }
        self.put(id, to);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn header(&self) -> Result<Option<Header>, StoreError> {
        Ok(self.header.clone())
    }

    fn set_header(&mut self, header: &Header) -> Result<(), StoreError> {
        self.header = Some(header.clone());
        Ok(())
    }

    fn add(&mut self, specs: &[TrialSpec]) -> Result<Vec<u64>, StoreError> {
        let mut ids = Vec::new();
        for spec in specs {
            let next = self.trials.len() as u64;
            let id = *self.numbers.entry(identity(spec)).or_insert(next);
            if id == next {
                self.revision += 1;
                let trial = StoredTrial {
                    spec: TrialSpec { id, ..spec.clone() },
                    state: TrialState::Waiting,
                };
                let revision = self.revision;
                self.trials.insert(id, Revised { trial, revision });
            }
            ids.push(id);
        }
        Ok(ids)
    }

    fn changes_since(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let changed = self.trials.values().filter(|r| r.revision > cursor.0);
        Ok(Changes {
            trials: changed.map(|revised| revised.trial.clone()).collect(),
            cursor: Cursor(self.revision),
        })
    }

    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        let finished = TrialState::Finished(Box::new(record.clone()));
        self.change(record.spec.id, "amended", "finished", finished)
    }

    fn decisions(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.decisions.clone())
    }

    fn set_decisions(&mut self, decisions: &[String]) -> Result<(), StoreError> {
        self.decisions = decisions.to_vec();
        Ok(())
    }
}

impl Queue for MemoryStore {
    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError> {
        if *self.state(id, "claimed")? != TrialState::Waiting {
            return Ok(false);
        }
        let worker = worker.to_owned();
        self.heartbeat(&worker)?;
        self.put(id, TrialState::Running { worker });
        Ok(true)
    }

    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError> {
        self.alive.insert(worker.to_owned(), Instant::now());
        Ok(())
    }

    fn finish(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        let finished = TrialState::Finished(Box::new(record.clone()));
        self.change(record.spec.id, "finished", "running", finished)
    }

    fn release(&mut self, id: u64) -> Result<(), StoreError> {
        self.change(id, "released", "running", TrialState::Waiting)
    }

    fn requeue(&mut self, id: u64) -> Result<(), StoreError> {
        self.change(id, "tried again", "finished", TrialState::Waiting)
    }

    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError> {
        let silent = |worker: &str| {
            let last = self.alive.get(worker);
            last.is_none_or(|last| last.elapsed() >= silence)
        };
        let recovered: Vec<u64> = self
            .trials
            .values()
            .filter(|r| matches!(&r.trial.state, TrialState::Running { worker } if silent(worker)))
            .map(|revised| revised.trial.spec.id)
            .collect();
        for &id in &recovered {
            self.put(id, TrialState::Waiting);
        }
        Ok(recovered)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contract() {
        crate::store_contract(&mut || super::MemoryStore::new());
    }
}
