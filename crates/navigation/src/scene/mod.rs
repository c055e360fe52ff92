//! Scenes: what many environments share, made once from a random stream.

mod furniture;
mod geodesic;
mod mesh;
mod obstacles;
mod plan;

pub use furniture::{Part, Piece};
pub use geodesic::{Geodesics, length};
pub use mesh::{Box3, Mesh};
pub use obstacles::{Obstacles, Rect};
pub use plan::{DOOR, PASSAGE, Plan, PlanSettings, WALL};

use batchscope_core::{Purpose, Split, StreamKey};

/// Half the width of the agent, which is a square for obstacles, in meters: the radius of Habitat's agents.
pub const HALF_WIDTH: f64 = 0.1;
/// Height of ceilings, in meters.
pub const CEILING: f32 = 2.5;
/// Height of doors, in meters.
const DOOR_HEIGHT: f32 = 2.0;

/// A scene: its plan, where an agent can be and how far it is from anywhere, and its triangles.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The floor plan.
    pub plan: Plan,
    /// The free space.
    pub space: Obstacles,
    /// Shortest ways in it.
    pub ways: Geodesics,
    /// What is seen.
    pub mesh: Mesh,
}

impl Scene {
    /// The scene of a number, the same for the same seed and settings. Those to train, to evaluate and to test in are drawn
    /// from streams of their own.
    pub fn draw(settings: &PlanSettings, seed: u64, number: u64, split: Split) -> Self {
        let key = StreamKey {
            study_seed: seed,
            trial: split as u64,
            purpose: Purpose::Scenes,
        };
        let plan = Plan::draw(settings, &mut key.stream(number));
        let space = Obstacles::new(plan.building, &plan.obstacles(), HALF_WIDTH);
        Self {
            ways: Geodesics::new(&space),
            mesh: mesh(&plan),
            space,
            plan,
        }
    }
}

/// The triangles of a plan.
fn mesh(plan: &Plan) -> Mesh {
    let mut mesh = Mesh::default();
    let flat = |rect: &Rect| {
        let [x0, y0] = rect.low.map(|x| x as f32);
        let [x1, y1] = rect.high.map(|x| x as f32);
        [x0, y0, x1, y1]
    };
    let upright = |rect: &Rect, z0: f32, z1: f32| {
        let [x0, y0, x1, y1] = flat(rect);
        Box3 {
            low: [x0, y0, z0],
            high: [x1, y1, z1],
        }
    };
    mesh.add_level(flat(&plan.building), 0.0, true);
    mesh.add_level(flat(&plan.building), CEILING, false);
    mesh.add_room(upright(&plan.building, 0.0, CEILING));
    for wall in &plan.walls {
        mesh.add_box(upright(wall, 0.0, CEILING), false, false);
    }
    for door in &plan.doors {
        mesh.add_box(upright(door, DOOR_HEIGHT, CEILING), false, true);
    }
    for piece in &plan.furniture {
        for part in &piece.boxes {
            part.add_to(&mut mesh);
        }
    }
    mesh
}
