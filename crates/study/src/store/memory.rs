use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use batchscope_core::{TrialRecord, TrialSpec};

use super::{Header, Store, StoreError, StoredTrial, TrialState};
use crate::identity;

/// Keeps a study in memory: for tests, and for studies whose process is their life.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    header: Option<Header>,
    trials: Vec<StoredTrial>,
    numbers: BTreeMap<String, u64>,
    alive: BTreeMap<String, Instant>,
    decisions: Vec<String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn trial(&mut self, id: u64, wanted: &'static str) -> Result<&mut StoredTrial, StoreError> {
        let missing = StoreError::State {
            id,
            wanted,
            state: "unknown",
        };
        usize::try_from(id)
            .ok()
            .and_then(|i| self.trials.get_mut(i))
            .ok_or(missing)
    }

    /// Moves a trial from one state to another.
    fn change(
        &mut self,
        id: u64,
        wanted: &'static str,
        from: &'static str,
        to: TrialState,
    ) -> Result<(), StoreError> {
        let trial = self.trial(id, wanted)?;
        let state = trial.state.name();
        if state != from {
            return Err(StoreError::State { id, wanted, state });
        }
        if let TrialState::Finished(record) = &to {
            trial.spec = record.spec.clone();
        }
        trial.state = to;
        Ok(())
    }
}

impl TrialState {
    /// The state in a word, as stores keep it.
    pub fn name(&self) -> &'static str {
        match self {
            TrialState::Waiting => "waiting",
            TrialState::Running { .. } => "running",
            TrialState::Finished(_) => "finished",
        }
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
                self.trials.push(StoredTrial {
                    spec: TrialSpec { id, ..spec.clone() },
                    state: TrialState::Waiting,
                });
            }
            ids.push(id);
        }
        Ok(ids)
    }

    fn trials(&self) -> Result<Vec<StoredTrial>, StoreError> {
        Ok(self.trials.clone())
    }

    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError> {
        let trial = self.trial(id, "claimed")?;
        if trial.state != TrialState::Waiting {
            return Ok(false);
        }
        trial.state = TrialState::Running {
            worker: worker.to_owned(),
        };
        self.heartbeat(worker)?;
        Ok(true)
    }

    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError> {
        self.alive.insert(worker.to_owned(), Instant::now());
        Ok(())
    }

    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError> {
        let mut recovered = Vec::new();
        for trial in &mut self.trials {
            if let TrialState::Running { worker } = &trial.state
                && self
                    .alive
                    .get(worker)
                    .is_none_or(|last| last.elapsed() >= silence)
            {
                trial.state = TrialState::Waiting;
                recovered.push(trial.spec.id);
            }
        }
        Ok(recovered)
    }

    fn finish(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.change(
            record.spec.id,
            "finished",
            "running",
            TrialState::Finished(Box::new(record.clone())),
        )
    }

    fn release(&mut self, id: u64) -> Result<(), StoreError> {
        self.change(id, "released", "running", TrialState::Waiting)
    }

    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError> {
        self.change(
            record.spec.id,
            "amended",
            "finished",
            TrialState::Finished(Box::new(record.clone())),
        )
    }

    fn requeue(&mut self, id: u64) -> Result<(), StoreError> {
        self.change(id, "tried again", "finished", TrialState::Waiting)
    }

    fn decisions(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.decisions.clone())
    }

    fn set_decisions(&mut self, decisions: &[String]) -> Result<(), StoreError> {
        self.decisions = decisions.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contract() {
        crate::store_contract(&mut || super::MemoryStore::new());
    }
}
