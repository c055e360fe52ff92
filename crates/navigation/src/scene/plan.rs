//! Floor plans: rooms, corridors, doors and furniture, drawn from a random stream.
//!
//! A building is a rectangle cut into cells: rooms, and a corridor where there are many of them. Walls stand where two cells
//! meet; doors join the cells so that every one can be reached. Furniture stands against walls or in the middle of rooms, and
//! everything but what touches keeps [`PASSAGE`] of room between, so that an agent gets anywhere.

use batchscope_core::order::{below, shuffle, uniform};
use rand_core::Rng;

use super::{
    Rect,
    furniture::{self, Piece},
};

/// Width of walls, in meters.
pub const WALL: f64 = 0.1;
/// Width of doors, in meters.
pub const DOOR: f64 = 0.9;
/// Room that is left between things that do not touch, in meters.
pub const PASSAGE: f64 = 0.6;
/// Room that is left on both sides of a door, in meters.
const BEFORE_DOORS: f64 = 0.7;
/// Width of corridors, in meters.
const CORRIDOR: f64 = 1.3;
/// Rooms from which a plan has a corridor; half of those with three have one too.
const ROOMS_BY_CORRIDOR: u32 = 4;
/// Least and largest length of a room's side before cells are cut, in meters.
const SIDES: [f64; 2] = [3.0, 4.5];
/// Beyond the doors that make every cell reachable, this share of the other walls has one.
const MORE_DOORS: f64 = 0.25;

/// What a plan is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanSettings {
    /// Least and largest number of rooms, 1 to [`PlanSettings::MOST_ROOMS`].
    pub rooms: [u32; 2],
    /// Triangles at most, up to [`PlanSettings::MOST_TRIANGLES`]: small things are put on the furniture until there are as
    /// many, or no place is left.
    pub triangles: usize,
}

impl PlanSettings {
    /// Rooms at most.
    pub const MOST_ROOMS: u32 = 12;
    /// Triangles at most.
    pub const MOST_TRIANGLES: usize = 2000;
    /// Triangles at least: an unfurnished plan of that many rooms has no more.
    pub const LEAST_TRIANGLES: usize = 600;
}

/// A floor plan, in meters.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The building, from the origin; its outer walls have no width inside of it.
    pub building: Rect,
    /// Rooms, and then the corridor where there is one, to the middles of their walls.
    pub cells: Vec<Rect>,
    /// The number of rooms; a cell beyond is a corridor.
    pub rooms: usize,
    /// Inner walls, up to the ceiling.
    pub walls: Vec<Rect>,
    /// Doorways through them.
    pub doors: Vec<Rect>,
    /// Furniture, each an obstacle as a whole.
    pub furniture: Vec<Piece>,
}

impl Plan {
    /// Draws a plan.
    pub fn draw(settings: &PlanSettings, rng: &mut impl Rng) -> Self {
        let [least, most] = settings.rooms;
        let rooms = least + below(rng, most - least + 1);
        let by_corridor = rooms >= ROOMS_BY_CORRIDOR || (rooms == 3 && uniform(rng) < 0.5);
        let cells = match by_corridor {
            true => along_corridor(rooms, rng),
            false => cut(rooms, rng),
        };
        let extent = |axis: usize| cells.iter().map(|cell| cell.high[axis]).fold(0.0, f64::max);
        let mut plan = Self {
            building: Rect::new([0.0, 0.0, extent(0), extent(1)]),
            cells,
            rooms: rooms as usize,
            walls: Vec::new(),
            doors: Vec::new(),
            furniture: Vec::new(),
        };
        plan.build_walls(rng);
        furniture::furnish(&mut plan, settings.triangles, rng);
        plan
    }

    /// A cell between its walls.
    pub fn inside(&self, cell: usize) -> Rect {
        let Rect { mut low, mut high } = self.cells[cell];
        for axis in 0..2 {
            if low[axis] > self.building.low[axis] {
                low[axis] += WALL / 2.0;
            }
            if high[axis] < self.building.high[axis] {
                high[axis] -= WALL / 2.0;
            }
        }
        Rect { low, high }
    }

    /// What furniture must leave free: doorways, and the room before them.
    pub fn kept_free(&self) -> impl Iterator<Item = Rect> {
        self.doors.iter().map(|door| {
            let across = usize::from(door.size()[0] > door.size()[1]);
            let (mut low, mut high) = (door.low, door.high);
            low[across] -= BEFORE_DOORS;
            high[across] += BEFORE_DOORS;
            Rect { low, high }
        })
    }

    /// What an agent cannot pass: walls and furniture.
    pub fn obstacles(&self) -> Vec<Rect> {
        let furniture = self.furniture.iter().map(|piece| piece.place);
        self.walls.iter().copied().chain(furniture).collect()
    }

    /// Puts walls where cells meet, and doors into them.
    fn build_walls(&mut self, rng: &mut impl Rng) {
        let borders = borders(&self.cells);
        let has_door = doors(&borders, self.cells.len(), self.rooms, rng);
        for (border, has_door) in borders.iter().zip(has_door) {
            let along = border.along;
            let wall = |from: f64, to: f64| {
                let mut rect = Rect {
                    low: [border.at - WALL / 2.0; 2],
                    high: [border.at + WALL / 2.0; 2],
                };
                (rect.low[along], rect.high[along]) = (from, to);
                rect
            };
            // Walls meet: each reaches to the far sides of those that it ends at.
            let (from, to) = (border.from - WALL / 2.0, border.to + WALL / 2.0);
            if !has_door {
                self.walls.push(wall(from, to));
                continue;
            }
            let room = border.to - border.from - DOOR - 2.0 * DOOR_MARGIN;
            let start = border.from + DOOR_MARGIN + room * uniform(rng);
            self.walls.push(wall(from, start));
            self.walls.push(wall(start + DOOR, to));
            self.doors.push(wall(start, start + DOOR));
        }
        let building = self.building;
        for wall in &mut self.walls {
            for axis in 0..2 {
                wall.low[axis] = wall.low[axis].max(building.low[axis]);
                wall.high[axis] = wall.high[axis].min(building.high[axis]);
            }
        }
    }
}

/// Wall that is left on both sides of a door, in meters.
const DOOR_MARGIN: f64 = 0.3;

/// Where two cells meet.
struct Border {
    cells: [usize; 2],
    /// The axis that it runs along.
    along: usize,
    /// Where it lies on the other.
    at: f64,
    from: f64,
    to: f64,
}

impl Border {
    fn takes_a_door(&self) -> bool {
        self.to - self.from >= DOOR + 2.0 * DOOR_MARGIN
    }
}

fn borders(cells: &[Rect]) -> Vec<Border> {
    let mut borders = Vec::new();
    for (i, a) in cells.iter().enumerate() {
        for (j, b) in cells.iter().enumerate() {
            for along in 0..2 {
                let across = 1 - along;
                let from = a.low[along].max(b.low[along]);
                let to = a.high[along].min(b.high[along]);
                if a.high[across] == b.low[across] && from < to {
                    borders.push(Border {
                        cells: [i, j],
                        along,
                        at: a.high[across],
                        from,
                        to,
                    });
                }
            }
        }
    }
    borders
}

/// Which borders have doors: enough to reach every cell, by the corridor first, and some more.
fn doors(borders: &[Border], cells: usize, rooms: usize, rng: &mut impl Rng) -> Vec<bool> {
    let mut order: Vec<usize> = (0..borders.len()).collect();
    shuffle(&mut order, rng);
    order.sort_by_key(|&i| borders[i].cells.iter().all(|&cell| cell < rooms));
    let mut group: Vec<usize> = (0..cells).collect();
    let mut has_door = vec![false; borders.len()];
    for i in order {
        let border = &borders[i];
        let [a, b] = border.cells.map(|cell| group[cell]);
        let more = uniform(rng) < MORE_DOORS;
        if border.takes_a_door() && (a != b || more) {
            has_door[i] = true;
            group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
        }
    }
    has_door
}

/// A length between two.
fn between([least, most]: [f64; 2], rng: &mut impl Rng) -> f64 {
    least + (most - least) * uniform(rng)
}

/// Cells of a rectangle that is cut in two again and again, its largest part first.
fn cut(rooms: u32, rng: &mut impl Rng) -> Vec<Rect> {
    let [width, mut depth] = [0, 1].map(|_| between(SIDES, rng));
    depth *= f64::from(rooms);
    let mut cells = vec![Rect::new([0.0, 0.0, width, depth])];
    let area = |cell: &Rect| cell.size()[0] * cell.size()[1];
    while cells.len() < rooms as usize {
        // The largest is there: the first of equals.
        let largest = (0..cells.len()).max_by(|&a, &b| area(&cells[a]).total_cmp(&area(&cells[b])));
        let mut first = cells.swap_remove(largest.unwrap_or_default());
        let mut second = first;
        let axis = usize::from(first.size()[1] > first.size()[0]);
        let parts = rooms as usize - cells.len();
        // Of three rooms one is cut off first.
        let middle = if parts == 3 && cells.is_empty() {
            1.0 / 3.0
        } else {
            0.5
        };
        let cut = first.low[axis] + first.size()[axis] * (middle + 0.1 * (uniform(rng) - 0.5));
        first.high[axis] = cut;
        second.low[axis] = cut;
        cells.extend([first, second]);
    }
    cells
}

/// Rooms on both sides of a corridor, which is the last cell.
fn along_corridor(rooms: u32, rng: &mut impl Rng) -> Vec<Rect> {
    let below = rooms / 2;
    let sides = [below, rooms - below];
    let widths = sides.map(|n| -> Vec<f64> { (0..n).map(|_| between(SIDES, rng)).collect() });
    let width = widths
        .iter()
        .map(|side| side.iter().sum())
        .fold(0.0, f64::max);
    let depths = [0, 1].map(|_| between(SIDES, rng));
    let [near, far] = [depths[0], depths[0] + CORRIDOR];
    let mut cells = Vec::new();
    for (side, [y0, y1]) in widths.iter().zip([[0.0, near], [far, far + depths[1]]]) {
        let sum: f64 = side.iter().sum();
        let mut x = 0.0;
        for (i, own) in side.iter().enumerate() {
            let end = if i + 1 == side.len() {
                width
            } else {
                x + own * width / sum
            };
            cells.push(Rect::new([x, y0, end, y1]));
            x = end;
        }
    }
    cells.push(Rect::new([0.0, near, width, far]));
    cells
}
