//! The batch simulator: many environments over shared scenes, all stepped in one call.

mod block;
mod follower;
mod task;

pub use follower::Follower;
pub use task::{Action, Difficulty, Ended, FORWARD, MAX_STEPS, SUCCESS_WITHIN, TURNS};

use std::sync::Arc;

use batchscope_core::StreamKey;
use rayon::prelude::*;

use crate::{render::View, scene::Scene};
use block::{BLOCK, Block, SAVED, Shared};

/// Numbers that tell an agent of its goal: the distance as the crow flies, in meters, and the cosine and sine of the angle to it
/// from straight ahead, counterclockwise.
pub const GOAL: usize = 3;

/// What a step of all environments gives, one entry each.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// Rewards.
    pub rewards: Vec<f32>,
    /// How the episode ended, where it did: the environment is at the beginning of its next one.
    pub ended: Vec<Option<Ended>>,
}

impl Stepped {
    /// Room for so many environments.
    pub fn new(environments: usize) -> Self {
        Self {
            rewards: vec![0.0; environments],
            ended: vec![None; environments],
        }
    }
}

/// Environments over shared scenes.
///
/// Each is on a scene of its own choice, anew with every episode. What happens in it depends on the key, its number and the
/// actions alone: the numbers are the same on any number of threads.
#[derive(Debug, Clone)]
pub struct Simulator {
    scenes: Arc<[Scene]>,
    difficulty: Difficulty,
    key: StreamKey,
    /// Corners of the scene that has most.
    corners: usize,
    blocks: Vec<Block>,
    environments: usize,
}

impl Simulator {
    /// So many environments at the beginning of their first episodes. `key` is of the purpose
    /// [`Episodes`](batchscope_core::Purpose::Episodes).
    ///
    /// # Panics
    /// Without a scene.
    pub fn new(
        scenes: Arc<[Scene]>,
        difficulty: Difficulty,
        key: StreamKey,
        environments: usize,
    ) -> Self {
        assert!(!scenes.is_empty(), "a simulator needs a scene");
        let corners = scenes.iter().map(|scene| scene.ways.corners().len());
        let corners = corners.max().unwrap_or(0);
        let shared = Shared {
            scenes: &scenes,
            difficulty,
            key,
            corners,
        };
        let blocks = (0..environments.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let first = block * BLOCK;
                Block::new(first, BLOCK.min(environments - first), &shared)
            });
        Self {
            blocks: blocks.collect(),
            scenes,
            difficulty,
            key,
            corners,
            environments,
        }
    }

    /// The scenes.
    pub fn scenes(&self) -> &Arc<[Scene]> {
        &self.scenes
    }

    /// How many environments there are.
    pub fn environments(&self) -> usize {
        self.environments
    }

    /// Takes a step in every environment.
    ///
    /// # Panics
    /// When there is not an action, a reward and an end for each.
    pub fn step(&mut self, actions: &[Action], stepped: &mut Stepped) {
        let Stepped { rewards, ended } = stepped;
        let lengths = [actions.len(), rewards.len(), ended.len()];
        assert_eq!(lengths, [self.environments; 3], "one for each environment");
        let (shared, blocks) = self.parts();
        (blocks.par_iter_mut())
            .zip(actions.par_chunks(BLOCK))
            .zip(
                rewards
                    .par_chunks_mut(BLOCK)
                    .zip(ended.par_chunks_mut(BLOCK)),
            )
            .for_each(|((block, actions), (rewards, ended))| {
                block.step(actions, rewards, ended, &shared);
            });
    }

    /// Where an environment's agent is and looks.
    pub fn view(&self, environment: usize) -> View {
        let (block, i) = self.at(environment);
        View {
            scene: block.scene[i] as usize,
            position: block.position(i).map(|x| x as f32),
            heading: block.heading(i) as f32,
        }
    }

    /// What an environment's agent is told of its goal.
    pub fn goal(&self, environment: usize) -> [f32; GOAL] {
        let (block, i) = self.at(environment);
        let ([x, y], [goal_x, goal_y]) = (block.position(i), block.goal(i));
        let [east, north] = [goal_x - x, goal_y - y];
        let distance = (east * east + north * north).sqrt();
        let (sin, cos) = block.heading(i).sin_cos();
        // At the goal it is straight ahead.
        let [ahead, left] = match distance > 0.0 {
            true => [
                (east * cos + north * sin) / distance,
                (north * cos - east * sin) / distance,
            ],
            false => [1.0, 0.0],
        };
        [distance, ahead, left].map(|x| x as f32)
    }

    /// An environment as a spectator knows it.
    pub fn state(&self, environment: usize) -> EnvironmentState {
        let (block, i) = self.at(environment);
        EnvironmentState {
            scene: block.scene[i] as usize,
            position: block.position(i),
            heading: block.heading(i),
            goal: block.goal(i),
            distance: block.distance[i],
            steps: block.steps[i],
        }
    }

    /// What the environments share, and themselves.
    fn parts(&mut self) -> (Shared<'_>, &mut [Block]) {
        let shared = Shared {
            scenes: &self.scenes,
            difficulty: self.difficulty,
            key: self.key,
            corners: self.corners,
        };
        (shared, &mut self.blocks)
    }

    fn at(&self, environment: usize) -> (&Block, usize) {
        (&self.blocks[environment / BLOCK], environment % BLOCK)
    }

    /// The state of all environments as numbers.
    pub fn save(&self) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(SAVED * self.environments);
        self.blocks
            .iter()
            .for_each(|block| block.save(&mut numbers));
        numbers
    }

    /// Takes over what [`Simulator::save`] told; false, with an unspecified state, where the numbers are not of such environments.
    #[must_use]
    pub fn load(&mut self, numbers: &[f64]) -> bool {
        if numbers.len() != SAVED * self.environments {
            return false;
        }
        let (shared, blocks) = self.parts();
        let saved = numbers.chunks(SAVED * BLOCK);
        let mut blocks = blocks.iter_mut().zip(saved);
        blocks.all(|(block, numbers)| block.load(numbers, &shared).is_some())
    }
}

/// An environment as a spectator knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnvironmentState {
    /// The number of its scene.
    pub scene: usize,
    /// Where the agent is, in meters.
    pub position: [f64; 2],
    /// Where it looks, in radians counterclockwise from the x axis.
    pub heading: f64,
    /// Where its goal is.
    pub goal: [f64; 2],
    /// How far it has to go, in meters.
    pub distance: f64,
    /// Steps of the episode so far.
    pub steps: u32,
}
