//! Advice: which batch size and micro-batch to train with, and how far devices help.
//!
//! Time to the target is steps (measured, fresh seeds) times the seconds of a step (`cost.rs`). On
//! one device the fastest batch size is recommended, but among those whose time cannot be told
//! from the fastest, the one that needs the fewest examples: equal time, less energy. Only batch
//! sizes that reached the target and micro-batches that were timed are ever recommended.

use batchscope_core::{Estimate, StepTiming, format::number};

use crate::cost::{StepTime, StepTimes, all_reduce};
use crate::findings::{Advice, Assumptions, DeviceOption, Findings, Point, Recommendation};

/// Why no advice can be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdviceError {
    /// The findings have no such curve.
    #[error("no curve '{wanted}' in the findings: choose {known}")]
    NoCurve {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// No batch size reached the target.
    #[error(
        "no batch size of curve '{0}' reached the target, so there is no time to it: choose an easier target or a higher cap"
    )]
    NoneReached(String),
    /// Nothing was timed.
    #[error("no step was timed, and without step times there is nothing to advise from")]
    NoTimings,
    /// Every timed micro-batch is larger than every usable batch size.
    #[error(
        "every timed micro-batch is larger than every batch size that reached the target: time smaller micro-batches"
    )]
    NoMicroBatch,
    /// An assumption that is not a usable number.
    #[error("{key} = {value}: must be {range}")]
    Assumption {
        /// The setting, such as `latency`.
        key: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
}

/// Advice from a curve and step times measured alone on the machine, for up to `max_devices`
/// devices (1, 2, 4, … and `max_devices` itself are looked at) and a model of `parameters`.
///
/// The options listed are the fastest for each number of devices and all on the time–cost front.
///
/// # Errors
/// When the curve is unknown or reached nothing, nothing usable was timed, or an assumption is not
/// a usable number.
pub fn advise(
    findings: &Findings,
    curve: &str,
    timings: &[StepTiming],
    assumptions: &Assumptions,
    parameters: u64,
    max_devices: u64,
) -> Result<Advice, AdviceError> {
    check_assumptions(assumptions)?;
    let points = reached(findings, curve)?;
    let times = StepTimes::new(timings, points[0].steps.level);
    if times.is_empty() {
        return Err(AdviceError::NoTimings);
    }

    let candidates: Vec<Candidate> = device_counts(max_devices)
        .into_iter()
        .flat_map(|devices| {
            let times = &times;
            points.iter().filter_map(move |&point| {
                Candidate::new(point, devices, times, assumptions, parameters)
            })
        })
        .collect();
    let recommended = recommend(&candidates).ok_or(AdviceError::NoMicroBatch)?;
    let setting = Recommendation {
        batch_size: recommended.point.batch_size,
        micro_batch: recommended.step.micro_batch,
        accumulation: recommended.step.accumulation,
        learning_rate: recommended.point.learning_rate.value,
        momentum: recommended.point.momentum,
        warm_up_steps: recommended.point.warm_up_steps,
        devices: 1,
        seconds: recommended.seconds.clone(),
        examples: recommended.point.examples.clone(),
        curve: curve.to_owned(),
    };
    Ok(Advice {
        recommended: setting,
        timings: timings.to_vec(),
        assumptions: assumptions.clone(),
        options: options(&candidates, assumptions),
        provenance: provenance(findings, recommended, &candidates, assumptions, parameters),
    })
}

fn check_assumptions(assumptions: &Assumptions) -> Result<(), AdviceError> {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let not_negative = |x: f64| x.is_finite() && x >= 0.0;
    let wrong = |key, value, range| Err(AdviceError::Assumption { key, value, range });
    match assumptions {
        a if !positive(a.bandwidth) => wrong(
            "bandwidth",
            a.bandwidth,
            "finite and above 0 bytes per second",
        ),
        a if !not_negative(a.latency) => {
            wrong("latency", a.latency, "finite and at least 0 seconds")
        }
        Assumptions {
            price_per_hour: Some(p),
            ..
        } if !not_negative(*p) => wrong("price-per-hour", *p, "finite and at least 0"),
        Assumptions { watts: Some(w), .. } if !not_negative(*w) => {
            wrong("watts", *w, "finite and at least 0")
        }
        _ => Ok(()),
    }
}

/// Points with a number of steps, smallest batch size first.
fn reached<'a>(findings: &'a Findings, curve: &str) -> Result<Vec<&'a Point>, AdviceError> {
    let Some(found) = findings.curves.iter().find(|c| c.rule == curve) else {
        let known: Vec<&str> = findings.curves.iter().map(|c| c.rule.as_str()).collect();
        return Err(AdviceError::NoCurve {
            wanted: curve.to_owned(),
            known: known.join(", "),
        });
    };
    let points: Vec<&Point> = found
        .points
        .iter()
        .filter(|p| p.steps.is_estimated())
        .collect();
    if points.is_empty() {
        Err(AdviceError::NoneReached(curve.to_owned()))
    } else {
        Ok(points)
    }
}

/// 1, 2, 4, … up to and with `max_devices`.
fn device_counts(max_devices: u64) -> Vec<u64> {
    let max_devices = max_devices.max(1);
    let mut counts: Vec<u64> = std::iter::successors(Some(1u64), |n| n.checked_mul(2))
        .take_while(|&n| n <= max_devices)
        .collect();
    if counts.last() != Some(&max_devices) {
        counts.push(max_devices);
    }
    counts
}

/// One batch size on one number of devices.
struct Candidate<'a> {
    point: &'a Point,
    devices: u64,
    step: StepTime,
    seconds: Estimate,
}

impl<'a> Candidate<'a> {
    /// `None` where a device's share is smaller than every timed micro-batch.
    fn new(
        point: &'a Point,
        devices: u64,
        times: &StepTimes,
        assumptions: &Assumptions,
        parameters: u64,
    ) -> Option<Self> {
        if devices > point.batch_size {
            return None;
        }
        let step = times.step(point.batch_size.div_ceil(devices))?;
        let seconds = step.seconds + all_reduce(devices, parameters, assumptions);
        Some(Self {
            point,
            devices,
            step,
            seconds: product(&point.steps, seconds, step.ln_half),
        })
    }

    fn time(&self) -> f64 {
        self.seconds.value.unwrap_or(f64::INFINITY)
    }

    fn device_seconds(&self) -> f64 {
        self.time() * self.devices as f64
    }
}

/// `steps · seconds`, the half-widths of both added in quadrature on the log scale.
fn product(steps: &Estimate, seconds: f64, ln_half: f64) -> Estimate {
    let value = steps.value;
    let end = |end: Option<f64>, side: f64| {
        let (end, value) = (end?, value?);
        Some(value * seconds * (side * (end / value).ln().hypot(ln_half)).exp())
    };
    Estimate {
        value: value.map(|v| v * seconds),
        low: end(steps.low, -1.0),
        high: end(steps.high, 1.0),
        ..steps.clone()
    }
}

/// On one device: the fewest examples among the times that cannot be told from the fastest.
fn recommend<'a, 'b>(candidates: &'b [Candidate<'a>]) -> Option<&'b Candidate<'a>> {
    let alone = || candidates.iter().filter(|c| c.devices == 1);
    let fastest = alone().min_by(|a, b| a.time().total_cmp(&b.time()))?;
    let examples = |c: &Candidate| c.point.examples.value.unwrap_or(f64::INFINITY);
    alone()
        .filter(|c| {
            std::ptr::eq(*c, fastest) || c.seconds.low.is_some_and(|low| low <= fastest.time())
        })
        .min_by(|a, b| examples(a).total_cmp(&examples(b)))
}

/// The fastest of each number of devices and the whole time–cost front.
fn options(candidates: &[Candidate], assumptions: &Assumptions) -> Vec<DeviceOption> {
    let beaten = |c: &Candidate| {
        candidates.iter().any(|other| {
            let (faster, cheaper) = (
                other.time() - c.time(),
                other.device_seconds() - c.device_seconds(),
            );
            faster <= 0.0 && cheaper <= 0.0 && (faster < 0.0 || cheaper < 0.0)
        })
    };
    let fastest_of_its_devices = |c: &Candidate| {
        !candidates
            .iter()
            .any(|other| other.devices == c.devices && other.time() < c.time())
    };
    candidates
        .iter()
        .map(|c| (c, !beaten(c)))
        .filter(|(c, pareto)| *pareto || fastest_of_its_devices(c))
        .map(|(c, pareto)| {
            let device_hours = c.seconds.scaled(c.devices as f64 / 3600.0);
            DeviceOption {
                devices: c.devices,
                batch_size: c.point.batch_size,
                micro_batch: c.step.micro_batch,
                accumulation: c.step.accumulation,
                seconds: c.seconds.clone(),
                money: assumptions
                    .price_per_hour
                    .map(|price| device_hours.scaled(price)),
                energy: assumptions
                    .watts
                    .map(|watts| device_hours.scaled(watts / 1000.0)),
                device_hours,
                pareto,
            }
        })
        .collect()
}

/// Which numbers are measured and which modeled.
fn provenance(
    findings: &Findings,
    recommended: &Candidate,
    candidates: &[Candidate],
    assumptions: &Assumptions,
    parameters: u64,
) -> Vec<String> {
    let study = &findings.study;
    let mut lines = vec![match &study.measured_elsewhere {
        None if study.own_settings => format!(
            "Measured: steps to {} at each batch size, with {} fresh seeds; seconds per step from the program's first report to its last, its evaluations included.",
            study.goal(),
            study.seeds
        ),
        None => format!(
            "Measured: steps to {} at each batch size, with {} fresh seeds; seconds per step, alone on this machine.",
            study.goal(),
            study.seeds
        ),
        Some(_) => format!(
            "Measured elsewhere: steps to {} and seconds per step, as the table states them.",
            study.goal()
        ),
    }];
    lines.push(if recommended.step.measured {
        format!(
            "Measured: the step of the recommendation (batch size {} in micro-batches of {}) was itself timed.",
            recommended.point.batch_size, recommended.step.micro_batch
        )
    } else {
        format!(
            "Modeled: the step of the recommendation was not timed. Its time is that of {} \
             micro-batches of {}, interpolated linearly between the numbers of micro-batches that \
             were timed and in proportion beyond them.",
            recommended.step.accumulation, recommended.step.micro_batch
        )
    });
    if candidates.iter().any(|c| c.devices > 1) {
        lines.push(format!(
            "Modeled: more than one device. Each computes its share at this machine's speed, then waits for a ring all-reduce of {parameters} gradients of 4 bytes: 2(n − 1)/n · 4P/bandwidth + 2(n − 1) · latency, with the stated bandwidth {} bytes/s and latency {} s.",
            number(assumptions.bandwidth),
            number(assumptions.latency)
        ));
    }
    if assumptions.price_per_hour.is_some() || assumptions.watts.is_some() {
        lines.push(
            "Stated: what a device costs per hour or draws in watts, constant while it trains."
                .to_owned(),
        );
    }
    lines.push(
        "Left out: evaluations, start-up, and data loading that does not overlap with computing."
            .to_owned(),
    );
    lines
}
