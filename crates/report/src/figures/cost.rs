//! What does the target cost, in steps and in examples?

use batchscope_core::Estimate;
use batchscope_scaling::{Curve, Point};

use super::by_batch::{ByBatch, Dot, Reference, Seed, Series, tip};
use super::{Data, cells, csv, drawn, list, rule_name};
use crate::format::{number, p_value, times};
use crate::plot::figure::Figure;

/// Which cost: of a point, and of `steps` at a batch size.
struct Cost {
    id: &'static str,
    unit: &'static str,
    axis: String,
    of: fn(&Point) -> &Estimate,
    per_step: fn(f64) -> f64,
}

pub(super) fn steps(data: &Data) -> Option<Figure> {
    let cost = Cost {
        id: "steps-to-target",
        unit: "steps",
        axis: format!("steps to {}", data.target()),
        of: |p| &p.steps,
        per_step: |_| 1.0,
    };
    let title = steps_title(data)?;
    let caption = format!(
        "Small marks are single {}, large ones their geometric mean with its 95 % interval; the line and band are the \
         fit S(B) = S_min·(1 + B_c/B) with its pointwise interval. Open arrows are trials cut off by their cap before {}; \
         crosses along the top are trials that diverged.{}",
        data.runs(),
        data.target(),
        fit_words(data)
    );
    Some(figure(data, cost, title, caption))
}

pub(super) fn examples(data: &Data) -> Option<Figure> {
    let cost = Cost {
        id: "examples-to-target",
        unit: "examples",
        axis: format!("examples to {}", data.target()),
        of: |p| &p.examples,
        per_step: |batch| batch,
    };
    let title = examples_title(data)?;
    let caption = "Examples are steps times batch size, so the marks are those of the steps figure: flat while a larger batch \
                   only regroups the same work, rising once it wastes examples. Money and energy follow this curve."
        .to_owned();
    Some(figure(data, cost, title, caption))
}

fn figure(data: &Data, cost: Cost, title: String, caption: String) -> Figure {
    let rows = data.findings.curves.iter().flat_map(|curve| {
        let of = cost.of;
        curve.points.iter().map(move |p| {
            let mut row = vec![curve.rule.clone(), p.batch_size.to_string()];
            row.extend(cells(of(p)));
            row.push(
                p.repeats
                    .iter()
                    .map(|r| format!("{}:{}:{}", r.trial, r.steps, r.state))
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            row
        })
    });
    let csv = csv(
        &[
            "curve",
            "batch_size",
            cost.unit,
            "low",
            "high",
            "state",
            "trial:steps:state",
        ],
        rows,
    );
    let description = format!(
        "{title}. Chart of {} against batch size; the table of points gives every value.",
        cost.axis
    );
    Figure::new(cost.id, title, caption, description, csv)
        .view("log–log", "", |c| plot(data, &cost).draw(c))
}

fn plot<'a>(data: &Data<'a>, cost: &'a Cost) -> ByBatch<'a> {
    let single = (data.findings.curves.len() == 1).then(|| data.findings.curves[0].rule.as_str());
    let series = data
        .findings
        .curves
        .iter()
        .map(|curve| series(data, curve, cost))
        .collect();
    let reference = (cost.id == "steps-to-target")
        .then(|| perfect(data))
        .flatten();
    ByBatch {
        y_name: &cost.axis,
        series,
        regimes: single.and_then(|rule| data.findings.regimes.get(rule)),
        critical: single
            .and_then(|rule| data.findings.critical_batch_size.get(rule))
            .map(|c| &c.hyperbola),
        reference,
        log: true,
    }
}

/// The line on which twice the batch needs half the steps, through the first point.
fn perfect(data: &Data) -> Option<Reference> {
    let first = data
        .main_curve()?
        .points
        .iter()
        .find(|p| p.steps.is_estimated())?;
    let (base, steps) = (first.batch_size as f64, first.steps.value?);
    let top = *data.findings.study.batch_sizes.iter().max()? as f64;
    let points = (0..=48)
        .map(|i| base * (top / base).powf(f64::from(i) / 48.0))
        .map(|b| (b, steps * base / b))
        .collect();
    Some(Reference {
        points,
        label: "ideal",
        class: "ideal",
    })
}

fn series(data: &Data, curve: &Curve, cost: &Cost) -> Series {
    Series {
        rule: curve.rule.clone(),
        category: data.category(&curve.rule),
        dots: curve
            .points
            .iter()
            .map(|p| {
                let y = (cost.of)(p);
                let per_step = (cost.per_step)(p.batch_size as f64);
                Dot {
                    batch: p.batch_size as f64,
                    y: y.clone(),
                    state: Some(p.state),
                    seeds: p
                        .repeats
                        .iter()
                        .filter(|r| r.steps > 0)
                        .map(|r| Seed {
                            trial: r.trial,
                            y: r.steps as f64 * per_step,
                            tip: format!(
                                "trial {}, batch {}, {}: {} {} {}",
                                r.trial,
                                p.batch_size,
                                rule_name(&curve.rule),
                                r.state.replace('_', " "),
                                if r.state == "reached" { "after" } else { "at" },
                                format_args!("{} {}", number(r.steps as f64 * per_step), cost.unit),
                            ),
                            state: r.state.clone(),
                        })
                        .collect(),
                    tip: tip(&curve.rule, p.batch_size, y, cost.unit, &p.outcomes),
                }
            })
            .collect(),
        fit: curve
            .fit
            .iter()
            .flat_map(|f| &f.band)
            .map(|b| {
                let k = (cost.per_step)(b.batch_size);
                (b.batch_size, b.steps * k, b.low * k, b.high * k)
            })
            .collect(),
        join: curve.fit.is_none(),
    }
}

fn fit_words(data: &Data) -> String {
    let words: Vec<String> = data
        .findings
        .curves
        .iter()
        .filter_map(|c| Some((c, c.fit.as_ref()?)))
        .map(|(c, f)| {
            let mut text = format!("{} {} trials", rule_name(&c.rule), f.n);
            let rest = [
                (f.censored, "censored"),
                (f.diverged, "diverged and left out"),
            ];
            for (n, what) in rest.into_iter().filter(|(n, _)| *n > 0) {
                text.push_str(&format!(", {n} {what}"));
            }
            if let Some(p) = f.lack_of_fit_p {
                text.push_str(&format!(", lack of fit p {}", p_value(p)));
            }
            text
        })
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" Behind the fit: {}.", words.join("; "))
    }
}

fn steps_title(data: &Data) -> Option<String> {
    let curve = data.main_curve()?;
    let reached: Vec<&Point> = curve
        .points
        .iter()
        .filter(|p| p.steps.is_estimated())
        .collect();
    if data.findings.curves.len() > 1 {
        let top = |c: &Curve| {
            c.points
                .iter()
                .rev()
                .find(|p| p.steps.is_estimated())
                .map(|p| p.batch_size)
        };
        let curves = &data.findings.curves;
        let first = top(&curves[0]);
        if let Some(largest) = first.filter(|_| curves.iter().all(|c| top(c) == first)) {
            return Some(format!(
                "Every curve reaches the target up to batch size {largest}"
            ));
        }
        let words: Vec<String> = data
            .findings
            .curves
            .iter()
            .map(|c| {
                top(c).map_or(format!("{} at none", rule_name(&c.rule)), |b| {
                    format!("{} up to {b}", rule_name(&c.rule))
                })
            })
            .collect();
        return Some(format!(
            "Batch sizes that reach the target: {}",
            list(&words)
        ));
    }
    Some(match (reached.first(), reached.last()) {
        (Some(a), Some(b)) if a.batch_size != b.batch_size => format!(
            "From batch size {} to {} the steps fall from {} to {}",
            a.batch_size,
            b.batch_size,
            number(drawn(&a.steps)?),
            number(drawn(&b.steps)?)
        ),
        (Some(a), _) => format!(
            "Batch size {} reaches the target in {} steps",
            a.batch_size,
            number(drawn(&a.steps)?)
        ),
        _ if curve.points.iter().any(|p| !p.repeats.is_empty()) => {
            format!("No batch size reached {} within its cap", data.target())
        }
        _ => return None,
    })
}

fn examples_title(data: &Data) -> Option<String> {
    let costs: Vec<(String, f64, &Point, &Point)> = data
        .findings
        .curves
        .iter()
        .filter_map(|curve| {
            let cost = |p: &Point| p.examples.value.unwrap_or(f64::INFINITY);
            let reached = || curve.points.iter().filter(|p| p.examples.is_estimated());
            let least = reached().min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
            let last = reached().next_back()?;
            Some((
                rule_name(&curve.rule),
                cost(last) / cost(least),
                last,
                least,
            ))
        })
        .collect();
    Some(match &costs[..] {
        [] => return None,
        [(_, _, last, least)] if last.batch_size == least.batch_size => {
            format!(
                "Batch size {} needs the fewest examples: no batch studied is too large",
                last.batch_size
            )
        }
        [(_, ratio, last, least)] => {
            format!(
                "Batch size {} costs {} the examples of batch size {}",
                last.batch_size,
                times(*ratio),
                least.batch_size
            )
        }
        many => {
            let words: Vec<String> = many
                .iter()
                .map(|(name, ratio, last, _)| {
                    format!(
                        "{} the fewest with {name} ({})",
                        times(*ratio),
                        last.batch_size
                    )
                })
                .collect();
            format!(
                "Examples at the largest batch that reaches the target: {}",
                list(&words)
            )
        }
    })
}
