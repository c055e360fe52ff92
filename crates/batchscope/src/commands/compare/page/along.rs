//! How the runs were led: learning rate and batch size along one run of each method, and what their controllers decided.

use batchscope_core::{Decay, Estimate, Metric, Quantity, Split, TrialRecord};
use batchscope_report::{
    Axis, AxisScale, Chart, ChartPanel, PageTable, Point, Section, Series,
    format::{count, number},
};
use batchscope_scaling::Endpoint;
use batchscope_study::StudyResult;

use super::{fresh, labels::Labels};
use crate::commands::compare::Compared;

/// Decisions that a table shows at most.
const SHOWN: usize = 60;

/// The section, where there is something to see: a rate that changes along the run, or a batch size.
pub(super) fn section(found: &Compared, result: &StudyResult) -> Option<Section> {
    let batch_size = found.contrasts.batch_size;
    let runs: Vec<(&str, &TrialRecord)> = found
        .methods()
        .into_iter()
        .filter_map(|method| Some((method, fresh(result, method, batch_size).next()?)))
        .collect();
    let changes = |run: &TrialRecord| {
        run.spec.controller.is_some() || run.spec.schedule.decay != Decay::Constant
    };
    if !runs.iter().any(|(_, run)| changes(run)) {
        return None;
    }
    let labels = Labels::of(&found.methods());
    let named = runs
        .iter()
        .map(|(method, run)| (labels.label(method), *run));
    let named: Vec<(String, &TrialRecord)> = named.collect();
    let mut decisions: Vec<Vec<String>> = Vec::new();
    for method in found.methods() {
        for (number_of_seed, run) in (1..).zip(fresh(result, method, batch_size)) {
            decisions.extend(run.decisions.iter().map(|decision| {
                vec![
                    method.to_owned(),
                    count(number_of_seed),
                    count(decision.step),
                    count(decision.batch_size),
                    number(decision.learning_rate),
                    decision.why.clone(),
                ]
            }));
        }
    }
    let left_out = decisions.len().saturating_sub(SHOWN);
    decisions.truncate(SHOWN);
    let remarks = match left_out {
        0 => Vec::new(),
        left => vec![format!(
            "{left} more decisions are left out here; `export --to json` has them all."
        )],
    };
    let table = PageTable {
        caption: "What the controllers decided, in every fresh run at this batch size".to_owned(),
        head: PageTable::heads(&[
            "method",
            "seed",
            "from step",
            "batch size",
            "learning rate",
            "why",
        ]),
        rows: decisions,
    };
    Some(Section {
        heading: "Along the runs".to_owned(),
        paragraphs: vec![format!(
            "Learning rate and batch size along the first fresh run of each method at batch size {batch_size}, and what was measured along all of them."
        )],
        tables: match table.rows.is_empty() {
            true => Vec::new(),
            false => vec![table],
        },
        figures: [chart(&named, &labels), metrics(found, result, &labels)]
            .iter()
            .filter_map(Chart::figure)
            .collect(),
        remarks,
    })
}

fn chart(runs: &[(String, &TrialRecord)], labels: &Labels<'_>) -> Chart {
    let changes_batch = runs.iter().any(|(_, run)| {
        let mut sizes = batch_sizes(run).map(|(_, size)| size);
        let first = sizes.next();
        sizes.any(|size| Some(size) != first)
    });
    let examples = || Axis::new("examples", AxisScale::Linear);
    let mut panels = vec![ChartPanel {
        title: "learning rate".to_owned(),
        x: examples(),
        y: Axis::new("learning rate", AxisScale::Log),
        series: series(
            runs,
            |run| rates(run).collect(),
            |decision| decision.learning_rate,
        ),
    }];
    if changes_batch {
        panels.push(ChartPanel {
            title: "batch size".to_owned(),
            x: examples(),
            y: Axis::new("batch size (examples per step)", AxisScale::Batch),
            series: series(
                runs,
                |run| batch_sizes(run).collect(),
                |decision| decision.batch_size as f64,
            ),
        });
    }
    Chart {
        id: "along",
        title: "How the runs were led".to_owned(),
        caption: format!(
            "At the evaluations; batch sizes are means since the evaluation before. Single points are decisions of controllers.{}",
            labels.note()
        ),
        panels,
    }
}

/// What was measured along the runs of all seeds, against the examples they had seen.
fn metrics(found: &Compared, result: &StudyResult, labels: &Labels<'_>) -> Chart {
    let metric = match &found.contrasts.endpoint {
        Endpoint::Metric(metric) => metric,
        Endpoint::Steps(target) => &target.metric,
    };
    let train_loss = Metric::new(Split::Train, Quantity::Loss);
    let mut measured = vec![&train_loss];
    measured.extend((*metric != train_loss).then_some(metric));
    let panel = |metric: &Metric| {
        let series = found.methods().into_iter().map(|method| {
            let runs = fresh(result, method, found.contrasts.batch_size);
            let points = runs.flat_map(|run| &run.measurements).filter_map(|m| {
                let y = Estimate::exact(*m.metrics.get(metric)?);
                Some(Point {
                    x: m.examples as f64,
                    y,
                })
            });
            Series {
                name: labels.label(method),
                points: points.collect(),
                joined: false,
            }
        });
        ChartPanel {
            title: metric.to_string(),
            x: Axis::new("examples", AxisScale::Linear),
            y: Axis::new(metric.to_string(), AxisScale::Linear),
            series: series.collect(),
        }
    };
    Chart {
        id: "along-metrics",
        title: "What was measured along the runs".to_owned(),
        caption: format!(
            "Every evaluation of every fresh seed: how far the points of one method scatter is the seeds' noise.{}",
            labels.note()
        ),
        panels: measured.into_iter().map(panel).collect(),
    }
}

/// A line for each run, and the decisions on it as points of their own.
fn series(
    runs: &[(String, &TrialRecord)],
    line: impl Fn(&TrialRecord) -> Vec<(f64, f64)>,
    decided: impl Fn(&batchscope_core::Decision) -> f64,
) -> Vec<Series> {
    let point = |(x, y): (f64, f64)| Point {
        x,
        y: Estimate::exact(y),
    };
    let mut all = Vec::new();
    for (method, run) in runs {
        all.push(Series {
            name: method.clone(),
            points: line(run)
                .into_iter()
                .filter(|(_, y)| *y > 0.0)
                .map(point)
                .collect(),
            joined: true,
        });
        let decisions = run.decisions.iter();
        let points = decisions.map(|decision| (run.examples_at(decision.step), decided(decision)));
        let points: Vec<Point> = points.filter(|(_, y)| *y > 0.0).map(point).collect();
        if !points.is_empty() {
            all.push(Series {
                name: format!("{method}: decisions"),
                points,
                joined: false,
            });
        }
    }
    all
}

fn rates(run: &TrialRecord) -> impl Iterator<Item = (f64, f64)> {
    let all = run.measurements.iter();
    all.map(|m| (m.examples as f64, m.learning_rate))
}

/// The mean batch size since the evaluation before.
fn batch_sizes(run: &TrialRecord) -> impl Iterator<Item = (f64, f64)> {
    let mut before = (0, 0);
    run.measurements.iter().filter_map(move |m| {
        let (step, examples) = std::mem::replace(&mut before, (m.step, m.examples));
        let steps = m.step.checked_sub(step).filter(|&steps| steps > 0)?;
        let size = m.examples.saturating_sub(examples) as f64 / steps as f64;
        Some((m.examples as f64, size))
    })
}
