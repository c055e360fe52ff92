//! Where a study keeps its trials: what is known of them ([`Store`]), and which are to be run
//! ([`Queue`]).

mod contract;
mod error;
mod memory;
mod sqlite;

use std::time::Duration;

use batchscope_core::{TrainerInfo, TrialRecord, TrialSpec};
use serde::{Deserialize, Serialize};

use crate::Plan;

pub use contract::store_contract;
pub use error::StoreError;
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
    /// No worker has it.
    Waiting,
    /// A worker is on it.
    Running {
        /// The name it claimed the trial under.
        worker: String,
    },
    /// It has ended.
    Finished(Box<TrialRecord>),
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

/// A trial in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrial {
    /// What was asked; `id` is its number.
    pub spec: TrialSpec,
    /// What became of it.
    pub state: TrialState,
}

/// A point in the history of one store, up to which a reader has read. Only the store that gave it
/// can tell what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(pub(crate) u64);

impl Cursor {
    /// Before everything: whoever reads from here reads all trials.
    pub const START: Self = Self(0);
}

/// What changed in a store after a [`Cursor`].
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The trials that were added or whose state or record changed, as they are now, by number.
    pub trials: Vec<StoredTrial>,
    /// Where the next reading goes on.
    pub cursor: Cursor,
}

/// Keeps what is known of one study: what it is of, its trials with their records, and what was
/// decided.
///
/// The contract, which [`store_contract`] tests on every kind of store:
///
/// * **Numbers.** [`add`](Store::add) numbers trials from 0 upwards without gaps, in the order
///   given. A trial whose [`identity`](crate::identity) is stored already keeps its number and
///   state: adding is idempotent.
/// * **Cursors.** [`changes_since`](Store::changes_since) lists every trial that changed since the
///   cursor was given, whoever changed it, and at [`Cursor::START`] every trial. It may list one
///   that did not change, never leave one out that did.
/// * **Durability.** When a method returns `Ok`, its effect survives the death of the process and
///   of the machine (for stores on disk). When it returns `Err`, or the process dies inside, the
///   store is as before the call.
/// * **Fidelity.** Records come back with every number equal, infinities and NaNs included.
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

    /// The trials that changed since `cursor`, at one moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn changes_since(&self, cursor: Cursor) -> Result<Changes, StoreError>;

    /// Replaces a finished trial's record: a race's exact bound became known, or other curves look
    /// at the trial now.
    ///
    /// # Errors
    /// When it is not finished or the store cannot be written.
    fn amend(&mut self, record: &TrialRecord) -> Result<(), StoreError>;

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

    /// All trials, by number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn trials(&self) -> Result<Vec<StoredTrial>, StoreError> {
        Ok(self.changes_since(Cursor::START)?.trials)
    }
}

/// A store whose trials can be worked on, by one process or several.
///
/// A trial is *waiting*, *running* (claimed by a named worker) or *finished*. The contract, which
/// [`store_contract`] tests too:
///
/// * **States.** [`claim`](Queue::claim) moves waiting to running and is refused in any other state,
///   so that no two workers run one trial. [`finish`](Queue::finish) moves running to finished,
///   [`release`](Queue::release) running to waiting, [`requeue`](Queue::requeue) finished to
///   waiting. Any other move is [`StoreError::State`] and changes nothing.
/// * **Silent workers.** A worker that has not called [`heartbeat`](Queue::heartbeat) for the given
///   time counts as dead: [`recover`](Queue::recover) puts its trials back to waiting.
pub trait Queue: Store {
    /// Takes a waiting trial for a worker; false if it is not waiting.
    ///
    /// # Errors
    /// When there is no such trial or the store cannot be written.
    fn claim(&mut self, id: u64, worker: &str) -> Result<bool, StoreError>;

    /// Says that a worker is alive.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn heartbeat(&mut self, worker: &str) -> Result<(), StoreError>;

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

    /// Puts a finished trial back to waiting, forgetting its record: it failed for a reason that
    /// may have been removed.
    ///
    /// # Errors
    /// When it is not finished or the store cannot be written.
    fn requeue(&mut self, id: u64) -> Result<(), StoreError>;

    /// Puts the trials of workers that have been silent for `silence` back to waiting; returns
    /// their numbers.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn recover(&mut self, silence: Duration) -> Result<Vec<u64>, StoreError>;
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
