//! The comparison as a page.

mod along;
mod labels;

use batchscope_core::{Estimate, TrialPurpose, TrialRecord};
use batchscope_report::{
    Axis, AxisScale, Chart, ChartPanel, Document, PageTable, Point, Section, Series,
    format::{estimate_short_as, number, p_value},
};
use batchscope_scaling::Endpoint;
use batchscope_study::StudyResult;

use self::labels::Labels;
use super::Compared;

/// The page.
pub(super) fn document(found: &Compared, result: &StudyResult) -> Document {
    let plan = &result.plan;
    Document {
        kicker: "Methods compared over batch sizes".to_owned(),
        title: title(found),
        lead: found.verdict(),
        sections: [
            Some(primary(found)),
            Some(values(found)),
            Some(rates(found, result)),
            along::section(found, result),
            Some(tuning(found, result)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        facts: vec![
            ("Model".to_owned(), found.model.clone()),
            ("Data".to_owned(), found.data.clone()),
            ("Endpoint".to_owned(), found.endpoint()),
            ("Baseline".to_owned(), found.contrasts.baseline.clone()),
            ("Length".to_owned(), found.length()),
            ("Fresh seeds".to_owned(), plan.seeds.to_string()),
            (
                "Tuning trials a search".to_owned(),
                plan.tune_trials.to_string(),
            ),
            ("Base batch size".to_owned(), plan.base_batch.to_string()),
            ("Seed".to_owned(), plan.study_seed.to_string()),
        ],
    }
}

fn title(found: &Compared) -> String {
    let others = found.methods().len().saturating_sub(1);
    let methods = if others == 1 { "method" } else { "methods" };
    format!(
        "{others} {methods} against {} by {}",
        found.contrasts.baseline,
        found.endpoint()
    )
}

/// The endpoint that was fixed before the runs.
fn primary(found: &Compared) -> Section {
    let ratio = matches!(found.contrasts.endpoint, Endpoint::Steps(_));
    let p = |p: Option<f64>| match p {
        Some(p) => p_value(p).trim_start_matches("= ").to_owned(),
        None => "–".to_owned(),
    };
    let rows = found.contrasts.primary.iter().map(|contrast| {
        vec![
            contrast.method.clone(),
            match contrast.difference.value {
                Some(_) => estimate_short_as(&contrast.difference, number),
                None => contrast.difference.reason.clone().unwrap_or_default(),
            },
            p(contrast.p),
            p(contrast.p_holm),
            contrast.detectable.map_or_else(|| "–".to_owned(), number),
        ]
    });
    Section {
        heading: format!("At batch size {}", found.contrasts.batch_size),
        paragraphs: vec![format!(
            "This is the primary endpoint, fixed before anything ran: the {} to {} at the largest batch size, of runs with the same seed.",
            if ratio { "ratio of steps" } else { "difference" },
            found.contrasts.baseline
        )],
        tables: vec![PageTable {
            caption: "Method against baseline, paired by seed. Detectable: what a comparison with this scatter shows in four cases of five.".to_owned(),
            head: PageTable::heads(&[
                "method",
                if ratio { "ratio" } else { "difference" },
                "p",
                "p, by Holm",
                "detectable",
            ]),
            rows: rows.collect(),
        }],
        ..Section::default()
    }
}

/// The fresh runs of a method at a batch size.
fn fresh<'a>(
    result: &'a StudyResult,
    method: &'a str,
    batch_size: u64,
) -> impl Iterator<Item = &'a TrialRecord> {
    result.records.iter().filter(move |record| {
        let spec = &record.spec;
        matches!(spec.purpose, TrialPurpose::Fresh { .. })
            && spec.batch_size == batch_size
            && spec.curves.iter().any(|curve| curve == method)
    })
}

/// Every method at every batch size.
fn values(found: &Compared) -> Section {
    let by_steps = matches!(found.contrasts.endpoint, Endpoint::Steps(_));
    let labels = Labels::of(&found.methods());
    let series = |value: &dyn Fn(&batchscope_scaling::MethodPoint) -> Estimate| {
        let series = found.methods().into_iter().map(|method| Series {
            name: labels.label(method),
            points: found
                .contrasts
                .points
                .iter()
                .filter(|point| point.method == method)
                .map(|point| Point {
                    x: point.batch_size as f64,
                    y: value(point),
                })
                .collect(),
            joined: true,
        });
        series.collect::<Vec<_>>()
    };
    let chart = Chart {
        id: "methods",
        title: title(found),
        caption: format!(
            "Means of the fresh seeds with their intervals. Runs that diverged or did not arrive are not in them; the table counts those.{}",
            labels.note()
        ),
        panels: vec![ChartPanel {
            title: found.endpoint(),
            x: Axis::new("batch size (examples per step)", AxisScale::Batch),
            y: Axis::new(
                found.endpoint(),
                if by_steps {
                    AxisScale::Log
                } else {
                    AxisScale::Linear
                },
            ),
            series: series(&|point| point.value.clone()),
        }],
    };
    let mut head = vec!["batch size".to_owned()];
    head.extend(found.methods().into_iter().map(str::to_owned));
    let rows = found.batch_sizes().into_iter().map(|size| {
        let mut row = vec![size.to_string()];
        row.extend(
            found
                .methods()
                .into_iter()
                .map(|method| found.cell(method, size)),
        );
        row
    });
    Section {
        heading: "At every batch size".to_owned(),
        paragraphs: vec![
            "These stand beside the primary endpoint. No test is made of them.".to_owned(),
        ],
        tables: vec![PageTable {
            caption: found.endpoint(),
            head,
            rows: rows.collect(),
        }],
        figures: chart.figure().into_iter().collect(),
        remarks: found.remarks(),
    }
}

/// The rates that the fresh runs had: of each run, where its controller found one.
fn rates(found: &Compared, result: &StudyResult) -> Section {
    let mut head = vec!["batch size".to_owned()];
    head.extend(found.methods().into_iter().map(str::to_owned));
    let finds_rate = |name: &str| {
        let compared = result.plan.comparison.iter();
        let mut methods = compared.flat_map(|comparison| &comparison.methods);
        methods.any(|method| method.name == name && method.finds_rate())
    };
    let rate = |method: &str, size: u64| {
        if finds_rate(method) {
            let decided = fresh(result, method, size).map(|run| {
                let first = run.decisions.first();
                first.map_or_else(|| "–".to_owned(), |d| number(d.learning_rate))
            });
            return format!(
                "by its controller: {}",
                decided.collect::<Vec<_>>().join(", ")
            );
        }
        let points = &found.contrasts.points;
        let point = points
            .iter()
            .find(|p| p.method == method && p.batch_size == size);
        point.map_or_else(|| "–".to_owned(), |point| number(point.learning_rate))
    };
    let rows = found.batch_sizes().into_iter().map(|size| {
        let mut row = vec![size.to_string()];
        row.extend(found.methods().into_iter().map(|method| rate(method, size)));
        row
    });
    Section {
        heading: "Learning rates".to_owned(),
        tables: vec![PageTable {
            caption: "Full learning rate of the fresh runs".to_owned(),
            head,
            rows: rows.collect(),
        }],
        ..Section::default()
    }
}

/// What each method was given.
fn tuning(found: &Compared, result: &StudyResult) -> Section {
    let rows = found.budgets.iter().map(|budget| {
        vec![
            budget.method.clone(),
            budget.trials.to_string(),
            budget.tuned.join(", "),
        ]
    });
    let tuning = result
        .records
        .iter()
        .filter(|record| matches!(record.spec.purpose, TrialPurpose::Tune { .. }));
    Section {
        heading: "Budgets".to_owned(),
        paragraphs: vec![format!(
            "{} tuning trials in all. Searches began in ranges from a twentieth to twenty times each optimizer's usual rate (0.005 to 2 for SGD), and were widened where the best sat on an edge. Methods with the same optimizer and controller share their search.",
            tuning.count()
        )],
        tables: vec![PageTable {
            caption: "What each method was tuned by".to_owned(),
            head: PageTable::heads(&["method", "tuning trials", "tuned"]),
            rows: rows.collect(),
        }],
        remarks: result.decisions.clone(),
        ..Section::default()
    }
}
