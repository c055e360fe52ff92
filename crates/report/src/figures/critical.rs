//! Where is the critical batch size, by whom and for which target?

use batchscope_core::{Estimate, EstimateState};
use batchscope_scaling::Agreement;

use super::{Data, cells, csv, drawn, list, rule_name};
use crate::format::{estimate, estimate_short, estimate_value, number, times};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, marker};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, BOLD, Canvas, Path, text_width};

/// A line of the chart.
struct Row {
    heading: bool,
    label: String,
    estimate: Option<Estimate>,
    category: usize,
}

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let rows = rows(data);
    let any = rows
        .iter()
        .filter_map(|r| r.estimate.as_ref())
        .any(|e| drawn(e).is_some());
    if !any {
        return None;
    }
    let title = title(data);
    let by_target = data.findings.targets.values().any(|rows| rows.len() > 1);
    let caption = format!(
        "Three definitions on the same runs, put on one scale: (a) B_c of the fitted hyperbola; (b) the largest batch \
                   that costs at most 20 % more examples than the least possible, divided by 0.2; (c) the batch within 10 % of the \
                   fewest possible steps, divided by 10. If the model holds all three are equal, up to their intervals. {}Bars are 95 % intervals; \
                   an arrow is an open end.",
        if by_target {
            "Below them, (a) at easier targets from the same runs. "
        } else {
            ""
        }
    );
    let csv = csv(
        &["row", "critical_batch_size", "low", "high", "state"],
        rows.iter().filter_map(|r| {
            let mut row = vec![r.label.clone()];
            row.extend(cells(r.estimate.as_ref()?));
            Some(row)
        }),
    );
    let description =
        format!("{title}. Interval chart; the table of critical batch sizes gives every value.");
    Some(
        Figure::new("critical-batch-size", title, caption, description, csv)
            .view("", "", |c| draw(c, &rows)),
    )
}

fn rows(data: &Data) -> Vec<Row> {
    let mut rows = Vec::new();
    let many = data.findings.curves.len() > 1;
    for curve in &data.findings.curves {
        let Some(cbs) = data.findings.critical_batch_size.get(&curve.rule) else {
            continue;
        };
        let category = data.category(&curve.rule);
        let row = |label: String, e: &Estimate| Row {
            heading: false,
            label,
            estimate: Some(e.clone()),
            category,
        };
        let heading = |label: String| Row {
            heading: true,
            label,
            estimate: None,
            category,
        };
        rows.push(heading(if many {
            rule_name(&curve.rule)
        } else {
            "by definition".to_owned()
        }));
        rows.push(row("(a) hyperbola".into(), &cbs.hyperbola));
        rows.push(row("(b) 20 % overhead".into(), &cbs.overhead20));
        rows.push(row("(c) plateau".into(), &cbs.plateau));
        let moves = data
            .findings
            .targets
            .get(&curve.rule)
            .map_or(&[][..], Vec::as_slice);
        if moves.len() > 1 {
            if !many {
                rows.push(heading("(a) by target".into()));
            }
            rows.extend(
                moves
                    .iter()
                    .filter(|m| !many || Some(&m.target) != data.goal())
                    .map(|m| row(m.target.to_string(), &m.hyperbola)),
            );
        }
    }
    rows
}

fn draw(c: &mut Canvas, rows: &[Row]) {
    let narrow = c.narrow();
    let left = rows
        .iter()
        .map(|r| text_width(&r.label, 12.0) * if r.heading { BOLD } else { 1.0 })
        .fold(60.0, f64::max)
        .min(if narrow { 112.0 } else { 220.0 })
        + 12.0;
    let values = rows
        .iter()
        .filter_map(|r| r.estimate.as_ref())
        .map(estimate_short);
    let right = if narrow {
        10.0
    } else {
        values.map(|t| text_width(&t, 12.0)).fold(0.0, f64::max) + 16.0
    };
    let step = if narrow { 34.0 } else { 24.0 };
    let top = 8.0;
    let plot = rows.len() as f64 * step + 6.0;
    c.height = top + plot + 44.0;
    let all = || {
        rows.iter()
            .filter_map(|r| r.estimate.as_ref())
            .flat_map(|e| [e.value, e.low, e.high])
            .flatten()
            .filter(|v| *v > 0.0)
    };
    let (low, high) = extent(all()).unwrap_or((1.0, 10.0));
    let area = Area {
        left,
        top,
        right: c.width - right,
        bottom: top + plot,
    };
    let panel = Panel::new(
        area,
        Scale::log(low, high, 1.25),
        Scale::linear(0.0, 1.0, 0.0),
    );
    panel.grid(c, &panel.x.batch_ticks(32.0), &[]);
    c.text(
        "axis-name",
        ((area.left + area.right) / 2.0, area.bottom + 35.0),
        Anchor::Middle,
        "critical batch size",
    );
    for (i, row) in rows.iter().enumerate() {
        let y = top + (i as f64 + 0.5) * step + 3.0;
        if row.heading {
            c.text("strong", (4.0, y + 4.0), Anchor::Start, &row.label);
            continue;
        }
        c.text(
            "",
            (4.0, y + if narrow { -1.0 } else { 4.0 }),
            Anchor::Start,
            &row.label,
        );
        let Some(e) = &row.estimate else { continue };
        c.mark(
            &format!("{}: {}{}", row.label, estimate(e), reason(e)),
            None,
            |c| interval(c, &panel, y, e, row.category),
        );
        if narrow {
            c.text("note", (4.0, y + 13.0), Anchor::Start, &estimate_short(e));
        } else {
            c.text(
                "",
                (c.width - 2.0, y + 4.0),
                Anchor::End,
                &estimate_short(e),
            );
        }
    }
}

fn reason(e: &Estimate) -> String {
    e.reason
        .as_ref()
        .map(|r| format!(" ({r})"))
        .unwrap_or_default()
}

fn interval(c: &mut Canvas, panel: &Panel, y: f64, e: &Estimate, category: usize) {
    let Some(value) = drawn(e) else {
        c.text(
            "note",
            (panel.area.left + 6.0, y + 4.0),
            Anchor::Start,
            "not defined by these data",
        );
        return;
    };
    let class = format!("curve l{category}");
    let end = |v: Option<f64>, edge: f64| v.map_or(edge, |v| panel.x.clamped(v));
    let (from, to) = (
        end(e.low, panel.area.left + 2.0),
        end(e.high, panel.area.right - 2.0),
    );
    c.line(&class, (from, y), (to, y));
    for (open, x, outwards) in [(e.low.is_none(), from, -1.0), (e.high.is_none(), to, 1.0)] {
        let mut path = Path::default();
        let back = if open { -5.0 * outwards } else { 0.0 };
        path.to(x + back, y - 4.0);
        path.to(x, y);
        path.to(x + back, y + 4.0);
        c.path(&class, &path);
    }
    let style = if e.is_estimated() {
        format!("dot p{category}")
    } else {
        format!("open o{category}")
    };
    marker(c, &style, category, (panel.x.clamped(value), y), 4.6);
}

fn title(data: &Data) -> String {
    let by_curve: Vec<(String, &Estimate)> = data
        .findings
        .curves
        .iter()
        .filter_map(|c| {
            Some((
                rule_name(&c.rule),
                &data.findings.critical_batch_size.get(&c.rule)?.hyperbola,
            ))
        })
        .collect();
    if by_curve.len() > 1 {
        let words: Vec<String> = by_curve
            .iter()
            .map(|(name, e)| format!("{} with {name}", estimate_value(e)))
            .collect();
        return format!("Critical batch size: {}", list(&words));
    }
    let Some((_, e)) = by_curve.first() else {
        return "No critical batch size".to_owned();
    };
    let main = data.main_curve();
    let agreement = main.and_then(|c| data.findings.agreement(&c.rule));
    match (e.state, agreement) {
        (EstimateState::Estimated, Some(agreement)) => {
            let words = match agreement {
                Agreement::Agree { within } => {
                    format!(
                        ", and the definitions agree: no two of their intervals reach more than {} \
                         apart",
                        times(within)
                    )
                }
                Agreement::Exclude => {
                    ", but the intervals of the definitions exclude each other".to_owned()
                }
                Agreement::LackOfFit => ", but the curve is not an exact hyperbola".to_owned(),
                Agreement::TooUncertain => "; the intervals of the definitions overlap".to_owned(),
            };
            format!("The critical batch size is {}{words}", estimate_value(e))
        }
        (EstimateState::Undefined, _) => {
            "These data do not define a critical batch size".to_owned()
        }
        _ => format!(
            "The critical batch size is {}",
            e.value.map_or("undefined".into(), |v| match e.state {
                EstimateState::AtLeast => format!(
                    "at least {}: the curve does not bend inside the range",
                    number(v)
                ),
                EstimateState::AtMost => format!("at most {}", number(v)),
                _ => number(v),
            })
        ),
    }
}
