//! Locating a crossing: the states between which a run goes back and forth.
//!
//! Sampling, augmentation and noise depend on the step alone, so the steps done again from a
//! snapshot are the same steps. What is replayed, and what follows from it, is decided by
//! [`batchscope_core::TrialDriver`].

use batchscope_core::{Events, StateTensor};

use crate::{Run, TrainError};

/// The complete state of training after some step, from which the steps after it can be done again.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Optimizer steps done.
    pub step: u64,
    /// The network's state.
    pub network: Vec<StateTensor>,
    /// The update rule's memory.
    pub rule: Vec<StateTensor>,
    /// The controller's memory.
    pub controller: Vec<f64>,
}

/// The states a run keeps to locate a crossing.
#[derive(Debug, Clone, Default)]
pub struct ReplayStates {
    /// At the last evaluated step, where a crossing found next would be replayed from.
    pub kept: Option<Snapshot>,
    /// Where the crossing was found, while it is replayed.
    aside: Option<Snapshot>,
}

impl Run<'_> {
    /// The complete state after `step` steps.
    pub(crate) fn export(&self, step: u64) -> Result<Snapshot, TrainError> {
        Ok(Snapshot {
            step,
            network: self.network.export()?,
            rule: self.rule.state(),
            controller: self.controller.state(),
        })
    }

    /// Returns to a state.
    pub(crate) fn import(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        self.network.import(&snapshot.network)?;
        self.rule.load(&snapshot.rule)?;
        self.controller.load(&snapshot.controller)?;
        Ok(())
    }

    /// Keeps the current state, after `step` steps, for a replay.
    pub(crate) fn keep(&mut self, step: u64) -> Result<(), TrainError> {
        self.states.kept = Some(self.export(step)?);
        Ok(())
    }

    /// Returns to the state kept after `step` steps, if there is one: a run resumed with another
    /// cap may have none.
    pub(crate) fn rewind(&mut self, step: u64, events: &mut Events<'_>) -> Result<(), TrainError> {
        match self.states.kept.take() {
            Some(kept) if kept.step == step => {
                self.states.aside = Some(self.export(self.driver.progress().step)?);
                self.import(&kept)?;
                self.states.kept = Some(kept);
            }
            _ => self.driver.cannot_rewind(events),
        }
        Ok(())
    }

    /// Returns to where the crossing was found.
    pub(crate) fn come_back(&mut self) -> Result<(), TrainError> {
        match self.states.aside.take() {
            Some(aside) => self.import(&aside),
            None => Err(TrainError::Bug("a replay left no state behind".to_owned())),
        }
    }
}
