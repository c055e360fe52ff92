//! Some environments side by side, as a structure of arrays.

use batchscope_core::{
    StreamKey,
    order::{below, uniform},
};
use rand_core::Rng;

use super::task::{Action, Difficulty, Ended, FORWARD, MAX_STEPS, SUCCESS_WITHIN, TURNS, reward};
use crate::scene::Scene;

/// Environments of a block at most: the work that a thread takes at once.
pub(super) const BLOCK: usize = 64;
/// What the environments of a block share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub scenes: &'a [Scene],
    pub difficulty: Difficulty,
    pub key: StreamKey,
    /// Corners of the scene that has most.
    pub corners: usize,
}

/// Up to [`BLOCK`] environments.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    /// The number of the first among all.
    first: usize,
    pub scene: Vec<u32>,
    pub position: [Vec<f64>; 2],
    /// Heading at the start, in radians.
    pub start: Vec<f64>,
    /// Turns to the left since, of [`TURNS`] in a circle.
    pub turns: Vec<i32>,
    pub goal: [Vec<f64>; 2],
    pub distance: Vec<f64>,
    pub shortest: Vec<f64>,
    pub path: Vec<f64>,
    pub steps: Vec<u32>,
    pub episode: Vec<u64>,
    /// How far each corner of the environment's scene is from its goal; `corners` numbers each.
    from_corners: Vec<f64>,
    bounds: Vec<f64>,
}

/// Numbers that an environment is saved as.
pub(super) const SAVED: usize = 12;

impl Block {
    /// Environments `first..first + len` at the beginning of their first episodes.
    pub fn new(first: usize, len: usize, shared: &Shared<'_>) -> Self {
        let zeros = || vec![0.0; len];
        let mut block = Self {
            first,
            scene: vec![0; len],
            position: [zeros(), zeros()],
            start: zeros(),
            turns: vec![0; len],
            goal: [zeros(), zeros()],
            distance: zeros(),
            shortest: zeros(),
            path: zeros(),
            steps: vec![0; len],
            episode: vec![0; len],
            from_corners: vec![0.0; len * shared.corners],
            bounds: vec![0.0; shared.corners],
        };
        for i in 0..len {
            block.begin(i, shared);
        }
        block
    }

    pub fn len(&self) -> usize {
        self.scene.len()
    }

    pub fn position(&self, i: usize) -> [f64; 2] {
        [self.position[0][i], self.position[1][i]]
    }

    pub fn goal(&self, i: usize) -> [f64; 2] {
        [self.goal[0][i], self.goal[1][i]]
    }

    /// Heading in radians, counterclockwise from the x axis.
    pub fn heading(&self, i: usize) -> f64 {
        self.start[i] + f64::from(self.turns[i]) * (std::f64::consts::TAU / f64::from(TURNS))
    }

    /// Takes a step in every environment; those whose episodes end begin their next.
    pub fn step(
        &mut self,
        actions: &[Action],
        rewards: &mut [f32],
        ended: &mut [Option<Ended>],
        shared: &Shared<'_>,
    ) {
        for i in 0..self.len() {
            let before = self.distance[i];
            self.act(i, actions[i], shared);
            let after = self.distance[i];
            let stopped = actions[i] == Action::Stop;
            ended[i] = (stopped || self.steps[i] >= MAX_STEPS).then(|| Ended {
                success: stopped && after <= SUCCESS_WITHIN,
                steps: self.steps[i],
                shortest: self.shortest[i],
                path: self.path[i],
            });
            rewards[i] = reward(before, after, ended[i].as_ref()) as f32;
            if ended[i].is_some() {
                self.episode[i] += 1;
                self.begin(i, shared);
            }
        }
    }

    fn act(&mut self, i: usize, action: Action, shared: &Shared<'_>) {
        self.steps[i] += 1;
        match action {
            Action::Stop => {}
            Action::Left => self.turns[i] = (self.turns[i] + 1) % TURNS,
            Action::Right => self.turns[i] = (self.turns[i] + TURNS - 1) % TURNS,
            Action::Forward => {
                let scene = &shared.scenes[self.scene[i] as usize];
                let from = self.position(i);
                let (sin, cos) = self.heading(i).sin_cos();
                let to = scene.space.slide(from, [FORWARD * cos, FORWARD * sin]);
                [self.position[0][i], self.position[1][i]] = to;
                self.path[i] += crate::scene::length(from, to);
                self.distance[i] = self.distance_from(i, to, shared);
            }
        }
    }

    /// How far it is from a point to the environment's goal.
    fn distance_from(&mut self, i: usize, from: [f64; 2], shared: &Shared<'_>) -> f64 {
        let scene = &shared.scenes[self.scene[i] as usize];
        let corners = scene.ways.corners().len();
        let goal = self.goal(i);
        let from_corners = &self.from_corners[i * shared.corners..][..corners];
        let bounds = &mut self.bounds[..corners];
        (scene.ways).distance(&scene.space, from, goal, from_corners, bounds)
    }

    /// Sets an environment's goal.
    fn lead_to(&mut self, i: usize, goal: [f64; 2], shared: &Shared<'_>) {
        let scene = &shared.scenes[self.scene[i] as usize];
        let corners = scene.ways.corners().len();
        let from_corners = &mut self.from_corners[i * shared.corners..][..corners];
        [self.goal[0][i], self.goal[1][i]] = goal;
        scene.ways.toward(&scene.space, goal, from_corners);
    }

    /// Begins the episode that is counted: a scene, a goal and a start of the stated difficulty, uniform among the free places.
    fn begin(&mut self, i: usize, shared: &Shared<'_>) {
        let environment = (self.first + i) as u64;
        let mut rng = (shared.key).stream((environment << 32) | (self.episode[i] & 0xffff_ffff));
        let scenes = shared.scenes.len() as u32;
        self.scene[i] = below(&mut rng, scenes);
        let scene = &shared.scenes[self.scene[i] as usize];
        let Difficulty { nearest, farthest } = shared.difficulty;
        // Both are drawn anew until they fit, so that every pair that fits is as probable. There are such pairs: a room is
        // longer than goals must be far.
        let (from, distance) = loop {
            self.lead_to(i, free_point(scene, &mut rng), shared);
            let from = free_point(scene, &mut rng);
            let distance = self.distance_from(i, from, shared);
            if (nearest..=farthest).contains(&distance) {
                break (from, distance);
            }
        };
        [self.position[0][i], self.position[1][i]] = from;
        self.start[i] = std::f64::consts::TAU * uniform(&mut rng);
        self.turns[i] = 0;
        self.distance[i] = distance;
        self.shortest[i] = distance;
        self.path[i] = 0.0;
        self.steps[i] = 0;
    }

    /// Appends what [`Block::load`] needs: [`SAVED`] numbers for each environment.
    pub fn save(&self, numbers: &mut Vec<f64>) {
        for i in 0..self.len() {
            numbers.extend([
                f64::from(self.scene[i]),
                self.position[0][i],
                self.position[1][i],
                self.start[i],
                f64::from(self.turns[i]),
                self.goal[0][i],
                self.goal[1][i],
                self.distance[i],
                self.shortest[i],
                self.path[i],
                f64::from(self.steps[i]),
                self.episode[i] as f64,
            ]);
        }
    }

    /// Takes over what was saved; `None`, with an unspecified state, where the numbers are no state of these environments.
    pub fn load(&mut self, numbers: &[f64], shared: &Shared<'_>) -> Option<()> {
        let own = numbers.as_chunks::<SAVED>().0;
        if own.len() != self.len() || !own.iter().all(|saved| is_state(saved, shared)) {
            return None;
        }
        for (i, saved) in own.iter().enumerate() {
            let &[
                scene,
                x,
                y,
                start,
                turns,
                goal_x,
                goal_y,
                distance,
                shortest,
                path,
                steps,
                episode,
            ] = saved;
            self.scene[i] = scene as u32;
            [self.position[0][i], self.position[1][i]] = [x, y];
            (self.start[i], self.turns[i]) = (start, turns as i32);
            self.lead_to(i, [goal_x, goal_y], shared);
            self.distance[i] = self.distance_from(i, [x, y], shared);
            (self.shortest[i], self.path[i]) = (shortest, path);
            (self.steps[i], self.episode[i]) = (steps as u32, episode as u64);
            if self.distance[i] != distance {
                return None;
            }
        }
        Some(())
    }
}

/// True for numbers that [`Block::save`] could have told of an environment.
fn is_state(saved: &[f64; SAVED], shared: &Shared<'_>) -> bool {
    let &[
        scene,
        x,
        y,
        start,
        turns,
        goal_x,
        goal_y,
        _,
        shortest,
        path,
        steps,
        episode,
    ] = saved;
    let counts = |value: f64, below: f64| value.fract() == 0.0 && value >= 0.0 && value < below;
    let Difficulty { nearest, farthest } = shared.difficulty;
    counts(scene, shared.scenes.len() as f64)
        && counts(turns, f64::from(TURNS))
        && counts(steps, f64::from(MAX_STEPS))
        && counts(episode, (1u64 << 53) as f64)
        && (0.0..=std::f64::consts::TAU).contains(&start)
        && (nearest..=farthest).contains(&shortest)
        && (0.0..=FORWARD * f64::from(MAX_STEPS)).contains(&path)
        && [[x, y], [goal_x, goal_y]]
            .iter()
            .all(|&point| shared.scenes[scene as usize].space.is_free(point))
}

/// A uniform free point.
fn free_point(scene: &Scene, rng: &mut impl Rng) -> [f64; 2] {
    let within = scene.space.within();
    let size = within.size();
    loop {
        let point = [0, 1].map(|axis| within.low[axis] + size[axis] * uniform(rng));
        if scene.space.is_free(point) {
            return point;
        }
    }
}
