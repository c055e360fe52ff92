//! The sentence a reader meets first.

use batchscope_core::{Estimate, EstimateState};
use batchscope_scaling::{Curve, Findings};

use super::{conditions::in_parentheses, reason};
use crate::{
    figures::{list, rule_name},
    format::p_value,
};

/// The sentence a reader meets first.
pub(super) fn verdict(findings: &Findings) -> String {
    let target = findings.study.goal();
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
            let conditions = in_parentheses(&findings.study);
            let largest = curve.largest_reached().unwrap_or_default();
            match knee.state {
                EstimateState::Estimated => format!(
                    "Up to about {knee} examples a batch, doubling the batch still saves more than a quarter of the steps to {target}{conditions}; beyond, less.{}",
                    rejected(curve)
                ),
                EstimateState::AtLeast => format!(
                    "The critical batch size for {target} is {knee}{conditions}: up to there, doubling the batch saves more than a quarter of the steps. The largest batch size that reached the target is {largest}."
                ),
                EstimateState::AtMost => format!(
                    "The critical batch size for {target} is {knee}{conditions}: beyond, doubling the batch saves less than a quarter of the steps, already at the smallest batch sizes studied."
                ),
                EstimateState::Undefined => format!(
                    "The critical batch size for {target}{conditions} cannot be told from these trials: {}.",
                    reason(knee)
                ),
            }
        }
        several => {
            let conditions = in_parentheses(&findings.study);
            let each: Vec<String> = several
                .iter()
                .map(|(curve, knee)| knee_of(curve, knee))
                .collect();
            format!(
                "Up to these batch sizes, doubling the batch still saves more than a quarter of the steps to {target}{conditions}, by {}: {}.{}",
                match findings.study.measured_elsewhere {
                    None => "rule",
                    Some(_) => "curve",
                },
                each.join("; "),
                rejected_among(several)
            )
        }
    }
}

/// A critical batch size of a curve that the data reject describes it, and is no estimate of its law.
fn rejected(curve: &Curve) -> String {
    curve.rejected().map_or_else(String::new, |p| {
        format!(
            " That number describes the curve and is no estimate: the runs reject the hyperbola behind it (p {}).",
            p_value(p)
        )
    })
}

/// Which of several curves the runs reject.
fn rejected_among(curves: &[(&Curve, Estimate)]) -> String {
    let estimated = curves.iter().filter(|(_, knee)| knee.is_estimated());
    let rejected = estimated.filter(|(curve, _)| curve.rejected().is_some());
    let names: Vec<String> = rejected.map(|(curve, _)| rule_name(&curve.rule)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            " The runs reject the hyperbola of {}: such a number describes its curve and is no estimate.",
            list(&names)
        ),
    }
}

fn knee_of(curve: &Curve, knee: &Estimate) -> String {
    let name = rule_name(&curve.rule);
    match knee.state {
        EstimateState::Estimated => format!("{name} about {knee}"),
        EstimateState::Undefined => {
            format!("{name} unknown ({})", reason(knee))
        }
        _ => format!("{name} {knee}"),
    }
}
