//! The branches as a page.

use batchscope_core::{Estimate, ScheduleRow};
use batchscope_report::{
    Axis, AxisScale, Chart, ChartPanel, Document, PageTable, Point, Section, Series,
    format::{count, estimate_short_as, number},
};
use batchscope_study::StudyResult;

use super::found::{At, Found};

/// Rows of the proposed schedule that the page shows at most.
const SHOWN: usize = 40;

/// The page.
pub(super) fn document(found: &Found, result: &StudyResult) -> Document {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    Document {
        kicker: "Critical batch size along a run".to_owned(),
        title: format!("Branches from {} checkpoints", found.checkpoints.len()),
        lead: found.verdict(),
        sections: [
            Some(along(found)),
            Some(losses(found)),
            proposed(&found.schedule),
        ]
        .into_iter()
        .flatten()
        .collect(),
        facts: vec![
            fact("Model", found.model.clone()),
            fact("Data", found.data.clone()),
            fact("Rule", found.rule.clone()),
            fact("Loss", found.metric.to_string()),
            fact("Tolerance", number(found.tolerance)),
            fact("Seeds", found.seeds.to_string()),
            fact("Branches", result.records.len().to_string()),
        ],
    }
}

/// Critical batch sizes beside the noise scale.
fn along(found: &Found) -> Section {
    let series = |name: &str, value: &dyn Fn(&At) -> Option<Estimate>| Series {
        name: name.to_owned(),
        points: found
            .checkpoints
            .iter()
            .filter_map(|at| {
                Some(Point {
                    x: at.examples? as f64,
                    y: value(at)?,
                })
            })
            .collect(),
        joined: true,
    };
    let mut lines = vec![series("critical batch size", &|at| {
        Some(at.branched.critical_batch_size.clone())
    })];
    if found.checkpoints.iter().any(|at| at.noise_scale.is_some()) {
        lines.push(series("gradient noise scale", &|at| at.noise_scale.clone()));
    }
    let chart = Chart {
        id: "along-the-run",
        title: "Critical batch size along the run".to_owned(),
        caption: "With 95 % intervals; an arrow is a bound. The noise scale is the harmonic mean of B_simple along the branches at the run's own batch size.".to_owned(),
        panels: vec![ChartPanel {
            title: "batch size".to_owned(),
            x: Axis::new("examples the run had seen", AxisScale::Log),
            y: Axis::new("examples per step", AxisScale::Batch),
            series: lines,
        }],
    };
    let rows = found.checkpoints.iter().map(|at| {
        let noise = at.noise_scale.as_ref();
        vec![
            at.step_text(),
            at.examples.map_or_else(|| "–".to_owned(), count),
            at.batch_size.to_string(),
            number(at.learning_rate),
            estimate_short_as(&at.branched.critical_batch_size, number),
            noise.map_or_else(|| "–".to_owned(), |noise| estimate_short_as(noise, number)),
        ]
    });
    Section {
        heading: "Along the run".to_owned(),
        paragraphs: vec![
            "From each checkpoint, training went on at multiples of the run's batch size, over as many examples each. The critical batch size is the largest whose loss in the end stays within the tolerance of the least at smaller ones, interpolated between the two on either side.".to_owned(),
        ],
        tables: vec![PageTable {
            caption: "Checkpoint by checkpoint, in examples".to_owned(),
            head: PageTable::heads(&[
                "step",
                "examples seen",
                "batch size",
                "learning rate",
                "critical batch size",
                "noise scale",
            ]),
            rows: rows.collect(),
        }],
        figures: chart.figure().into_iter().collect(),
        remarks: found.remarks(),
    }
}

/// The losses of all branches.
fn losses(found: &Found) -> Section {
    let series = found.checkpoints.iter().map(|at| Series {
        name: format!("from step {}", at.step_text()),
        points: at
            .branched
            .points
            .iter()
            .map(|point| Point {
                x: point.batch_size as f64,
                y: point.loss.clone(),
            })
            .collect(),
        joined: true,
    });
    let chart = Chart {
        id: "branches",
        title: "Where the branches end".to_owned(),
        caption: format!(
            "{} after as many examples each, means over the seeds with 95 % intervals; the tolerance is {}. Batch sizes at which a branch diverged are not in it.",
            found.metric,
            number(found.tolerance)
        ),
        panels: vec![ChartPanel {
            title: format!("{} at the end", found.metric),
            x: Axis::new("batch size (examples per step)", AxisScale::Batch),
            y: Axis::new(found.metric.to_string(), AxisScale::Log),
            series: series.collect(),
        }],
    };
    let mut rows = Vec::new();
    for at in &found.checkpoints {
        for point in &at.branched.points {
            rows.push(vec![
                at.step_text(),
                point.batch_size.to_string(),
                match point.diverged {
                    0 => estimate_short_as(&point.loss, number),
                    of => format!("{of} of {} diverged", found.seeds),
                },
                match (point.factor, point.diverged) {
                    (1, _) => "0".to_owned(),
                    (_, 0) => estimate_short_as(&point.excess, number),
                    _ => "–".to_owned(),
                },
            ]);
        }
    }
    Section {
        heading: "The branches".to_owned(),
        tables: vec![PageTable {
            caption: format!(
                "{} at the end of the branches, and its excess over the least at smaller batch sizes",
                found.metric
            ),
            head: PageTable::heads(&["from step", "batch size", "loss", "excess"]),
            rows,
        }],
        figures: chart.figure().into_iter().collect(),
        ..Section::default()
    }
}

/// The batch sizes that follow.
fn proposed(schedule: &[ScheduleRow]) -> Option<Section> {
    if schedule.is_empty() {
        return None;
    }
    // Rows at which the batch grows say it all, where the rate moves at every step.
    let grows = schedule
        .iter()
        .enumerate()
        .filter(|(at, row)| *at == 0 || schedule[at - 1].batch_size != row.batch_size)
        .map(|(_, row)| row);
    let rows: Vec<Vec<String>> = grows
        .take(SHOWN)
        .map(|row| {
            vec![
                count(row.step),
                row.batch_size.to_string(),
                number(row.learning_rate),
            ]
        })
        .collect();
    Some(Section {
        heading: "A schedule of batch sizes".to_owned(),
        paragraphs: vec![
            "From each checkpoint on, the run's batch size times the largest power of two within the critical batch size there; it never shrinks. This has not been tried: `batchscope train --controller table:schedule.csv` follows it, and other trainers can.".to_owned(),
        ],
        tables: vec![PageTable {
            caption: "Where the batch grows; schedule.csv has every row".to_owned(),
            head: PageTable::heads(&["from step", "batch size", "learning rate"]),
            rows,
        }],
        ..Section::default()
    })
}
