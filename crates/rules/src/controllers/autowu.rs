//! AutoWU: the learning rate climbs until the loss says that it is too high, goes back to where the loss was least, and
//! comes down from there.
//!
//! C. Kim, S. Kim, J. Kim, D. Lee, S. Kim, "Automated Learning Rate Scheduler for Large-Batch Training", 8th ICML workshop
//! on AutoML, 2021 (arXiv 2107.05855), with the constants of the authors' code (`kakaobrain/autowu`). With `T` steps:
//!
//! * **Warm-up**: step `t` has the rate `min·(max/min)^(t/(T/2))`, from 1e-5 to at most 1, for at most half the run.
//! * **Test** at the end of each epoch: a Gaussian process is fitted to the losses of all steps so far, at most 100 of them
//!   at random, over `x = t/steps`. Five curves are predicted, each from at most 500 of them at random. A curve votes for
//!   an end where the loss was lower before, at some point, with more than 95 % probability. Three tests in a row with a
//!   majority of votes end the warm-up.
//! * **Decay**: the rate goes back to `min·(now/min)^x` at each curve's minimum `x`, averaged over the curves, and comes
//!   down by a cosine; over all that is left of the run, or over its last part.
//!
//! Fitted constants and Adam's memory of them carry over from test to test; the mean is set to the mean loss before each.
//!
//! **What is added**: an epoch of a short run, or of a large batch, is too few steps to test only at its end. Where half the
//! run holds fewer than twenty epochs, tests are made at every twentieth of it. The random choices come from the trial's own
//! streams, where the authors' come from one generator with seed 0.

use batchscope_core::{
    Decay, Descriptor, Kind, Length, Parameter, ParameterDefault, Range, StepBatch, StreamKey,
    format::number, statistics::NormalDraws,
};

use crate::{
    Controller, ControllerKind, RulesError, StepSeen, StepSetting,
    controller::{Course, whole},
    gaussian_process::{GaussianProcess, Points, Predicted},
    steps_in,
};

/// Finds the rate by the losses of a climb.
pub(crate) static AUTOWU: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "autowu",
        aliases: &[],
        about: "The rate climbs until the loss would rise, goes back to where it was least and follows the schedule's cosine",
        source: "Kim et al. 2021, arXiv 2107.05855",
        parameters: &[
            Parameter {
                name: "min",
                about: "Rate that the climb begins with",
                kind: Kind::Number(Range::POSITIVE),
                default: ParameterDefault::Number(1e-5),
            },
            Parameter {
                name: "max",
                about: "Rate that it comes to at most",
                kind: Kind::Number(Range::POSITIVE),
                default: ParameterDefault::Number(1.0),
            },
            Parameter {
                name: "tail",
                about: "Share of the run over which the rate comes down (default: all after the climb)",
                kind: Kind::Number(Range::new(0.0, false, 1.0, true)),
                default: ParameterDefault::Absent,
            },
        ],
    },
    finds_rate: true,
    build: |choice, course| {
        let (min, max) = (choice.number("min"), choice.number("max"));
        let rates = (min.unwrap_or(1e-5), max.unwrap_or(1.0));
        Ok(Box::new(AutoWu::new(rates, choice.number("tail"), course)?))
    },
};

/// Losses that a fit takes at most.
const FITTED: usize = 100;
/// Iterations of a fit.
const ITERATIONS: u32 = 100;
/// Losses that a prediction takes at most.
const PREDICTED: usize = 500;
/// Curves predicted at a test.
const CURVES: usize = 5;
/// Probability above which a curve votes.
const CONFIDENCE: f64 = 0.95;
/// Tests in a row that end the climb.
const PATIENCE: u64 = 3;
/// Tests that the longest climb has at least, where it has so many steps.
const TESTS: u64 = 20;

/// A choice of losses: at most so many out of how many there are, increasing; made so many times before.
type Choose<'a> = dyn FnMut(usize, usize) -> Vec<usize> + 'a;

/// What the climb has found so far.
#[derive(Debug, Clone)]
struct Climb {
    /// The loss of each step.
    losses: Vec<f64>,
    process: GaussianProcess,
    /// Tests made.
    tests: u64,
    /// The last of them in a row that voted for an end.
    votes: u64,
}

impl Climb {
    fn new() -> Self {
        Self {
            losses: Vec::new(),
            process: GaussianProcess::new(),
            tests: 0,
            votes: 0,
        }
    }

    /// Tests the losses so far. Returns the probabilities of the curves and their minima.
    fn test(&mut self, choose: &mut Choose<'_>) -> [(f64, f64); CURVES] {
        let finite = |loss: &&f64| loss.is_finite();
        let (sum, count) = self
            .losses
            .iter()
            .filter(finite)
            .fold((0.0, 0.0), |(sum, count), loss| (sum + loss, count + 1.0));
        self.tests += 1;
        if count < 2.0 {
            return [(0.0, 1.0); CURVES];
        }
        self.process.set_mean(sum / count);
        let points = self.points(FITTED, choose);
        self.process.fit(&points, ITERATIONS);
        let mut curves = [(0.0, 1.0); CURVES];
        for curve in &mut curves {
            let predicted: Predicted = self.process.predict(&self.points(PREDICTED, choose));
            *curve = (
                predicted.probability_of_a_past_minimum(),
                predicted.minimum(),
            );
        }
        let votes = curves.iter().filter(|(p, _)| *p > CONFIDENCE).count();
        self.votes = match 2 * votes > CURVES {
            true => self.votes + 1,
            false => 0,
        };
        curves
    }

    /// At most so many of the finite losses.
    fn points(&self, most: usize, choose: &mut Choose<'_>) -> Points {
        let finite: Vec<usize> = (0..self.losses.len())
            .filter(|&at| self.losses[at].is_finite())
            .collect();
        let chosen: Vec<usize> = match finite.len() > most {
            true => choose(finite.len(), most)
                .into_iter()
                .map(|at| finite[at])
                .collect(),
            false => finite,
        };
        let steps = self.losses.len() as f64;
        Points {
            x: chosen.iter().map(|&at| at as f64 / steps).collect(),
            y: chosen.iter().map(|&at| self.losses[at]).collect(),
        }
    }
}

/// The end of the climb.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    /// The first step after it.
    step: u64,
    /// The rate from there, before it comes down.
    rate: f64,
    /// The rate of the climb's last step.
    reached: f64,
    /// Found by the losses, and not by the climb's length.
    found: bool,
}

struct AutoWu {
    min: f64,
    max: f64,
    /// Steps of the run.
    steps: u64,
    /// Share of the rate at the run's end.
    floor: f64,
    /// The step from which the rate comes down, if that is after the climb.
    tail: u64,
    /// Steps between tests.
    every: u64,
    batch_size: u64,
    key: StreamKey,
    climb: Climb,
    turn: Option<Turn>,
}

impl AutoWu {
    fn new(
        (min, max): (f64, f64),
        tail: Option<f64>,
        course: &Course<'_>,
    ) -> Result<Self, RulesError> {
        if min >= max {
            return Err(RulesError::OutOfRange {
                key: "min",
                value: min,
                range: "below max",
            });
        }
        let Decay::Cosine { over, floor } = course.schedule.decay else {
            return Err(RulesError::NoHorizon);
        };
        if !course.schedule.warm_up.length.is_zero() {
            return Err(RulesError::NoHorizon);
        }
        // Its lengths and floor are checked.
        course.rates(course.schedule)?;
        let steps = steps_in(over, course.batch_size, course.train_examples)?;
        let longest = steps / 2;
        let epoch = match course.train_examples {
            Some(_) => steps_in(
                Length::Epochs(1.0),
                course.batch_size,
                course.train_examples,
            )?,
            None => u64::MAX,
        };
        Ok(Self {
            min,
            max,
            steps,
            floor,
            tail: tail.map_or(0, |tail| (steps as f64 * (1.0 - tail)).round() as u64),
            every: epoch.min(longest / TESTS).max(1),
            batch_size: course.batch_size,
            key: StreamKey {
                purpose: batchscope_core::Purpose::Controller,
                ..course.key
            },
            climb: Climb::new(),
            turn: None,
        })
    }

    /// Steps of the climb at most.
    fn longest(&self) -> u64 {
        self.steps / 2
    }

    fn climbing(&self, step: u64) -> f64 {
        let longest = self.longest().max(1) as f64;
        self.min * (self.max / self.min).powf(step as f64 / longest)
    }

    fn rate(&self, step: u64) -> f64 {
        let Some(turn) = self.turn.filter(|turn| turn.step <= step) else {
            return self.climbing(step.min(self.longest()));
        };
        let from = self.tail.max(turn.step);
        let left = self.steps.saturating_sub(from).max(1) as f64;
        let done = (step.saturating_sub(from) as f64 / left).min(1.0);
        let cosine = (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
        turn.rate * (self.floor + (1.0 - self.floor) * cosine)
    }
}

impl Controller for AutoWu {
    fn at(&self, step: u64) -> StepSetting {
        StepSetting {
            learning_rate: self.rate(step),
            batch: StepBatch::constant(step, self.batch_size),
        }
    }

    fn observe(&mut self, seen: &StepSeen<'_>) {
        if self.turn.is_some() {
            return;
        }
        self.climb.losses.push(seen.loss);
        let done = seen.setting.batch.step + 1;
        let reached = seen.setting.learning_rate;
        if done >= self.longest() {
            self.turn = Some(Turn {
                step: done,
                rate: self.climbing(done.min(self.longest())),
                reached,
                found: false,
            });
        } else if done.is_multiple_of(self.every) {
            // A stream for each test, so that what is drawn depends on its number alone.
            let stream = self.key.stream(self.climb.tests);
            let mut uniform = NormalDraws::new(stream);
            let curves = self
                .climb
                .test(&mut |of, most| choose(of, most, || uniform.uniform()));
            if self.climb.votes >= PATIENCE {
                let back = |x: f64| self.min * (reached / self.min).powf(x);
                let rate = curves.iter().map(|&(_, x)| back(x)).sum::<f64>() / CURVES as f64;
                self.turn = Some(Turn {
                    step: done,
                    rate,
                    reached,
                    found: true,
                });
            }
        }
        if self.turn.is_some() {
            self.climb.losses = Vec::new();
        }
    }

    fn decision(&self, step: u64) -> Option<String> {
        let turn = self.turn.filter(|turn| turn.step == step)?;
        let (from, to) = (number(turn.reached), number(turn.rate));
        Some(match turn.found {
            true => format!(
                "the loss would rise beyond: the rate goes from {from} back to {to}, and decays"
            ),
            false => format!(
                "half the run is over without a rise of the loss: the rate decays from {to}"
            ),
        })
    }

    fn state(&self) -> Vec<f64> {
        let turn = match self.turn {
            None => [f64::NEG_INFINITY; 4],
            Some(turn) => [
                turn.step as f64,
                turn.rate,
                turn.reached,
                f64::from(u8::from(turn.found)),
            ],
        };
        let counts = [self.climb.tests as f64, self.climb.votes as f64];
        [
            &turn[..],
            &counts,
            &self.climb.process.state(),
            &self.climb.losses,
        ]
        .concat()
    }

    fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
        let &[step, rate, reached, found, tests, votes, ref rest @ ..] = state else {
            return Err(RulesError::ForeignState);
        };
        let Some((process, losses)) = rest.split_first_chunk::<10>() else {
            return Err(RulesError::ForeignState);
        };
        let is_rate = |rate: f64| rate.is_finite() && rate >= 0.0;
        let turn = match whole(step) {
            Some(step) if is_rate(rate) && is_rate(reached) => Some(Turn {
                step,
                rate,
                reached,
                found: found == 1.0,
            }),
            None if step == f64::NEG_INFINITY => None,
            _ => return Err(RulesError::ForeignState),
        };
        let process = GaussianProcess::of_state(process);
        let (Some(tests), Some(votes), Some(process)) = (whole(tests), whole(votes), process)
        else {
            return Err(RulesError::ForeignState);
        };
        self.turn = turn;
        self.climb = Climb {
            losses: losses.to_vec(),
            process,
            tests,
            votes,
        };
        Ok(())
    }
}

/// `most` of `0..of`, increasing, all choices alike (Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2 S).
fn choose(of: usize, most: usize, mut uniform: impl FnMut() -> f64) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(most);
    for at in 0..of {
        let (wanted, left) = (most - chosen.len(), of - at);
        if uniform() * (left as f64) < wanted as f64 {
            chosen.push(at);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use batchscope_core::Schedule;
    use serde::Deserialize;

    use super::*;
    use crate::controller::KEY;

    #[derive(Deserialize)]
    struct Golden {
        epoch: usize,
        /// A loss that is not finite is `null`.
        losses: Vec<Option<f64>>,
        tests: Vec<GoldenTest>,
    }

    #[derive(Deserialize)]
    struct GoldenTest {
        chosen: Vec<Vec<usize>>,
        constants: [f64; 3],
        curves: Vec<(f64, f64)>,
        votes: u64,
    }

    /// `tests/golden/autowu.py`: the equations with dense matrices, on NumPy 2.
    #[test]
    fn decisions_are_those_of_the_equations() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/autowu.json")).unwrap();
        let mut climb = Climb::new();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6 * b.abs().max(1.0);
        for (at, test) in golden.tests.iter().enumerate() {
            let from = at * golden.epoch;
            let losses = golden.losses[from..from + golden.epoch].iter();
            climb
                .losses
                .extend(losses.map(|loss| loss.unwrap_or(f64::INFINITY)));
            let mut chosen = test.chosen.iter();
            let curves = climb.test(&mut |_, _| chosen.next().unwrap().clone());
            assert!(chosen.next().is_none());
            for (found, expected) in climb.process.values().iter().zip(test.constants) {
                assert!(close(*found, expected), "{at}: {found} against {expected}");
            }
            for (found, expected) in curves.iter().zip(&test.curves) {
                assert!(
                    close(found.0, expected.0),
                    "{at}: {found:?} against {expected:?}"
                );
                assert!(
                    (found.1 - expected.1).abs() < 1e-12,
                    "{at}: {found:?} against {expected:?}"
                );
            }
            assert_eq!(climb.votes, test.votes, "{at}");
        }
        assert_eq!(climb.votes, PATIENCE);
    }

    fn led(tail: Option<f64>, epochs: f64) -> AutoWu {
        let schedule = Schedule {
            decay: Decay::Cosine {
                over: Length::Epochs(epochs),
                floor: 0.0,
            },
            ..Schedule::constant()
        };
        let course = Course {
            schedule: &schedule,
            learning_rate: 1.0,
            batch_size: 100,
            train_examples: Some(1000),
            key: KEY,
        };
        AutoWu::new((1e-5, 1.0), tail, &course).unwrap()
    }

    /// Trains a quadratic of curvature 1 whose loss explodes once the rate passes 2/50: the climb must end soon after, and
    /// go back below. The rates of all steps, and the decisions.
    fn on_a_quadratic(led: &mut AutoWu, steps: u64) -> (Vec<f64>, Vec<(u64, String)>) {
        let (mut w, mut rates, mut decisions) = (1.0f64, Vec::new(), Vec::new());
        for step in 0..steps {
            let setting = led.at(step);
            let loss = 0.1 + 25.0 * w * w;
            w = ((1.0 - 50.0 * setting.learning_rate) * w).clamp(-3.0, 3.0);
            rates.push(setting.learning_rate);
            led.observe(&StepSeen {
                setting,
                loss,
                noise: None,
            });
            if let Some(why) = led.decision(step + 1) {
                decisions.push((step + 1, why));
            }
        }
        (rates, decisions)
    }

    #[test]
    fn the_climb_ends_where_the_loss_would_rise_and_the_rate_comes_down() {
        let mut led = led(None, 100.0);
        assert_eq!(led.every, 10);
        let (rates, decisions) = on_a_quadratic(&mut led, 1000);
        let [(turn, why)] = decisions.as_slice() else {
            panic!("{decisions:?}");
        };
        assert!(why.starts_with("the loss would rise"), "{why}");
        let highest = rates[*turn as usize - 1];
        // Unstable from 1/25 on; three tests are 30 of 500 steps, half a decade.
        assert!((0.02..0.5).contains(&highest), "{highest}");
        assert!(rates[*turn as usize] < 0.04, "{}", rates[*turn as usize]);
        assert!(rates[999] < 1e-4 * rates[*turn as usize]);
        assert!(rates[*turn as usize..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn a_tail_keeps_the_rate_until_the_last_part() {
        let mut led = led(Some(0.2), 100.0);
        let (rates, decisions) = on_a_quadratic(&mut led, 1000);
        let turn = decisions[0].0 as usize;
        assert!(rates[turn..=800].iter().all(|rate| *rate == rates[turn]));
        assert!((rates[900] / rates[turn] - 0.5).abs() < 1e-9);
    }

    /// Runs of one epoch are tested too, at every twentieth of the longest climb; one that never rises decays from the top.
    #[test]
    fn a_short_run_is_tested_within_its_epochs() {
        let mut short = led(None, 10.0);
        assert_eq!((short.steps, short.every), (100, 2));
        for step in 0..50 {
            let setting = short.at(step);
            short.observe(&StepSeen {
                setting,
                loss: 2.0 - step as f64 / 100.0,
                noise: None,
            });
        }
        assert!(short.decision(50).unwrap().starts_with("half the run"));
        assert!((short.at(50).learning_rate - 1.0).abs() < 1e-12);
    }

    #[test]
    fn choices_are_uniform_and_increasing() {
        let mut draws = NormalDraws::new(KEY.stream(3));
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            let chosen = choose(10, 3, || draws.uniform());
            assert!(chosen.len() == 3 && chosen.is_sorted_by(|a, b| a < b));
            chosen.iter().for_each(|&at| counts[at] += 1);
        }
        // 3000 each, with a standard deviation of 46.
        assert!(counts.iter().all(|&n| n.abs_diff(3000) < 250), "{counts:?}");
    }
}
