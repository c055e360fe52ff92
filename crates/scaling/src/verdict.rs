//! The findings in words: one sentence first, then what it rests on and what would change it.

use batchscope_core::{Estimate, EstimateState};

use crate::curves::TUNED;
use crate::findings::{Curve, Findings, Fit, PointState};
use crate::fit::{LACK_OF_FIT_LEVEL, p_text};

/// The sentence a reader meets first.
pub(crate) fn verdict(findings: &Findings) -> String {
    let target = &findings.study.target;
    let knee = |curve: &Curve| {
        findings
            .critical_batch_size
            .get(&curve.rule)
            .map(|c| c.hyperbola.clone())
    };
    let knees: Vec<(&Curve, Estimate)> = findings
        .curves
        .iter()
        .filter_map(|c| Some((c, knee(c)?)))
        .collect();
    match knees.as_slice() {
        [] => format!(
            "No trial has measured steps to {target} yet, so there is no critical batch size to report."
        ),
        [(curve, knee)] => {
            let largest = largest_reached(curve);
            match knee.state {
                EstimateState::Estimated => format!(
                    "Past a batch size of about {knee}, doubling the batch size makes training to {target} less than 1.33 times as fast, not twice."
                ),
                EstimateState::AtLeast => format!(
                    "The critical batch size for {target} is {knee}: up to {}, the largest batch size that reached the target, larger batches still pay.",
                    largest.unwrap_or_default()
                ),
                EstimateState::AtMost => format!(
                    "The critical batch size for {target} is {knee}: already at the smallest batch sizes studied, larger batches save less than half of their steps."
                ),
                EstimateState::Undefined => format!(
                    "The critical batch size for {target} cannot be told from these trials: {}.",
                    knee.reason.as_deref().unwrap_or("no reason was recorded")
                ),
            }
        }
        several => {
            let each: Vec<String> = several
                .iter()
                .map(|(curve, knee)| knee_of(curve, knee))
                .collect();
            format!(
                "Batch size beyond which each rule stops paying, to {target}: {}.",
                each.join("; ")
            )
        }
    }
}

fn knee_of(curve: &Curve, knee: &Estimate) -> String {
    let name = curve.rule.to_uppercase();
    match knee.state {
        EstimateState::Estimated => format!("{name} about {knee}"),
        EstimateState::Undefined => {
            format!(
                "{name} unknown ({})",
                knee.reason.as_deref().unwrap_or("no reason was recorded")
            )
        }
        _ => format!("{name} {knee}"),
    }
}

fn largest_reached(curve: &Curve) -> Option<u64> {
    curve
        .points
        .iter()
        .filter(|p| matches!(p.state, PointState::Reached | PointState::Partly))
        .map(|p| p.batch_size)
        .max()
}

/// What the verdict rests on and what would change it, a sentence each.
pub(crate) fn remarks(findings: &Findings) -> Vec<String> {
    let mut remarks = vec![rests_on(findings)];
    for curve in &findings.curves {
        remarks.extend(definitions(findings, curve));
        if let Some(fit) = &curve.fit {
            remarks.extend(lack_of_fit(curve, fit));
        }
        remarks.extend(end_states(curve));
        remarks.extend(inside_warm_up(curve));
        remarks.extend(moves_with_target(findings, curve));
        remarks.extend(noise(findings, curve));
    }
    remarks.extend(tuning(findings));
    for curve in &findings.curves {
        remarks.extend(settle(findings, curve));
    }
    remarks
}

/// "tuned: " where there are several curves to tell apart.
fn about(findings: &Findings, curve: &Curve) -> String {
    if findings.curves.len() > 1 {
        format!("{}: ", curve.rule)
    } else {
        String::new()
    }
}

fn rests_on(findings: &Findings) -> String {
    let study = &findings.study;
    let fresh: u64 = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.repeats.len() as u64)
        .sum();
    let tuning: u64 = findings.tuning.iter().map(|t| t.trials).sum();
    let mut batch_sizes: Vec<u64> = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.batch_size)
        .collect();
    batch_sizes.sort_unstable();
    batch_sizes.dedup();
    format!(
        "It rests on {fresh} results of fresh seeds at {} batch sizes ({} seeds each) and {tuning} tuning trials, to the target {} ({}).",
        batch_sizes.len(),
        study.seeds,
        study.target,
        study.target_origin
    )
}

/// The gradient noise scale beside the critical batch size it predicts.
fn noise(findings: &Findings, curve: &Curve) -> Option<String> {
    let course = findings.quoted_noise(&curve.rule)?;
    let (scale, at) = (&course.population, course.batch_size);
    let Some(value) = scale.value else {
        return Some(format!(
            "{}The gradient noise scale at batch size {at} is undefined: {}.",
            about(findings, curve),
            scale.reason.as_deref().unwrap_or("no reason was recorded")
        ));
    };
    let knee = findings.critical_batch_size.get(&curve.rule)?;
    let beside = match (knee.hyperbola.state, knee.hyperbola.value) {
        (EstimateState::Estimated, Some(knee)) => {
            format!(
                ", {:.2} times the critical batch size measured",
                value / knee
            )
        }
        _ => String::new(),
    };
    Some(format!(
        "{}The gradient noise scale B_simple, averaged over training at batch size {at}, is {scale} examples{beside}.",
        about(findings, curve)
    ))
}

fn definitions(findings: &Findings, curve: &Curve) -> Option<String> {
    let critical = findings.critical_batch_size.get(&curve.rule)?;
    critical.hyperbola.value?;
    let agreement = match critical.disagreement {
        Some(ratio) if ratio <= 1.5 => format!("; they agree within a factor of {ratio:.2}"),
        Some(ratio) => {
            format!("; they differ by a factor of {ratio:.1}, so the curve is no exact hyperbola")
        }
        None => String::new(),
    };
    Some(format!(
        "{}Three definitions on one scale: fitted knee {}; 20 % more examples, divided by 0.2, {}; within 10 % of the fewest steps, divided by 10, {}{agreement}.",
        about(findings, curve),
        critical.hyperbola,
        critical.overhead20,
        critical.plateau,
    ))
}

fn lack_of_fit(curve: &Curve, fit: &Fit) -> Option<String> {
    let p = fit.lack_of_fit_p?;
    (p < LACK_OF_FIT_LEVEL).then(|| {
        format!(
            "The curve of {} is not a hyperbola to within its seed noise (lack of fit F = {:.1}, p {}): learning rates tuned unevenly or another shape; intervals are widened to the scatter between batch sizes.",
            curve.rule,
            fit.lack_of_fit_f.unwrap_or(f64::NAN),
            p_text(p)
        )
    })
}

fn list(batch_sizes: &[u64]) -> String {
    let text: Vec<String> = batch_sizes.iter().map(u64::to_string).collect();
    text.join(", ")
}

fn end_states(curve: &Curve) -> Vec<String> {
    let with = |state: PointState| -> Vec<u64> {
        curve
            .points
            .iter()
            .filter(|p| p.state == state)
            .map(|p| p.batch_size)
            .collect()
    };
    let mut remarks = Vec::new();
    let diverged: u64 = curve
        .points
        .iter()
        .filter_map(|p| p.outcomes.get("diverged"))
        .sum();
    if diverged > 0 {
        let at: Vec<u64> = curve
            .points
            .iter()
            .filter(|p| p.outcomes.contains_key("diverged"))
            .map(|p| p.batch_size)
            .collect();
        remarks.push(format!(
            "On the curve of {}, {diverged} trials diverged (batch sizes {}); they are counted and enter no fit.",
            curve.rule,
            list(&at)
        ));
    }
    let censored = with(PointState::NotReached);
    if !censored.is_empty() {
        let contradicted: Vec<u64> = curve
            .points
            .iter()
            .filter(|p| censored.contains(&p.batch_size) && past_the_fit(curve, p))
            .map(|p| p.batch_size)
            .collect();
        let more = if contradicted.is_empty() {
            String::new()
        } else {
            format!(
                " Of these, {} trained past the steps the fitted curve expects, so more steps than the curve says are needed there, if the target can be reached at all.",
                list(&contradicted)
            )
        };
        remarks.push(format!(
            "On the curve of {}, no trial reached the target at batch sizes {}.{more}",
            curve.rule,
            list(&censored)
        ));
    }
    let infeasible = with(PointState::Infeasible);
    if !infeasible.is_empty() {
        remarks.push(format!(
            "Batch sizes {} could not be run ({}).",
            list(&infeasible),
            curve.rule
        ));
    }
    remarks
}

/// True where even the bound on steps lies above the upper end of the fitted curve.
fn past_the_fit(curve: &Curve, point: &crate::findings::Point) -> bool {
    let Some(fit) = &curve.fit else { return false };
    let batch_size = point.batch_size as f64;
    let band = fit.band.iter().min_by(|a, b| {
        let distance = |p: &crate::findings::BandPoint| (p.batch_size / batch_size).ln().abs();
        distance(a).total_cmp(&distance(b))
    });
    band.zip(point.steps.value)
        .is_some_and(|(band, bound)| bound > band.high)
}

fn inside_warm_up(curve: &Curve) -> Option<String> {
    let at: Vec<u64> = curve
        .points
        .iter()
        .filter(|p| {
            p.repeats
                .iter()
                .any(|r| r.state == "reached" && r.steps <= p.warm_up_steps)
        })
        .map(|p| p.batch_size)
        .collect();
    (!at.is_empty()).then(|| {
        format!(
            "On the curve of {}, the target was reached inside warm-up at batch sizes {}: there the steps measure the warm-up too.",
            curve.rule,
            list(&at)
        )
    })
}

fn moves_with_target(findings: &Findings, curve: &Curve) -> Option<String> {
    let rows = findings.targets.get(&curve.rule)?;
    let here = rows.first()?;
    let easiest = rows.iter().skip(1).rfind(|r| r.hyperbola.value.is_some())?;
    here.hyperbola.value?;
    Some(format!(
        "{}The answer belongs to its target: at the easier {} the critical batch size is {}.",
        about(findings, curve),
        easiest.target,
        easiest.hyperbola
    ))
}

fn tuning(findings: &Findings) -> Vec<String> {
    let mut remarks = Vec::new();
    let edge: Vec<u64> = findings
        .tuning
        .iter()
        .filter(|t| t.on_edge)
        .map(|t| t.batch_size)
        .collect();
    if !edge.is_empty() {
        remarks.push(format!(
            "At batch sizes {} the best learning rate still sits on the edge of its range: a wider range may need fewer steps there.",
            list(&edge)
        ));
    }
    let chosen = findings
        .tuning
        .iter()
        .filter(|t| t.chosen.is_some())
        .count();
    let loose = findings
        .tuning
        .iter()
        .filter_map(|t| t.indistinct)
        .map(|(low, high)| high / low)
        .fold(1.0, f64::max);
    if chosen > 0 && loose > 1.0 {
        remarks.push(format!(
            "Intervals hold the noise of seeds, not of the choice of learning rate: rates up to a factor of {loose:.1} apart took steps within 10 % of each other."
        ));
    }
    remarks
}

fn settle(findings: &Findings, curve: &Curve) -> Option<String> {
    let critical = findings.critical_batch_size.get(&curve.rule)?;
    let settle = critical.to_settle.as_ref()?;
    let what = if critical.hyperbola.is_estimated() {
        "the definitions that are only bounds"
    } else {
        "the critical batch size"
    };
    Some(format!(
        "{}To settle {what}, add batch sizes {}: `{}` (at most {} examples, {}).",
        if curve.rule == TUNED {
            String::new()
        } else {
            about(findings, curve)
        },
        list(&settle.batch_sizes),
        settle.command,
        count(settle.examples),
        duration(settle.seconds)
    ))
}

/// A large number as people say it.
fn count(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.1} billion", x / 1e9),
        x if x >= 1e6 => format!("{:.1} million", x / 1e6),
        x => format!("{x:.0}"),
    }
}

/// A time as people say it.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 2.0 * 86_400.0 => format!("{:.1} days", s / 86_400.0),
        s if s >= 2.0 * 3600.0 => format!("{:.1} hours", s / 3600.0),
        s if s >= 120.0 => format!("{:.0} minutes", s / 60.0),
        s if s >= 10.0 => format!("{s:.0} seconds"),
        s if s >= 0.1 => format!("{s:.2} seconds"),
        s => format!("{:.2} milliseconds", s * 1e3),
    }
}
