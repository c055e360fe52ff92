//! Where does a first-order step stop describing the loss? (Golmant et al. 2018)

use super::by_batch::{ByBatch, Dot, Reference, Series};
use super::{Data, cells, csv, drawn, rule_name};
use crate::format::{estimate, number};
use crate::plot::figure::Figure;

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let points = &data.findings.linearity;
    if points.iter().all(|p| drawn(&p.gap).is_none()) {
        return None;
    }
    let broken = points
        .iter()
        .find(|p| drawn(&p.gap).is_some_and(|v| v > 1.0));
    let title = match broken {
        Some(p) => format!(
            "The first-order prediction breaks at batch size {}, where its error passes 1",
            number(p.batch_size as f64)
        ),
        None => "The first-order prediction of a step holds at every batch size probed".to_owned(),
    };
    let caption = "The error |L − L̂| of the loss predicted from the gradient for one plain step at the rate in use, on the fixed \
                   training subset: geometric mean over a run's evaluations and over seeds, with 95 % intervals. Linear scaling \
                   of the learning rate presumes it is small; above 1 the presumption is gone."
        .to_owned();
    let rows = points.iter().map(|p| {
        let mut row = vec![p.curve.clone(), p.batch_size.to_string()];
        row.extend(cells(&p.gap));
        row
    });
    let csv = csv(
        &["curve", "batch_size", "gap", "low", "high", "state"],
        rows,
    );
    let description = format!("{title}. Chart of the linearization error against batch size.");
    Some(
        Figure::new("linearity", title, caption, description, csv)
            .view("", "", |c| plot(data).draw(c)),
    )
}

fn plot<'a>(data: &Data<'a>) -> ByBatch<'a> {
    let points = &data.findings.linearity;
    let mut rules: Vec<&str> = points.iter().map(|p| p.curve.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let series = rules
        .into_iter()
        .map(|rule| Series {
            rule: rule.to_owned(),
            category: data.category(rule),
            dots: points
                .iter()
                .filter(|p| p.curve == rule)
                .map(|p| Dot {
                    batch: p.batch_size as f64,
                    y: p.gap.clone(),
                    state: None,
                    seeds: Vec::new(),
                    tip: format!(
                        "batch {}, {}: error {}",
                        p.batch_size,
                        rule_name(rule),
                        estimate(&p.gap)
                    ),
                })
                .collect(),
            fit: Vec::new(),
            join: true,
        })
        .collect();
    let (low, high) = (
        points.iter().map(|p| p.batch_size).min().unwrap_or(1) as f64,
        points.iter().map(|p| p.batch_size).max().unwrap_or(1) as f64,
    );
    ByBatch {
        y_name: "|L − L̂|",
        series,
        regimes: None,
        critical: None,
        reference: Some(Reference {
            points: vec![(low / 2.0, 1.0), (high, 1.0), (high * 2.0, 1.0)],
            label: "",
            class: "limit",
        }),
        log: true,
    }
}
