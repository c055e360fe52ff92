//! A pair of axes: grid, ticks, names, marks and direct labels.

use super::scale::{Scale, Tick};
use super::svg::{Anchor, Canvas, Path, text_width, wrap};

/// Where a panel lies on its canvas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    /// Left edge of the plotting area.
    pub left: f64,
    /// Its top edge.
    pub top: f64,
    /// Its right edge.
    pub right: f64,
    /// Its bottom edge.
    pub bottom: f64,
}

/// A pair of axes.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// The place inside the axes, in pixels of the canvas.
    pub area: Area,
    /// Values to horizontal pixels.
    pub x: Scale,
    /// Values to vertical pixels, upwards.
    pub y: Scale,
}

/// Pixels that the widest of these ticks needs to the left of an axis.
pub(crate) fn tick_room(ticks: &[Tick]) -> f64 {
    ticks
        .iter()
        .map(|(_, text)| text_width(text, 11.5))
        .fold(0.0, f64::max)
        + 9.0
}

impl Panel {
    /// Axes over an area.
    pub(crate) fn new(area: Area, x: Scale, y: Scale) -> Self {
        Self {
            area,
            x: x.over(area.left, area.right),
            y: y.over(area.bottom, area.top),
        }
    }

    /// The pixel of a pair of values.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    /// Grid lines and tick labels; a tick without text is only a line.
    pub(crate) fn grid(&self, c: &mut Canvas, x_ticks: &[Tick], y_ticks: &[Tick]) {
        let Area {
            left,
            top,
            right,
            bottom,
        } = self.area;
        let mut lines = Path::default();
        for (v, _) in x_ticks {
            lines.to(self.x.at(*v), top);
            lines.to(self.x.at(*v), bottom);
            lines.lift();
        }
        for (v, _) in y_ticks {
            lines.to(left, self.y.at(*v));
            lines.to(right, self.y.at(*v));
            lines.lift();
        }
        c.path("grid", &lines);
        for (v, text) in x_ticks {
            c.text("tick", (self.x.at(*v), bottom + 16.0), Anchor::Middle, text);
        }
        for (v, text) in y_ticks {
            c.text("tick", (left - 7.0, self.y.at(*v) + 4.0), Anchor::End, text);
        }
        c.line("frame", (left, bottom), (right, bottom));
    }

    /// The axes' names: the vertical one above its axis, to be read without turning the head.
    pub(crate) fn names(&self, c: &mut Canvas, x_name: &str, y_name: &str) {
        let area = self.area;
        c.text(
            "axis-name",
            ((area.left + area.right) / 2.0, area.bottom + 35.0),
            Anchor::Middle,
            x_name,
        );
        c.text("axis-name", (4.0, area.top - 10.0), Anchor::Start, y_name);
    }

    /// The panel's plotting area as a clip for what `draw` draws.
    pub(crate) fn inside(&self, c: &mut Canvas, name: &str, draw: impl FnOnce(&mut Canvas)) {
        let area = self.area;
        c.clipped(
            name,
            (area.left, area.top - 1.0),
            (area.right, area.bottom + 1.0),
            draw,
        );
    }

    /// A filled band between two curves through `(x, low, high)`.
    pub(crate) fn band(&self, c: &mut Canvas, category: usize, points: &[(f64, f64, f64)]) {
        let mut path = Path::default();
        let finite = || {
            points
                .iter()
                .filter(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite())
        };
        finite().for_each(|(x, low, _)| path.to(self.x.at(*x), self.y.clamped(*low)));
        finite()
            .rev()
            .for_each(|(x, _, high)| path.to(self.x.at(*x), self.y.clamped(*high)));
        path.close();
        c.path(&format!("band b{category}"), &path);
    }

    /// A line through points.
    pub(crate) fn line(
        &self,
        c: &mut Canvas,
        class: &str,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) {
        c.path(
            class,
            &Path::through(points.into_iter().map(|(x, y)| self.at(x, y))),
        );
    }

    /// A vertical interval at pixel `px`; an open end runs to the edge and ends in an arrow.
    pub(crate) fn whisker(
        &self,
        c: &mut Canvas,
        category: usize,
        px: f64,
        low: Option<f64>,
        high: Option<f64>,
    ) {
        let class = format!("whisker l{category}");
        let end = |v: Option<f64>, edge: f64| v.map_or(edge, |v| self.y.clamped(v));
        let (bottom, top) = (end(low, self.area.bottom), end(high, self.area.top));
        c.line(&class, (px, bottom), (px, top));
        for (open, y, inwards) in [(low.is_none(), bottom, -1.0), (high.is_none(), top, 1.0)] {
            let mut cap = Path::default();
            let reach = if open { 5.0 * inwards } else { 0.0 };
            cap.to(px - 3.5, y + reach);
            cap.to(px, y);
            cap.to(px + 3.5, y + reach);
            c.path(&class, &cap);
        }
    }

    /// A vertical interval without an upper end about a point, in the background: down to its lower
    /// end, where there is one, and up in a short arrow, so that many of them leave the panel
    /// readable.
    pub(crate) fn open_whisker(
        &self,
        c: &mut Canvas,
        category: usize,
        (px, py): (f64, f64),
        low: Option<f64>,
    ) {
        const ARROW: f64 = 11.0;
        let class = format!("whisker weak l{category}");
        let mut path = Path::default();
        if let Some(bottom) = low.map(|low| self.y.clamped(low)) {
            path.to(px - 2.5, bottom);
            path.to(px + 2.5, bottom);
            path.lift();
            path.to(px, bottom);
        } else {
            path.to(px, py);
        }
        let top = (py - ARROW).max(self.area.top);
        path.to(px, top);
        path.lift();
        path.to(px - 2.5, top + 4.0);
        path.to(px, top);
        path.to(px + 2.5, top + 4.0);
        c.path(&class, &path);
    }
}

/// The marker of a category at a pixel: shape and color both tell.
pub(crate) fn marker(c: &mut Canvas, class: &str, category: usize, at: (f64, f64), r: f64) {
    let (x, y) = at;
    let polygon = |points: &[(f64, f64)]| {
        let mut path = Path::through(points.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)));
        path.close();
        path
    };
    let path = match category % super::color::CATEGORIES {
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.2), (1.1, 0.85), (-1.1, 0.85)]),
        3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        4 => polygon(&[(0.0, 1.2), (1.1, -0.85), (-1.1, -0.85)]),
        5 => polygon(&[
            (-0.4, -1.1),
            (0.4, -1.1),
            (0.4, -0.4),
            (1.1, -0.4),
            (1.1, 0.4),
            (0.4, 0.4),
            (0.4, 1.1),
            (-0.4, 1.1),
            (-0.4, 0.4),
            (-1.1, 0.4),
            (-1.1, -0.4),
            (-0.4, -0.4),
        ]),
        6 => polygon(&[
            (0.0, -1.2),
            (1.14, -0.37),
            (0.7, 0.97),
            (-0.7, 0.97),
            (-1.14, -0.37),
        ]),
        // a circle out of lines keeps one code path and scales as well at these sizes
        _ => polygon(&std::array::from_fn::<_, 16, _>(|i| {
            let angle = i as f64 * std::f64::consts::TAU / 16.0;
            (angle.cos(), angle.sin())
        })),
    };
    c.path(class, &path);
}

/// A diverged trial: a cross.
pub(crate) fn cross(c: &mut Canvas, class: &str, at: (f64, f64), r: f64) {
    let mut path = Path::default();
    path.to(at.0 - r, at.1 - r);
    path.to(at.0 + r, at.1 + r);
    path.lift();
    path.to(at.0 - r, at.1 + r);
    path.to(at.0 + r, at.1 - r);
    c.path(class, &path);
}

/// A bound: an open arrow from it, upwards for `down` −1, downwards for 1.
pub(crate) fn arrow(c: &mut Canvas, class: &str, at: (f64, f64), r: f64, down: f64) {
    let (x, y) = at;
    let mut path = Path::default();
    path.to(x - r, y);
    path.to(x + r, y);
    path.lift();
    path.to(x, y);
    path.to(x, y + down * 3.2 * r);
    path.lift();
    path.to(x - r, y + down * 2.0 * r);
    path.to(x, y + down * 3.4 * r);
    path.to(x + r, y + down * 2.0 * r);
    c.path(class, &path);
}

/// A label wanted beside a point.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    /// Vertical pixel wanted.
    pub y: f64,
    /// Its words.
    pub text: String,
    /// Style class.
    pub class: String,
    /// Marker category drawn before it, if any.
    pub marker: Option<usize>,
}

/// Moves labels apart so that neighbors are `gap` pixels distant and all lie in `low..high`,
/// keeping their order and moving them as little as that needs.
pub(crate) fn spread(labels: &mut [Label], gap: f64, low: f64, high: f64) {
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut floor = low;
    for label in labels.iter_mut() {
        label.y = if label.y.is_finite() {
            label.y.max(floor)
        } else {
            floor
        };
        floor = label.y + gap;
    }
    let mut ceiling = high;
    for label in labels.iter_mut().rev() {
        label.y = label.y.min(ceiling);
        ceiling = label.y - gap;
    }
}

/// Draws labels in a column that starts at `x`.
pub(crate) fn draw_labels(c: &mut Canvas, x: f64, labels: &[Label]) {
    for label in labels {
        let mut start = x;
        if let Some(category) = label.marker {
            marker(
                c,
                &format!("dot p{category}"),
                category,
                (x + 4.0, label.y),
                4.0,
            );
            start += 13.0;
        }
        c.text(
            &label.class,
            (start, label.y + 4.0),
            Anchor::Start,
            &label.text,
        );
    }
}

/// A row of keys under or above a plot, wrapped to the width; returns the height it took.
pub(crate) fn legend(
    c: &mut Canvas,
    left: f64,
    right: f64,
    top: f64,
    entries: &[(String, usize)],
) -> f64 {
    const KEY: f64 = 21.0;
    const GAP: f64 = 18.0;
    const LINE: f64 = 15.0;
    const ROW: f64 = 19.0;
    let (mut x, mut y, mut row) = (left, top, 0.0_f64);
    for (text, category) in entries {
        let lines = wrap(text, 12.0, right - left - KEY);
        let widths = lines.iter().map(|line| text_width(line, 12.0));
        let width = KEY + widths.fold(0.0, f64::max);
        if x + width > right && x > left {
            x = left;
            y += row;
            row = 0.0;
        }
        c.line(&format!("curve l{category}"), (x, y), (x + 16.0, y));
        marker(c, &format!("dot p{category}"), *category, (x + 8.0, y), 4.0);
        for (i, line) in lines.iter().enumerate() {
            let at = (x + KEY, y + 4.0 + LINE * i as f64);
            c.text("", at, Anchor::Start, line);
        }
        row = row.max(ROW + LINE * lines.len().saturating_sub(1) as f64);
        x += width + GAP;
    }
    y - top + row
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Where there is room, labels keep their distance and stay inside.
        #[test]
        fn labels_do_not_overlap(ys in prop::collection::vec(0.0..300.0f64, 0..12)) {
            let mut labels: Vec<Label> = ys
                .iter()
                .map(|&y| Label { y, text: String::new(), class: String::new(), marker: None })
                .collect();
            spread(&mut labels, 14.0, 0.0, 300.0);
            for pair in labels.windows(2) {
                prop_assert!(pair[1].y - pair[0].y >= 14.0 - 1e-9);
            }
            for label in labels {
                prop_assert!((-1e-9..=300.0 + 1e-9).contains(&label.y));
            }
        }
    }
}
