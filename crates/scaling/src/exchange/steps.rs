//! Steps of several replicas on the machine that exchanges were measured on: measured steps plus measured exchanges.

use batchscope_core::{Estimate, StepTiming};
use serde::Serialize;

use super::{ExchangeAsked, ExchangeMeasurement, LEVEL, NoExchange, Operation, Reading};
use crate::cost::{StepTime, StepTimes};

/// A step that several replicas make together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExchangeStep {
    /// Replicas.
    pub ranks: u64,
    /// What they exchange.
    pub operation: Operation,
    /// Examples that a replica takes: `⌈B/ranks⌉`.
    pub share: u64,
    /// Seconds of a step of so many examples, alone on the machine.
    pub step: Estimate,
    /// True if exactly this step was timed; otherwise it is modeled from timed micro-batches.
    pub step_measured: bool,
    /// Seconds of the exchange.
    pub exchange: Estimate,
    /// How it follows from the measured sizes; `None` where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// The sum of both, one after the other.
    pub seconds: Estimate,
}

/// Seconds of a step of `batch_size` examples with an exchange of `numbers` numbers, for every exchange that was measured:
///
/// ```text
/// seconds = step of ⌈B/n⌉ examples, as timed alone + exchange between n
/// ```
///
/// A replica's step is taken as if it had the whole machine. Replicas that share its cores compute more slowly, up to `n`
/// times: then the sum is what a step takes at least. A part that is not known says why, and so does the sum.
///
/// # Errors
/// When the exchanges were measured on another machine than `machine`.
pub fn steps_on(
    machine: &str,
    measurement: &ExchangeMeasurement,
    timings: &[StepTiming],
    batch_size: u64,
    numbers: u64,
) -> Result<Vec<ExchangeStep>, NoExchange> {
    measurement.check_machine(machine)?;
    // What was timed comes before what is modeled from other steps, faster or not.
    let step = |share: u64| {
        let of_share = timings.iter().filter(|timing| timing.batch_size == share);
        let of_share: Vec<StepTiming> = of_share.cloned().collect();
        StepTimes::new(&of_share, LEVEL)
            .step(share)
            .or_else(|| StepTimes::new(timings, LEVEL).step(share))
    };
    let timed = measurement.timed().into_iter();
    Ok(timed
        .map(|(ranks, operation)| {
            let share = batch_size.div_ceil(ranks.max(1));
            let step = match batch_size < ranks {
                true => None,
                false => step(share),
            };
            let asked = ExchangeAsked {
                machine,
                carrier: measurement.carrier,
                operation,
                ranks,
                numbers,
            };
            let (exchange, reading) = match measurement.seconds(&asked) {
                Ok(time) => (time.seconds, Some(time.reading)),
                Err(why) => (Estimate::undefined(LEVEL, 0, why.to_string()), None),
            };
            let seconds_of_step = seconds_of(step, share);
            ExchangeStep {
                ranks,
                operation,
                share,
                seconds: sum(&seconds_of_step, &exchange),
                step_measured: step.is_some_and(|step| step.measured),
                step: seconds_of_step,
                exchange,
                reading,
            }
        })
        .collect())
}

/// A step's seconds with their interval.
fn seconds_of(step: Option<StepTime>, share: u64) -> Estimate {
    match step {
        Some(step) => {
            let factor = step.ln_half.exp();
            let seconds = step.seconds;
            Estimate::estimated(seconds, seconds / factor, seconds * factor, LEVEL, 1)
        }
        None => {
            let why = format!("no micro-batch of {share} or fewer examples was timed");
            Estimate::undefined(LEVEL, 0, why)
        }
    }
}

/// The sum of two independent times: half-widths of their intervals in quadrature.
fn sum(a: &Estimate, b: &Estimate) -> Estimate {
    for part in [a, b] {
        if part.value.is_none() {
            return part.clone();
        }
    }
    let value = |e: &Estimate| e.value.unwrap_or(f64::NAN);
    let total = value(a) + value(b);
    let side = |end: fn(&Estimate) -> Option<f64>| {
        let half = |e: &Estimate| end(e).map_or(0.0, |end| end - value(e));
        half(a).hypot(half(b))
    };
    let (below, above) = (side(|e| e.low), side(|e| e.high));
    Estimate::estimated(total, total - below, total + above, LEVEL, b.n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Carrier, EXCHANGE_VERSION, ExchangeRow};

    fn timing(batch_size: u64, seconds: f64) -> StepTiming {
        StepTiming {
            batch_size,
            micro_batch: batch_size,
            seconds,
            low: 0.98 * seconds,
            high: 1.02 * seconds,
            n: 16,
        }
    }

    fn measurement() -> ExchangeMeasurement {
        let row = |operation, ranks, seconds: f64| ExchangeRow {
            operation,
            ranks,
            numbers: 1000,
            seconds,
            low: 0.97 * seconds,
            high: 1.03 * seconds,
            n: 16,
        };
        ExchangeMeasurement {
            version: EXCHANGE_VERSION,
            machine: "here".to_owned(),
            cores: 2,
            carrier: Carrier::Threads,
            rows: vec![
                row(Operation::AllReduce, 2, 0.003),
                row(Operation::Ring, 4, 0.004),
                row(Operation::AllReduce, 64, 0.004),
            ],
        }
    }

    #[test]
    fn a_step_is_the_share_of_the_batch_and_the_exchange() {
        let timings = [timing(64, 0.04), timing(32, 0.02)];
        let steps = steps_on("here", &measurement(), &timings, 64, 1000).unwrap();
        let two = &steps[0];
        assert_eq!((two.ranks, two.share, two.step_measured), (2, 32, true));
        assert!((two.seconds.value.unwrap() - 0.023).abs() < 1e-12);
        // Half-widths of 1.96·1.2533/1.349·0.04/4 and ·0.06/4, in quadrature.
        let half = |spread: f64, seconds: f64| {
            seconds * ((1.959_964 * 1.2533 / 1.349 * spread / 4.0f64).exp() - 1.0)
        };
        let above = half(0.04, 0.02).hypot(half(0.06, 0.003));
        assert!((two.seconds.high.unwrap() - 0.023 - above).abs() < 1e-8);
        // Sixteen examples: no micro-batch as small was timed. Sixty-four replicas: one each.
        for step in &steps[1..] {
            let why = step.seconds.reason.as_deref().unwrap();
            assert!(step.seconds.value.is_none() && why.contains("or fewer examples"));
        }
    }

    /// Twice sixteen examples in 10 ms by proportion, and 32 in 20 ms by the clock.
    #[test]
    fn a_timed_step_comes_before_a_modeled_one() {
        let four = StepTiming {
            micro_batch: 16,
            ..timing(64, 0.02)
        };
        let modeled = steps_on(
            "here",
            &measurement(),
            std::slice::from_ref(&four),
            64,
            1000,
        );
        let two = &modeled.unwrap()[0];
        assert!(!two.step_measured && (two.step.value.unwrap() - 0.01).abs() < 1e-12);
        let timings = [four, timing(32, 0.02)];
        let timed = steps_on("here", &measurement(), &timings, 64, 1000);
        let two = &timed.unwrap()[0];
        assert!(two.step_measured && two.step.value == Some(0.02));
    }

    #[test]
    fn another_machine_and_another_size_are_refused() {
        let timings = [timing(32, 0.02)];
        let refused = steps_on("there", &measurement(), &timings, 64, 1000);
        assert!(matches!(refused, Err(NoExchange::Machine { .. })));
        let steps = steps_on("here", &measurement(), &timings, 64, 5000).unwrap();
        let why = steps[0].seconds.reason.as_deref().unwrap();
        assert!(why.contains("5000 numbers"), "{why}");
        assert_eq!(steps[0].reading, None);
        // Fewer examples than replicas.
        let steps = steps_on("here", &measurement(), &[timing(1, 0.01)], 3, 1000).unwrap();
        assert!(steps[1].seconds.value.is_none() && steps[0].seconds.value.is_some());
    }
}
