//! Furniture as boxes, and where it may stand.

use batchscope_core::order::{below, shuffle, uniform};
use rand_core::Rng;

use super::{
    Box3, Mesh, Rect,
    plan::{PASSAGE, Plan},
};

/// A piece of furniture.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// What it is: `table`, `bed`, …
    pub name: &'static str,
    /// What it takes of the floor, which is an obstacle.
    pub place: Rect,
    /// Its boxes, and things that stand on it.
    pub boxes: Vec<Part>,
}

/// A box of a piece of furniture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Where it is.
    pub at: Box3,
    /// Its bottom can be seen, as its sides and top can.
    pub bottom: bool,
}

impl Part {
    /// Triangles that it is drawn with.
    pub fn triangles(&self) -> usize {
        if self.bottom { 12 } else { 10 }
    }

    /// Adds it to a mesh.
    pub fn add_to(&self, mesh: &mut Mesh) {
        mesh.add_box(self.at, true, self.bottom);
    }
}

/// A kind of furniture: boxes in a frame of its own, `x` along a wall, `y` away from it, both from 0.
struct Kind {
    name: &'static str,
    /// Along the wall, and away from it.
    size: [f64; 2],
    /// It stands free in the middle of a room rather than against a wall.
    free: bool,
    boxes: fn([f32; 2]) -> Vec<Part>,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "table",
        size: [1.2, 0.8],
        free: true,
        boxes: |size| on_legs(size, 0.75),
    },
    Kind {
        name: "stool",
        size: [0.4, 0.4],
        free: true,
        boxes: |size| on_legs(size, 0.45),
    },
    Kind {
        name: "cabinet",
        size: [0.9, 0.45],
        free: false,
        boxes: |size| vec![solid(size, 1.0)],
    },
    Kind {
        name: "wardrobe",
        size: [1.2, 0.6],
        free: false,
        boxes: |size| vec![solid(size, 2.0)],
    },
    Kind {
        name: "bed",
        size: [1.4, 2.0],
        free: false,
        boxes: bed,
    },
    Kind {
        name: "sofa",
        size: [1.8, 0.8],
        free: false,
        boxes: sofa,
    },
    Kind {
        name: "shelf",
        size: [1.0, 0.3],
        free: false,
        boxes: shelf,
    },
];

fn part([x0, y0, z0]: [f32; 3], [x1, y1, z1]: [f32; 3], bottom: bool) -> Part {
    let at = Box3 {
        low: [x0, y0, z0],
        high: [x1, y1, z1],
    };
    Part { at, bottom }
}

fn solid([x, y]: [f32; 2], height: f32) -> Part {
    part([0.0; 3], [x, y, height], false)
}

fn on_legs([x, y]: [f32; 2], height: f32) -> Vec<Part> {
    const LEG: f32 = 0.06;
    const BOARD: f32 = 0.05;
    let mut boxes = vec![part([0.0, 0.0, height - BOARD], [x, y, height], true)];
    for [u, v] in [
        [0.0, 0.0],
        [x - LEG, 0.0],
        [0.0, y - LEG],
        [x - LEG, y - LEG],
    ] {
        boxes.push(part([u, v, 0.0], [u + LEG, v + LEG, height - BOARD], false));
    }
    boxes
}

fn bed([x, y]: [f32; 2]) -> Vec<Part> {
    vec![
        part([0.0, 0.08, 0.0], [x, y, 0.5], false),
        part([0.0; 3], [x, 0.08, 1.0], false),
    ]
}

fn sofa([x, y]: [f32; 2]) -> Vec<Part> {
    const ARM: f32 = 0.2;
    vec![
        part([ARM, 0.25, 0.0], [x - ARM, y, 0.42], false),
        part([0.0; 3], [x, 0.25, 0.85], false),
        part([0.0, 0.25, 0.0], [ARM, y, 0.6], false),
        part([x - ARM, 0.25, 0.0], [x, y, 0.6], false),
    ]
}

fn shelf([x, y]: [f32; 2]) -> Vec<Part> {
    const SIDE: f32 = 0.03;
    const HEIGHT: f32 = 1.8;
    let mut boxes = vec![
        part([0.0; 3], [SIDE, y, HEIGHT], false),
        part([x - SIDE, 0.0, 0.0], [x, y, HEIGHT], false),
    ];
    for board in 0..5 {
        let z = 0.1 + 0.42 * board as f32;
        boxes.push(part([SIDE, 0.0, z - SIDE], [x - SIDE, y, z], true));
    }
    boxes
}

/// Attempts to place a piece in a room before it is given up.
const ATTEMPTS: usize = 12;
/// Square meters of a room for each piece that is tried.
const AREA_OF_A_PIECE: f64 = 2.5;
/// Boxes higher than this have nothing put on top.
const HIGHEST_TOP: f32 = 1.3;

/// Puts furniture into the rooms of a plan, and small things on it, as far as the triangles last.
pub(super) fn furnish(plan: &mut Plan, triangles: usize, rng: &mut impl Rng) {
    let mut left = triangles.saturating_sub(shell_triangles(plan));
    for room in 0..plan.rooms {
        let inside = plan.inside(room);
        let [width, depth] = inside.size();
        for _ in 0..(width * depth / AREA_OF_A_PIECE) as usize {
            let kind = &KINDS[below(rng, KINDS.len() as u32) as usize];
            let Some(piece) = (0..ATTEMPTS).find_map(|_| try_place(plan, kind, inside, rng)) else {
                continue;
            };
            let needed: usize = piece.boxes.iter().map(Part::triangles).sum();
            if needed <= left {
                left -= needed;
                plan.furniture.push(piece);
            }
        }
    }
    put_things_on(&mut plan.furniture, left, rng);
}

/// Triangles of floor, ceiling, outer and inner walls, and of the walls above doors.
fn shell_triangles(plan: &Plan) -> usize {
    12 + 8 * plan.walls.len() + 10 * plan.doors.len()
}

/// A place for a piece in a room, drawn at random, if nothing is in its way there.
fn try_place(plan: &Plan, kind: &Kind, inside: Rect, rng: &mut impl Rng) -> Option<Piece> {
    let side = below(rng, 4) as usize;
    // Sides 0 and 2 run along x.
    let along = side % 2;
    let across = 1 - along;
    let room = inside.size();
    let free_along = room[along] - kind.size[0];
    let free_across = room[across] - kind.size[1];
    let gap = |free: f64, rng: &mut _| {
        (free >= 2.0 * PASSAGE).then(|| PASSAGE + (free - 2.0 * PASSAGE) * uniform(rng))
    };
    let (from_corner, from_wall) = if kind.free {
        (gap(free_along, rng)?, gap(free_across, rng)?)
    } else {
        // Into a corner, or apart from it.
        let from_corner = match uniform(rng) {
            u if u < 0.25 => 0.0,
            u if u < 0.5 => free_along,
            _ => gap(free_along, rng)?,
        };
        (from_corner, 0.0)
    };
    if free_along < 0.0 || free_across < PASSAGE {
        return None;
    }
    let mut place = inside;
    place.low[along] += from_corner;
    place.high[along] = place.low[along] + kind.size[0];
    if side < 2 {
        place.low[across] += from_wall;
        place.high[across] = place.low[across] + kind.size[1];
    } else {
        place.high[across] -= from_wall;
        place.low[across] = place.high[across] - kind.size[1];
    }
    // What touches a wall touches it to the last bit.
    if from_corner == free_along {
        place.high[along] = inside.high[along];
        place.low[along] = place.high[along] - kind.size[0];
    }
    let near = place.grown(PASSAGE);
    let stands_free = plan
        .furniture
        .iter()
        .all(|other| !near.overlaps(&other.place))
        && plan.kept_free().all(|free| !place.overlaps(&free));
    stands_free.then(|| Piece {
        name: kind.name,
        place,
        boxes: turned(kind, place, along, side >= 2),
    })
}

/// The boxes of a kind where it stands: its wall side low or high on the axis across.
fn turned(kind: &Kind, place: Rect, along: usize, from_high: bool) -> Vec<Part> {
    let across = 1 - along;
    let boxes = (kind.boxes)(kind.size.map(|x| x as f32));
    let turn = |part: Part| {
        let (mut low, mut high) = (part.at.low, part.at.high);
        let [start, near, far] =
            [place.low[along], place.low[across], place.high[across]].map(|x| x as f32);
        (low[along], high[along]) = (start + part.at.low[0], start + part.at.high[0]);
        (low[across], high[across]) = match from_high {
            false => (near + part.at.low[1], near + part.at.high[1]),
            true => (far - part.at.high[1], far - part.at.low[1]),
        };
        Part {
            at: Box3 { low, high },
            ..part
        }
    };
    boxes.into_iter().map(turn).collect()
}

/// Puts small boxes on the tops of furniture, in places of their own, while there are triangles left.
fn put_things_on(furniture: &mut [Piece], mut left: usize, rng: &mut impl Rng) {
    /// Side of the place of a thing, in meters.
    const PLACE: f32 = 0.12;
    let mut places: Vec<(usize, [f32; 3])> = Vec::new();
    for (index, piece) in furniture.iter().enumerate() {
        for Part {
            at: Box3 { low, high },
            ..
        } in &piece.boxes
        {
            if high[2] > HIGHEST_TOP {
                continue;
            }
            let count = [0, 1].map(|i| ((high[i] - low[i]) / PLACE) as usize);
            for i in 0..count[0] {
                for j in 0..count[1] {
                    let corner = [
                        low[0] + i as f32 * PLACE,
                        low[1] + j as f32 * PLACE,
                        high[2],
                    ];
                    places.push((index, corner));
                }
            }
        }
    }
    shuffle(&mut places, rng);
    for (index, [x, y, z]) in places {
        let [width, depth, height] =
            [0.1, 0.1, 0.28].map(|most| most * (0.4 + 0.6 * uniform(rng) as f32));
        let thing = part([x, y, z], [x + width, y + depth, z + height], false);
        if thing.triangles() > left {
            return;
        }
        left -= thing.triangles();
        furniture[index].boxes.push(thing);
    }
}
