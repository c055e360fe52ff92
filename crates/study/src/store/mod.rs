//! Where a study keeps its trials.

mod checksum;
mod contract;
mod memory;
mod rows;
mod schema;
mod sqlite;

use std::{path::PathBuf, time::Duration};

use batchscope_core::{TrainerInfo, TrialRecord, TrialSpec};
use serde::{Deserialize, Serialize};

use crate::Plan;

pub use contract::store_contract;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// What a stored study is a study of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The plan, resolved.
    pub plan: Plan,
    /// The trainer's description of itself, the model and the data.
    pub trainer: TrainerInfo,
}

/// What is known of a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialState {
    /// Nobody is on it.
    Waiting,
    /// A worker is on it.
    Running {
        /// The name it claimed the trial under.
        worker: String,
    },
    /// It has ended.
    Finished(Box<TrialRecord>),
}

/// A trial in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrial {
    /// What was asked; `id` is its number.
    pub spec: TrialSpec,
    /// What became of it.
    pub state: TrialState,
}

/// Keeps the trials of one study and their measurements.
///
/// The contract, which [`store_contract`] tests on every kind of store:
///
/// * **Numbers.** [`add`](Store::add) numbers trials from 0 upwards without gaps, in the order
///   given. A trial whose [`identity`](crate::identity) is stored already keeps its number and
///   state: adding is idempotent.
/// * **States.** A trial is *waiting*, *running* (claimed by a named worker) or *finished*.
///   [`claim`](Store::claim) moves waiting to running and is refused in any other state, so that
///   no two workers run one trial. [`finish`](Store::finish) moves running to finished,
///   [`release`](Store::release) running to waiting, [`requeue`](Store::requeue) finished to
///   waiting. [`amend`](Store::amend) replaces the record of a finished trial. Any other move is
///   [`StoreError::State`] and changes nothing.
/// * **Durability.** When a method returns `Ok`, its effect survives the death of the process and
///   of the machine (for stores on disk). When it returns `Err`, or the process dies inside, the
///   store is as before the call.
/// * **Fidelity.** Records come back with every number equal, infinities and NaNs included.
/// * **The dead.** A worker that has not called [`heartbeat`](Store::heartbeat) for the given time
///   is dead to [`recover`](Store::recover), which puts its trials back to waiting.
/// * **Order.** [`trials`](Store::trials) lists by number.
pub trait Store: Send {
    /// What the study is of; `None` in a new store.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn header(&self) -> Result<Option<Header>, StoreError>;

    /// Writes or replaces what the study is of.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_header(&mut self, header: &Header) -> Result<(), StoreError>;

    /// Adds trials and returns their numbers. The specs' own `id` is ignored.
    ///
    /// # Errors
    /// When the store cannot be written; then none was added.
    fn add(&mut self, specs: &[TrialSpec]) -> Result<Vec<u64>, StoreError>;

    /// All trials, by number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn trials(&self) -> Result<Vec<StoredTrial>, StoreError>;

    /// Takes a waiting trial for a worker; false if it is not waiting.
    ///
    /// # Errors
    /// When there is no such trial or the store cannot be written.
    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError>;

    /// Says that a worker lives.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError>;

    /// Puts the trials of workers that have been silent for `silence` back to waiting; returns
    /// their numbers.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError>;

    /// Ends a running trial with its record (`record.spec.id` names it).
    ///
    /// # Errors
    /// When it is not running or the store cannot be written.
    fn finish(&mut self, record: &TrialRecord) -> Result<(), StoreError>;

    /// Puts a running trial back to waiting: it was interrupted.
    ///
    /// # Errors
    /// When it is not running or the store cannot be written.
    fn release(&mut self, id: u64) -> Result<(), StoreError>;

    /// Replaces a finished trial's record: a race's exact bound became known, or other curves look
    /// at the trial now.
    ///
    /// # Errors
    /// When it is not finished or the store cannot be written.
    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError>;

    /// Puts a finished trial back to waiting, forgetting its record: it failed for a reason that
    /// may be mended.
    ///
    /// # Errors
    /// When it is not finished or the store cannot be written.
    fn requeue(&mut self, id: u64) -> Result<(), StoreError>;

    /// The decisions so far, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decisions(&self) -> Result<Vec<String>, StoreError>;

    /// Replaces the decisions.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn set_decisions(&mut self, decisions: &[String]) -> Result<(), StoreError>;
}

/// The finished records of a store, by number.
///
/// # Errors
/// When the store cannot be read.
pub fn finished_records(store: &dyn Store) -> Result<Vec<TrialRecord>, StoreError> {
    Ok(store
        .trials()?
        .into_iter()
        .filter_map(|trial| match trial.state {
            TrialState::Finished(record) => Some(*record),
            _ => None,
        })
        .collect())
}

/// Why a store failed. Nothing that was finished before is lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process is at work on the study.
    #[error("{} is in use by {holder}: wait for it to end, or stop it, or choose another --dir", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// A later version wrote it.
    #[error("{} was written by a later batchscope (layout {found}, this one knows up to {known}): use that version, or choose another --dir", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its layout version.
        found: i64,
        /// The latest this program knows.
        known: i64,
    },
    /// It is something else.
    #[error("{} is not a batchscope study: {why}; choose another --dir, or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// It is damaged.
    #[error("{} is damaged ({why}): restore it from a copy, or move it away to start the study afresh", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// No room.
    #[error("no room to write {}: everything finished so far is stored; free some space and run the same command again", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}: {why}; everything finished so far is stored, and the same command resumes", path.display())]
    Io {
        /// What was tried: `open`, `write`.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What was said.
        why: String,
    },
    /// A move the contract does not know: a fault of batchscope.
    #[error(
        "this is a fault in batchscope, please report it: trial {id} cannot be {wanted}, it is {state}"
    )]
    State {
        /// The trial.
        id: u64,
        /// What was asked.
        wanted: &'static str,
        /// What it is.
        state: &'static str,
    },
}
