//! The findings in words: one sentence first, then what it rests on and what would change it.
//!
//! The analysis finds numbers and states; here they become the sentences of `findings.json`.

mod advice;
mod conditions;
mod remarks;
mod verdict;

use batchscope_core::Estimate;
use batchscope_core::format::plain;
use batchscope_scaling::Findings;

pub(crate) use advice::advice_sentence;
pub(crate) use remarks::{reached, runs_each};

/// Puts the findings into words: their verdict, their remarks, and the commands that would settle
/// what is only bounded. `command` writes the command of this study with these batch sizes.
pub fn put_into_words(findings: &mut Findings, command: impl Fn(&[u64]) -> String) {
    for curve in &findings.curves {
        let critical = findings.critical_batch_size.get_mut(&curve.rule);
        if let Some(settle) = critical.and_then(|c| c.to_settle.as_mut()) {
            let known = curve.points.iter().map(|p| p.batch_size);
            let mut all: Vec<u64> = known.chain(settle.batch_sizes.iter().copied()).collect();
            all.sort_unstable();
            settle.command = command(&all);
        }
    }
    findings.verdict = plain(&verdict::verdict(findings));
    let remarks = remarks::remarks(findings);
    findings.remarks = remarks.iter().map(|remark| plain(remark)).collect();
}

/// Batch sizes, one after the other.
fn list(batch_sizes: &[u64]) -> String {
    let text: Vec<String> = batch_sizes.iter().map(u64::to_string).collect();
    text.join(", ")
}

/// Why an estimate is none.
fn reason(estimate: &Estimate) -> &str {
    estimate
        .reason
        .as_deref()
        .unwrap_or("no reason was recorded")
}
