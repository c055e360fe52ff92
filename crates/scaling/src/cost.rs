//! Seconds of an optimizer step, on one device and on several.
//!
//! On one device a step of `s` examples is `⌈s/b⌉` micro-batches of a size `b` that was timed. Its
//! time is *measured* where exactly this step was timed. Otherwise it is *modeled*: linear in the
//! number of micro-batches between the timed numbers of the same `b`, in proportion outside them.
//!
//! On `n` devices each takes `⌈B/n⌉` examples, and a ring all-reduce of `P` gradients of 4 bytes
//! follows (Patarasuk and Yuan 2009), not overlapped with computing:
//! `2(n − 1)/n · 4P/bandwidth + 2(n − 1)·latency`.

use batchscope_core::{StepTiming, statistics::normal_quantile};

use crate::{exchange::Network, findings::Assumptions};

/// The time of a step and how it would be run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepTime {
    pub micro_batch: u64,
    pub accumulation: u64,
    pub seconds: f64,
    /// Half-width of `ln seconds` at the level asked for.
    pub ln_half: f64,
    /// True if exactly this step was timed.
    pub measured: bool,
}

/// Timings of one micro-batch size: (micro-batches per step, seconds, standard error of `ln`).
type ByCount = Vec<(f64, f64, f64)>;

/// Step times by micro-batch size, largest first.
#[derive(Debug, Clone)]
pub(crate) struct StepTimes {
    by_micro: Vec<(u64, ByCount)>,
    z: f64,
}

impl StepTimes {
    /// Takes the usable timings (finite, positive); `level` is that of the intervals.
    pub fn new(timings: &[StepTiming], level: f64) -> Self {
        let mut by_micro: Vec<(u64, ByCount)> = Vec::new();
        for timing in timings {
            if timing.batch_size == 0
                || timing.micro_batch == 0
                || !(timing.seconds.is_finite() && timing.seconds > 0.0)
            {
                continue;
            }
            let micro = timing.micro_batch.min(timing.batch_size);
            let count = timing.batch_size.div_ceil(micro) as f64;
            let error = ln_error_of_median(timing.seconds, timing.low, timing.high, timing.n);
            let entry = (count, timing.seconds, error);
            match by_micro.iter_mut().find(|(m, _)| *m == micro) {
                Some((_, counts)) => counts.push(entry),
                None => by_micro.push((micro, vec![entry])),
            }
        }
        by_micro.sort_by_key(|(micro, _)| std::cmp::Reverse(*micro));
        for (_, counts) in &mut by_micro {
            counts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            counts.dedup_by_key(|c| c.0);
        }
        Self {
            by_micro,
            z: normal_quantile(0.5 + 0.5 * level),
        }
    }

    /// True if nothing was timed.
    pub fn is_empty(&self) -> bool {
        self.by_micro.is_empty()
    }

    /// The fastest way to take a step of `share` examples on one device, over the timed
    /// micro-batches no larger than it; `None` if all are larger.
    pub fn step(&self, share: u64) -> Option<StepTime> {
        self.by_micro
            .iter()
            .filter(|(micro, _)| *micro <= share)
            .map(|(micro, counts)| {
                let accumulation = share.div_ceil(*micro);
                let (seconds, error, timed) = at_count(counts, accumulation as f64);
                StepTime {
                    micro_batch: *micro,
                    accumulation,
                    seconds,
                    ln_half: self.z * error,
                    measured: timed && share.is_multiple_of(*micro),
                }
            })
            .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// Seconds at a number of micro-batches, with the relative error, and whether it was timed.
fn at_count(counts: &ByCount, count: f64) -> (f64, f64, bool) {
    let after = counts.partition_point(|c| c.0 < count);
    match (after.checked_sub(1).map(|i| counts[i]), counts.get(after)) {
        (_, Some(&(n, seconds, error))) if n == count => (seconds, error, true),
        (Some(a), Some(&b)) => {
            let part = (count - a.0) / (b.0 - a.0);
            (a.1 + part * (b.1 - a.1), a.2.max(b.2), false)
        }
        (Some((n, seconds, error)), None) | (None, Some(&(n, seconds, error))) => {
            (seconds * count / n, error, false)
        }
        (None, None) => (f64::NAN, 0.0, false),
    }
}

/// Standard error of the logarithm of a median of `n` values, from their quartiles: `1.2533·(IQR/1.349)/√n`.
pub(crate) fn ln_error_of_median(median: f64, low: f64, high: f64, n: u64) -> f64 {
    let spread = (high - low) / median;
    let error = 1.2533 / 1.349 * spread / (n.max(1) as f64).sqrt();
    match error.is_finite() {
        true => error.max(0.0),
        false => 0.0,
    }
}

/// Seconds of the ring all-reduce of `parameters` gradients over `devices`.
pub(crate) fn all_reduce(devices: u64, parameters: u64, assumptions: &Assumptions) -> f64 {
    let network = Network {
        latency: assumptions.latency,
        bandwidth: assumptions.bandwidth,
    };
    network.ring_all_reduce(devices, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(batch_size: u64, micro_batch: u64, seconds: f64) -> StepTiming {
        StepTiming {
            batch_size,
            micro_batch,
            seconds,
            low: 0.98 * seconds,
            high: 1.02 * seconds,
            n: 25,
        }
    }

    #[test]
    fn a_timed_step_is_taken_as_measured() {
        let times = StepTimes::new(
            &[
                timing(64, 64, 0.010),
                timing(64, 32, 0.012),
                timing(128, 64, 0.019),
            ],
            0.95,
        );
        let step = times.step(64).unwrap();
        assert_eq!(
            (
                step.micro_batch,
                step.accumulation,
                step.seconds,
                step.measured
            ),
            (64, 1, 0.010, true)
        );
        assert!((step.ln_half - 1.96 * 1.2533 / 1.349 * 0.04 / 5.0).abs() < 1e-5);
        let step = times.step(128).unwrap();
        assert_eq!(
            (step.accumulation, step.seconds, step.measured),
            (2, 0.019, true)
        );
    }

    #[test]
    fn others_are_modeled_from_timed_micro_batches_only() {
        let times = StepTimes::new(&[timing(64, 64, 0.010), timing(256, 64, 0.037)], 0.95);
        let between = times.step(128).unwrap();
        assert!(
            (between.seconds - 0.019).abs() < 1e-12
                && !between.measured
                && between.accumulation == 2
        );
        assert!((times.step(512).unwrap().seconds - 0.074).abs() < 1e-12);
        assert!(
            !times.step(200).unwrap().measured,
            "a ragged step was not timed"
        );
        assert_eq!(times.step(32), None, "no micro-batch of 32 was timed");
    }

    #[test]
    fn the_ring_costs_what_its_formula_says() {
        let assumptions = Assumptions {
            latency: 1e-5,
            bandwidth: 1e9,
            price_per_hour: None,
            watts: None,
        };
        assert_eq!(all_reduce(1, 1_000_000, &assumptions), 0.0);
        let four = all_reduce(4, 1_000_000, &assumptions);
        assert!((four - (1.5 * 4e6 / 1e9 + 6e-5)).abs() < 1e-12);
    }

    #[test]
    fn broken_timings_are_left_out() {
        let times = StepTimes::new(
            &[
                timing(0, 0, 0.1),
                timing(8, 0, 0.1),
                timing(8, 8, f64::NAN),
                timing(8, 8, -1.0),
            ],
            0.95,
        );
        assert!(times.is_empty());
    }
}
