//! The loss over the plane of two directions: a field for paper, a shape to turn for the page.

use batchscope_landscape::survey::{SliceKind, SliceRecord, Survey};
use serde_json::json;

use crate::figures::csv;
use crate::format::number;
use crate::plot::color::viridis;
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

/// Cells a side that are drawn at most: more are not told apart.
const CELLS: usize = 61;
/// Colors of the shape.
const COLORS: usize = 64;

/// Losses over a square grid, the first coordinate changing slowest.
struct Field {
    steps: Vec<f64>,
    losses: Vec<f64>,
    low: f64,
    high: f64,
}

impl Field {
    fn of(slice: &SliceRecord) -> Option<Self> {
        let losses: Option<Vec<f64>> = slice
            .points
            .iter()
            .map(|p| Some(p.as_ref()?.0.loss))
            .collect();
        let losses = losses?;
        let side = losses.len().isqrt();
        if side < 2 || side * side != losses.len() {
            return None;
        }
        let every = side.div_ceil(CELLS);
        let kept: Vec<usize> = (0..side).step_by(every).collect();
        let steps = kept.iter().map(|&j| slice.coordinates[j].get(1).copied());
        let steps = steps.collect::<Option<Vec<f64>>>()?;
        let pick = |i: usize| kept.iter().map(move |j| (i, *j)).collect::<Vec<_>>();
        let losses: Vec<f64> = kept
            .iter()
            .flat_map(|&i| pick(i))
            .map(|(i, j)| losses[i * side + j])
            .collect();
        let (low, high) = extent(losses.iter().copied().filter(|l| *l > 0.0))?;
        Some(Self {
            steps,
            losses,
            low,
            high,
        })
    }

    /// Place of a loss between the least and the largest, in the logarithm: 0 to 1.
    fn part(&self, loss: f64) -> Option<f64> {
        let range = (self.high / self.low).ln();
        let part = (loss.max(self.low) / self.low).ln() / range;
        let part = if range > 0.0 { part } else { 0.0 };
        loss.is_finite().then_some(part)
    }
}

/// `suffix` goes with the figure's name, `which` with its title, where there are several.
pub(super) fn figure(slice: &SliceRecord, suffix: &str, which: &str) -> Option<Figure> {
    let field = Field::of(slice)?;
    let title = format!("The loss over the plane of two random directions{which}");
    let statistics = match slice.statistics.as_str() {
        "" => String::new(),
        how => format!(" Batch-norm statistics: {how}."),
    };
    let caption = format!(
        "Training loss, its logarithm as color, on the plane through this checkpoint (the middle) along two random directions in which a \
         step of 1 moves every filter by its own length (Li et al. 2018); biases and normalizations stay.{statistics} Blank where the \
         loss is no finite number."
    );
    let rows = slice
        .coordinates
        .iter()
        .zip(&slice.points)
        .filter_map(|(at, point)| {
            let (train, test) = point.as_ref()?;
            let test = test.map_or(String::new(), |t| t.loss.to_string());
            Some(vec![
                at[0].to_string(),
                at[1].to_string(),
                train.loss.to_string(),
                test,
            ])
        });
    let data = csv(&["a", "b", "train_loss", "test_loss"], rows);
    let description = format!(
        "{title}. Field of the training loss, from {} to {}.",
        number(field.low),
        number(field.high)
    );
    let id = format!("surface{suffix}");
    Some(Figure::new(id, title, caption, description, data).view("", "", |c| draw(c, &field)))
}

fn draw(c: &mut Canvas, field: &Field) {
    let side = (c.width - 70.0).min(420.0);
    let area = Area {
        left: 50.0,
        top: 28.0,
        right: 50.0 + side,
        bottom: 28.0 + side,
    };
    let steps = &field.steps;
    let half = 0.5 * (steps[1] - steps[0]).abs();
    let (low, high) = (steps[0], steps[steps.len() - 1]);
    let scale = Scale::linear(low - half, high + half, 0.0);
    let panel = Panel::new(area, scale, scale);
    panel.grid(c, &panel.x.ticks(44.0), &panel.y.ticks(30.0));
    panel.names(c, "second direction", "first direction");
    for (at, loss) in field.losses.iter().enumerate() {
        let (a, b) = (steps[at / steps.len()], steps[at % steps.len()]);
        if let Some(part) = field.part(*loss) {
            let corner = |sign: f64| panel.at(b + sign * half, a + sign * half);
            c.cell(&viridis(part), corner(-1.0), corner(1.0));
        }
    }
    let top = area.bottom + 50.0;
    let (left, width) = (area.left, area.right - area.left);
    for k in 0..COLORS {
        let x = |k: usize| left + width * k as f64 / COLORS as f64;
        let color = viridis((k as f64 + 0.5) / COLORS as f64);
        c.cell(&color, (x(k), top), (x(k + 1) + 0.3, top + 10.0));
    }
    let below = top + 25.0;
    c.text("tick", (left, below), Anchor::Start, &number(field.low));
    c.text(
        "tick",
        (left + width / 2.0, below),
        Anchor::Middle,
        "training loss, logarithmic",
    );
    c.text(
        "tick",
        (left + width, below),
        Anchor::End,
        &number(field.high),
    );
    c.height = below + 10.0;
}

/// What the page's script draws, as JSON; `None` without a whole surface.
pub(super) fn shape(survey: &Survey) -> Option<String> {
    let is_surface = |s: &&SliceRecord| matches!(s.kind, SliceKind::Surface) && s.missing() == 0;
    let field = Field::of(survey.slices.iter().rev().find(is_surface)?)?;
    let heights: Vec<Option<f64>> = field.losses.iter().map(|l| field.part(*l)).collect();
    let losses = field.losses.iter().map(|l| number(*l));
    let colors = (0..COLORS).map(|k| viridis(k as f64 / (COLORS - 1) as f64));
    let shape = json!({
        "steps": field.steps,
        "heights": heights,
        "losses": losses.collect::<Vec<_>>(),
        "colors": colors.collect::<Vec<_>>(),
    });
    // nothing in it could end the element it stands in, but numbers and colors
    Some(shape.to_string())
}
