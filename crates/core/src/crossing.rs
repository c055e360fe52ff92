//! Where a metric crosses its target.
//!
//! Steps to the target are the optimizer updates at which the metric without its noise first is as
//! good as the target. What is measured has noise, so a line is fitted by least squares to the
//! evaluations of the last [`WINDOW`] log-steps: local linear regression (Fan and Gijbels 1996,
//! *Local Polynomial Modelling and Its Applications*, section 2.3). The line is read at one place,
//! a little before the last evaluation. The first place at which it meets the target is the
//! crossing, interpolated between two places.
//!
//! * **The place.** The line through a parabola `x²` with `x` about its mean is `μ₂ + x·μ₃/μ₂`, `μₖ`
//!   the central moments of the evaluated log-steps. It meets the parabola at
//!   `x = (k + √(k² + 4μ₂))/2`, `k = μ₃/μ₂`: there the line has no error by curvature, however the
//!   evaluations are spaced (for an even spacing it is a Gauss–Legendre node). A line read in the
//!   middle of its window has an error, and has to be trained for twice as far.
//! * **The metric itself** is fitted, not its logarithm: an error and its accuracy cross alike,
//!   values may be zero or negative, and noise that is symmetric stays so.
//! * **Training goes on past the crossing** until the line is read there: by a factor of 1.2 to 1.3
//!   in steps.
//!
//! `tests/crossing` simulates it; docs/methods.md shows the numbers.

use std::collections::VecDeque;

use crate::{Direction, Located, Outcome, Target};

/// Width of the window of evaluations that the line is fitted to, in natural log of steps (a factor
/// of 3.5 in steps).
pub const WINDOW: f64 = 1.25;

/// The target is near where the line meets it within this much of the last evaluation, in natural
/// log of steps: evaluations are spaced finer there.
pub const NEAR: f64 = 0.3;

/// The target is in sight where the line meets it within this much of the last evaluation, in
/// natural log of steps: from there on every planned evaluation is made. The crossing's line reaches
/// back that far ([`WINDOW`], less what is trained past the crossing).
pub const IN_SIGHT: f64 = 1.0;

/// The line goes through so many evaluations at least.
const FEWEST: usize = 3;

/// Where a target was crossed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossed {
    /// Steps at which the metric without its noise is estimated to cross, not rounded.
    pub crossing: f64,
    /// A standard error below, as whole steps, exclusive; 0 where the target was met from the first
    /// evaluation on, so that the crossing is known no better than to lie before.
    pub after: u64,
    /// The evaluated step at which it was found.
    pub found: u64,
}

impl Crossed {
    /// Whole steps by which it was crossed.
    pub fn step(&self) -> u64 {
        self.crossing.ceil() as u64
    }

    /// The end of a trial that crossed here.
    pub fn outcome(&self) -> Outcome {
        Outcome::Reached {
            step: self.step(),
            after: self.after,
            located: Some(Located {
                crossing: self.crossing,
                found: self.found,
                rounding: 0.0,
            }),
        }
    }
}

/// Watches a metric for the step at which it crosses its target, noise apart.
///
/// What it remembers is a function of the evaluations alone, so it is never saved: a resumed trial
/// shows it the stored evaluations again.
///
/// ```
/// use batchscope_core::Crossing;
/// let mut crossing = Crossing::new("val-error=0.1".parse().unwrap());
/// let steps = [20, 24, 29, 35, 42, 51];
/// let found = steps.map(|step| crossing.observe(step, 4.0 / step as f64)); // 0.1 after 40
/// assert_eq!(found[4], None); // not trained far enough past it
/// let crossed = found[5].unwrap();
/// assert!((crossed.crossing / 40.0 - 1.0).abs() < 0.01);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    target: Target,
    /// The evaluations that the line goes through, as `ln` step and value, steps increasing.
    points: VecDeque<(f64, f64)>,
    /// The last place that was read, with what the line said there.
    last: Option<(f64, f64)>,
    /// The target came in sight.
    in_sight: bool,
}

impl Crossing {
    /// Nothing observed yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            points: VecDeque::new(),
            last: None,
            in_sight: false,
        }
    }

    /// The target watched for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Takes the metric at `step`, which is after the last; returns the crossing once it was passed
    /// far enough.
    pub fn observe(&mut self, step: u64, value: f64) -> Option<Crossed> {
        let x = (step.max(1) as f64).ln();
        self.points.push_back((x, value));
        self.in_sight = self.in_sight || self.sees();
        while self.points.len() > FEWEST && self.points[0].0 < x - WINDOW {
            self.points.pop_front();
        }
        if self.points.len() < FEWEST {
            return None;
        }
        let line = Line::through(&self.points);
        self.read(&line, line.place(), step)
    }

    /// The crossing where nothing follows the last evaluation, after `step` steps.
    pub fn at_end(&mut self, step: u64) -> Option<Crossed> {
        let (x, line) = self.tail(|value| value)?;
        self.read(&line, x, step)
    }

    /// True where the metric is about to meet the target, or has met it.
    pub fn is_near(&self) -> bool {
        let ahead = self.ahead(|value| value, NEAR);
        ahead.is_some_and(|value| self.target.is_met(value))
    }

    /// True once the line through the evaluations, extended by [`IN_SIGHT`], met the target.
    pub fn is_in_sight(&self) -> bool {
        self.in_sight
    }

    /// Looks [`IN_SIGHT`] ahead: along a power of the steps where the metric falls towards a positive
    /// target, as a line in their log would meet it far too early.
    fn sees(&self) -> bool {
        let falls = self.target.direction == Direction::Lower && self.target.value > 0.0;
        let ahead = match falls && self.points.iter().all(|&(_, value)| value > 0.0) {
            true => self.ahead(f64::ln, IN_SIGHT).map(f64::exp),
            false => self.ahead(|value| value, IN_SIGHT),
        };
        ahead.is_some_and(|value| self.target.is_met(value))
    }

    /// What the line of the last evaluations says so many log-steps after them, `of` the metric.
    fn ahead(&self, of: fn(f64) -> f64, log_steps: f64) -> Option<f64> {
        let (x, line) = self.tail(of)?;
        Some(line.at(x + log_steps))
    }

    /// The last evaluation's `ln` step, and the line `of` the metric to be read there: through half the
    /// window, along which it bends less.
    fn tail(&self, of: fn(f64) -> f64) -> Option<(f64, Line)> {
        let &(x, _) = self.points.back()?;
        let half = |&&(at, _): &&(f64, f64)| at >= x - WINDOW / 2.0;
        let points = self.points.iter().filter(half);
        let points = points.map(|&(x, value)| (x, of(value))).collect();
        Some((x, Line::through(&points)))
    }

    /// Reads a line at `x`, the last evaluation being of `found` steps.
    fn read(&mut self, line: &Line, x: f64, found: u64) -> Option<Crossed> {
        if self.last.is_some_and(|(last, _)| x <= last) {
            return None;
        }
        let value = line.at(x);
        let before = self.last.replace((x, value));
        if !self.target.is_met(value) {
            return None;
        }
        let Some((low, worse)) = before else {
            if let Some(crossed) = self.between(found) {
                return Some(crossed);
            }
            // Met from the first evaluation on: where it was crossed is not known.
            return Some(Crossed {
                crossing: self.points[0].0.exp().round(),
                after: 0,
                found,
            });
        };
        let part = (worse - self.target.value) / (worse - value);
        // Where the place before holds no number, only this one is known.
        let part = if part.is_finite() { part } else { 1.0 };
        let at = low + (x - low) * part.clamp(0.0, 1.0);
        // Rounding must not carry it past what was trained.
        let crossing = at.exp().min(found as f64);
        let improves = match self.target.direction {
            Direction::Lower => line.slope < 0.0,
            Direction::Higher => line.slope > 0.0,
        };
        let error = if improves {
            (line.standard_error(at) / line.slope.abs()).min(WINDOW)
        } else {
            WINDOW
        };
        let after = (crossing * (-error).exp()).ceil() as u64;
        Some(Crossed {
            crossing,
            // 0 says that it was met from the first evaluation on.
            after: (after.max(2) - 1).min((crossing.ceil() as u64).max(1) - 1),
            found,
        })
    }
}

impl Crossing {
    /// The crossing where the first place that can be read already meets the target, and the first evaluation does
    /// not: between the two evaluations about it, along a line in the log of steps. They are too few for noise to
    /// be taken out.
    fn between(&self, found: u64) -> Option<Crossed> {
        let met = self
            .points
            .iter()
            .position(|&(_, value)| self.target.is_met(value));
        let at = met.unwrap_or(self.points.len() - 1);
        let ((low, worse), (high, value)) =
            (*self.points.get(at.checked_sub(1)?)?, self.points[at]);
        let part = (worse - self.target.value) / (worse - value);
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            1.0
        };
        let crossing = (low + (high - low) * part).exp().min(found as f64);
        let before = low.exp().round() as u64;
        Some(Crossed {
            crossing,
            after: before.min((crossing.ceil() as u64).max(1) - 1),
            found,
        })
    }
}

/// The least-squares line through some points.
#[derive(Debug, Clone, Copy)]
struct Line {
    n: f64,
    center: f64,
    mean: f64,
    slope: f64,
    /// Sum of squares of `x` about its mean.
    spread: f64,
    /// Sum of cubes of `x` about its mean.
    skew: f64,
    /// Sum of squares about the line.
    residual: f64,
}

impl Line {
    fn through(points: &VecDeque<(f64, f64)>) -> Self {
        let n = points.len().max(1) as f64;
        let sum =
            |of: &dyn Fn(f64, f64) -> f64| -> f64 { points.iter().map(|&(x, y)| of(x, y)).sum() };
        let center = sum(&|x, _| x) / n;
        let mean = sum(&|_, y| y) / n;
        let spread = sum(&|x, _| (x - center).powi(2));
        let slope = match spread > 0.0 {
            true => sum(&|x, y| (x - center) * (y - mean)) / spread,
            false => 0.0,
        };
        Self {
            n,
            center,
            mean,
            slope,
            spread,
            skew: sum(&|x, _| (x - center).powi(3)),
            residual: sum(&|x, y| (y - mean - slope * (x - center)).powi(2)),
        }
    }

    fn at(&self, x: f64) -> f64 {
        self.mean + self.slope * (x - self.center)
    }

    /// Where it meets every parabola that it is the line through. The points must differ in `x`.
    fn place(&self) -> f64 {
        let k = self.skew / self.spread;
        self.center + (k + (k * k + 4.0 * self.spread / self.n).sqrt()) / 2.0
    }

    /// Of the line's value at `x`; 0 where there are no points to tell.
    fn standard_error(&self, x: f64) -> f64 {
        if self.n <= 2.0 || self.spread <= 0.0 {
            return 0.0;
        }
        let distance = (x - self.center).powi(2) / self.spread;
        (self.residual / (self.n - 2.0) * (1.0 / self.n + distance)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The oracle of the place: on `x²` the line has no error there, even spacing or not.
    #[test]
    fn a_line_meets_its_parabola_at_its_place() {
        let uneven = [0.0, 0.1, 0.5, 0.6, 1.1];
        let even = [0.0, 0.25, 0.5, 0.75, 1.0];
        for steps in [uneven, even] {
            let points: VecDeque<_> = steps.map(|x| (x, 3.0 + x - 2.0 * x * x)).into();
            let line = Line::through(&points);
            let x = line.place();
            assert!((0.5..1.1).contains(&x), "{x}");
            assert!((line.at(x) - (3.0 + x - 2.0 * x * x)).abs() < 1e-12);
        }
    }

    /// Three points on no line, by hand: slope 1/2, residual 1.5, standard error 1/√2 in the middle.
    #[test]
    fn a_line_has_its_textbook_standard_error() {
        let points: VecDeque<_> = [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)].into();
        let line = Line::through(&points);
        assert_eq!((line.slope, line.at(1.0)), (0.5, 1.0));
        assert!((line.residual - 1.5).abs() < 1e-12);
        assert!((line.standard_error(1.0) - 0.5f64.sqrt()).abs() < 1e-12);
    }
}
