//! Every trial, one row each, with its curve in miniature.

use batchscope_core::{Measurement, Metric, Outcome, TrialRecord};
use maud::{Markup, html};

use crate::export::{last_step, optimizer, purpose};
use crate::figures::{rule_name, thin};
use crate::format::{count, duration, number};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::Path;

use super::parts::heads;
use super::prose;

/// Points of a miniature.
const POINTS: usize = 20;
const WIDTH: f64 = 72.0;
const HEIGHT: f64 = 18.0;

const HEADS: [(&str, bool); 14] = [
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

pub(super) fn table(records: &[TrialRecord]) -> Markup {
    let mut sorted: Vec<&TrialRecord> = records.iter().collect();
    sorted.sort_by_key(|r| r.spec.id);
    html! {
        h3 #trials { "Every trial" }
        @if records.is_empty() {
            p { "None has finished." }
        } @else {
            (common(records))
            div.scroll.tall tabindex="0" role="region" aria-labelledby="trials" {
                table.sortable aria-labelledby="trials" {
                    (heads(&HEADS))
                    tbody { @for record in sorted { (row(record)) } }
                }
            }
        }
    }
}

/// What all trials share is said once.
fn common(records: &[TrialRecord]) -> Markup {
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
    html! { p { "Optimizer: " (some(&optimizers)) ". Schedule: " (some(&schedules)) "." } }
}

fn schedule(record: &TrialRecord) -> String {
    use batchscope_core::{Decay, Length, WarmUpShape};
    let s = &record.spec.schedule;
    let shape = match s.warm_up.shape {
        WarmUpShape::Linear => "linear",
        WarmUpShape::Gradual => "gradual",
    };
    let warm = match s.warm_up.length {
        none if none.is_zero() => "no warm-up".to_owned(),
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

fn row(record: &TrialRecord) -> Markup {
    let spec = &record.spec;
    let (kind, index) = purpose(&spec.purpose);
    let metric = watched(record);
    let last = metric.as_ref().and_then(|m| {
        let mut values = record.measurements.iter().rev();
        values.find_map(|x| x.metrics.get(m))
    });
    let step = last_step(record);
    let curves: Vec<String> = spec.curves.iter().map(|c| rule_name(c)).collect();
    let mut notes = record.notes.clone();
    if let Outcome::Infeasible { why } | Outcome::Failed { why } = &record.outcome {
        notes.insert(0, why.clone());
    }
    let end = record.outcome.name();
    html! {
        tr id=(format!("trial-{}", spec.id)) {
            th.num scope="row" { (spec.id) }
            td { (kind) @if let Some(index) = index { " " (index) } }
            td { (curves.join(", ")) }
            td.num { (spec.batch_size) }
            td.num { (record.micro_batch) }
            (sorted_by(spec.learning_rate, &number(spec.learning_rate)))
            td.num { (spec.seed) }
            td class=(format!("end {end}")) { (end.replace('_', " ")) }
            @if let Some(step) = step {
                @let examples = record.examples_at(step).round() as u64;
                (sorted_by(step as f64, &count(step)))
                (sorted_by(examples as f64, &count(examples)))
            } @else {
                td {} td {}
            }
            (sorted_by(record.seconds, &duration(record.seconds)))
            @if let Some(last) = last { (sorted_by(*last, &number(*last))) } @else { td {} }
            td { @if let Some(metric) = metric { (miniature(record, &metric)) } }
            td { (prose(&notes.join("; "))) }
        }
    }
}

/// A cell that carries what its column sorts by, where its text would mislead.
fn sorted_by(value: f64, text: &str) -> Markup {
    let value = if value.is_finite() {
        value.to_string()
    } else {
        String::new()
    };
    html! { td.num data-v=(value) { (text) } }
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

fn miniature(record: &TrialRecord, metric: &Metric) -> Markup {
    let points: Vec<(f64, f64)> = record
        .measurements
        .iter()
        .filter(|m: &&Measurement| !m.finer && m.step > 0)
        .filter_map(|m| Some((m.step as f64, *m.metrics.get(metric)?)))
        .filter(|p| p.1.is_finite())
        .collect();
    if points.len() < 2 {
        return Markup::default();
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
    html! {
        svg.mini viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width=(WIDTH) height=(HEIGHT) aria-hidden="true" {
            path d=(path.data()) {}
        }
    }
}
