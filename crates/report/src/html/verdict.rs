//! What a reader meets first: the answer, what it rests on, what would change it.

use batchwise_scaling::{Curve, Recommendation};

use crate::figures::{Data, list, rule_name};
use crate::format::{count, duration, estimate, estimate_as, estimate_value, number, times};
use crate::plot::svg::escape;

use super::html_text;

pub(super) fn section(out: &mut String, data: &Data) {
    let study = &data.findings.study;
    out.push_str("<header>\n");
    out.push_str(&format!(
        "<p class=\"kicker\">batchwise · {} · {} · target {}</p>\n",
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
    out.push_str("</ul></div>\n<div><h2>What would change it</h2><ul>");
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
    for curve in &data.findings.curves {
        let Some(cbs) = data.findings.critical_batch_size.get(&curve.rule) else {
            continue;
        };
        let name = if data.findings.curves.len() > 1 {
            format!("{}: ", rule_name(&curve.rule))
        } else {
            String::new()
        };
        let differ = cbs
            .disagreement
            .map(|d| format!("; they differ by {} at most", times(d)))
            .unwrap_or_default();
        out.push(format!(
            "{name}{} by the fitted hyperbola, {} by 20 % overhead, {} by the plateau{differ}.",
            estimate(&cbs.hyperbola),
            estimate_value(&cbs.overhead20),
            estimate_value(&cbs.plateau)
        ));
    }
    let doubtful: Vec<String> = data
        .findings
        .curves
        .iter()
        .filter_map(|c| Some((c, c.fit.as_ref()?.lack_of_fit_p.filter(|p| *p < 0.05)?)))
        .map(|(c, p)| format!("{} (lack of fit p = {})", rule_name(&c.rule), number(p)))
        .collect();
    if !doubtful.is_empty() {
        out.push(format!(
            "The model does not describe {}: trust the points there before the fit.",
            list(&doubtful)
        ));
    }
    out
}

/// Sentences in HTML.
fn changes(data: &Data) -> Vec<String> {
    let mut out = Vec::new();
    let many = data.findings.curves.len() > 1;
    let easiest = data.findings.curves.iter().filter_map(|c| {
        let moves = data.findings.targets.get(&c.rule)?;
        Some((
            rule_name(&c.rule),
            moves.last().filter(|_| moves.len() > 1)?,
        ))
    });
    let easiest: Vec<_> = easiest.collect();
    let same = easiest.windows(2).all(|w| w[0].1.target == w[1].1.target);
    let words: Vec<String> = easiest
        .iter()
        .map(|(name, m)| {
            let with = if many {
                format!(" with {}", escape(name))
            } else {
                String::new()
            };
            let at = if same {
                String::new()
            } else {
                format!(" at {}", escape(&m.target.to_string()))
            };
            format!("{}{with}{at}", estimate_value(&m.hyperbola))
        })
        .collect();
    if let Some((_, first)) = easiest.first() {
        let target = if same {
            format!(" {}", escape(&first.target.to_string()))
        } else {
            String::new()
        };
        out.push(format!(
            "An easier target{target}: from the same runs the critical batch size is {}.",
            list(&words)
        ));
    }
    for curve in &data.findings.curves {
        let name = if many {
            format!("{}: ", escape(&rule_name(&curve.rule)))
        } else {
            String::new()
        };
        if let Some(settle) = data
            .findings
            .critical_batch_size
            .get(&curve.rule)
            .and_then(|c| c.to_settle.as_ref())
        {
            out.push(format!(
                "{name}What is only bounded would be settled by batch sizes {}, at most {} examples and {} more: <code>{}</code>",
                list(&settle.batch_sizes.iter().map(u64::to_string).collect::<Vec<_>>()),
                number(settle.examples),
                duration(settle.seconds),
                escape(&settle.command)
            ));
        }
    }
    out.extend(data.findings.remarks.iter().map(|r| html_text(r)));
    if out.is_empty() {
        out.push("More seeds would narrow the intervals; another model, data set or target would move them.".into());
    }
    out
}
