//! An agent that knows the way: the yardstick for those that have to find it.

use super::{Action, FORWARD, SUCCESS_WITHIN, Simulator, TURNS};
use crate::scene::Scene;

/// Follows the shortest way: it turns to the heading from which a step forward leads nearest to the goal, steps, and stops where
/// stopping is success.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    from_corners: Vec<f64>,
    bounds: Vec<f64>,
}

impl Follower {
    /// What it does next in an environment.
    pub fn act(&mut self, simulator: &Simulator, environment: usize) -> Action {
        let state = simulator.state(environment);
        if state.distance <= SUCCESS_WITHIN {
            return Action::Stop;
        }
        let scene = &simulator.scenes()[state.scene];
        let corners = scene.ways.corners().len();
        self.from_corners.resize(corners, 0.0);
        self.bounds.resize(corners, 0.0);
        (scene.ways).toward(&scene.space, state.goal, &mut self.from_corners);
        let (mut best, mut least) = (0i32, f64::INFINITY);
        // From straight ahead outward, so that of headings as good the nearest is taken.
        for turn in (0..=TURNS / 2).flat_map(|turn| [turn, -turn]) {
            let after = self.after(
                scene,
                state.position,
                state.goal,
                heading(state.heading, turn),
            );
            if after < least - 1e-12 {
                (best, least) = (turn, after);
            }
        }
        match best {
            0 => Action::Forward,
            1.. => Action::Left,
            _ => Action::Right,
        }
    }

    /// How far it is after a step forward.
    fn after(&mut self, scene: &Scene, from: [f64; 2], goal: [f64; 2], heading: f64) -> f64 {
        let (sin, cos) = heading.sin_cos();
        let to = scene.space.slide(from, [FORWARD * cos, FORWARD * sin]);
        (scene.ways).distance(&scene.space, to, goal, &self.from_corners, &mut self.bounds)
    }
}

fn heading(from: f64, turns: i32) -> f64 {
    from + f64::from(turns) * (std::f64::consts::TAU / f64::from(TURNS))
}
