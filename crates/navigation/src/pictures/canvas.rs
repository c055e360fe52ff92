//! Drawing in meters.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect as Area, Stroke,
    Transform,
};

use super::{Picture, plan::PlanScale};
use crate::scene::Rect;

/// A picture that is being drawn. Points and lengths are in meters unless they are said to be in pixels.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    scale: PlanScale,
    pixmap: Pixmap,
}

impl Canvas {
    /// An empty canvas of a color.
    pub fn new(scale: PlanScale, color: [u8; 3]) -> Self {
        let mut pixmap =
            Pixmap::new(scale.width(), scale.height()).expect("sides from 1 to MOST_SIDE pixels");
        let [r, g, b] = color;
        pixmap.fill(Color::from_rgba8(r, g, b, 255));
        Self { scale, pixmap }
    }

    /// A length in pixels.
    pub fn pixels(&self, meters: f64) -> f32 {
        (meters * self.scale.pixels_per_meter()) as f32
    }

    /// Fills a rectangle to whole pixels, so that its edges are crisp; at least one pixel is filled.
    pub fn rect(&mut self, rect: &Rect, color: [u8; 3]) {
        self.area(self.whole_pixels(rect), color);
    }

    /// The same with an edge of another color inside, so many pixels wide, where there is enough room for one.
    pub fn edged_rect(&mut self, rect: &Rect, color: [u8; 3], edge: [u8; 3], width: f32) {
        let area @ [x0, y0, x1, y1] = self.whole_pixels(rect);
        if (x1 - x0).min(y1 - y0) < 6.0 * width {
            return self.area(area, color);
        }
        self.area(area, edge);
        self.area([x0 + width, y0 + width, x1 - width, y1 - width], color);
    }

    /// Left, top, right and bottom of a rectangle in whole pixels.
    fn whole_pixels(&self, rect: &Rect) -> [f32; 4] {
        let [left, bottom] = self.scale.pixel(rect.low).map(|x| x.round() as f32);
        let [right, top] = self.scale.pixel(rect.high).map(|x| x.round() as f32);
        [left, top, right.max(left + 1.0), bottom.max(top + 1.0)]
    }

    fn area(&mut self, [left, top, right, bottom]: [f32; 4], color: [u8; 3]) {
        if let Some(area) = Area::from_ltrb(left, top, right, bottom) {
            let paint = Paint {
                anti_alias: false,
                ..paint(color, 1.0)
            };
            self.pixmap
                .fill_rect(area, &paint, Transform::identity(), None);
        }
    }

    /// Draws a line from point to point, so many pixels wide.
    pub fn line(&mut self, points: &[[f64; 2]], width: f32, color: [u8; 3]) {
        let mut path = PathBuilder::new();
        for (i, [x, y]) in points
            .iter()
            .filter_map(|&point| self.at(point))
            .enumerate()
        {
            match i {
                0 => path.move_to(x, y),
                _ => path.line_to(x, y),
            }
        }
        self.stroke(path.finish(), width, color);
    }

    /// Fills a disc with a radius in pixels, more or less opaque.
    pub fn disc(&mut self, center: [f64; 2], radius: f32, color: [u8; 3], opacity: f32) {
        if let Some([x, y]) = self.at(center) {
            self.fill(PathBuilder::from_circle(x, y, radius), color, opacity);
        }
    }

    /// Draws a circle with a radius in pixels, so many pixels wide.
    pub fn ring(&mut self, center: [f64; 2], radius: f32, width: f32, color: [u8; 3]) {
        if let Some([x, y]) = self.at(center) {
            self.stroke(PathBuilder::from_circle(x, y, radius), width, color);
        }
    }

    /// Fills the outline through points that are given in pixels from a place, to its right and up, and draws the
    /// outline so many pixels wide.
    pub fn polygon(
        &mut self,
        place: [f64; 2],
        corners: &[[f32; 2]],
        color: [u8; 3],
        (width, edge): (f32, [u8; 3]),
    ) {
        let Some([x, y]) = self.at(place) else {
            return;
        };
        let mut path = PathBuilder::new();
        for (i, [right, up]) in corners.iter().enumerate() {
            match i {
                0 => path.move_to(x + right, y - up),
                _ => path.line_to(x + right, y - up),
            }
        }
        path.close();
        let path = path.finish();
        self.stroke(path.clone(), width, edge);
        self.fill(path, color, 1.0);
    }

    /// Where a point lies in pixels; `None` for no number and far outside, where nothing needs to be drawn.
    fn at(&self, point: [f64; 2]) -> Option<[f32; 2]> {
        const FARTHEST: f64 = 1e5;
        let pixel = self.scale.pixel(point);
        let near = pixel.iter().all(|x| x.abs() <= FARTHEST);
        near.then(|| pixel.map(|x| x as f32))
    }

    fn fill(&mut self, path: Option<Path>, color: [u8; 3], opacity: f32) {
        if let Some(path) = path {
            let (paint, rule) = (paint(color, opacity), FillRule::Winding);
            self.pixmap
                .fill_path(&path, &paint, rule, Transform::identity(), None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, width: f32, color: [u8; 3]) {
        if let Some(path) = path {
            let stroke = Stroke {
                width,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            let paint = paint(color, 1.0);
            self.pixmap
                .stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        }
    }

    /// What was drawn.
    pub fn picture(&self) -> Picture {
        // The ground is opaque, and so is all that is drawn on it: colors are as they are.
        let pixels = self.pixmap.data().chunks_exact(4);
        Picture {
            width: self.pixmap.width(),
            height: self.pixmap.height(),
            rgb: pixels
                .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
                .collect(),
        }
    }
}

fn paint([r, g, b]: [u8; 3], opacity: f32) -> Paint<'static> {
    let mut color = Color::from_rgba8(r, g, b, 255);
    color.set_alpha(opacity);
    let mut paint = Paint::default();
    paint.set_color(color);
    paint
}
