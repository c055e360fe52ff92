//! A chart made of numbers alone: panels of named series, for reports that are not of a study.

use batchscope_core::Estimate;

use super::{cells, csv, drawn};
use crate::format::{estimate, number};
use crate::plot::color::CATEGORIES;
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, BOLD, Canvas, wrap};

/// How values become places along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisScale {
    /// Evenly.
    Linear,
    /// By their logarithm, where all are above 0; evenly otherwise.
    Log,
    /// By their logarithm, marked at powers of two: batch sizes.
    Batch,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub name: String,
    /// How values lie along it.
    pub scale: AxisScale,
}

impl Axis {
    /// An axis of a name.
    pub fn new(name: impl Into<String>, scale: AxisScale) -> Self {
        Self {
            name: name.into(),
            scale,
        }
    }
}

/// A point of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Where along the horizontal axis.
    pub x: f64,
    /// Its value, with the interval that is drawn.
    pub y: Estimate,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name; the same name has the same color and marker in every panel.
    pub name: String,
    /// The points, in the order in which a line joins them.
    pub points: Vec<Point>,
    /// Whether a line does.
    pub joined: bool,
}

/// A pair of axes with what is drawn between them.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPanel {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Name of its files and of its place on the page: lower-case letters, digits and hyphens.
    pub id: &'static str,
    /// The answer, in a sentence.
    pub title: String,
    /// How it was measured and how to read it.
    pub caption: String,
    /// The panels, two to a row where there is room.
    pub panels: Vec<ChartPanel>,
}

impl Chart {
    /// The chart drawn; `None` where there is nothing to draw.
    pub fn figure(&self) -> Option<Figure> {
        let panels: Vec<&ChartPanel> = self.panels.iter().filter(|p| p.has_points()).collect();
        if panels.is_empty() {
            return None;
        }
        let names = names(&panels);
        let rows = panels.iter().flat_map(|panel| {
            panel.series.iter().flat_map(move |series| {
                series.points.iter().map(move |point| {
                    let mut row = vec![
                        panel.title.clone(),
                        series.name.clone(),
                        point.x.to_string(),
                    ];
                    row.extend(cells(&point.y));
                    row
                })
            })
        });
        let header = ["panel", "series", "x", "value", "low", "high", "state"];
        let data = csv(&header, rows);
        let kinds: Vec<String> = panels
            .iter()
            .map(|p| format!("{}: {} against {}", p.title, p.y.name, p.x.name))
            .collect();
        let description = format!("{}. {}.", self.title, kinds.join("; "));
        let (title, caption) = (self.title.clone(), self.caption.clone());
        Some(
            Figure::new(self.id, title, caption, description, data)
                .view("", "", |c| draw(c, &panels, &names)),
        )
    }
}

impl ChartPanel {
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let points = self.series.iter().flat_map(|s| &s.points);
        points
            .flat_map(|p| [drawn(&p.y), p.y.low, p.y.high])
            .flatten()
    }

    /// Its title in lines; none where its axis says the same.
    fn title_lines(&self, width: f64) -> Vec<String> {
        match self.title == self.y.name {
            true => Vec::new(),
            false => wrap(&self.title, 12.0 * BOLD, width),
        }
    }

    fn has_points(&self) -> bool {
        let mut points = self.series.iter().flat_map(|s| &s.points);
        points.any(|p| p.x.is_finite() && drawn(&p.y).is_some())
    }
}

/// The names of all series in the order of their appearance.
fn names<'a>(panels: &[&'a ChartPanel]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for series in panels.iter().flat_map(|p| &p.series) {
        if !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    names
}

/// The scale of an axis for values from `low` to `high`.
fn scale(axis: &Axis, range: Option<(f64, f64)>, pad: f64) -> Scale {
    let (low, high) = range.unwrap_or((0.0, 1.0));
    match axis.scale {
        AxisScale::Linear => Scale::linear(low, high, pad),
        _ if low <= 0.0 => Scale::linear(low, high, pad),
        _ => Scale::log(low, high, 1.0 + 3.0 * pad),
    }
}

const PLOT: f64 = 190.0;
const HEAD: f64 = 48.0;
const FOOT: f64 = 46.0;
const LINE: f64 = 16.0;

fn draw(c: &mut Canvas, panels: &[&ChartPanel], names: &[&str]) {
    let columns = if c.narrow() { 1 } else { panels.len().min(2) };
    let mut top = 8.0;
    if names.len() > 1 {
        let keys: Vec<(String, usize)> = names
            .iter()
            .enumerate()
            .map(|(k, name)| ((*name).to_owned(), k % CATEGORIES))
            .collect();
        top += legend(c, 4.0, c.width, 8.0, &keys);
    }
    let share = c.width / columns as f64;
    let titles: Vec<Vec<String>> = panels.iter().map(|p| p.title_lines(share - 8.0)).collect();
    let deepest = titles.iter().map(Vec::len).max().unwrap_or_default() as f64;
    let head = HEAD + LINE * (deepest - 1.0);
    for (i, panel) in panels.iter().enumerate() {
        let x = scale(
            &panel.x,
            extent(
                panel
                    .series
                    .iter()
                    .flat_map(|s| s.points.iter().map(|p| p.x)),
            ),
            0.04,
        );
        let y = scale(&panel.y, extent(panel.values()), 0.06);
        let ticks = y.over(PLOT, 0.0).ticks(24.0);
        let left = (i % columns) as f64 * share + tick_room(&ticks).max(28.0);
        let above = top + (i / columns) as f64 * (PLOT + head + FOOT) + head;
        let area = Area {
            left,
            top: above,
            right: (i % columns + 1) as f64 * share - 14.0,
            bottom: above + PLOT,
        };
        let axes = Panel::new(area, x, y);
        let x_ticks = match panel.x.scale {
            AxisScale::Batch => axes.x.batch_ticks(30.0),
            _ => axes.x.ticks(40.0),
        };
        axes.grid(c, &x_ticks, &ticks);
        let edge = (i % columns) as f64 * share + 4.0;
        for (k, line) in titles[i].iter().rev().enumerate() {
            let at = (edge, above - 28.0 - LINE * k as f64);
            c.text("strong", at, Anchor::Start, line);
        }
        c.text(
            "axis-name",
            (edge, above - 10.0),
            Anchor::Start,
            &panel.y.name,
        );
        c.text(
            "axis-name",
            ((area.left + area.right) / 2.0, area.bottom + 35.0),
            Anchor::Middle,
            &panel.x.name,
        );
        for series in &panel.series {
            let k = names.iter().position(|n| *n == series.name).unwrap_or(0) % CATEGORIES;
            draw_series(c, panel, &axes, series, k);
        }
    }
    c.height = top + panels.len().div_ceil(columns) as f64 * (PLOT + head + FOOT) + 2.0;
}

fn draw_series(c: &mut Canvas, panel: &ChartPanel, axes: &Panel, series: &Series, k: usize) {
    if series.joined {
        let points = series.points.iter();
        axes.line(
            c,
            &format!("curve l{k}"),
            points.map(|p| (p.x, drawn(&p.y).unwrap_or(f64::NAN))),
        );
    }
    // Many points say nothing each by itself.
    let size = if series.points.len() > 15 { 2.4 } else { 3.6 };
    for point in &series.points {
        let Some(value) = drawn(&point.y) else {
            continue;
        };
        let x = axes.x.at(point.x);
        let tip = format!(
            "{}, {} {}: {}",
            series.name,
            panel.x.name,
            number(point.x),
            estimate(&point.y)
        );
        c.mark(&tip, None, |c| {
            let known = point.y.low != point.y.high;
            if known && (point.y.low.is_some() || point.y.high.is_some()) {
                axes.whisker(c, k, x, point.y.low, point.y.high);
            }
            marker(c, &format!("dot p{k}"), k, (x, axes.y.clamped(value)), size);
        });
    }
}
