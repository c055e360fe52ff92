//! How did each run get there?

use std::collections::BTreeMap;

use batchscope_core::{Measurement, Metric, Outcome, Target, TrialRecord};

use super::{Data, csv, ending, rule_name};
use crate::format::number;
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, cross, legend, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

/// Runs drawn per curve and batch size.
const RUNS: usize = 5;
/// Points drawn per run.
const POINTS: usize = 48;

/// What runs across.
#[derive(Clone, Copy)]
struct Across {
    name: &'static str,
    of: fn(&Measurement) -> f64,
}

const ACROSS: [(&str, &str, Across); 3] = [
    (
        "against examples",
        "",
        Across {
            name: "examples",
            of: |m| m.examples as f64,
        },
    ),
    (
        "against steps",
        "steps",
        Across {
            name: "steps",
            of: |m| m.step as f64,
        },
    ),
    (
        "against seconds",
        "seconds",
        Across {
            name: "seconds of training",
            of: |m| m.seconds,
        },
    ),
];

/// A run to draw.
struct Run<'a> {
    category: usize,
    rule: &'a str,
    record: &'a TrialRecord,
    points: Vec<&'a Measurement>,
}

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let target = data.goal()?;
    let metric = &target.metric;
    let panels = panels(data, metric);
    if panels.is_empty() {
        return None;
    }
    let title = title(data);
    let mut records = panels.values().flatten().map(|run| run.record);
    let reached = match records.any(|record| record.outcome.is_by_smoothing()) {
        true => {
            "version 0.1.0, which made this study, counted a run as having reached it where the \
             smoothed metric first met it, 7 to 16 % later than a line through the evaluations \
             does"
        }
        false => {
            "a run has reached it where a line through its evaluations does, and is trained a little further"
        }
    };
    let caption = format!(
        "{metric} of single fresh seeds, unsmoothed, one panel per batch size on one scale; at most {RUNS} seeds of a curve are drawn, \
         thinned to {POINTS} evaluations (the export has all). The dashed line is the target; {reached}. Crosses: diverged."
    );
    let rows = panels.iter().flat_map(|(batch, runs)| {
        runs.iter().flat_map(move |run| {
            run.points.iter().map(move |m| {
                let value = m.metrics.get(metric).copied().unwrap_or(f64::NAN);
                vec![
                    run.record.spec.id.to_string(),
                    run.rule.to_owned(),
                    batch.to_string(),
                    m.step.to_string(),
                    m.examples.to_string(),
                    format!("{:.4}", m.seconds),
                    format!("{value:.6}"),
                ]
            })
        })
    });
    let csv = csv(
        &[
            "trial",
            "curve",
            "batch_size",
            "step",
            "examples",
            "seconds",
            &metric.to_string(),
        ],
        rows,
    );
    let description =
        format!("{title}. Small charts of {metric} during training, one per batch size.");
    let mut figure = Figure::new("training-curves", title, caption, description, csv);
    for (name, suffix, across) in ACROSS {
        let shown = |m: &&Measurement| (across.of)(m) > 0.0;
        if panels
            .values()
            .flatten()
            .any(|run| run.points.iter().filter(|m| shown(m)).count() > 1)
        {
            figure = figure.view(name, suffix, |c| draw(c, (data, target), &panels, across));
        }
    }
    (!figure.views.is_empty()).then_some(figure)
}

fn panels<'a>(data: &Data<'a>, metric: &Metric) -> BTreeMap<u64, Vec<Run<'a>>> {
    let mut panels: BTreeMap<u64, Vec<Run<'a>>> = BTreeMap::new();
    for curve in &data.findings.curves {
        let mut drawn: BTreeMap<u64, usize> = BTreeMap::new();
        for record in data.fresh(&curve.rule) {
            let measured: Vec<&Measurement> = record
                .measurements
                .iter()
                .filter(|m| !m.finer && m.metrics.contains_key(metric))
                .collect();
            let count = drawn.entry(record.spec.batch_size).or_default();
            if measured.is_empty() || *count >= RUNS {
                continue;
            }
            *count += 1;
            panels.entry(record.spec.batch_size).or_default().push(Run {
                category: data.category(&curve.rule),
                rule: &curve.rule,
                record,
                points: thin(measured, POINTS),
            });
        }
    }
    panels
}

/// At most `most` of the items, evenly, the first and last among them.
pub(crate) fn thin<T: Copy>(items: Vec<T>, most: usize) -> Vec<T> {
    if items.len() <= most || most < 2 {
        return items;
    }
    (0..most)
        .map(|i| items[i * (items.len() - 1) / (most - 1)])
        .collect()
}

fn title(data: &Data) -> String {
    let mut all = 0;
    let mut reached = 0;
    let mut diverged = 0;
    for curve in &data.findings.curves {
        for point in &curve.points {
            all += point.repeats.len();
            reached += point
                .repeats
                .iter()
                .filter(|r| r.state == "reached")
                .count();
            diverged += point
                .repeats
                .iter()
                .filter(|r| r.state == "diverged")
                .count();
        }
    }
    match (reached, all - reached - diverged, diverged) {
        (r, 0, 0) if r > 0 => format!("All {all} fresh trials reach {}", data.target()),
        (0, ..) => format!("None of {all} fresh trials reaches {}", data.target()),
        (r, cut, div) => {
            let tail: Vec<String> = [(cut, "cut off by the cap"), (div, "diverged")]
                .into_iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, what)| format!("{n} {what}"))
                .collect();
            format!(
                "{r} of {all} fresh trials reach {}: {}",
                data.target(),
                tail.join(", ")
            )
        }
    }
}

fn draw(
    c: &mut Canvas,
    (data, target): (&Data, &Target),
    panels: &BTreeMap<u64, Vec<Run>>,
    across: Across,
) {
    let metric = &target.metric;
    let narrow = c.narrow();
    let columns = match (narrow, panels.len()) {
        (true, n) => n.min(2),
        (false, n) if n < 4 => n,
        // the count of columns that leaves the fewest gaps in the last row
        (false, n) => [4, 5, 3]
            .into_iter()
            .min_by_key(|k| n.div_ceil(*k) * k - n)
            .unwrap_or(4),
    };
    let mut top = 8.0;
    if data.findings.curves.len() > 1 {
        let keys: Vec<(String, usize)> = data
            .findings
            .curves
            .iter()
            .map(|k| (rule_name(&k.rule), data.category(&k.rule)))
            .collect();
        top += legend(c, 4.0, c.width, 8.0, &keys);
    }
    c.text(
        "axis-name",
        (4.0, top + 6.0),
        Anchor::Start,
        &metric.to_string(),
    );
    top += 12.0;
    let points = || panels.values().flatten().flat_map(|r| &r.points);
    let (low, high) =
        extent(points().map(|m| (across.of)(m)).filter(|v| *v > 0.0)).unwrap_or((1.0, 10.0));
    let x = Scale::log(low, high, 1.1);
    let goal = target.value;
    let values = || {
        points()
            .filter_map(|m| m.metrics.get(metric).copied())
            .chain([goal])
    };
    let (worst, best) = extent(values()).unwrap_or((0.0, 1.0));
    // an accuracy near 1 says nothing on a logarithmic axis; a loss or error does
    let log = worst > 0.0 && best / worst > 3.0;
    let y = if log {
        Scale::log(worst, best, 1.12)
    } else {
        Scale::linear(worst, best, 0.05)
    };
    let plot = if narrow || columns > 3 { 104.0 } else { 140.0 };
    let room = tick_room(&y.over(plot, 0.0).ticks(22.0)).max(26.0);
    let share = (c.width - room) / columns as f64;
    let rows = panels.len().div_ceil(columns);
    for (i, (batch, runs)) in panels.iter().enumerate() {
        let (column, row) = (i % columns, i / columns);
        let left = room + column as f64 * share;
        let above = top + row as f64 * (plot + 26.0) + 20.0;
        let area = Area {
            left,
            top: above,
            right: left + share - 10.0,
            bottom: above + plot,
        };
        let panel = Panel::new(area, x, y);
        let last_of_column = i + columns >= panels.len();
        let blank = |ticks: Vec<(f64, String)>, keep: bool| {
            ticks
                .into_iter()
                .map(|(v, t)| (v, if keep { t } else { String::new() }))
                .collect::<Vec<_>>()
        };
        panel.grid(
            c,
            &blank(panel.x.ticks(38.0), last_of_column),
            &blank(panel.y.ticks(22.0), column == 0),
        );
        c.text(
            "strong",
            (left + 2.0, above - 6.0),
            Anchor::Start,
            &format!(
                "{}{}",
                if column == 0 { "batch " } else { "" },
                number(*batch as f64)
            ),
        );
        panel.inside(c, &format!("clip{i}"), |c| {
            draw_runs(c, &panel, runs, target, across)
        });
    }
    c.height = top + rows as f64 * (plot + 26.0) + 34.0;
    c.text(
        "axis-name",
        ((room + c.width) / 2.0, c.height - 4.0),
        Anchor::Middle,
        across.name,
    );
}

fn draw_runs(c: &mut Canvas, panel: &Panel, runs: &[Run], target: &Target, across: Across) {
    let goal = target.value;
    panel.line(c, "limit", [(panel.x.low(), goal), (panel.x.high(), goal)]);
    for run in runs {
        let spec = &run.record.spec;
        let tip = format!(
            "trial {}, batch {}, {}: {}",
            spec.id,
            spec.batch_size,
            rule_name(run.rule),
            ending(&run.record.outcome)
        );
        let value = |m: &Measurement| m.metrics.get(&target.metric).copied().unwrap_or(f64::NAN);
        c.mark(&tip, Some(spec.id), |c| {
            panel.line(
                c,
                &format!("thin l{}", run.category),
                run.points.iter().map(|m| ((across.of)(m), value(m))),
            );
            if let Outcome::Diverged { .. } = run.record.outcome {
                let end = run.points.iter().rev().find(|m| value(m).is_finite());
                if let Some(m) = end {
                    let (x, y) = ((across.of)(m), value(m));
                    cross(
                        c,
                        &format!("whisker l{}", run.category),
                        (panel.x.clamped(x), panel.y.clamped(y)),
                        3.4,
                    );
                }
            }
        });
    }
}
