//! Proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347), with the constants of Shacklett et al. 2021
//! (arXiv 2103.07013).

mod advantages;
mod loss;

pub use advantages::{Advantages, generalized_advantages};
pub use loss::{LossParts, PolicyLoss, Sample, log_probabilities};

use crate::simulator::Action;

/// Actions that a policy chooses among.
pub const ACTIONS: usize = Action::ALL.len();

/// The constants of policy optimization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ppo {
    /// Steps of every environment in a rollout, `T`.
    pub steps: usize,
    /// Mini-batches that a rollout is cut into, each used once: an update each.
    pub mini_batches: usize,
    /// Discount of rewards, `γ`.
    pub discount: f64,
    /// Decay of the generalized advantage, `λ`.
    pub decay: f64,
    /// Ratios of probabilities count up to `1 ± clip`, `ε`.
    pub clip: f64,
    /// Weight of the value's loss.
    pub value: f64,
    /// Weight of the entropy.
    pub entropy: f64,
}

impl Ppo {
    /// Those of Shacklett et al. 2021. Advantages are not normalized.
    pub const PUBLISHED: Self = Self {
        steps: 32,
        mini_batches: 2,
        discount: 0.99,
        decay: 0.95,
        clip: 0.2,
        value: 0.5,
        entropy: 0.01,
    };
}
