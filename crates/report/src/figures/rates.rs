//! Which learning rate does each batch size want, and what do the rules say?

use std::collections::BTreeMap;

use batchscope_core::{Outcome, TrialPurpose, TrialRecord};
use batchscope_rules::{Base, Rule, Setting};

use super::{Data, csv, ending, rule_name};
use batchscope_scaling::PointState;

use crate::format::{number, times};
use crate::plot::color::viridis;
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, cross, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas, text_width};

/// Steps relative to the best at which the ramp ends.
const WORST: f64 = 4.0;

/// One tuning trial in its column.
struct Cell<'a> {
    rate: f64,
    record: &'a TrialRecord,
}

/// The tuning trials of one batch size, by rate.
struct Column<'a> {
    batch: f64,
    cells: Vec<Cell<'a>>,
    best: Option<u64>,
    chosen: Option<f64>,
}

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let columns = columns(data);
    if columns.is_empty() {
        return None;
    }
    let title = title(data, &columns);
    let caption = "Each cell is one tuning trial, colored by its steps to the target relative to \
                   the fewest at its batch size (bright is best, dark four times as many or more). \
                   Gray cells stopped before the target: another rate had reached it in fewer \
                   steps, or the cap came first. Hatched cells with a cross diverged; a cross on a \
                   rule's line marks a batch size at which all its trials diverged. White diamonds \
                   are the rates chosen. The lines are the rates that the rules carry from the \
                   base batch size."
        .to_owned();
    let rows = columns.iter().flat_map(|col| {
        col.cells.iter().map(|cell| {
            let steps = cell
                .record
                .steps()
                .map(|s| s.to_string())
                .unwrap_or_default();
            vec![
                col.batch.to_string(),
                cell.rate.to_string(),
                steps,
                ending(&cell.record.outcome),
                cell.record.spec.id.to_string(),
            ]
        })
    });
    let csv = csv(
        &[
            "batch_size",
            "learning_rate",
            "steps_to_target",
            "end",
            "trial",
        ],
        rows,
    );
    let description = format!(
        "{title}. Map of tuning trials over batch size and learning rate; the tuning table gives the chosen rates."
    );
    Some(
        Figure::new("learning-rates", title, caption, description, csv)
            .view("", "", |c| draw(c, data, &columns)),
    )
}

fn columns<'a>(data: &Data<'a>) -> Vec<Column<'a>> {
    let mut by_batch: BTreeMap<u64, Vec<Cell<'a>>> = BTreeMap::new();
    for record in data.records {
        let rate = record.spec.learning_rate;
        if matches!(record.spec.purpose, TrialPurpose::Tune { .. })
            && rate > 0.0
            && rate.is_finite()
        {
            by_batch
                .entry(record.spec.batch_size)
                .or_default()
                .push(Cell { rate, record });
        }
    }
    by_batch
        .into_iter()
        .map(|(batch, mut cells)| {
            cells.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            Column {
                batch: batch as f64,
                best: cells.iter().filter_map(|c| c.record.steps()).min(),
                chosen: data
                    .findings
                    .tuning
                    .iter()
                    .find(|t| t.batch_size == batch)
                    .and_then(|t| t.chosen),
                cells,
            }
        })
        .collect()
}

/// Least-squares slope of `ln chosen` on `ln batch`: the exponent of the rule tuning found.
fn exponent(columns: &[Column]) -> Option<f64> {
    let points: Vec<(f64, f64)> = columns
        .iter()
        .filter_map(|c| Some((c.batch.ln(), c.chosen?.ln())))
        .collect();
    let n = points.len() as f64;
    let (mx, my) = (
        points.iter().map(|p| p.0).sum::<f64>() / n,
        points.iter().map(|p| p.1).sum::<f64>() / n,
    );
    let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    (points.len() >= 3 && sxx > 0.0).then(|| sxy / sxx)
}

fn title(data: &Data, columns: &[Column]) -> String {
    if let Some(k) = exponent(columns) {
        let words = match k {
            k if k < 0.15 => "hardly grows with the batch size",
            k if k < 0.4 => "grows slower than its square root",
            k if k < 0.6 => "grows like its square root",
            k if k < 0.85 => "grows faster than its square root, slower than in proportion",
            k if k < 1.15 => "grows in proportion",
            _ => "grows faster than in proportion",
        };
        let subject = if k < 0.15 {
            "The best learning rate"
        } else {
            "With the batch size the best learning rate"
        };
        return format!(
            "{subject} {words} (exponent {})",
            number((k * 100.0).round() / 100.0)
        );
    }
    let base = data.findings.study.base_batch;
    match columns
        .iter()
        .find(|c| c.batch == base as f64)
        .or(columns.first())
        .and_then(|c| Some((c.batch, c.chosen?)))
    {
        Some((batch, rate)) => format!(
            "Tuned at batch size {}, the best learning rate is {}",
            number(batch),
            number(rate)
        ),
        None => "No learning rate reached the target in tuning".to_owned(),
    }
}

/// A rule's name, category and `(batch size, rate)` points.
type RuleLine = (String, usize, Vec<(f64, f64)>);

/// The rates each rule uses: of the curves where the study ran rules, else as the rules define them.
fn rule_lines(data: &Data, columns: &[Column]) -> Vec<RuleLine> {
    let run: Vec<_> = data
        .findings
        .curves
        .iter()
        .filter(|c| c.rule != "tuned")
        .map(|c| {
            let points = c
                .points
                .iter()
                .filter_map(|p| Some((p.batch_size as f64, p.learning_rate.value?)))
                .collect();
            (c.rule.clone(), data.category(&c.rule), points)
        })
        .collect();
    if !run.is_empty() {
        return run;
    }
    let base = data.findings.study.base_batch as f64;
    let Some(spec) = columns
        .iter()
        .find_map(|c| Some(&c.cells.first()?.record.spec))
    else {
        return Vec::new();
    };
    let Some(rate) = columns
        .iter()
        .find(|c| c.batch == base)
        .and_then(|c| c.chosen)
    else {
        return Vec::new();
    };
    let base = Base {
        setting: Setting {
            learning_rate: rate,
            schedule: spec.schedule.clone(),
            optimizer: spec.optimizer.clone(),
        },
        batch_size: data.findings.study.base_batch,
        train_examples: data.findings.study.train_examples,
        noise_scale: None,
    };
    let lines = Rule::golmant().into_iter().map(|rule| {
        let points = columns.iter().filter_map(|column| {
            let setting = rule.apply(&base, column.batch as u64).ok()?;
            Some((column.batch, setting.learning_rate))
        });
        (
            rule.to_string(),
            data.category(&rule.to_string()),
            points.collect(),
        )
    });
    lines.collect()
}

fn draw(c: &mut Canvas, data: &Data, columns: &[Column]) {
    c.define_hatch();
    let narrow = c.narrow();
    let rules = rule_lines(data, columns);
    let keys: Vec<(String, usize)> = rules
        .iter()
        .map(|(rule, k, _)| (rule_name(rule), *k))
        .collect();
    let key_height = legend(c, 4.0, c.width, 8.0, &keys);
    let top = key_height + 28.0;
    let plot = if narrow { 250.0 } else { 330.0 };
    let batches = extent(
        columns
            .iter()
            .map(|k| k.batch)
            .chain(rules.iter().flat_map(|r| r.2.iter().map(|p| p.0))),
    )
    .unwrap_or((1.0, 2.0));
    let rates = extent(
        columns
            .iter()
            .flat_map(|k| k.cells.iter().map(|cell| cell.rate)),
    )
    .unwrap_or((0.01, 1.0));
    let run = rules
        .iter()
        .filter(|r| data.findings.curves.iter().any(|c| c.rule == r.0));
    let rates = extent(
        run.flat_map(|r| r.2.iter().map(|p| p.1))
            .chain([rates.0, rates.1]),
    )
    .unwrap_or(rates);
    let y = Scale::log(rates.0, rates.1, 1.35);
    let left = tick_room(&y.over(top + plot, top).ticks(26.0)).max(30.0);
    let area = Area {
        left,
        top,
        right: c.width - 6.0,
        bottom: top + plot,
    };
    let panel = Panel::new(area, Scale::log(batches.0, batches.1, 1.45), y);
    panel.grid(c, &panel.x.batch_ticks(32.0), &panel.y.ticks(26.0));
    panel.names(c, "batch size (examples per step)", "learning rate");
    let half = columns
        .windows(2)
        .map(|w| (panel.x.at(w[1].batch) - panel.x.at(w[0].batch)) / 2.0)
        .fold(28.0, f64::min)
        - 1.0;
    panel.inside(c, "clip", |c| {
        for column in columns {
            draw_column(c, &panel, column, half);
        }
        for (rule, k, points) in &rules {
            panel.line(c, "halo", points.iter().copied());
            panel.line(c, &format!("curve l{k}"), points.iter().copied());
            for &(x, y) in points.iter().filter(|p| panel.y.shows(p.1)) {
                marker(c, &format!("dot p{k}"), *k, panel.at(x, y), 3.6);
            }
            let curve = data.findings.curves.iter().find(|c| &c.rule == rule);
            for point in curve
                .iter()
                .flat_map(|c| &c.points)
                .filter(|p| p.state == PointState::Diverged)
            {
                let at = panel.at(
                    point.batch_size as f64,
                    point.learning_rate.value.unwrap_or(f64::NAN),
                );
                let tip = format!(
                    "batch {}, {}: every trial diverged",
                    point.batch_size,
                    rule_name(rule)
                );
                c.mark(&tip, None, |c| cross(c, "field-cross", at, 6.0));
            }
        }
        for column in columns {
            let Some(rate) = column.chosen else { continue };
            c.mark(
                &format!(
                    "batch {}: chosen learning rate {}",
                    number(column.batch),
                    number(rate)
                ),
                None,
                |c| {
                    marker(c, "on-field", 3, panel.at(column.batch, rate), 6.0);
                },
            );
        }
    });
    let top = area.bottom + 44.0;
    key(c, top);
    c.height = top + 44.0;
}

fn draw_column(c: &mut Canvas, panel: &Panel, column: &Column, half: f64) {
    let x = panel.x.at(column.batch);
    for (i, cell) in column.cells.iter().enumerate() {
        // each rate owns the ground half-way to its neighbors
        let edge = |other: Option<&Cell>, outwards: f64| {
            panel
                .y
                .at(other.map_or(cell.rate * outwards, |o| (o.rate * cell.rate).sqrt()))
        };
        let low = edge(i.checked_sub(1).and_then(|k| column.cells.get(k)), 0.8);
        let high = edge(column.cells.get(i + 1), 1.25);
        let (from, to) = ((x - half, low - 0.5), (x + half, high + 0.5));
        let (end, id) = (ending(&cell.record.outcome), cell.record.spec.id);
        let tip = format!(
            "trial {id}, batch {}, learning rate {}: {end}",
            number(column.batch),
            number(cell.rate)
        );
        c.mark(&tip, Some(id), |c| {
            match (&cell.record.outcome, cell.record.steps(), column.best) {
                (_, Some(steps), Some(best)) => {
                    c.cell(&shade(steps as f64 / best as f64), from, to)
                }
                (Outcome::Diverged { .. }, ..) => {
                    c.patterned("hatch", from, to);
                    cross(
                        c,
                        "field-cross",
                        (x, (low + high) / 2.0),
                        ((low - high).abs() / 2.0 - 2.0).clamp(1.5, 4.0),
                    );
                }
                _ => c.rect("hatch-bg", from, to),
            }
        });
    }
}

fn shade(ratio: f64) -> String {
    viridis(1.0 - ratio.max(1.0).ln() / WORST.ln())
}

fn key(c: &mut Canvas, top: f64) {
    let width = (c.width - 12.0).min(360.0);
    let left = (c.width - width) / 2.0;
    let bar = width * 0.42;
    for i in 0..24 {
        let part = f64::from(i) / 23.0;
        let from = left + bar * f64::from(i) / 24.0;
        c.cell(
            &shade(WORST.powf(part)),
            (from, top + 6.0),
            (from + bar / 24.0 + 0.3, top + 17.0),
        );
    }
    for (part, text) in [
        (0.0, "best"),
        (0.5, &*times(WORST.sqrt())),
        (1.0, "4×+ steps"),
    ] {
        c.text(
            "tick",
            (left + bar * part, top + 32.0),
            if part == 0.0 {
                Anchor::Start
            } else {
                Anchor::Middle
            },
            text,
        );
    }
    let second = left + bar + text_width("steps", 11.5) + 22.0;
    c.rect("hatch-bg", (second, top + 6.0), (second + 16.0, top + 17.0));
    c.text(
        "tick",
        (second + 21.0, top + 16.0),
        Anchor::Start,
        "raced, not reached",
    );
    c.patterned("hatch", (second, top + 23.0), (second + 16.0, top + 34.0));
    c.text(
        "tick",
        (second + 21.0, top + 33.0),
        Anchor::Start,
        "diverged",
    );
}
