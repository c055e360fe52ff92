//! Seesaw: where a schedule has divided the learning rate by `α`, the rate is divided by `√α` and the batch grows.
//!
//! A. Meterez and others, "Seesaw: Accelerating Training by Balancing Learning Rate and Batch Size Scheduling"
//! (arXiv 2510.14717): a cut of the rate by `α` costs as little loss as one by `√α` with a batch `α` times as large under
//! Adam, whose step is normalized, and `√α` times as large under SGD, where the product counts. The schedule is followed
//! in cuts: one where its rate first comes down to `α⁻¹`, `α⁻²`, … of the full rate. Like the schedule's, the cuts stand
//! after as many examples as a run at the first batch size has seen there.
//!
//! Where the batch would pass its limit the rate is divided by `α` instead. Warm-up stays.

use batchscope_core::{Decay, Descriptor, Kind, Parameter, ParameterDefault, Range, Schedule};

use super::grow::LIMIT;
use crate::{ControllerKind, LearningRate, RulesError, controller::Course, phases::Phases};

/// Trades decay of the rate for growth of the batch.
pub(crate) static SEESAW: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "seesaw",
        aliases: &[],
        about: "Where the schedule divides the rate, it is divided by the root of that and the batch grows",
        source: "Meterez et al. 2025, arXiv 2510.14717",
        parameters: &[
            Parameter {
                name: "law",
                about: "How the batch grows: as for adam (and other normalized steps), or as for sgd",
                kind: Kind::Word(&["adam", "sgd"]),
                default: ParameterDefault::Required,
            },
            Parameter {
                name: "factor",
                about: "What one cut of the schedule divides the rate by (default: 2; what a step schedule divides by)",
                kind: Kind::Number(Range::new(1.01, true, 1e6, true)),
                default: ParameterDefault::Absent,
            },
            LIMIT,
        ],
    },
    finds_rate: false,
    build: |choice, course| {
        let growth = match choice.text("law") {
            Some("sgd") => 0.5,
            _ => 1.0,
        };
        let limit = choice.number("limit").unwrap_or(0.1);
        Ok(Box::new(seesaw(
            growth,
            choice.number("factor"),
            limit,
            course,
        )?))
    },
};

/// Most cuts that are looked for.
const CUTS: i32 = 4096;

/// The batch grows by `α^growth` at each cut.
fn seesaw(
    growth: f64,
    factor: Option<f64>,
    limit: f64,
    course: &Course<'_>,
) -> Result<Phases, RulesError> {
    let examples = course.train_examples.ok_or(RulesError::NoTrainingSet)?;
    let decaying = course.rates(course.schedule)?;
    let Some(end) = decaying.end() else {
        return Err(RulesError::NothingToSaw);
    };
    let cut = factor.unwrap_or(match course.schedule.decay {
        Decay::Step { factor, .. } if factor < 1.0 => 1.0 / factor,
        _ => 2.0,
    });
    let steady = Schedule {
        decay: Decay::Constant,
        ..course.schedule.clone()
    };
    let mut phases = Phases::new(course.rates(&steady)?, course.batch_size);
    let most = limit * examples as f64;
    let first = course.batch_size as f64;
    for k in 1..=CUTS {
        let Some(step) = first_at_most(&decaying, cut.powi(-k), end) else {
            break;
        };
        let last = phases.last();
        let grown = (first * cut.powf(growth * f64::from(k))).round();
        let why = format!(
            "the schedule's rate has come down to {} of the full",
            share(cut, k)
        );
        let (batch_size, what) = match grown <= most {
            true if grown as u64 > last.batch_size => (grown as u64, "the batch grows"),
            true => (last.batch_size, "the batch grows by less than an example"),
            false => (last.batch_size, "the batch would pass its limit"),
        };
        // What the batch, of whole examples, has not grown by is left to the rate: under Adam the root of the batch counts,
        // under SGD the batch itself.
        let counts = (batch_size as f64 / first).powf(0.5 / growth);
        let factor = cut.powi(-k) * counts;
        let draw = step.saturating_mul(course.batch_size);
        phases.push(draw, batch_size, factor, format!("{why}: {what}"));
    }
    if decaying.at(end) == 0.0 {
        let last = phases.last();
        let why = "the schedule's rate has come down to 0".to_owned();
        phases.push(
            end.saturating_mul(course.batch_size),
            last.batch_size,
            0.0,
            why,
        );
    }
    Ok(phases)
}

/// `1/8`, as text.
fn share(cut: f64, k: i32) -> String {
    format!("1/{}", batchscope_core::format::number(cut.powi(k)))
}

/// The first step after warm-up at which the rate is at most so much of the full one, if that is before `end`.
fn first_at_most(rates: &LearningRate, share: f64, end: u64) -> Option<u64> {
    // A factor of a step schedule, raised to a power, need not be met to the last bit.
    let bound = rates.full() * share * (1.0 + 1e-9);
    let (mut low, mut high) = (rates.warm_up_steps(), end);
    while low < high {
        let middle = low + (high - low) / 2;
        match rates.at(middle) <= bound {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    // At its end a schedule that falls to 0 has come down to every share at once.
    let found = rates.at(low) <= bound && (low < end || rates.at(end) > 0.0);
    found.then_some(low)
}

#[cfg(test)]
mod tests {
    use batchscope_core::Length;

    use super::*;
    use crate::{Controller, controller::KEY};

    fn led(growth: f64, factor: Option<f64>, limit: f64, decay: Decay) -> Phases {
        let schedule = Schedule {
            decay,
            ..Schedule::warm_up(10)
        };
        let course = Course {
            schedule: &schedule,
            learning_rate: 0.4,
            batch_size: 64,
            train_examples: Some(50_000),
            key: KEY,
        };
        seesaw(growth, factor, limit, &course).unwrap()
    }

    fn cosine() -> Decay {
        Decay::Cosine {
            over: Length::Steps(1000),
            floor: 0.0,
        }
    }

    /// `(1 + cos πx)/2 = 1/2, 1/4, …` at x = 1/2, 2/3, …; each cut divides the rate by √2 and doubles the batch.
    #[test]
    fn a_cosine_is_cut_where_it_has_halved() {
        let led = led(1.0, None, 1.0, cosine());
        let phases = led.phases();
        assert_eq!(
            (phases[1].first_draw, phases[1].batch_size),
            ((10 + 500) * 64, 128)
        );
        let second = ((10 + 667) * 64 - phases[1].first_draw).div_ceil(128) * 128;
        assert_eq!(phases[2].first_draw, phases[1].first_draw + second);
        assert_eq!(phases[2].batch_size, 256);
        assert!((phases[2].factor - 0.5).abs() < 1e-12);
        assert_eq!(led.at(3).learning_rate, 0.4 * 0.4);
        assert!(
            led.decision(phases[1].step)
                .unwrap()
                .contains("1/2 of the full")
        );
    }

    /// The product that the law holds: rate over root of batch for Adam, rate over batch for SGD.
    #[test]
    fn the_law_s_product_falls_as_the_schedule_s_rate() {
        for (growth, power) in [(1.0, 0.5), (0.5, 1.0)] {
            let led = led(growth, Some(4.0), 1.0, cosine());
            // The next would pass the training set, or fall into the same step.
            let cuts = led.phases().iter().take(4);
            for (k, phase) in cuts.enumerate() {
                let grown = phase.batch_size as f64 / 64.0;
                let noise = phase.factor / grown.powf(power);
                assert!(
                    (noise * 4f64.powi(k as i32) - 1.0).abs() < 1e-9,
                    "{growth}: {phase:?}"
                );
            }
        }
    }

    /// Beyond the limit the rate alone falls, by the whole cut; a schedule that ends at 0 ends at 0.
    #[test]
    fn beyond_the_limit_the_rate_decays() {
        let led = led(1.0, None, 256.0 / 50_000.0, cosine());
        let phases = led.phases();
        let sizes: Vec<u64> = phases
            .iter()
            .take(5)
            .map(|phase| phase.batch_size)
            .collect();
        assert_eq!(sizes, [64, 128, 256, 256, 256]);
        assert!(
            (phases[3].factor - 0.25).abs() < 1e-12 && (phases[4].factor - 0.125).abs() < 1e-12
        );
        assert_eq!(phases[phases.len() - 1].factor, 0.0);
    }

    /// A step schedule is cut at its marks, by what they divide by.
    #[test]
    fn a_step_schedule_is_cut_at_its_marks() {
        let led = led(
            1.0,
            None,
            1.0,
            Decay::Step {
                at: vec![Length::Steps(100), Length::Steps(200)],
                factor: 0.2,
            },
        );
        let sizes: Vec<u64> = led.phases().iter().map(|phase| phase.batch_size).collect();
        assert_eq!(sizes, [64, 320, 1600]);
        assert_eq!(led.phases()[1].step, 100);
    }

    #[test]
    fn a_constant_rate_has_nothing_to_cut() {
        let schedule = Schedule::constant();
        let course = Course {
            schedule: &schedule,
            learning_rate: 0.4,
            batch_size: 64,
            train_examples: Some(50_000),
            key: KEY,
        };
        let refused = seesaw(1.0, None, 0.1, &course).err();
        assert_eq!(refused, Some(RulesError::NothingToSaw));
    }
}
