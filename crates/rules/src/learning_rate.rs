//! The learning rate of every optimizer step: warm-up, then decay.
//!
//! With full rate `η`, warm-up of `W` steps, step `t` from 0 and `u = t − W`:
//!
//! * linear warm-up: `η·(t + 1)/W`;
//! * gradual warm-up (Goyal et al. 2017, arXiv 1706.02677, section 2.2): `η₀ + (η − η₀)·t/W`,
//!   from the base batch size's rate `η₀`;
//! * afterwards `η` times: 1 (constant); `factor^k` with `k` marks at or before `t` (step);
//!   `f + (1 − f)·d(min(u/T, 1))` with `d(x)` = `1 − x` (linear), `(1 + cos πx)/2` (cosine,
//!   Loshchilov and Hutter 2017, one half period), `(1 − x)^p` (polynomial), floor `f`, length `T`.
//!
//! Marks of a step decay count from the first step of training, lengths of the other decays from
//! the end of warm-up. A mark inside warm-up multiplies the climb too.

use batchscope_core::{Decay, Length, Schedule, WarmUpShape};

use crate::{RulesError, error::check};

/// Steps in a length at a batch size on `train_examples`: `epochs·N/B`, rounded up.
///
/// ```
/// use batchscope_core::Length;
/// use batchscope_rules::steps_in;
/// assert_eq!(steps_in(Length::Epochs(1.0), 128, Some(50_000))?, 391);
/// assert_eq!(steps_in(Length::Steps(200), 128, None)?, 200);
/// # Ok::<(), batchscope_rules::RulesError>(())
/// ```
///
/// # Errors
/// When the epochs are negative or not finite, or, for epochs, a count is zero or not known.
pub fn steps_in(
    length: Length,
    batch_size: u64,
    train_examples: Option<u64>,
) -> Result<u64, RulesError> {
    match length {
        Length::Steps(steps) => Ok(steps),
        Length::Epochs(epochs) => {
            check("epochs", epochs, "finite and at least 0", |e| e >= 0.0)?;
            check("batch_size", batch_size as f64, "at least 1", |b| b >= 1.0)?;
            let train_examples = train_examples.ok_or(RulesError::NoTrainingSet)?;
            check(
                "training examples",
                train_examples as f64,
                "at least 1",
                |n| n >= 1.0,
            )?;
            Ok(length.in_steps(batch_size, train_examples))
        }
    }
}

/// The learning rate as a function of the step: a [`Schedule`] with every length in steps.
#[derive(Debug, Clone, PartialEq)]
pub struct LearningRate {
    full: f64,
    warm_up_steps: u64,
    /// Rate that gradual warm-up starts from; `None` is linear warm-up.
    start: Option<f64>,
    decay: Resolved,
}

#[derive(Debug, Clone, PartialEq)]
enum Resolved {
    Constant,
    Step { at: Vec<u64>, factor: f64 },
    Falling { over: u64, floor: f64, shape: Shape },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Linear,
    Cosine,
    Polynomial(f64),
}

impl LearningRate {
    /// Resolves a schedule for a full rate and batch size on `train_examples` examples, if they are
    /// so many.
    ///
    /// # Errors
    /// When the full or base rate is not positive and finite, a factor or floor is out of its
    /// range, a decay lasts no step, marks do not increase, or gradual warm-up lacks a base rate.
    pub fn new(
        schedule: &Schedule,
        full_rate: f64,
        batch_size: u64,
        train_examples: Option<u64>,
    ) -> Result<Self, RulesError> {
        let full = check("learning rate", full_rate, "finite and above 0", |r| {
            r > 0.0
        })?;
        let steps = |length| steps_in(length, batch_size, train_examples);
        let warm_up_steps = steps(schedule.warm_up.length)?;
        let start = match schedule.warm_up.shape {
            WarmUpShape::Gradual if warm_up_steps > 0 => {
                let base = schedule.base_learning_rate.ok_or(RulesError::NoBaseRate)?;
                Some(check(
                    "base_learning_rate",
                    base,
                    "finite and above 0",
                    |r| r > 0.0,
                )?)
            }
            _ => None,
        };
        let over = |length| match steps(length)? {
            0 => Err(RulesError::EmptyDecay { batch_size }),
            over => Ok(over),
        };
        let unit = |floor| {
            check("decay.floor", floor, "in [0, 1]", |f| {
                (0.0..=1.0).contains(&f)
            })
        };
        let decay = match schedule.decay {
            Decay::Constant => Resolved::Constant,
            Decay::Step { ref at, factor } => Resolved::Step {
                at: marks(at, steps)?,
                factor: check("decay.factor", factor, "in (0, 1]", |f| f > 0.0 && f <= 1.0)?,
            },
            Decay::Linear {
                over: length,
                floor,
            } => Resolved::Falling {
                over: over(length)?,
                floor: unit(floor)?,
                shape: Shape::Linear,
            },
            Decay::Cosine {
                over: length,
                floor,
            } => Resolved::Falling {
                over: over(length)?,
                floor: unit(floor)?,
                shape: Shape::Cosine,
            },
            Decay::Polynomial {
                over: length,
                power,
                floor,
            } => {
                let power = check("decay.power", power, "finite and above 0", |p| p > 0.0)?;
                Resolved::Falling {
                    over: over(length)?,
                    floor: unit(floor)?,
                    shape: Shape::Polynomial(power),
                }
            }
        };
        Ok(Self {
            full,
            warm_up_steps,
            start,
            decay,
        })
    }

    /// The rate of step `step` (from 0), always finite and at least 0.
    pub fn at(&self, step: u64) -> f64 {
        let climb = if step < self.warm_up_steps {
            let length = self.warm_up_steps as f64;
            match self.start {
                None => self.full * ((step + 1) as f64 / length),
                Some(start) => start + (self.full - start) * (step as f64 / length),
            }
        } else {
            self.full
        };
        climb * self.decay.factor(step, self.warm_up_steps)
    }

    /// The first step at which the decay has done all it does: the end of its length, or its last mark. `None` for a
    /// constant rate.
    pub fn end(&self) -> Option<u64> {
        match &self.decay {
            Resolved::Constant => None,
            Resolved::Step { at, .. } => at.last().copied(),
            Resolved::Falling { .. } => self.end_of_fall(),
        }
    }

    /// As [`LearningRate::end`], of a decay that falls over a length.
    pub(crate) fn end_of_fall(&self) -> Option<u64> {
        match self.decay {
            Resolved::Falling { over, .. } => Some(self.warm_up_steps.saturating_add(over)),
            _ => None,
        }
    }

    /// The full rate, reached at the end of warm-up.
    pub fn full(&self) -> f64 {
        self.full
    }

    /// Steps of warm-up, `W`; step `W` is the first at the full rate.
    pub fn warm_up_steps(&self) -> u64 {
        self.warm_up_steps
    }
}

impl Resolved {
    /// What the decay multiplies the rate of `step` by.
    fn factor(&self, step: u64, warm_up_steps: u64) -> f64 {
        match self {
            Resolved::Constant => 1.0,
            Resolved::Step { at, factor } => {
                let passed = at.partition_point(|&mark| mark <= step);
                factor.powf(passed as f64)
            }
            Resolved::Falling { over, floor, shape } => {
                let done = step.saturating_sub(warm_up_steps).min(*over);
                let left = 1.0 - done as f64 / *over as f64;
                let remaining = match shape {
                    Shape::Linear => left,
                    // 1 + cos π(1 − left) = 1 − cos(π·left), exactly 0 at the end
                    Shape::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
                    Shape::Polynomial(power) => left.powf(*power),
                };
                floor + (1.0 - floor) * remaining
            }
        }
    }
}

/// Resolves the marks of a step decay. Marks given in one unit increase strictly; at a large batch
/// size two epoch marks may fall on one step, which then takes both factors.
pub(crate) fn marks(
    at: &[Length],
    steps: impl Fn(Length) -> Result<u64, RulesError>,
) -> Result<Vec<u64>, RulesError> {
    let mut resolved: Vec<u64> = Vec::with_capacity(at.len());
    for (index, &mark) in at.iter().enumerate() {
        let step = steps(mark)?;
        if index > 0 {
            let before = resolved[index - 1];
            let increases = match (at[index - 1], mark) {
                (Length::Steps(a), Length::Steps(b)) => a < b,
                (Length::Epochs(a), Length::Epochs(b)) => a < b,
                _ => before <= step,
            };
            if !increases {
                return Err(RulesError::MarkOrder {
                    index,
                    step,
                    before,
                });
            }
        }
        resolved.push(step);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use batchscope_core::WarmUp;
    use proptest::prelude::*;

    use super::*;

    fn schedule(warm_up: u64, shape: WarmUpShape, decay: Decay) -> Schedule {
        Schedule {
            warm_up: WarmUp {
                length: Length::Steps(warm_up),
                shape,
            },
            decay,
            base_learning_rate: Some(0.1),
        }
    }

    fn rate(schedule: &Schedule) -> LearningRate {
        LearningRate::new(schedule, 0.8, 100, Some(60_000)).unwrap()
    }

    #[test]
    fn linear_warm_up_climbs_in_equal_parts_to_the_full_rate() {
        let rate = rate(&schedule(4, WarmUpShape::Linear, Decay::Constant));
        let rates: Vec<f64> = (0..6).map(|t| rate.at(t)).collect();
        for (rate, expected) in rates.iter().zip([0.2, 0.4, 0.6, 0.8, 0.8, 0.8]) {
            assert!((rate - expected).abs() < 1e-15);
        }
        assert_eq!(rate.warm_up_steps(), 4);
    }

    #[test]
    fn gradual_warm_up_goes_from_the_base_rate_to_the_full_rate() {
        let rate = rate(&schedule(7, WarmUpShape::Gradual, Decay::Constant));
        for t in 0..7 {
            assert!((rate.at(t) - (0.1 + 0.1 * t as f64)).abs() < 1e-15);
        }
        assert_eq!(rate.at(7), 0.8);
    }

    #[test]
    fn each_decay_has_its_closed_form() {
        let over = Length::Steps(100);
        let full = 0.8;
        type Form = fn(f64) -> f64;
        let cases: [(Decay, Form); 3] = [
            (Decay::Linear { over, floor: 0.2 }, |x| {
                0.2 + 0.8 * (1.0 - x)
            }),
            (Decay::Cosine { over, floor: 0.2 }, |x| {
                0.2 + 0.8 * 0.5 * (1.0 + (std::f64::consts::PI * x).cos())
            }),
            (
                Decay::Polynomial {
                    over,
                    power: 2.0,
                    floor: 0.2,
                },
                |x| 0.2 + 0.8 * (1.0 - x).powi(2),
            ),
        ];
        for (decay, expected) in cases {
            let rate = rate(&schedule(10, WarmUpShape::Linear, decay));
            for u in [0, 1, 37, 50, 99, 100, 101, 10_000] {
                let x = (u as f64 / 100.0).min(1.0);
                assert!(
                    (rate.at(10 + u) - full * expected(x)).abs() < 1e-14,
                    "u = {u}"
                );
            }
        }
    }

    #[test]
    fn decays_without_a_floor_end_at_exactly_zero() {
        let over = Length::Epochs(1.0);
        for decay in [
            Decay::Linear { over, floor: 0.0 },
            Decay::Cosine { over, floor: 0.0 },
            Decay::Polynomial {
                over,
                power: 0.5,
                floor: 0.0,
            },
        ] {
            let rate = rate(&schedule(0, WarmUpShape::Linear, decay));
            assert!(rate.at(599) > 0.0);
            assert_eq!(rate.at(600), 0.0);
            assert_eq!(rate.at(u64::MAX), 0.0);
        }
    }

    #[test]
    fn step_decay_multiplies_at_each_mark_counted_from_the_start() {
        let at = vec![Length::Steps(30), Length::Epochs(0.1)];
        let rate = rate(&schedule(
            5,
            WarmUpShape::Linear,
            Decay::Step { at, factor: 0.1 },
        ));
        let expected = [
            (29, 0.8),
            (30, 0.08),
            (59, 0.08),
            (60, 0.008),
            (1000, 0.008),
        ];
        for (t, expected) in expected {
            assert!((rate.at(t) - expected).abs() < 1e-15, "step {t}");
        }
    }

    #[test]
    fn epochs_round_up_to_whole_steps() {
        for (epochs, batch, examples, steps) in [
            (0.1, 100, 60_000, 60),
            (1.0, 128, 50_000, 391),
            (1e-9, 1, 1000, 1),
            (0.0, 8, 9, 0),
            (0.3, 1, 10, 3),
        ] {
            assert_eq!(
                steps_in(Length::Epochs(epochs), batch, Some(examples)),
                Ok(steps),
                "{epochs} {batch}"
            );
        }
        assert_eq!(
            steps_in(Length::Epochs(1e300), 1, Some(1_000_000_000)),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let cosine = |floor| Decay::Cosine {
            over: Length::Steps(5),
            floor,
        };
        let step = |at: &[u64], factor| Decay::Step {
            at: at.iter().map(|&s| Length::Steps(s)).collect(),
            factor,
        };
        let broken: [(Decay, &str); 8] = [
            (cosine(1.5), "decay.floor"),
            (cosine(f64::NAN), "decay.floor"),
            (step(&[1], 0.0), "decay.factor"),
            (step(&[1], 1.1), "decay.factor"),
            (step(&[5, 5], 0.5), "decay.at"),
            (step(&[9, 5], 0.5), "decay.at"),
            (
                Decay::Linear {
                    over: Length::Steps(0),
                    floor: 0.0,
                },
                "decay.over",
            ),
            (
                Decay::Polynomial {
                    over: Length::Epochs(-1.0),
                    power: 1.0,
                    floor: 0.0,
                },
                "epochs",
            ),
        ];
        for (decay, key) in broken {
            let schedule = schedule(0, WarmUpShape::Linear, decay.clone());
            let message = LearningRate::new(&schedule, 0.8, 100, Some(60_000))
                .unwrap_err()
                .to_string();
            assert!(message.contains(key), "{decay:?}: {message}");
        }
        for full in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(LearningRate::new(&Schedule::constant(), full, 100, Some(60_000)).is_err());
        }
        let mut gradual = schedule(5, WarmUpShape::Gradual, Decay::Constant);
        gradual.base_learning_rate = None;
        assert_eq!(
            LearningRate::new(&gradual, 0.8, 100, Some(60_000)),
            Err(RulesError::NoBaseRate)
        );
        let epochs = Schedule {
            warm_up: WarmUp {
                length: Length::Epochs(1.0),
                shape: WarmUpShape::Linear,
            },
            ..Schedule::constant()
        };
        assert!(LearningRate::new(&epochs, 0.8, 0, Some(60_000)).is_err());
        assert!(LearningRate::new(&epochs, 0.8, 8, Some(0)).is_err());
        assert_eq!(
            LearningRate::new(&epochs, 0.8, 8, None),
            Err(RulesError::NoTrainingSet)
        );
    }

    fn any_length() -> impl Strategy<Value = Length> {
        prop_oneof![
            (1u64..5000).prop_map(Length::Steps),
            (0.001..20.0f64).prop_map(Length::Epochs)
        ]
    }

    fn any_decay() -> impl Strategy<Value = Decay> {
        prop_oneof![
            Just(Decay::Constant),
            (any_length(), 0.0..=1.0f64).prop_map(|(over, floor)| Decay::Linear { over, floor }),
            (any_length(), 0.0..=1.0f64).prop_map(|(over, floor)| Decay::Cosine { over, floor }),
            (any_length(), 0.1..5.0f64, 0.0..=1.0f64)
                .prop_map(|(over, power, floor)| Decay::Polynomial { over, power, floor }),
            (
                proptest::collection::btree_set(0u64..5000, 0..5),
                0.01..=1.0f64
            )
                .prop_map(|(at, factor)| {
                    Decay::Step {
                        at: at.into_iter().map(Length::Steps).collect(),
                        factor,
                    }
                }),
        ]
    }

    proptest! {
        #[test]
        fn after_warm_up_the_rate_never_rises_nor_leaves_its_bounds(
            warm_up in 0u64..500, decay in any_decay(), full in 1e-4..10.0f64, batch in 1u64..5000,
        ) {
            let schedule = schedule(warm_up, WarmUpShape::Linear, decay);
            let rate = LearningRate::new(&schedule, full, batch, Some(60_000)).unwrap();
            for t in (warm_up..warm_up + 6000).step_by(17) {
                prop_assert!(rate.at(t + 1) <= rate.at(t));
                prop_assert!(rate.at(t) >= 0.0 && rate.at(t) <= full);
            }
        }

        #[test]
        fn warm_up_climbs_steadily_and_meets_the_full_rate(warm_up in 1u64..2000, full in 0.2..10.0f64) {
            for shape in [WarmUpShape::Linear, WarmUpShape::Gradual] {
                let schedule = schedule(warm_up, shape, Decay::Constant);
                let rate = LearningRate::new(&schedule, full, 64, Some(60_000)).unwrap();
                for t in 0..warm_up {
                    let rise = rate.at(t + 1) - rate.at(t);
                    prop_assert!(rise >= -1e-12 && rise <= full / warm_up as f64 + 1e-12);
                }
                prop_assert_eq!(rate.at(warm_up), full);
            }
        }

        #[test]
        fn smooth_decays_move_by_small_steps(over in 100u64..5000, floor in 0.0..=1.0f64) {
            let over_length = Length::Steps(over);
            for decay in [
                Decay::Linear { over: over_length, floor },
                Decay::Cosine { over: over_length, floor },
                Decay::Polynomial { over: over_length, power: 2.0, floor },
            ] {
                let rate = rate(&schedule(0, WarmUpShape::Linear, decay));
                for t in 0..over {
                    // the steepest of the three is the parabola, with slope 2/T at its start
                    prop_assert!((rate.at(t) - rate.at(t + 1)) <= 0.8 * 2.0 / over as f64 + 1e-12);
                }
            }
        }
    }
}
