//! The advice in one sentence.

use batchscope_scaling::{Advice, DeviceOption, Findings};

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
    let fastest = fastest(findings, advice).map_or_else(String::new, |fastest| {
        format!(
            " The fastest by its estimate, batch size {fastest}, cannot be told apart in time, and is estimated to need more examples."
        )
    });
    format!(
        "{} with batch size {}, micro-batch {}{}: about {time} to {}{gain}.{fastest}",
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

/// The batch size with the least estimated time on one device, where another one is recommended because it
/// needs fewer examples.
fn fastest(findings: &Findings, advice: &Advice) -> Option<u64> {
    let alone = advice.options.iter().filter(|o| o.devices == 1);
    let time = |o: &&DeviceOption| o.seconds.value.unwrap_or(f64::INFINITY);
    let fastest = alone.min_by(|a, b| time(a).total_cmp(&time(b)))?.batch_size;
    let curve = (findings.curves.iter()).find(|c| c.rule == advice.recommended.curve)?;
    let at = |batch_size| curve.points.iter().find(|p| p.batch_size == batch_size);
    let examples = |batch_size| at(batch_size)?.examples.value;
    (examples(fastest)? > examples(advice.recommended.batch_size)?).then_some(fastest)
}
