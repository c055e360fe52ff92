//! The line search of Moré and Thuente (\[MT\]).
//!
//! Looks for a step `t` with `φ(t) ≤ φ(0) + μ·t·φ'(0)` and `|φ'(t)| ≤ η·|φ'(0)|`. It keeps an
//! interval that must hold such a step (once one is known), and takes the next trial from cubic
//! and quadratic interpolation. While no trial had sufficient decrease it works on the auxiliary
//! function `ψ(t) = φ(t) − μ·t·φ'(0)`.

/// `μ`: sufficient decrease.
const DECREASE: f64 = 1e-3;
/// `η`: curvature.
const CURVATURE: f64 = 0.9;
/// The search ends when the interval is shorter than this, relative to its far end.
const NARROW: f64 = 0.1;
/// A bracket must shrink to this part of itself in two trials, or it is halved.
const SHRINK: f64 = 0.66;

/// A step length with the function and its slope there.
#[derive(Debug, Clone, Copy)]
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Advice {
    /// Evaluate at this step.
    Try(f64),
    /// Take the step just evaluated: it meets the conditions, or no better one can be told apart.
    Accept,
}

pub(super) struct LineSearch {
    start: Trial,
    limit: f64,
    /// Best trial so far, and the other end of the interval.
    best: Trial,
    other: Trial,
    bracketed: bool,
    /// Interval for the next trial.
    low: f64,
    high: f64,
    width: f64,
    last_width: f64,
    /// Still on the auxiliary function.
    auxiliary: bool,
}

impl LineSearch {
    /// A search from value and slope (negative) at 0; the first trial will be `step`, none will
    /// exceed `limit`.
    pub(super) fn new(value: f64, slope: f64, step: f64, limit: f64) -> Self {
        let start = Trial {
            step: 0.0,
            value,
            slope,
        };
        Self {
            start,
            limit,
            best: start,
            other: start,
            bracketed: false,
            low: 0.0,
            high: 5.0 * step,
            width: limit,
            last_width: 2.0 * limit,
            auxiliary: true,
        }
    }

    /// Takes in the function and slope at `step`.
    pub(super) fn advise(&mut self, step: f64, value: f64, slope: f64) -> Advice {
        let required = DECREASE * self.start.slope;
        let ceiling = self.start.value + step * required;
        if self.auxiliary && value <= ceiling && slope >= 0.0 {
            self.auxiliary = false;
        }
        let stuck = self.bracketed
            && (step <= self.low
                || step >= self.high
                || self.high - self.low <= NARROW * self.high);
        let at_limit = step == self.limit && value <= ceiling && slope <= required;
        let at_zero = step == 0.0 && (value > ceiling || slope >= required);
        let wolfe = value <= ceiling && slope.abs() <= -CURVATURE * self.start.slope;
        if stuck || at_limit || at_zero || wolfe {
            return Advice::Accept;
        }

        let trial = Trial { step, value, slope };
        let next = if self.auxiliary && value <= self.best.value && value > ceiling {
            let tilt = |t: Trial, sign: f64| Trial {
                value: t.value - sign * t.step * required,
                slope: t.slope - sign * required,
                ..t
            };
            self.best = tilt(self.best, 1.0);
            self.other = tilt(self.other, 1.0);
            let next = self.interpolate(tilt(trial, 1.0));
            self.best = tilt(self.best, -1.0);
            self.other = tilt(self.other, -1.0);
            next
        } else {
            self.interpolate(trial)
        };
        Advice::Try(self.safeguard(next))
    }

    /// The next trial from the interval's ends and the present one, by the four cases of \[MT\]
    /// section 4; updates the interval.
    fn interpolate(&mut self, now: Trial) -> f64 {
        let best = self.best;
        let opposite = now.slope * best.slope.signum() < 0.0;
        let secant = || now.step + now.slope / (now.slope - best.slope) * (best.step - now.step);
        let next = if now.value > best.value {
            // 1: higher; the minimum is bracketed
            let cubic = cubic_minimum(best, now);
            let chord = (best.value - now.value) / (now.step - best.step);
            let quadratic =
                best.step + best.slope / (chord + best.slope) / 2.0 * (now.step - best.step);
            self.bracketed = true;
            if (cubic - best.step).abs() < (quadratic - best.step).abs() {
                cubic
            } else {
                cubic + (quadratic - cubic) / 2.0
            }
        } else if opposite {
            // 2: lower, slopes of opposite sign; the minimum is bracketed
            let cubic = cubic_minimum(now, best);
            let secant = secant();
            self.bracketed = true;
            if (cubic - now.step).abs() > (secant - now.step).abs() {
                cubic
            } else {
                secant
            }
        } else if now.slope.abs() < best.slope.abs() {
            // 3: lower, same sign, flatter; the cubic may run to infinity or the wrong way
            let end = if now.step > best.step {
                self.high
            } else {
                self.low
            };
            let cubic = forward_cubic_minimum(now, best).unwrap_or(end);
            let secant = secant();
            let cubic_is_closer = (cubic - now.step).abs() < (secant - now.step).abs();
            if self.bracketed {
                let next = if cubic_is_closer { cubic } else { secant };
                let edge = now.step + SHRINK * (self.other.step - now.step);
                if now.step > best.step {
                    next.min(edge)
                } else {
                    next.max(edge)
                }
            } else {
                let next = if cubic_is_closer { secant } else { cubic };
                next.max(self.low).min(self.high)
            }
        } else if self.bracketed {
            // 4: lower, same sign, not flatter
            cubic_minimum(now, self.other)
        } else if now.step > best.step {
            self.high
        } else {
            self.low
        };
        if now.value > best.value {
            self.other = now;
        } else {
            if opposite {
                self.other = best;
            }
            self.best = now;
        }
        next
    }

    /// Keeps the interval shrinking and the next trial inside it.
    fn safeguard(&mut self, mut next: f64) -> f64 {
        let (best, other) = (self.best.step, self.other.step);
        if self.bracketed {
            if (other - best).abs() >= SHRINK * self.last_width {
                next = best + 0.5 * (other - best);
            }
            self.last_width = self.width;
            self.width = (other - best).abs();
            (self.low, self.high) = (best.min(other), best.max(other));
        } else {
            self.low = next + 1.1 * (next - best);
            self.high = next + 4.0 * (next - best);
        }
        next = next.max(0.0).min(self.limit);
        let narrow = self.high - self.low <= NARROW * self.high;
        if self.bracketed && (next <= self.low || next >= self.high || narrow) {
            next = best;
        }
        next
    }
}

/// `θ` and the scaled radicand `(θ/s)² − (a'/s)(b'/s)` of the cubic through two trials.
fn cubic_parts(a: Trial, b: Trial) -> (f64, f64, f64) {
    let theta = 3.0 * (a.value - b.value) / (b.step - a.step) + a.slope + b.slope;
    let scale = theta.abs().max(a.slope.abs()).max(b.slope.abs());
    let radicand = (theta / scale).powi(2) - (a.slope / scale) * (b.slope / scale);
    (theta, scale, radicand)
}

/// Minimizer of the cubic that interpolates both trials, written from `a`.
fn cubic_minimum(a: Trial, b: Trial) -> f64 {
    let (theta, scale, radicand) = cubic_parts(a, b);
    let gamma = (scale * radicand.max(0.0).sqrt()).copysign(b.step - a.step);
    let ratio = ((gamma - a.slope) + theta) / (((gamma - a.slope) + gamma) + b.slope);
    a.step + ratio * (b.step - a.step)
}

/// As [`cubic_minimum`], where it lies beyond `a` as seen from `b`.
fn forward_cubic_minimum(a: Trial, b: Trial) -> Option<f64> {
    let (theta, scale, radicand) = cubic_parts(a, b);
    let gamma = (scale * radicand.max(0.0).sqrt()).copysign(b.step - a.step);
    let ratio = ((gamma - a.slope) + theta) / ((gamma + (b.slope - a.slope)) + gamma);
    (ratio < 0.0 && gamma != 0.0).then_some(a.step + ratio * (b.step - a.step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(f: impl Fn(f64) -> (f64, f64), first: f64) -> (f64, u32) {
        let (value, slope) = f(0.0);
        let mut line = LineSearch::new(value, slope, first, 1e10);
        let mut step = first;
        for evaluations in 1..30 {
            let (value, slope) = f(step);
            match line.advise(step, value, slope) {
                Advice::Try(next) => step = next,
                Advice::Accept => return (step, evaluations),
            }
        }
        panic!("no step accepted");
    }

    /// The three test functions of [MT] section 5 with μ = 1e-3, η = 0.9, from steps six orders of
    /// magnitude apart: every accepted step meets the strong Wolfe conditions. The last
    /// two, nearly flat at 0 and steep about their minima, end with a narrow bracket instead.
    #[test]
    fn the_paper_s_functions_from_any_first_step() {
        let rational = |t: f64| {
            let bottom = t * t + 2.0;
            (-t / bottom, (t * t - 2.0) / (bottom * bottom))
        };
        let quintic = |t: f64| {
            let u = t + 0.004;
            (
                u.powi(5) - 2.0 * u.powi(4),
                5.0 * u.powi(4) - 8.0 * u.powi(3),
            )
        };
        let rippled = |t: f64| {
            let (beta, l) = (0.01, 39.0f64);
            let wave = 2.0 * (1.0 - beta) / (l * std::f64::consts::PI);
            let angle = l * std::f64::consts::FRAC_PI_2 * t;
            let (base, slope) = if t <= 1.0 - beta {
                (1.0 - t, -1.0)
            } else if t >= 1.0 + beta {
                (t - 1.0, 1.0)
            } else {
                (
                    (t - 1.0).powi(2) / (2.0 * beta) + beta / 2.0,
                    (t - 1.0) / beta,
                )
            };
            (
                base + wave * angle.sin(),
                slope + (1.0 - beta) * angle.cos(),
            )
        };
        let functions: [&dyn Fn(f64) -> (f64, f64); 3] = [&rational, &quintic, &rippled];
        for (i, f) in functions.into_iter().enumerate() {
            for first in [1e-3, 1e-1, 1e1, 1e3] {
                let (step, evaluations) = search(f, first);
                let ((v0, s0), (v, s)) = (f(0.0), f(step));
                assert!(v <= v0 + 1e-3 * step * s0, "{i} {first}: {step}");
                let minimum = [f64::NAN, 1.596, 1.0][i];
                let narrow = (step - minimum).abs() < NARROW * minimum;
                assert!(s.abs() <= 0.9 * s0.abs() || narrow, "{i} {first}: {step}");
                assert!(evaluations <= 15, "{i} {first}: {evaluations}");
            }
        }
    }
}
