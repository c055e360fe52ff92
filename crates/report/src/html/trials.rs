//! Every trial, one row each, with its curve in miniature.

use batchscope_core::{Measurement, Metric, TrialRecord};

use crate::export::{last_step, optimizer, purpose};
use crate::figures::{rule_name, thin};
use crate::format::{count, duration, number};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Path, escape};

/// Points of a miniature.
const POINTS: usize = 20;
const WIDTH: f64 = 72.0;
const HEIGHT: f64 = 18.0;

pub(super) fn table(out: &mut String, records: &[TrialRecord]) {
    out.push_str("<h3 id=\"trials\">Every trial</h3>\n");
    if records.is_empty() {
        out.push_str("<p>None has finished.</p>\n");
        return;
    }
    out.push_str(&common(records));
    out.push_str(
        "<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-labelledby=\"trials\"><table class=\"sortable\" aria-labelledby=\"trials\"><thead><tr>",
    );
    let heads = [
        ("trial", true),
        ("for", false),
        ("curve", false),
        ("batch", true),
        ("micro", true),
        ("learning rate", true),
        ("seed", true),
        ("end", false),
        ("step", true),
        ("examples", true),
        ("time", true),
        ("last value", true),
        ("its curve", false),
        ("notes", false),
    ];
    for (name, numeric) in heads {
        out.push_str(&format!(
            "<th scope=\"col\"{}>{name}</th>",
            if numeric { " class=\"num\"" } else { "" }
        ));
    }
    out.push_str("</tr></thead><tbody>\n");
    let mut sorted: Vec<&TrialRecord> = records.iter().collect();
    sorted.sort_by_key(|r| r.spec.id);
    for record in sorted {
        row(out, record);
    }
    out.push_str("</tbody></table></div>\n");
}

/// What all trials share is said once.
fn common(records: &[TrialRecord]) -> String {
    let mut optimizers: Vec<String> = records
        .iter()
        .map(|r| optimizer(&r.spec.optimizer))
        .collect();
    optimizers.sort_unstable();
    optimizers.dedup();
    let mut schedules: Vec<String> = records.iter().map(schedule).collect();
    schedules.sort_unstable();
    schedules.dedup();
    let some = |items: &[String]| {
        if items.len() > 4 {
            format!("{} kinds, see trials.csv", items.len())
        } else {
            items.join("; ")
        }
    };
    format!(
        "<p>Optimizer: {}. Schedule: {}.</p>\n",
        escape(&some(&optimizers)),
        escape(&some(&schedules))
    )
}

fn schedule(record: &TrialRecord) -> String {
    use batchscope_core::{Decay, Length, WarmUpShape};
    let s = &record.spec.schedule;
    let shape = match s.warm_up.shape {
        WarmUpShape::Linear => "linear",
        WarmUpShape::Gradual => "gradual",
    };
    let warm = match s.warm_up.length {
        Length::Steps(0) => "no warm-up".to_owned(),
        Length::Steps(n) => format!("{shape} warm-up over {n} steps"),
        Length::Epochs(e) => format!("{shape} warm-up over {} epochs", number(e)),
    };
    let then = match s.decay {
        Decay::Constant => "constant",
        Decay::Step { .. } => "decay in steps",
        Decay::Linear { .. } => "linear decay",
        Decay::Cosine { .. } => "cosine decay",
        Decay::Polynomial { .. } => "polynomial decay",
    };
    format!("{warm}, then {then}")
}

fn row(out: &mut String, record: &TrialRecord) {
    let spec = &record.spec;
    let (kind, index) = purpose(&spec.purpose);
    let metric = watched(record);
    let last = metric.as_ref().and_then(|m| {
        record
            .measurements
            .iter()
            .rev()
            .find_map(|x| x.metrics.get(m))
    });
    let step = last_step(record);
    let curves: Vec<String> = spec.curves.iter().map(|c| rule_name(c)).collect();
    let mut notes = record.notes.clone();
    if let batchscope_core::Outcome::Infeasible { why } | batchscope_core::Outcome::Failed { why } =
        &record.outcome
    {
        notes.insert(0, why.clone());
    }
    // data-v carries what a column sorts by where its text would mislead
    let num = |value: f64, text: &str| {
        format!(
            "<td class=\"num\" data-v=\"{}\">{text}</td>",
            if value.is_finite() {
                value.to_string()
            } else {
                String::new()
            }
        )
    };
    let end = record.outcome.name();
    out.push_str(&format!(
        "<tr id=\"trial-{0}\"><th scope=\"row\" class=\"num\">{0}</th>",
        spec.id
    ));
    out.push_str(&format!(
        "<td>{kind}{}</td>",
        index.map(|i| format!(" {i}")).unwrap_or_default()
    ));
    out.push_str(&format!(
        "<td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>",
        escape(&curves.join(", ")),
        spec.batch_size,
        record.micro_batch
    ));
    out.push_str(&num(spec.learning_rate, &number(spec.learning_rate)));
    out.push_str(&format!(
        "<td class=\"num\">{}</td><td class=\"end {end}\">{}</td>",
        spec.seed,
        end.replace('_', " ")
    ));
    out.push_str(&step.map_or("<td></td><td></td>".into(), |s| {
        num(s as f64, &count(s))
            + &num(
                s as f64 * spec.batch_size as f64,
                &count(s.saturating_mul(spec.batch_size)),
            )
    }));
    out.push_str(&num(record.seconds, &duration(record.seconds)));
    out.push_str(&last.map_or("<td></td>".into(), |v| num(*v, &number(*v))));
    out.push_str(&format!(
        "<td>{}</td><td>{}</td></tr>\n",
        metric.map(|m| miniature(record, &m)).unwrap_or_default(),
        escape(&notes.join("; "))
    ));
}

/// The metric a trial was watched by: its target's, or the first it measured.
fn watched(record: &TrialRecord) -> Option<Metric> {
    record
        .spec
        .target
        .as_ref()
        .map(|t| t.metric.clone())
        .or_else(|| {
            record
                .measurements
                .iter()
                .find_map(|m| m.metrics.keys().next().cloned())
        })
}

fn miniature(record: &TrialRecord, metric: &Metric) -> String {
    let points: Vec<(f64, f64)> = record
        .measurements
        .iter()
        .filter(|m: &&Measurement| !m.replayed && m.step > 0)
        .filter_map(|m| Some((m.step as f64, *m.metrics.get(metric)?)))
        .filter(|p| p.1.is_finite())
        .collect();
    if points.len() < 2 {
        return String::new();
    }
    let points = thin(points, POINTS);
    let (x0, x1) = extent(points.iter().map(|p| p.0)).unwrap_or((1.0, 2.0));
    let (y0, y1) = extent(points.iter().map(|p| p.1)).unwrap_or((0.0, 1.0));
    let x = Scale::log(x0, x1, 1.0).over(1.0, WIDTH - 1.0);
    let y = if y0 > 0.0 && y1 / y0 > 3.0 {
        Scale::log(y0, y1, 1.0)
    } else {
        Scale::linear(y0, y1, 0.0)
    }
    .over(HEIGHT - 2.0, 2.0);
    let path = Path::through(points.iter().map(|p| (x.at(p.0), y.at(p.1))));
    format!(
        "<svg class=\"mini\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" aria-hidden=\"true\"><path d=\"{}\"/></svg>",
        path.data()
    )
}
