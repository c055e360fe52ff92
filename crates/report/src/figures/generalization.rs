//! Does a large batch generalize worse? Three comparisons, kept apart.

use batchscope_core::Direction;
use batchscope_scaling::{Generalization, GeneralizationAt};

use super::{Data, cells, csv, drawn, rule_name};
use crate::format::{estimate, number, times};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, legend, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas};

type Pick = fn(&Generalization) -> Option<&GeneralizationAt>;

/// Name, unit of where it is compared, and the comparison.
const COMPARISONS: [(&str, &str, Pick); 3] = [
    ("equal epochs", "epochs", |g| g.equal_epochs.as_ref()),
    ("equal steps", "steps", |g| g.equal_steps.as_ref()),
    ("equal training loss", "train-loss", |g| {
        g.equal_loss.as_ref()
    }),
];

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let present: Vec<usize> = (0..3)
        .filter(|&i| {
            all(data, COMPARISONS[i].2)
                .any(|(_, at)| at.points.iter().any(|p| drawn(&p.1).is_some()))
        })
        .collect();
    if present.is_empty() {
        return None;
    }
    let title = title(data);
    let caption = "The validation metric of each batch size where all are compared: after as many epochs, as many steps, or at the \
                   same training loss, each the furthest that every batch size got. They answer different questions and must not be \
                   mixed; only the last compares models that fit equally well. Means over fresh \
                   seeds with 95 % intervals."
        .to_owned();
    let rows = COMPARISONS.iter().flat_map(|(name, _, pick)| {
        all(data, *pick).flat_map(move |(rule, at)| {
            at.points.iter().map(move |(batch, e)| {
                let mut row = vec![
                    (*name).to_owned(),
                    rule.to_owned(),
                    at.at.to_string(),
                    batch.to_string(),
                ];
                row.extend(cells(e));
                row
            })
        })
    });
    let csv = csv(
        &[
            "comparison",
            "curve",
            "at",
            "batch_size",
            "metric",
            "low",
            "high",
            "state",
        ],
        rows,
    );
    let description = format!("{title}. Three charts of the validation metric against batch size.");
    Some(
        Figure::new("generalization", title, caption, description, csv)
            .view("", "", |c| draw(c, data, &present)),
    )
}

fn all<'a>(
    data: &Data<'a>,
    pick: Pick,
) -> impl Iterator<Item = (&'a str, &'a GeneralizationAt)> + use<'a> {
    let generalization = &data.findings.generalization;
    data.findings
        .curves
        .iter()
        .filter_map(move |c| Some((c.rule.as_str(), pick(generalization.get(&c.rule)?)?)))
}

/// Ratio of the largest batch to the smallest, and whether their intervals exclude each other.
fn change(at: &GeneralizationAt) -> Option<(f64, bool)> {
    let (first, last) = (&at.points.first()?.1, &at.points.last()?.1);
    let (a, b) = (drawn(first)?, drawn(last)?);
    let apart = first.high.zip(last.low).is_some_and(|(h, l)| h < l)
        || first.low.zip(last.high).is_some_and(|(l, h)| l > h);
    (a > 0.0 && at.points.len() > 1).then(|| (b / a, apart))
}

fn title(data: &Data) -> String {
    let main = data
        .main_curve()
        .and_then(|c| data.findings.generalization.get(&c.rule));
    let Some(g) = main else {
        return "Generalization against batch size".to_owned();
    };
    let words = |name: &str, at: Option<&GeneralizationAt>| {
        let (ratio, apart) = change(at?)?;
        Some(if apart {
            format!(
                "{name} the largest batch has {} the {} of the smallest",
                times(ratio),
                g.metric
            )
        } else {
            format!("{name} no difference shows")
        })
    };
    let lower = g.metric.natural_direction() == Direction::Lower;
    let loss = words("at equal training loss", g.equal_loss.as_ref());
    let epochs = words("at equal epochs", g.equal_epochs.as_ref());
    let text = match (epochs, loss) {
        (Some(a), Some(b)) if lower => format!("{a}; {b}"),
        (Some(a), _) | (None, Some(a)) => a,
        _ => format!("{} against batch size", g.metric),
    };
    let mut letters = text.chars();
    letters
        .next()
        .map(|f| f.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

fn draw(c: &mut Canvas, data: &Data, present: &[usize]) {
    let narrow = c.narrow();
    let columns = if narrow { 1 } else { present.len() };
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
    let metric = data
        .main_curve()
        .and_then(|k| data.findings.generalization.get(&k.rule))
        .map_or(String::new(), |g| g.metric.to_string());
    c.text("axis-name", (4.0, top + 8.0), Anchor::Start, &metric);
    top += 22.0;
    let points = || {
        present
            .iter()
            .flat_map(|&i| all(data, COMPARISONS[i].2))
            .flat_map(|(_, at)| &at.points)
    };
    let values = || {
        points()
            .flat_map(|(_, e)| [e.value, e.low, e.high])
            .flatten()
    };
    let (low, high) = extent(values()).unwrap_or((0.0, 1.0));
    let y = if low > 0.0 && high / low > 2.0 {
        Scale::log(low, high, 1.15)
    } else {
        Scale::linear(low, high, 0.08)
    };
    let (from, to) = extent(points().map(|p| p.0 as f64)).unwrap_or((1.0, 2.0));
    let plot = if narrow { 150.0 } else { 190.0 };
    let head = if narrow { 44.0 } else { 36.0 };
    let room = tick_room(&y.over(plot, 0.0).ticks(24.0)).max(28.0);
    let share = (c.width - room) / columns as f64;
    for (i, &which) in present.iter().enumerate() {
        let (name, unit, pick) = COMPARISONS[which];
        let (column, row) = (i % columns, i / columns);
        let left = room + column as f64 * share;
        let above = top + row as f64 * (plot + head + 42.0) + head;
        let area = Area {
            left,
            top: above,
            right: left + share - 12.0,
            bottom: above + plot,
        };
        let panel = Panel::new(area, Scale::log(from, to, 1.4), y);
        let mut ticks = panel.y.ticks(24.0);
        if column > 0 {
            ticks.iter_mut().for_each(|t| t.1.clear());
        }
        panel.grid(c, &panel.x.batch_ticks(30.0), &ticks);
        let at = all(data, pick).next().map(|(_, at)| at.at);
        c.text("strong", (left + 2.0, above - 23.0), Anchor::Start, name);
        let words = at.map(|at| {
            if unit == "train-loss" {
                format!("{unit} {}", number(at))
            } else {
                format!("{} {unit}", number(at))
            }
        });
        c.text(
            "note",
            (left + 2.0, above - 8.0),
            Anchor::Start,
            &words.unwrap_or_default(),
        );
        if column == columns / 2 {
            c.text(
                "axis-name",
                ((left + area.right) / 2.0, area.bottom + 35.0),
                Anchor::Middle,
                "batch size",
            );
        }
        draw_points(c, data, &panel, pick);
    }
    c.height = top + present.len().div_ceil(columns) as f64 * (plot + head + 42.0) + 2.0;
}

fn draw_points(c: &mut Canvas, data: &Data, panel: &Panel, pick: Pick) {
    let curves: Vec<_> = all(data, pick).collect();
    for (n, (rule, at)) in curves.iter().enumerate() {
        let k = data.category(rule);
        let shift = (n as f64 - (curves.len() - 1) as f64 / 2.0) * 4.0;
        panel.line(
            c,
            &format!("thin l{k}"),
            at.points
                .iter()
                .map(|(b, e)| (*b as f64, drawn(e).unwrap_or(f64::NAN))),
        );
        for (batch, e) in &at.points {
            let Some(value) = drawn(e) else { continue };
            let x = panel.x.at(*batch as f64) + shift;
            c.mark(
                &format!("batch {batch}, {}: {}", rule_name(rule), estimate(e)),
                None,
                |c| {
                    panel.whisker(c, k, x, e.low, e.high);
                    marker(c, &format!("dot p{k}"), k, (x, panel.y.clamped(value)), 3.6);
                },
            );
        }
    }
}
