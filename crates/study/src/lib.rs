//! The study: which trials to run, where they are kept, and the loop that runs them.
//!
//! * [`run`] runs a study, [`run_with`] is the study loop; [`load`] reads what a stored study has given.
//! * [`Plan`] is what was asked; a [`Planner`] is a pure function from the plan and the finished
//!   trials to the trials that come next. [`TunedPlanner`] is the one of studies.
//! * [`Store`] keeps what is known, [`Queue`] the work to be done: [`SqliteStore`] on disk,
//!   [`MemoryStore`] in memory, one contract.
//! * [`estimate`] says what a plan costs without running it.
//! * [`FakeTrainer`] stands in for training, so that all of this is tested in milliseconds.
//!
//! ```
//! use batchscope_study::{FakeTrainer, MemoryStore, Plan, StopToken, run};
//! let plan = Plan { batch_sizes: vec![32, 128, 512], target: "val-error=0.1".parse()?, ..Plan::default() };
//! let result = run(&plan, &FakeTrainer::default(), &mut MemoryStore::new(), &StopToken::new(), &[])?;
//! assert_eq!(result.tuning.len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod batch_sizes;
mod compare;
mod error;
mod estimate;
mod fake;
mod forecast;
mod identity;
mod known;
mod observer;
mod plan;
mod planner;
mod remedy;
mod resume_check;
mod runner;
mod search;
mod stage;
mod stop;
mod store;
mod trainer_contract;
mod worker;

pub use batch_sizes::parse_batch_sizes;
pub use compare::{same_record, without_times};
pub use error::{NoTarget, StudyError};
pub use estimate::{Bounded, CostEstimate, CostRow, Prices, estimate};
pub use fake::{FakeCheckpoints, FakeTrainer};
pub use forecast::Load;
pub use identity::{SeedKind, identity, seed};
pub use observer::{Observer, Progress, StudyEvent};
pub use plan::{BranchStart, Branching, Comparison, Method, Plan, TargetChoice, Tune};
pub use planner::{
    Assessment, BranchPlanner, ComparisonPlanner, Finished, Planner, Stage, TunedPlanner,
    controlled_runs,
};
pub use remedy::Remedy;
pub use resume_check::resume_plan;
pub use runner::{StudyResult, load, load_with, refuse_met_target, run, run_with};
pub use search::{MomentumRange, RateRange};
pub use stop::StopToken;
pub use store::{
    Changes, Cursor, Header, MemoryStore, Queue, SqliteStore, Store, StoreError, StoredTrial,
    TrialState, finished_records, store_contract,
};
pub use trainer_contract::trainer_contract;
