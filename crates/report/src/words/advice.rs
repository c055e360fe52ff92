//! The advice in one sentence.

use batchscope_scaling::{Advice, Findings};

use crate::format::{estimate_short_as, learning_rate, rough_duration, times, warm_up};

/// What to train with, and what that buys over the smallest batch size of the curve.
pub(crate) fn advice_sentence(findings: &Findings, advice: &Advice) -> String {
    let best = &advice.recommended;
    // Chosen as the fastest from the runs that time it, it looks a little faster than it is: no more
    // digits than the interval bears.
    let time = match best.seconds.value {
        None => "an unknown time".to_owned(),
        Some(_) => estimate_short_as(&best.seconds, rough_duration),
    };
    let gain = advice.gain(findings).map_or_else(String::new, |gain| {
        format!(
            ", {} as fast as batch size {} at {} its examples",
            times(gain.faster),
            gain.over,
            times(gain.examples)
        )
    });
    format!(
        "On this machine train with batch size {}, micro-batch {}, learning rate {}, {}: about {time} to {}{gain}.",
        best.batch_size,
        best.micro_batch,
        learning_rate(best.learning_rate, best.momentum),
        warm_up(best.warm_up_steps, ""),
        findings.study.target,
    )
}
