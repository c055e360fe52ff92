//! How good is the model after so many steps at this batch size? (Golmant et al. 2018, figure 1)

use std::collections::BTreeMap;

use batchscope_core::{Direction, Estimate, Metric, Outcome, Target, TrialRecord};

use super::{Data, csv, list, rule_name};
use crate::format::{estimate_value, number};
use crate::plot::color::viridis;
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas, Path, text_width};

/// Rows of the field: steps, evenly spaced in the logarithm.
const ROWS: usize = 64;
/// Colors of the field.
const LEVELS: usize = 14;

/// The metric of one curve over batch size and steps.
struct Field {
    rule: String,
    batches: Vec<f64>,
    /// Steps of the rows.
    steps: Vec<f64>,
    /// `[batch][row]`, `None` where nothing was measured.
    values: Vec<Vec<Option<f64>>>,
}

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let fields: Vec<Field> = data
        .findings
        .curves
        .iter()
        .filter_map(|c| field(data, &c.rule))
        .collect();
    if fields.is_empty() {
        return None;
    }
    let target = data.goal()?;
    let metric = &target.metric;
    let title = title(data, metric);
    let caption = format!(
        "Color is {metric}: the geometric mean over the fresh seeds of each batch size, \
         interpolated between evaluations. Each column is a batch size that was run, blank where \
         nothing was measured. White lines join equal values; the heavy one is the target. Where a \
         contour falls steeply a larger batch saves steps; where it is level it does not. The \
         dashed line falls as 1/B, the ideal."
    );
    let rows = fields.iter().flat_map(|f| {
        f.batches.iter().enumerate().flat_map(move |(i, b)| {
            f.steps
                .iter()
                .zip(&f.values[i])
                .step_by(4)
                .filter_map(move |(s, v)| {
                    Some(vec![
                        f.rule.clone(),
                        b.to_string(),
                        format!("{s:.1}"),
                        format!("{:.6}", (*v)?),
                    ])
                })
        })
    });
    let csv = csv(&["curve", "batch_size", "step", &metric.to_string()], rows);
    let description =
        format!("{title}. Field of {metric} over batch size and steps, with contours.");
    Some(
        Figure::new("contours", title, caption, description, csv)
            .view("", "", |c| draw(c, data, target, &fields)),
    )
}

fn title(data: &Data, metric: &Metric) -> String {
    let critical: Vec<(String, &Estimate)> = data
        .findings
        .curves
        .iter()
        .filter_map(|c| {
            Some((
                rule_name(&c.rule),
                &data.findings.critical_batch_size.get(&c.rule)?.hyperbola,
            ))
        })
        .filter(|(_, e)| e.value.is_some())
        .collect();
    match &critical[..] {
        [] => format!("How {metric} falls with steps at each batch size"),
        [(_, e)] if e.is_estimated() => {
            format!(
                "The contours level off around batch size {}: more examples per step, hardly fewer steps",
                estimate_value(e)
            )
        }
        [_] => "The contours fall across the whole range: larger batches still pay".to_owned(),
        many => {
            let words: Vec<String> = many
                .iter()
                .map(|(name, e)| format!("{} with {name}", estimate_value(e)))
                .collect();
            format!("Critical batch size: {}", list(&words))
        }
    }
}

fn field(data: &Data, rule: &str) -> Option<Field> {
    let metric = &data.goal()?.metric;
    let curve = data.findings.curves.iter().find(|c| c.rule == rule)?;
    let mut by_batch: BTreeMap<u64, Vec<Vec<(f64, f64)>>> = BTreeMap::new();
    // a run that diverged would end its batch size's column; the others' mean is still a mean
    let diverged = |r: &&TrialRecord| matches!(r.outcome, Outcome::Diverged { .. });
    let sound: Vec<u64> = data
        .fresh(&curve.rule)
        .filter(|r| !diverged(r))
        .map(|r| r.spec.batch_size)
        .collect();
    for record in data
        .fresh(&curve.rule)
        .filter(|r| !diverged(r) || !sound.contains(&r.spec.batch_size))
    {
        let points: Vec<(f64, f64)> = record
            .measurements
            .iter()
            .filter(|m| m.step > 0)
            .filter_map(|m| m.metrics.get(metric).map(|v| ((m.step as f64).ln(), *v)))
            .take_while(|(_, v)| v.is_finite())
            .collect();
        if points.len() > 1 {
            by_batch
                .entry(record.spec.batch_size)
                .or_default()
                .push(points);
        }
    }
    let (low, high) = extent(by_batch.values().flatten().flatten().map(|p| p.0))?;
    let logs: Vec<f64> = (0..ROWS)
        .map(|i| low + (high - low) * (i as f64 + 0.5) / ROWS as f64)
        .collect();
    let values = by_batch
        .values()
        .map(|runs| {
            logs.iter()
                .map(|&s| {
                    // every seed must reach here, or a change of company would look like a change of loss
                    let at: Option<Vec<f64>> = runs.iter().map(|run| between(run, s)).collect();
                    at.filter(|v| !v.is_empty()).map(|v| mean(&v))
                })
                .collect()
        })
        .collect();
    Some(Field {
        rule: rule.to_owned(),
        batches: by_batch.keys().map(|b| *b as f64).collect(),
        steps: logs.iter().map(|s| s.exp()).collect(),
        values,
    })
}

/// Geometric mean of positive values, arithmetic otherwise.
fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if values.iter().all(|v| *v > 0.0) {
        (values.iter().map(|v| v.ln()).sum::<f64>() / n).exp()
    } else {
        values.iter().sum::<f64>() / n
    }
}

/// Linear interpolation in a run, `None` outside it.
fn between(run: &[(f64, f64)], at: f64) -> Option<f64> {
    let after = run.iter().position(|(s, _)| *s >= at)?;
    if after == 0 {
        return (run[0].0 == at).then_some(run[0].1);
    }
    let ((s0, v0), (s1, v1)) = (run[after - 1], run[after]);
    Some(if s1 > s0 {
        v0 + (v1 - v0) * (at - s0) / (s1 - s0)
    } else {
        v1
    })
}

/// The value's place on the color ramp: 1 (bright) is best.
struct Ramp {
    low: f64,
    high: f64,
    log: bool,
    lower_is_better: bool,
}

impl Ramp {
    fn of(fields: &[Field], direction: Direction) -> Option<Self> {
        let values = || {
            fields
                .iter()
                .flat_map(|f| &f.values)
                .flatten()
                .flatten()
                .copied()
        };
        let (low, high) = extent(values())?;
        Some(Self {
            low,
            high,
            log: low > 0.0,
            lower_is_better: direction == Direction::Lower,
        })
    }

    fn part(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        if self.lower_is_better {
            1.0 - part
        } else {
            part
        }
    }

    fn level(&self, value: f64) -> usize {
        ((self.part(value) * LEVELS as f64) as usize).min(LEVELS - 1)
    }

    /// The value between levels `k − 1` and `k`.
    fn edge(&self, k: usize) -> f64 {
        let part = k as f64 / LEVELS as f64;
        let part = if self.lower_is_better {
            1.0 - part
        } else {
            part
        };
        if self.log {
            self.low * (self.high / self.low).powf(part)
        } else {
            self.low + (self.high - self.low) * part
        }
    }
}

fn level_color(level: usize) -> String {
    viridis((level as f64 + 0.5) / LEVELS as f64)
}

fn draw(c: &mut Canvas, data: &Data, target: &Target, fields: &[Field]) {
    let Some(ramp) = Ramp::of(fields, target.direction) else {
        return;
    };
    let narrow = c.narrow();
    let columns = if narrow { 1 } else { fields.len().min(3) };
    let rows = fields.len().div_ceil(columns);
    let (plot, head) = (
        if narrow {
            210.0
        } else if columns > 1 {
            230.0
        } else {
            310.0
        },
        30.0,
    );
    let block = head + plot + 44.0;
    let steps =
        extent(fields.iter().flat_map(|f| [f.steps[0], f.steps[ROWS - 1]])).unwrap_or((1.0, 10.0));
    let scale = Scale::log(steps.0, steps.1, 1.06);
    let room = tick_room(&scale.over(plot, 0.0).ticks(26.0)).max(30.0);
    let share = (c.width - 6.0) / columns as f64;
    for (i, field) in fields.iter().enumerate() {
        let (column, row) = (i % columns, i / columns);
        let left = column as f64 * share + if column == 0 { room } else { 14.0 + room * 0.6 };
        let top = row as f64 * block + head;
        let area = Area {
            left,
            top,
            right: (column + 1) as f64 * share - 2.0,
            bottom: top + plot,
        };
        let x = Scale::log(
            field.batches[0],
            *field.batches.last().unwrap_or(&1.0),
            half_column(&field.batches),
        );
        let panel = Panel::new(area, x, scale);
        panel.grid(c, &panel.x.batch_ticks(32.0), &panel.y.ticks(26.0));
        let name = if fields.len() > 1 {
            rule_name(&field.rule)
        } else {
            String::new()
        };
        panel.names(
            c,
            if column == columns / 2 || narrow {
                "batch size"
            } else {
                ""
            },
            if column == 0 { "steps" } else { "" },
        );
        c.text(
            "strong",
            ((area.left + area.right) / 2.0, top - 10.0),
            Anchor::Middle,
            &name,
        );
        // the target's contour is the curve of findings, so that the two cannot disagree
        let goal: Vec<(f64, f64)> = data
            .findings
            .curves
            .iter()
            .filter(|k| k.rule == field.rule)
            .flat_map(|k| &k.points)
            .filter(|p| p.steps.is_estimated())
            .filter_map(|p| Some((p.batch_size as f64, p.steps.value?)))
            .collect();
        paint(c, &panel, field, &ramp);
        panel.inside(c, &format!("clip{i}"), |c| {
            lines(c, &panel, field, &ramp, &goal)
        });
    }
    let top = rows as f64 * block + 4.0;
    color_key(c, &ramp, top, &target.metric.to_string());
    c.height = top + 46.0;
}

/// Half the distance between columns, as a factor.
fn half_column(batches: &[f64]) -> f64 {
    batches
        .windows(2)
        .map(|w| (w[1] / w[0]).sqrt())
        .fold(f64::INFINITY, f64::min)
        .clamp(1.05, 1.5)
}

fn paint(c: &mut Canvas, panel: &Panel, field: &Field, ramp: &Ramp) {
    let factor = (field.steps[1] / field.steps[0]).sqrt();
    for (i, &batch) in field.batches.iter().enumerate() {
        let edge = |other: Option<&f64>, sign: f64| {
            other.map_or(batch * half_column(&field.batches).powf(sign), |o| {
                (batch * o).sqrt()
            })
        };
        let from = panel.x.at(edge(
            i.checked_sub(1).and_then(|k| field.batches.get(k)),
            -1.0,
        ));
        let to = panel.x.at(edge(field.batches.get(i + 1), 1.0));
        let column = &field.values[i];
        let mut row = 0;
        while row < ROWS {
            let Some(level) = column[row].map(|v| ramp.level(v)) else {
                row += 1;
                continue;
            };
            let first = row;
            while row < ROWS && column[row].map(|v| ramp.level(v)) == Some(level) {
                row += 1;
            }
            let (bottom, top) = (
                panel.y.at(field.steps[first] / factor),
                panel.y.at(field.steps[row - 1] * factor),
            );
            let from_value = column[first].unwrap_or(f64::NAN);
            let tip = format!(
                "batch {}, about step {}: {}",
                number(batch),
                number((field.steps[first] * field.steps[row - 1]).sqrt()),
                number(from_value)
            );
            // a hair of overlap hides the seams that anti-aliasing leaves
            c.mark(&tip, None, |c| {
                c.cell(&level_color(level), (from, bottom + 0.3), (to + 0.3, top))
            });
        }
    }
}

fn lines(c: &mut Canvas, panel: &Panel, field: &Field, ramp: &Ramp, goal: &[(f64, f64)]) {
    for k in (2..LEVELS).step_by(3) {
        c.path("iso", &contour(panel, field, ramp.edge(k)));
    }
    let line = Path::through(goal.iter().map(|&(batch, steps)| panel.at(batch, steps)));
    c.path("iso-goal-edge", &line);
    c.path("iso-goal", &line);
    // the ideal through the target's contour at its first batch size
    if let Some(&(batch, steps)) = goal.first() {
        let ends = [
            (batch, steps),
            (panel.x.high(), steps * batch / panel.x.high()),
        ];
        panel.line(c, "field-ideal-edge", ends);
        panel.line(c, "field-ideal", ends);
    }
}

/// The step at which a column crosses a value.
fn crossing_of(field: &Field, column: usize, value: f64) -> Option<f64> {
    let values = &field.values[column];
    (1..ROWS).rev().find_map(|row| {
        let (a, b) = (values[row - 1]?, values[row]?);
        ((a - value) * (b - value) <= 0.0 && a != b).then(|| {
            let share = (value - a) / (b - a);
            field.steps[row - 1] * (field.steps[row] / field.steps[row - 1]).powf(share)
        })
    })
}

/// Joins the crossings of neighboring columns: a contour of a field that falls along each column.
fn contour(panel: &Panel, field: &Field, value: f64) -> Path {
    Path::through(
        (0..field.batches.len()).map(|i| match crossing_of(field, i, value) {
            Some(step) => panel.at(field.batches[i], step),
            None => (f64::NAN, f64::NAN),
        }),
    )
}

fn color_key(c: &mut Canvas, ramp: &Ramp, top: f64, name: &str) {
    let width = (c.width - 48.0).min(360.0);
    let left = (c.width - width) / 2.0;
    let cell = width / LEVELS as f64;
    c.text(
        "axis-name",
        (c.width / 2.0, top + 6.0),
        Anchor::Middle,
        &format!("{name} (brighter is better)"),
    );
    for k in 0..LEVELS {
        c.cell(
            &level_color(k),
            (left + k as f64 * cell, top + 14.0),
            (left + (k + 1) as f64 * cell + 0.3, top + 25.0),
        );
    }
    let label = |k: usize| number(ramp.edge(k));
    let widest = (0..=LEVELS)
        .map(|k| text_width(&label(k), 11.5))
        .fold(0.0, f64::max);
    let stride = [1, 2, 7, LEVELS]
        .into_iter()
        .find(|s| *s as f64 * cell > widest + 8.0)
        .unwrap_or(LEVELS);
    for k in (0..=LEVELS).step_by(stride) {
        c.text(
            "tick",
            (left + k as f64 * cell, top + 40.0),
            Anchor::Middle,
            &label(k),
        );
    }
}
