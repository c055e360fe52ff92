//! Facts that follow from the findings alone: what a program that words them asks for.

use crate::cost::StepTimes;
use crate::findings::{Advice, Curve, Findings, Point, PointState};
use crate::fit::LACK_OF_FIT_LEVEL;

/// Definitions of the critical batch size are said to agree where, by the ends of their intervals, no two lie
/// further apart than this: one step of the usual batch sizes.
const AGREE_WITHIN: f64 = 2.0;

/// How the definitions of the critical batch size compare on one curve. Intervals and a test decide
/// it, never point estimates: on an exact hyperbola those of (b) and (c) scatter far more than (a).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// All are estimated, and by the ends of their intervals no two lie further apart than this
    /// factor, at most 2.
    Agree {
        /// Largest upper end over smallest lower end.
        within: f64,
    },
    /// The intervals, or bounds, of two exclude each other: the curve is no exact hyperbola.
    Exclude,
    /// The intervals overlap, but the lack-of-fit test rejects the hyperbola, on which alone the definitions
    /// are equal.
    LackOfFit,
    /// The intervals overlap and are too wide to say that the definitions agree.
    TooUncertain,
}

impl Findings {
    /// How the definitions compare on a curve; `None` where fewer than two say anything.
    pub fn agreement(&self, curve: &str) -> Option<Agreement> {
        let critical = self.critical_batch_size.get(curve)?;
        let said: Vec<_> = [&critical.hyperbola, &critical.overhead20, &critical.plateau]
            .into_iter()
            .filter(|e| e.value.is_some())
            .collect();
        if said.len() < 2 {
            return None;
        }
        let low = said.iter().filter_map(|e| e.low).fold(0.0, f64::max);
        let high = said
            .iter()
            .filter_map(|e| e.high)
            .fold(f64::INFINITY, f64::min);
        if low > high {
            return Some(Agreement::Exclude);
        }
        let rejected = self.curves.iter().find(|c| c.rule == curve)?.rejected();
        if rejected.is_some() {
            return Some(Agreement::LackOfFit);
        }
        let ends = said
            .iter()
            .map(|e| e.low.zip(e.high).filter(|_| e.is_estimated()));
        let within = ends.collect::<Option<Vec<_>>>().map(|ends| {
            let lowest = ends.iter().map(|e| e.0).fold(f64::INFINITY, f64::min);
            ends.iter().map(|e| e.1).fold(0.0, f64::max) / lowest
        });
        Some(match within {
            Some(within) if said.len() == 3 && within <= AGREE_WITHIN => {
                Agreement::Agree { within }
            }
            _ => Agreement::TooUncertain,
        })
    }
}

/// Two curves that change places: each needs fewer steps than the other at some batch size, by intervals that
/// exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The curve with fewer steps at the first batch size.
    pub one: String,
    /// The curve with fewer steps at the second.
    pub other: String,
    /// A batch size at which `one` needs fewer.
    pub first: u64,
    /// A batch size at which `other` needs fewer.
    pub second: u64,
}

impl Findings {
    /// Curves that change places as the batch size grows, a pair each: where laws cross, neither is below the other.
    pub fn swaps(&self) -> Vec<Swap> {
        let below = |a: &Curve, b: &Curve| {
            a.points.iter().find_map(|p| {
                let q = b.points.iter().find(|q| q.batch_size == p.batch_size)?;
                (p.steps.high? < q.steps.low?).then_some(p.batch_size)
            })
        };
        let mut swaps = Vec::new();
        for (i, a) in self.curves.iter().enumerate() {
            for b in &self.curves[i + 1..] {
                if let (Some(first), Some(second)) = (below(a, b), below(b, a)) {
                    swaps.push(Swap {
                        one: a.rule.clone(),
                        other: b.rule.clone(),
                        first,
                        second,
                    });
                }
            }
        }
        swaps
    }
}

impl Curve {
    /// The p-value at which the runs reject the curve's hyperbola; `None` where they do not.
    pub fn rejected(&self) -> Option<f64> {
        let p = self.fit.as_ref()?.lack_of_fit_p;
        p.filter(|p| *p < LACK_OF_FIT_LEVEL)
    }

    /// A batch size and a larger one that needs more steps, by intervals that exclude each other: no curve of
    /// steps that falls with the batch size, as the hyperbola does, goes through both.
    pub fn rise(&self) -> Option<(u64, u64)> {
        let reached: Vec<&Point> = self
            .points
            .iter()
            .filter(|p| p.steps.is_estimated())
            .collect();
        reached.iter().enumerate().find_map(|(i, p)| {
            let larger = reached[i + 1..]
                .iter()
                .find(|q| q.steps.low > p.steps.high)?;
            p.steps.high.map(|_| (p.batch_size, larger.batch_size))
        })
    }

    /// The batch sizes whose points ended in a state.
    pub fn batch_sizes_in(&self, state: PointState) -> Vec<u64> {
        self.batch_sizes(|p| p.state == state)
    }

    /// The largest batch size of which a trial reached the target.
    pub fn largest_reached(&self) -> Option<u64> {
        let reached = |p: &Point| matches!(p.state, PointState::Reached | PointState::Partly);
        self.batch_sizes(reached).into_iter().max()
    }

    /// Batch sizes at which a trial reached the target before its warm-up ended.
    pub fn reached_inside_warm_up(&self) -> Vec<u64> {
        self.batch_sizes(|p| {
            let inside = |r: &crate::Repeat| r.state == "reached" && r.steps <= p.warm_up_steps;
            p.repeats.iter().any(inside)
        })
    }

    /// Batch sizes that never reached the target, in more steps than the upper end of the fitted
    /// curve allows.
    pub fn past_the_fit(&self) -> Vec<u64> {
        let Some(fit) = &self.fit else {
            return Vec::new();
        };
        let past = |p: &Point| {
            let batch_size = p.batch_size as f64;
            let band = fit.band.iter().min_by(|a, b| {
                let distance = |at: f64| (at / batch_size).ln().abs();
                distance(a.batch_size).total_cmp(&distance(b.batch_size))
            });
            band.zip(p.steps.value)
                .is_some_and(|(band, bound)| bound > band.high)
        };
        self.batch_sizes(|p| p.state == PointState::NotReached && past(p))
    }

    fn batch_sizes(&self, of: impl Fn(&Point) -> bool) -> Vec<u64> {
        let points = self.points.iter().filter(|p| of(p));
        points.map(|p| p.batch_size).collect()
    }
}

/// What a recommended setting buys over the smallest batch size that reached the target and was
/// timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// That batch size.
    pub over: u64,
    /// Its seconds to the target over those of the recommendation.
    pub faster: f64,
    /// The examples of the recommendation over its own.
    pub examples: f64,
}

impl Advice {
    /// The gain over the smallest batch size; `None` where that is the one recommended, or where a
    /// number is missing.
    pub fn gain(&self, findings: &Findings) -> Option<Gain> {
        let best = &self.recommended;
        let times = StepTimes::new(&self.timings, best.seconds.level);
        let curve = findings.curves.iter().find(|c| c.rule == best.curve)?;
        let (point, step) = curve
            .points
            .iter()
            .filter(|p| p.steps.is_estimated() && p.learning_rate.value.is_some())
            .find_map(|p| Some((p, times.step(p.batch_size)?)))
            .filter(|(p, _)| p.batch_size != best.batch_size)?;
        Some(Gain {
            over: point.batch_size,
            faster: step.seconds * point.steps.value? / best.seconds.value?,
            examples: best.examples.value? / point.examples.value?,
        })
    }
}
