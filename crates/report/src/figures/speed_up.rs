//! Does a larger batch save steps in proportion?

use batchscope_core::EstimateState;

use super::by_batch::{ByBatch, Dot, Reference, Series, tip};
use super::{Data, cells, csv, drawn, rule_name};
use crate::format::{estimate_value, number, times};
use crate::plot::figure::Figure;

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let any = data
        .findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .any(|p| drawn(&p.speed_up).is_some());
    if !any {
        return None;
    }
    let title = title(data);
    let elsewhere = data.findings.study.measured_elsewhere.is_some();
    let caption = format!(
        "Speed-up is steps to {} at the smallest batch size over steps at each batch size: geometric means over \
         {}, with 95 % intervals; the line is the fit S(B) = S_min·(1 + B_c/B). The \
         gray line is the ideal, where twice the batch needs half the steps. Open markers: some did not reach the target.",
        data.target(),
        match elsewhere {
            true => "runs",
            false => "fresh seeds at the learning rate in use there",
        }
    );
    let rows = data.findings.curves.iter().flat_map(|c| {
        c.points.iter().map(|p| {
            let mut row = vec![c.rule.clone(), p.batch_size.to_string()];
            row.extend(cells(&p.speed_up));
            row
        })
    });
    let csv = csv(
        &["curve", "batch_size", "speed_up", "low", "high", "state"],
        rows,
    );
    let description = format!(
        "{title}. Chart of speed-up against batch size; the table of points gives every value."
    );
    Some(
        Figure::new("speed-up", title, caption, description, csv)
            .view("log–log", "", |c| plot(data, true).draw(c))
            .view("linear axes", "linear", |c| plot(data, false).draw(c)),
    )
}

fn plot<'a>(data: &Data<'a>, log: bool) -> ByBatch<'a> {
    let mut base = f64::INFINITY;
    let series: Vec<Series> = data
        .findings
        .curves
        .iter()
        .map(|curve| {
            let first = curve.points.iter().find(|p| p.steps.is_estimated());
            let reference = first.and_then(|p| p.steps.value).unwrap_or(f64::NAN);
            base = base.min(first.map_or(f64::INFINITY, |p| p.batch_size as f64));
            Series {
                rule: curve.rule.clone(),
                category: data.category(&curve.rule),
                dots: curve
                    .points
                    .iter()
                    .map(|p| Dot {
                        batch: p.batch_size as f64,
                        y: p.speed_up.clone(),
                        state: Some(p.state),
                        seeds: Vec::new(),
                        tip: tip(
                            &curve.rule,
                            p.batch_size,
                            &p.speed_up,
                            "times fewer steps",
                            &p.outcomes,
                        ),
                    })
                    .collect(),
                fit: curve
                    .fit
                    .iter()
                    .flat_map(|f| &f.band)
                    .map(|b| {
                        (
                            b.batch_size,
                            reference / b.steps,
                            reference / b.high,
                            reference / b.low,
                        )
                    })
                    .collect(),
                join: curve.fit.is_none(),
            }
        })
        .collect();
    let top = data
        .findings
        .study
        .batch_sizes
        .iter()
        .max()
        .copied()
        .unwrap_or(1) as f64;
    let ideal = (0..=48)
        .map(|i| base * (top / base).powf(f64::from(i) / 48.0))
        .map(|b| (b, b / base))
        .collect();
    let single = (data.findings.curves.len() == 1).then(|| data.findings.curves[0].rule.as_str());
    ByBatch {
        y_name: "speed-up in steps (×)",
        series,
        regimes: single.and_then(|rule| data.findings.regimes.get(rule)),
        critical: single
            .and_then(|rule| data.findings.critical_batch_size.get(rule))
            .map(|c| &c.hyperbola),
        reference: Some(Reference {
            points: ideal,
            label: "ideal",
            class: "ideal",
        }),
        log,
    }
}

fn title(data: &Data) -> String {
    let Some(curve) = data.main_curve() else {
        return "No speed-up could be measured".to_owned();
    };
    if data.findings.curves.len() > 1 {
        let best = data
            .findings
            .curves
            .iter()
            .flat_map(|c| c.points.iter().map(move |p| (c, p)))
            .filter(|(_, p)| p.speed_up.is_estimated())
            .max_by(|a, b| {
                a.1.speed_up
                    .value
                    .unwrap_or(0.0)
                    .total_cmp(&b.1.speed_up.value.unwrap_or(0.0))
            });
        return best.map_or("No speed-up could be measured".to_owned(), |(c, p)| {
            format!(
                "{} saves the most steps: {} at batch size {}",
                rule_name(&c.rule),
                times(p.speed_up.value.unwrap_or(f64::NAN)),
                number(p.batch_size as f64)
            )
        });
    }
    let top = data
        .findings
        .study
        .batch_sizes
        .iter()
        .max()
        .copied()
        .unwrap_or(0) as f64;
    match data.findings.regimes.get(&curve.rule) {
        Some(r) if r.linear_below.state == EstimateState::AtLeast => {
            format!(
                "Speed-up is still nearly linear at batch size {}",
                estimate_value(&r.linear_below).replace("at least ", "")
            )
        }
        Some(r) if r.linear_below.is_estimated() => {
            let flat = match r.stagnation_above.value {
                Some(v) if v <= top => format!("flat past {}", estimate_value(&r.stagnation_above)),
                _ => "still bending at the largest batch".to_owned(),
            };
            format!(
                "Speed-up is linear to about {} and {flat}",
                estimate_value(&r.linear_below)
            )
        }
        _ => {
            let last = curve
                .points
                .iter()
                .rev()
                .find(|p| p.speed_up.is_estimated());
            last.map_or("No speed-up could be measured".to_owned(), |p| {
                format!(
                    "Batch size {} needs {} fewer steps",
                    number(p.batch_size as f64),
                    times(p.speed_up.value.unwrap_or(f64::NAN))
                )
            })
        }
    }
}
