//! Batch simulation of point-goal navigation: an agent finds its way to a goal in rooms that it sees in depth images alone.
//!
//! B. Shacklett et al., "Large Batch Simulation for Deep Reinforcement Learning", ICLR 2021 (arXiv 2103.07013): one simulator
//! steps many environments in a call, one renderer draws what all of them see, and both share the scenes; a small network
//! learns from it by policy optimization, with mini-batches as large as the many environments make them.
//!
//! - [`Scene`]: floor plans, exact shortest ways, triangles. Drawn from seeds, so that no data are needed.
//! - [`Simulator`]: the environments. [`Renderer`]: their depth images.
//! - [`NavigationTrainer`]: policy optimization as a [`Trainer`](batchscope_core::Trainer), so that a study asks how large its
//!   batches can be. A batch is the frames of one update.

mod checkpoint;
mod error;
mod evaluation;
mod pictures;
mod policy;
mod ppo;
mod render;
mod rollout;
mod run;
mod scene;
mod session;
mod settings;
mod simulator;
mod speed;
mod tally;
mod trainer;
mod world;

pub use checkpoint::Identity;
pub use error::NavigationError;
pub use evaluation::{Exam, FRAMES_OF_AN_EPISODE, Judged, exam_key, judge};
pub use pictures::*;
pub use policy::{Policy, StoredPolicy};
pub use ppo::*;
pub use render::*;
pub use rollout::{Actors, Gathered, Rollout, Senses, Streams, draw_actions};
pub use scene::*;
pub use session::{SPL, SUCCESS, Session, metric};
pub use settings::{
    MOST_BYTES, NAVIGATION, NavigationSettings, RESOLUTION, published_learning_rate,
};
pub use simulator::*;
pub use speed::{Breakdown, Throughput, breakdown, one_at_a_time, together};
pub use tally::{RETURN, Tally};
pub use trainer::{MICRO_BATCH, NavigationTrainer, SingleNavigation};
pub use world::{SceneSet, World};
