//! The advice in one sentence.

use batchscope_scaling::{Advice, Findings};

use crate::format::{count, duration, number, times};

/// What to train with, and what that buys over the smallest batch size of the curve.
pub(crate) fn advice_sentence(findings: &Findings, advice: &Advice) -> String {
    let best = &advice.recommended;
    let time = best.seconds.value;
    let gain = advice.gain(findings).map_or_else(String::new, |gain| {
        format!(
            ", {} as fast as batch size {} at {} its examples",
            times(gain.faster),
            gain.over,
            times(gain.examples)
        )
    });
    format!(
        "On this machine train with batch size {}, micro-batch {}, learning rate {}, {} warm-up steps: about {} to {}{gain}.",
        best.batch_size,
        best.micro_batch,
        number(best.learning_rate),
        count(best.warm_up_steps),
        time.map_or_else(|| "an unknown time".to_owned(), duration),
        findings.study.target,
    )
}
