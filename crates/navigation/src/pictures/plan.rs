//! A floor plan from above.

use super::{MOST_SIDE, Picture, canvas::Canvas, mix};
use crate::{
    scene::{Part, Rect, Scene, WALL},
    simulator::SUCCESS_WITHIN,
};

/// Colors of floor plans. Those of marks are of Okabe and Ito 2008 ("Color Universal Design"), so that they are told
/// apart by the color-blind too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanColors {
    /// Outside of the building.
    pub ground: [u8; 3],
    /// Floor and doorways.
    pub floor: [u8; 3],
    /// Outer and inner walls, and the scale bar.
    pub wall: [u8; 3],
    /// Tops of furniture at the floor, and at 2 m and more.
    pub furniture: [[u8; 3]; 2],
    /// Things on furniture.
    pub thing: [u8; 3],
    /// Where the agent began.
    pub start: [u8; 3],
    /// The ring around where stopping is success.
    pub goal: [u8; 3],
    /// The agent.
    pub agent: [u8; 3],
    /// A first way, for callers without a choice of their own.
    pub way: [u8; 3],
    /// A second, such as the shortest one.
    pub other_way: [u8; 3],
}

/// The colors that plans are drawn in.
pub const COLORS: PlanColors = PlanColors {
    ground: [255, 255, 255],
    floor: [243, 242, 237],
    wall: [58, 62, 70],
    furniture: [[236, 222, 196], [150, 118, 84]],
    thing: [120, 132, 140],
    start: [0, 158, 115],
    goal: [213, 94, 0],
    agent: [26, 28, 32],
    way: [0, 114, 178],
    other_way: [86, 180, 233],
};

/// How a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanPictureSettings {
    /// Pixels of a meter: fewer are taken where the picture would have more than [`MOST_SIDE`] along a side, and 60 where
    /// this is no positive number.
    pub pixels_per_meter: f64,
    /// Whether a bar of 1 m is drawn below the plan.
    pub scale_bar: bool,
}

impl Default for PlanPictureSettings {
    fn default() -> Self {
        Self {
            pixels_per_meter: 60.0,
            scale_bar: true,
        }
    }
}

/// A line on a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way<'a> {
    /// The points that it leads through, in meters.
    pub points: &'a [[f64; 2]],
    /// Its color.
    pub color: [u8; 3],
}

/// What is drawn on a plan: nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Marks<'a> {
    /// Lines, the last on top.
    pub ways: &'a [Way<'a>],
    /// Where an episode began.
    pub start: Option<[f64; 2]>,
    /// Where it leads.
    pub goal: Option<[f64; 2]>,
    /// Where the agent is, and its heading in radians, counterclockwise from the x axis.
    pub agent: Option<([f64; 2], f64)>,
}

/// Ground around a building, in meters.
const MARGIN: f64 = 0.25;
/// Ground below for the scale bar, in meters.
const BAR_ROOM: f64 = 0.3;

/// Where the points of a scene lie in its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanScale {
    /// What is in the picture, in meters.
    extent: Rect,
    pixels_per_meter: f64,
}

impl PlanScale {
    /// The scale of the picture with these settings.
    pub fn new(scene: &Scene, settings: &PlanPictureSettings) -> Self {
        let extent = extent(scene, settings.scale_bar);
        let [width, height] = extent.size();
        let asked = match settings.pixels_per_meter {
            asked if asked > 0.0 => asked,
            _ => PlanPictureSettings::default().pixels_per_meter,
        };
        Self {
            extent,
            pixels_per_meter: asked.min(f64::from(MOST_SIDE) / width.max(height)),
        }
    }

    /// The largest scale at which a plan without a scale bar fits into so many pixels.
    pub(super) fn fitting(scene: &Scene, [width, height]: [u32; 2]) -> Self {
        let extent = extent(scene, false);
        let size = extent.size();
        let scales = [f64::from(width) / size[0], f64::from(height) / size[1]];
        Self {
            extent,
            pixels_per_meter: scales[0].min(scales[1]),
        }
    }

    /// Pixels of a meter.
    pub fn pixels_per_meter(&self) -> f64 {
        self.pixels_per_meter
    }

    /// Where a point lies: pixels from the left and from the top, with y upward in the picture.
    pub fn pixel(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let Rect { low, high } = self.extent;
        [x - low[0], high[1] - y].map(|x| x * self.pixels_per_meter)
    }

    /// Pixels from left to right.
    pub fn width(&self) -> u32 {
        self.side(0)
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.side(1)
    }

    fn side(&self, axis: usize) -> u32 {
        let pixels = self.extent.size()[axis] * self.pixels_per_meter;
        (pixels.round() as u32).clamp(1, MOST_SIDE)
    }
}

/// What is in the picture of a scene.
fn extent(scene: &Scene, scale_bar: bool) -> Rect {
    let mut extent = scene.plan.building.grown(WALL + MARGIN);
    if scale_bar {
        extent.low[1] -= BAR_ROOM;
    }
    extent
}

/// Draws a floor plan from above, x to the right and y upward: walls, floor, doorways, furniture, the darker the higher,
/// and marks.
pub fn plan_picture(scene: &Scene, marks: &Marks<'_>, settings: &PlanPictureSettings) -> Picture {
    let mut canvas = bare_plan(scene, PlanScale::new(scene, settings));
    if settings.scale_bar {
        draw_bar(&mut canvas, &scene.plan.building);
    }
    draw_marks(&mut canvas, marks);
    canvas.picture()
}

/// A plan without marks.
pub(super) fn bare_plan(scene: &Scene, scale: PlanScale) -> Canvas {
    let plan = &scene.plan;
    let mut canvas = Canvas::new(scale, COLORS.ground);
    canvas.rect(&plan.building.grown(WALL), COLORS.wall);
    canvas.rect(&plan.building, COLORS.floor);
    for wall in &plan.walls {
        canvas.rect(wall, COLORS.wall);
    }
    let mut parts: Vec<&Part> = plan
        .furniture
        .iter()
        .flat_map(|piece| &piece.boxes)
        .collect();
    parts.sort_by(|a, b| a.at.high[2].total_cmp(&b.at.high[2]));
    for part in parts {
        draw_part(&mut canvas, part);
    }
    canvas
}

/// Draws a box of a piece of furniture, or a thing on it.
fn draw_part(canvas: &mut Canvas, part: &Part) {
    let [[x0, y0, z0], [x1, y1, z1]] =
        [part.at.low, part.at.high].map(|corner| corner.map(f64::from));
    let rect = Rect::new([x0, y0, x1, y1]);
    // What is above the floor and shows no bottom stands on something.
    if z0 > 0.0 && !part.bottom {
        return canvas.rect(&rect, COLORS.thing);
    }
    let [low, high] = COLORS.furniture;
    let color = mix(low, high, (z1 / 2.0).clamp(0.0, 1.0));
    let edge = mix(color, COLORS.wall, 0.4);
    let width = canvas.pixels(0.015).round().max(1.0);
    canvas.edged_rect(&rect, color, edge, width);
}

/// Draws a bar of 1 m with ticks at its ends, below the left corner of a building.
fn draw_bar(canvas: &mut Canvas, building: &Rect) {
    const LINE: f64 = 0.025;
    const TICK: f64 = 0.12;
    let [x, y] = [building.low[0], building.low[1] - WALL - 0.3];
    let mut bar = |x0: f64, x1: f64, height: f64| {
        let rect = Rect::new([x0, y - height / 2.0, x1, y + height / 2.0]);
        canvas.rect(&rect, COLORS.wall);
    };
    bar(x, x + 1.0, LINE);
    bar(x, x + LINE, TICK);
    bar(x + 1.0 - LINE, x + 1.0, TICK);
}

/// Draws marks; they stay visible where a meter has few pixels.
pub(super) fn draw_marks(canvas: &mut Canvas, marks: &Marks<'_>) {
    let line = canvas.pixels(0.04).max(2.0);
    for way in marks.ways {
        canvas.line(way.points, line, way.color);
    }
    if let Some(goal) = marks.goal {
        let radius = canvas.pixels(SUCCESS_WITHIN);
        canvas.disc(goal, radius, COLORS.goal, 0.25);
        canvas.ring(goal, radius, line, COLORS.goal);
    }
    if let Some(start) = marks.start {
        let radius = canvas.pixels(0.1).max(3.0);
        canvas.disc(start, radius, COLORS.start, 1.0);
    }
    if let Some((place, heading)) = marks.agent {
        let length = canvas.pixels(0.24).max(7.0);
        let (sin, cos) = heading.sin_cos();
        let (sin, cos) = (sin as f32 * length, cos as f32 * length);
        // Ahead and to the left, in shares of the length.
        let corners = [[1.0, 0.0], [-0.7, 0.6], [-0.4, 0.0], [-0.7, -0.6]];
        let corners =
            corners.map(|[ahead, left]| [ahead * cos - left * sin, ahead * sin + left * cos]);
        canvas.polygon(place, &corners, COLORS.agent, (line, COLORS.ground));
    }
}
