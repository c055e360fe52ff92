//! The sentence a reader meets first.

use batchscope_core::{Estimate, EstimateState};
use batchscope_scaling::{Curve, Findings};

use super::reason;

/// The sentence a reader meets first.
pub(super) fn verdict(findings: &Findings) -> String {
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
            let largest = curve.largest_reached();
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
                    reason(knee)
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
            format!("{name} unknown ({})", reason(knee))
        }
        _ => format!("{name} {knee}"),
    }
}
