//! Loss and error along a path or a line.

use batchscope_landscape::slices::PointLoss;
use batchscope_landscape::survey::{SliceKind, SliceRecord};

use crate::figures::csv;
use crate::format::{number, percent};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::Canvas;

/// Losses that differ by more than this factor are drawn on a logarithmic scale.
const WIDE_RANGE: f64 = 20.0;

/// One curve: its category and its points `(coordinate, value)`.
struct Series {
    name: &'static str,
    category: usize,
    points: Vec<(f64, f64)>,
}

/// `suffix` goes with the figure's name, `which` with its title, where there are several of a kind.
pub(super) fn figure(slice: &SliceRecord, suffix: &str, which: &str) -> Option<Figure> {
    let losses = series(slice, |reading| Some(reading.loss));
    extent(losses.iter().flat_map(|s| &s.points).map(|p| p.1))?;
    let (id, title) = match &slice.kind {
        SliceKind::Straight { to } => (
            "slice-straight",
            format!("The loss on the straight path to {to}"),
        ),
        SliceKind::Curved { to } => (
            "slice-curved",
            format!("The loss on the curved path to {to}"),
        ),
        SliceKind::Line => ("slice-line", "The loss along a random direction".to_owned()),
        SliceKind::Surface => return None,
    };
    let (id, title) = (format!("{id}{suffix}"), format!("{title}{which}"));
    let axis = match &slice.kind {
        SliceKind::Line => "step in the direction, in lengths of each filter",
        _ => "α",
    };
    let how = match &slice.kind {
        SliceKind::Straight { .. } => {
            "Parameters α·x_other + (1 − α)·x: this checkpoint at 0, the other at 1 (Keskar et al. 2016, figure 3)."
        }
        SliceKind::Curved { .. } => {
            "Parameters sin(απ/2)·x_other + cos(απ/2)·x: this checkpoint at 0, the other at 1 \
             (Keskar et al. 2016, figure 7)."
        }
        _ => {
            "A step of 1 moves every filter by its own length (Li et al. 2018); biases and normalizations stay."
        }
    };
    let statistics = match slice.statistics.as_str() {
        "" => String::new(),
        how => format!(" Batch-norm statistics: {how}."),
    };
    let caption = format!("{how}{statistics}");
    let rows = slice
        .coordinates
        .iter()
        .zip(&slice.points)
        .filter_map(|(at, point)| {
            let (train, test) = point.as_ref()?;
            let text = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            Some(vec![
                at[0].to_string(),
                train.loss.to_string(),
                text(train.error),
                text(test.map(|t| t.loss)),
                text(test.and_then(|t| t.error)),
            ])
        });
    let data = csv(
        &[
            "coordinate",
            "train_loss",
            "train_error",
            "test_loss",
            "test_error",
        ],
        rows,
    );
    let description = format!(
        "{title}. Chart of training and test loss, and of the errors below it, against the coordinate."
    );
    let errors = series(slice, |point| point.error);
    Some(
        Figure::new(id, title, caption, description, data)
            .view("", "", |c| draw(c, axis, &losses, &errors)),
    )
}

fn series(slice: &SliceRecord, pick: impl Fn(&PointLoss) -> Option<f64>) -> Vec<Series> {
    let known = || {
        let all = slice.coordinates.iter().zip(&slice.points);
        all.filter_map(|(at, point)| Some((at[0], point.as_ref()?)))
    };
    let train = known().filter_map(|(at, point)| Some((at, pick(&point.0)?)));
    let test = known().filter_map(|(at, point)| Some((at, pick(point.1.as_ref()?)?)));
    let all = [
        ("training examples", 0, train.collect::<Vec<_>>()),
        ("test examples", 1, test.collect()),
    ];
    let drawn = all.into_iter().filter(|(.., points)| !points.is_empty());
    drawn
        .map(|(name, category, points)| Series {
            name,
            category,
            points,
        })
        .collect()
}

fn draw(c: &mut Canvas, axis: &str, losses: &[Series], errors: &[Series]) {
    let all = |series: &[Series]| {
        let points = series.iter().flat_map(|s| &s.points);
        points.copied().collect::<Vec<_>>()
    };
    let (Some(x), Some(y)) = (
        extent(all(losses).iter().map(|p| p.0)),
        extent(all(losses).iter().map(|p| p.1)),
    ) else {
        return;
    };
    let x_scale = Scale::linear(x.0, x.1, 0.02);
    let loss_scale = match y.0 > 0.0 && y.1 / y.0 > WIDE_RANGE {
        true => Scale::log(y.0, y.1, 1.15),
        false => Scale::linear(y.0, y.1, 0.06),
    };
    let error_scale = extent(all(errors).iter().map(|p| p.1))
        .map(|(low, high)| Scale::linear(low.min(high), high, 0.08));
    let room = tick_room(&loss_scale.over(200.0, 0.0).ticks(26.0)).max(44.0);
    let entries: Vec<(String, usize)> = losses
        .iter()
        .map(|s| (s.name.to_owned(), s.category))
        .collect();
    let head = 8.0 + legend(c, room, c.width - 4.0, 10.0, &entries);
    let (plot, below) = if c.narrow() {
        (190.0, 110.0)
    } else {
        (230.0, 120.0)
    };
    let mut top = head + 24.0;
    let mut panels = vec![("loss", loss_scale, losses, plot)];
    panels.extend(error_scale.map(|scale| ("error", scale, errors, below)));
    let last = panels.len() - 1;
    for (i, (name, scale, series, height)) in panels.into_iter().enumerate() {
        let area = Area {
            left: room,
            top,
            right: c.width - 6.0,
            bottom: top + height,
        };
        let panel = Panel::new(area, x_scale, scale);
        let write = |v: f64| {
            if name == "error" {
                percent(v)
            } else {
                number(v)
            }
        };
        let named = |(v, t): (f64, String)| match name {
            "error" => (v, percent(v)),
            _ => (v, t),
        };
        let y_ticks: Vec<_> = panel.y.ticks(30.0).into_iter().map(named).collect();
        panel.grid(c, &panel.x.ticks(44.0), &y_ticks);
        panel.names(c, if i == last { axis } else { "" }, name);
        panel.inside(c, &format!("slice{i}"), |c| {
            for s in series {
                panel.line(
                    c,
                    &format!("curve l{}", s.category),
                    s.points.iter().copied(),
                );
            }
        });
        for s in series {
            for &(x, y) in s.points.iter().filter(|p| p.1.is_finite()) {
                let tip = format!("{}, {}: {name} {}", number(x), s.name, write(y));
                let class = format!("dot p{}", s.category);
                c.mark(&tip, None, |c| {
                    marker(c, &class, s.category, panel.at(x, y), 2.6)
                });
            }
        }
        top = area.bottom + if i == last { 44.0 } else { 52.0 };
    }
    c.height = top;
}
