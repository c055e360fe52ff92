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
        "{} with batch size {}, micro-batch {}{}: about {time} to {}{gain}.",
        match findings.study.measured_elsewhere {
            None => "On this machine train",
            Some(_) => "By the step times of the table train",
        },
        best.batch_size,
        best.micro_batch,
        match (&findings.study.measured_elsewhere, best.learning_rate) {
            (None, rate) => format!(
                ", learning rate {}, {}",
                learning_rate(rate.unwrap_or(f64::NAN), best.momentum),
                warm_up(best.warm_up_steps, "")
            ),
            (Some(_), Some(rate)) => format!(", learning rate {}", learning_rate(rate, None)),
            (Some(_), None) => String::new(),
        },
        findings.study.goal(),
    )
}
