//! What a reader meets first: the answer, what it rests on, what would change it.

use batchscope_scaling::{Curve, Recommendation};
use maud::{Markup, html};

use crate::figures::{Data, list};
use crate::format::{count, estimate_as, number, rough_duration, times, warm_up};

use super::prose;
use crate::words::{reached, runs_each};

/// What the answer rests on, and what would change it.
pub(super) fn grounds(data: &Data) -> Markup {
    html! {
        section.pair aria-label="Grounds" {
            div {
                h2 { "What it rests on" }
                ul { @for sentence in rests_on(data) { li { (prose(&sentence)) } } }
            }
            div {
                h2 { "What to weigh, and what would change it" }
                ul { @for sentence in changes(data) { li { (code(sentence)) } } }
            }
        }
    }
}

/// The setting to train with, where there is advice.
pub(super) fn recommendation(data: &Data) -> Option<Markup> {
    let r = &data.findings.advice.as_ref()?.recommended;
    let curve = data.findings.curves.iter().find(|c| c.rule == r.curve);
    let comparison = curve.and_then(|c| comparison(c, r));
    let micro_batches = match r.micro_batch < r.batch_size {
        true => format!(
            " (micro-batches of {}, {} per step)",
            r.micro_batch, r.accumulation
        ),
        false => String::new(),
    };
    let devices = match r.devices {
        0 | 1 => String::new(),
        n => format!(" on {n} devices"),
    };
    let time = estimate_as(&r.seconds, rough_duration);
    let elsewhere = data.findings.study.measured_elsewhere.is_some();
    let by = if elsewhere {
        "By the step times of the table train with "
    } else {
        "On this machine train with "
    };
    Some(html! {
        (by) strong { "batch size " (r.batch_size) } (micro_batches) (devices)
        @if let Some(rate) = r.learning_rate { ", learning rate " strong { (number(rate)) } }
        @if let Some(momentum) = r.momentum { ", momentum " strong { (number(momentum)) } }
        @if !elsewhere { " and " (warm_up(r.warm_up_steps, "")) }
        ": " (prose(&time)) " to the target"
        @if let Some(comparison) = comparison { ", " (comparison) }
        "."
    })
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

fn rests_on(data: &Data) -> Vec<String> {
    let study = &data.findings.study;
    let mut out = Vec::new();
    let total: u64 = study.trials.values().sum();
    let ends: Vec<String> = study
        .trials
        .iter()
        .map(|(state, n)| format!("{} {}", count(*n), state.replace('_', " ")))
        .collect();
    let elsewhere = study.measured_elsewhere.as_ref();
    out.push(match elsewhere {
        None if total == 0 => "No trial has finished yet.".into(),
        None => format!("{} trials: {}.", count(total), list(&ends)),
        Some(_) => format!("{} runs measured elsewhere: {}.", count(total), list(&ends)),
    });
    let sizes = &study.batch_sizes;
    if let (Some(first), Some(last)) = (sizes.first(), sizes.last()) {
        let range = if sizes.len() > 1 {
            format!("{} batch sizes from {first} to {last}", sizes.len())
        } else {
            format!("one batch size, {first}")
        };
        let tuning = if elsewhere.is_some() {
            "how the learning rates were chosen is not stated".to_owned()
        } else if study.tune == "base" {
            format!(
                "the learning rate tuned at batch size {} and carried by each rule",
                study.base_batch
            )
        } else {
            "the learning rate tuned afresh at each".to_owned()
        };
        let seeds = match elsewhere {
            None => format!("{} fresh seeds each", study.seeds),
            Some(_) => runs_each(data.findings),
        };
        out.push(format!("{range}, {seeds}, {tuning}."));
    }
    out.push(match &study.target {
        Some(target) if elsewhere.is_some() => {
            format!("The target is {target} ({}).", study.target_origin)
        }
        Some(target) => format!(
            "The target is {target} ({}), {}.",
            study.target_origin,
            reached(study)
        ),
        None => {
            "The target is not stated: steps are those to whatever the table counts to.".to_owned()
        }
    });
    out
}

/// The findings' own remarks: what the numbers do not hold, and what would settle them. The first
/// says what they rest on, which the grounds say in more detail.
fn changes<'a>(data: &Data<'a>) -> Vec<&'a str> {
    let remarks = data.findings.remarks.iter().map(String::as_str);
    let out: Vec<&str> = remarks.filter(|r| !r.starts_with("It rests on")).collect();
    match out.is_empty() {
        true => vec![
            "More seeds would narrow the intervals; another model, data set or target would move them.",
        ],
        false => out,
    }
}

/// Text with what stands between backticks set as code.
fn code(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (prose(text)) };
    }
    html! {
        @for (i, part) in parts.iter().enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (prose(part)) }
        }
    }
}
