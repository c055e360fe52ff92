//! What a reader meets first: the answer, what it rests on, what would change it.

use batchscope_scaling::{Curve, Recommendation};

use crate::figures::{Data, list};
use crate::format::{count, duration, estimate_as, number, times};
use crate::plot::svg::escape;

use super::html_text;

pub(super) fn section(out: &mut String, data: &Data) {
    let study = &data.findings.study;
    out.push_str("<header>\n");
    out.push_str(&format!(
        "<p class=\"kicker\">batchscope · {} · {} · target {}</p>\n",
        escape(&study.model),
        escape(&study.data),
        escape(&study.target.to_string())
    ));
    out.push_str(&format!("<h1>{}</h1>\n", html_text(&data.findings.verdict)));
    if let Some(advice) = &data.findings.advice {
        out.push_str(&format!(
            "<p class=\"lead\">{}</p>\n",
            recommendation(data, &advice.recommended)
        ));
    }
    out.push_str("</header>\n<section class=\"pair\" aria-label=\"Grounds\"><div><h2>What it rests on</h2><ul>");
    for sentence in grounds(data) {
        out.push_str(&format!("<li>{}</li>", escape(&sentence)));
    }
    out.push_str("</ul></div>\n<div><h2>What to weigh, and what would change it</h2><ul>");
    for sentence in changes(data) {
        out.push_str(&format!("<li>{sentence}</li>"));
    }
    out.push_str("</ul></div></section>\n");
}

fn recommendation(data: &Data, r: &Recommendation) -> String {
    let mut setting = format!("<strong>batch size {}</strong>", r.batch_size);
    let devices = if r.devices > 1 {
        format!(" on {} devices", r.devices)
    } else {
        String::new()
    };
    if r.micro_batch < r.batch_size {
        setting.push_str(&format!(
            " (micro-batches of {}, {} per step)",
            r.micro_batch, r.accumulation
        ));
    }
    let mut text = format!(
        "On this machine train with {setting}{devices}, learning rate <strong>{}</strong> and {} warm-up steps: {} to the target",
        number(r.learning_rate),
        count(r.warm_up_steps),
        estimate_as(&r.seconds, duration)
    );
    let curve = data.findings.curves.iter().find(|c| c.rule == r.curve);
    if let Some(comparison) = curve.and_then(|c| comparison(c, r)) {
        text.push_str(&format!(", {comparison}"));
    }
    text.push('.');
    text
}

/// Against the smallest batch size that reached the target.
fn comparison(curve: &Curve, r: &Recommendation) -> Option<String> {
    let base = curve.points.iter().find(|p| p.steps.is_estimated())?;
    let here = curve.points.iter().find(|p| p.batch_size == r.batch_size)?;
    if base.batch_size == here.batch_size {
        return None;
    }
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?).filter(|r| r.is_finite());
    Some(format!(
        "{} fewer steps than batch size {} at {} its examples",
        times(ratio(base.steps.value, here.steps.value)?),
        base.batch_size,
        times(ratio(here.examples.value, base.examples.value)?)
    ))
}

fn grounds(data: &Data) -> Vec<String> {
    let study = &data.findings.study;
    let mut out = Vec::new();
    let total: u64 = study.trials.values().sum();
    let ends: Vec<String> = study
        .trials
        .iter()
        .map(|(state, n)| format!("{} {}", count(*n), state.replace('_', " ")))
        .collect();
    out.push(if total == 0 {
        "No trial has finished yet.".into()
    } else {
        format!("{} trials: {}.", count(total), list(&ends))
    });
    let sizes = &study.batch_sizes;
    if let (Some(first), Some(last)) = (sizes.first(), sizes.last()) {
        let range = if sizes.len() > 1 {
            format!("{} batch sizes from {first} to {last}", sizes.len())
        } else {
            format!("one batch size, {first}")
        };
        let tuning = if study.tune == "base" {
            format!(
                "the learning rate tuned at batch size {} and carried by each rule",
                study.base_batch
            )
        } else {
            "the learning rate tuned afresh at each".to_owned()
        };
        out.push(format!(
            "{range}, {} fresh seeds each, {tuning}.",
            study.seeds
        ));
    }
    out.push(format!(
        "The target {} ({}).",
        study.target, study.target_origin
    ));
    out
}

/// The findings' own remarks, in HTML: what the numbers do not hold, and what would settle them.
/// The first says what they rest on, which the grounds say in more detail.
fn changes(data: &Data) -> Vec<String> {
    let remarks = data
        .findings
        .remarks
        .iter()
        .filter(|r| !r.starts_with("It rests on"));
    let mut out: Vec<String> = remarks.map(|remark| code(&html_text(remark))).collect();
    if out.is_empty() {
        out.push("More seeds would narrow the intervals; another model, data set or target would move them.".into());
    }
    out
}

/// Text between backticks set as code.
fn code(html: &str) -> String {
    let parts: Vec<&str> = html.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html.to_owned();
    }
    let mark = |(i, part): (usize, &&str)| {
        if i % 2 == 1 {
            format!("<code>{part}</code>")
        } else {
            (*part).to_owned()
        }
    };
    parts.iter().enumerate().map(mark).collect()
}
