//! The task: point-goal navigation, with the constants of Savva et al. 2019 (Habitat) and Wijmans et al. 2020 (DD-PPO) as
//! Shacklett et al. 2021 (arXiv 2103.07013) use them.

use serde::{Deserialize, Serialize};

/// Way of a step forward, in meters.
pub const FORWARD: f64 = 0.25;
/// Turns make a full circle in so many steps: 10° each.
pub const TURNS: i32 = 36;
/// An agent that stops within so many meters of the goal, as it would have to walk, has succeeded.
pub const SUCCESS_WITHIN: f64 = 0.2;
/// Steps after which an episode ends.
pub const MAX_STEPS: u32 = 500;
/// Reward of every step.
const STEP_REWARD: f64 = -0.01;
/// Reward of success, times the SPL.
const SUCCESS_REWARD: f64 = 2.5;

/// What an agent can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Say that the goal is reached, which ends the episode.
    Stop,
    /// Go [`FORWARD`], sliding along what stands in the way.
    Forward,
    /// Turn 10° to the left.
    Left,
    /// Turn 10° to the right.
    Right,
}

impl Action {
    /// Every action, by its number.
    pub const ALL: [Action; 4] = [Action::Stop, Action::Forward, Action::Left, Action::Right];
}

/// How far goals are from where episodes begin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difficulty {
    /// Least length of the shortest way, in meters: at least [`Difficulty::NEAREST`].
    pub nearest: f64,
    /// Largest, in meters.
    pub farthest: f64,
}

impl Difficulty {
    /// Goals are no nearer than this, in meters: nearer ones could be reached before the first step.
    pub const NEAREST: f64 = 0.5;
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// The agent stopped at the goal.
    pub success: bool,
    /// Steps taken, the last included.
    pub steps: u32,
    /// Length of the shortest way, in meters.
    pub shortest: f64,
    /// Length of the way gone, in meters.
    pub path: f64,
}

impl Ended {
    /// Success weighted by path length, of [0, 1]: `S·ℓ/max(p, ℓ)` with `ℓ` the shortest way and `p` the way gone (Anderson et al.
    /// 2018, arXiv 1807.06757).
    pub fn spl(&self) -> f64 {
        match self.success {
            true => self.shortest / self.path.max(self.shortest),
            false => 0.0,
        }
    }
}

/// Reward of a step that leads from one distance to the goal to another, and may end the episode: `−0.01 + Δ`, and `2.5·SPL` on
/// success.
pub(super) fn reward(before: f64, after: f64, ended: Option<&Ended>) -> f64 {
    STEP_REWARD + (before - after) + SUCCESS_REWARD * ended.map_or(0.0, Ended::spl)
}
