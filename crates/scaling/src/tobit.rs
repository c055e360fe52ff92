//! Censored normal maximum likelihood (Tobin 1958) for groups of observations with a common
//! standard deviation.
//!
//! In Olsen's (1978) parameters `h = 1/σ` and `δ_g = μ_g/σ` the log likelihood
//!
//! `Σ_reached [ln h − ½(h·y − δ)²] + Σ_censored ln Φ(δ − h·c)`
//!
//! is concave, so Newton's method with halving finds the one maximum from any start. Each group
//! has its own `δ`; the Hessian is an arrow and is solved in linear time. An observation of scale `v`
//! has deviation `σ/v`: `v` multiplies its residual and its `δ − h·c`.

use crate::distribution::{inverse_mills, ln_normal_cdf};

/// Standard deviations below this are taken for this: data that agree to seven digits would make
/// the likelihood unbounded.
pub(crate) const SIGMA_FLOOR: f64 = 1e-7;

/// Observations around one unknown location, relative to `center`, the mean of the reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// Number of reached observations, at least 1.
    pub n: f64,
    /// Sum of their `v²`: `n` at scale 1.
    pub weight: f64,
    /// Their mean, weighted by `v²`.
    pub center: f64,
    /// Their sum of squares about `center`, each times `v²`.
    pub squares: f64,
    /// Censored observations.
    pub censored: Vec<Censored>,
}

/// Equal censored observations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Censored {
    /// Value less the group's center.
    pub cap: f64,
    /// How many.
    pub count: f64,
    /// `v`.
    pub scale: f64,
}

impl Group {
    /// The same observations, all of `v` times their scale.
    pub fn scaled(mut self, v: f64) -> Self {
        self.weight *= v * v;
        self.squares *= v * v;
        self.censored.iter_mut().for_each(|c| c.scale *= v);
        self
    }
}

/// The maximum: locations relative to each group's center, and the common deviation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    /// `μ_g`, absolute.
    pub locations: Vec<f64>,
    /// Maximum likelihood `σ` (no correction for the locations) of an observation of scale 1.
    pub sigma: f64,
    /// Log likelihood, constants `−½ ln 2π + ln v` left out.
    pub log_likelihood: f64,
    /// Curvature `−d²ℓ/dμ²` of the profile likelihood of the first location (σ maximized).
    pub information: f64,
    /// Sum over the groups of `ln` of the curvature `−∂²ℓ/∂μ_g²` at this `σ`.
    pub ln_informations: f64,
}

/// Maximizes the likelihood of the groups (each with a reached observation).
pub(crate) fn solve(groups: &[Group]) -> Solution {
    let n: f64 = groups.iter().map(|g| g.n).sum();
    let squares: f64 = groups.iter().map(|g| g.squares).sum();
    let squares = squares.max(n * SIGMA_FLOOR * SIGMA_FLOOR);
    let mut state = State {
        delta: vec![0.0; groups.len()],
        h: if n > 0.0 { (n / squares).sqrt() } else { 1.0 },
    };
    if groups.iter().all(|g| g.censored.is_empty()) {
        let log_likelihood = n * state.h.ln() - 0.5 * n;
        return Solution {
            locations: groups.iter().map(|g| g.center).collect(),
            sigma: 1.0 / state.h,
            log_likelihood,
            information: groups.first().map_or(0.0, |g| g.weight * state.h * state.h),
            ln_informations: groups
                .iter()
                .map(|g| (g.weight * state.h * state.h).ln())
                .sum(),
        };
    }
    let mut value = state.log_likelihood(groups, n, squares);
    for _ in 0..100 {
        let Some((step, slope)) = state.newton(groups, n, squares) else {
            break;
        };
        let mut fraction = 1.0;
        let improved = loop {
            let trial = state.moved(&step, fraction);
            let trial_value = if trial.h > 0.0 {
                trial.log_likelihood(groups, n, squares)
            } else {
                f64::NAN
            };
            if trial_value >= value {
                state = trial;
                value = trial_value;
                break true;
            }
            fraction *= 0.5;
            if fraction < 1e-9 {
                break false;
            }
        };
        // the slope along Newton's step is twice the gain it promises
        if !improved || slope < 1e-12 {
            break;
        }
    }
    Solution {
        locations: groups
            .iter()
            .zip(&state.delta)
            .map(|(g, d)| g.center + d / state.h)
            .collect(),
        sigma: 1.0 / state.h,
        log_likelihood: value,
        information: state.information(groups, n, squares),
        ln_informations: groups
            .iter()
            .zip(&state.delta)
            .map(|(g, d)| (-state.derivatives(g, *d).dd * state.h * state.h).ln())
            .sum(),
    }
}

#[derive(Debug, Clone)]
struct State {
    delta: Vec<f64>,
    h: f64,
}

struct Step {
    delta: Vec<f64>,
    h: f64,
}

/// First and second derivatives in one group's `δ` and in `h`.
#[derive(Default)]
struct Derivatives {
    d: f64,
    h: f64,
    dd: f64,
    dh: f64,
    hh: f64,
}

impl State {
    fn log_likelihood(&self, groups: &[Group], n: f64, squares: f64) -> f64 {
        let mut value = n * self.h.ln() - 0.5 * self.h * self.h * squares;
        for (group, delta) in groups.iter().zip(&self.delta) {
            value -= 0.5 * group.weight * delta * delta;
            for c in &group.censored {
                value += c.count * ln_normal_cdf(c.scale * (delta - self.h * c.cap));
            }
        }
        value
    }

    /// The group's own part; the shared `n/h − h·squares` of the reached is added by the callers.
    fn derivatives(&self, group: &Group, delta: f64) -> Derivatives {
        let mut out = Derivatives {
            d: -group.weight * delta,
            dd: -group.weight,
            ..Derivatives::default()
        };
        for c in &group.censored {
            let z = c.scale * (delta - self.h * c.cap);
            let mills = inverse_mills(z);
            let slope = c.count * c.scale * mills;
            let curve = -c.count * c.scale * c.scale * mills * (mills + z);
            out.d += slope;
            out.h -= slope * c.cap;
            out.dd += curve;
            out.dh -= curve * c.cap;
            out.hh += curve * c.cap * c.cap;
        }
        out
    }

    /// Newton's step and the slope along it; `None` where the Hessian is not usable.
    fn newton(&self, groups: &[Group], n: f64, squares: f64) -> Option<(Step, f64)> {
        let each: Vec<Derivatives> = groups
            .iter()
            .zip(&self.delta)
            .map(|(g, d)| self.derivatives(g, *d))
            .collect();
        let mut gradient = n / self.h - self.h * squares;
        let mut reduced = gradient;
        let mut schur = -n / (self.h * self.h) - squares;
        for e in &each {
            gradient += e.h;
            reduced += e.h - e.dh * e.d / e.dd;
            schur += e.hh - e.dh * e.dh / e.dd;
        }
        let h = -reduced / schur;
        let delta: Vec<f64> = each.iter().map(|e| -(e.d + e.dh * h) / e.dd).collect();
        let slope = gradient * h + each.iter().zip(&delta).map(|(e, d)| e.d * d).sum::<f64>();
        (h.is_finite() && slope.is_finite() && slope >= 0.0).then_some((Step { delta, h }, slope))
    }

    fn moved(&self, step: &Step, fraction: f64) -> State {
        State {
            delta: self
                .delta
                .iter()
                .zip(&step.delta)
                .map(|(d, s)| d + fraction * s)
                .collect(),
            h: self.h + fraction * step.h,
        }
    }

    /// Profile information of the first location, from the Hessian in `(μ, h)` with `δ = μ·h`.
    fn information(&self, groups: &[Group], n: f64, squares: f64) -> f64 {
        let h = self.h;
        let mut corner = -n / (h * h) - squares;
        let mut first = None;
        for (index, (group, &delta)) in groups.iter().zip(&self.delta).enumerate() {
            let e = self.derivatives(group, delta);
            let mu = delta / h;
            let mm = h * h * e.dd;
            let mh = h * (e.dd * mu + e.dh);
            corner += mu * mu * e.dd + 2.0 * mu * e.dh + e.hh;
            if index == 0 {
                first = Some((mm, mh));
            } else {
                corner -= mh * mh / mm;
            }
        }
        first.map_or(0.0, |(mm, mh)| -(mm - mh * mh / corner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(reached: &[f64], caps: &[f64]) -> Group {
        let n = reached.len() as f64;
        let center = reached.iter().sum::<f64>() / n;
        Group {
            n,
            weight: n,
            center,
            squares: reached.iter().map(|y| (y - center).powi(2)).sum(),
            censored: caps
                .iter()
                .map(|c| Censored {
                    cap: c - center,
                    count: 1.0,
                    scale: 1.0,
                })
                .collect(),
        }
    }

    /// Scale 2 with every value halved about 0 is the same likelihood, but for `ln v` of the reached.
    #[test]
    fn a_scale_is_a_change_of_unit() {
        let (reached, caps) = ([1.0, 1.4, 2.0, 2.2], [1.8, 2.5]);
        let one = solve(&[group(&reached, &caps)]);
        let half = |values: &[f64]| values.iter().map(|y| 0.5 * y).collect::<Vec<_>>();
        let two = solve(&[group(&half(&reached), &half(&caps)).scaled(2.0)]);
        assert!((two.locations[0] - 0.5 * one.locations[0]).abs() < 1e-9);
        assert!((two.sigma - one.sigma).abs() < 1e-9);
        assert!((two.log_likelihood - one.log_likelihood).abs() < 1e-9);
        assert!((two.information - 4.0 * one.information).abs() < 1e-6);
        assert!((two.ln_informations - one.ln_informations - 4f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn without_censoring_it_is_the_mean_and_the_root_mean_square() {
        let solution = solve(&[group(&[1.0, 2.0, 4.0], &[]), group(&[7.0, 9.0], &[])]);
        assert!((solution.locations[0] - 7.0 / 3.0).abs() < 1e-12 && solution.locations[1] == 8.0);
        let squares: f64 = 14.0 / 3.0 + 2.0;
        assert!((solution.sigma - (squares / 5.0).sqrt()).abs() < 1e-12);
        assert!((solution.information - 3.0 / solution.sigma.powi(2)).abs() < 1e-9);
    }

    #[test]
    fn the_information_is_the_curvature_of_the_profile() {
        let one = group(&[1.0, 1.4, 2.0, 2.2], &[1.8, 2.5]);
        let best = solve(std::slice::from_ref(&one));
        // profile over sigma by brute force at a fixed location
        let profile = |mu: f64| {
            (1..40_000)
                .map(|i| {
                    let h = f64::from(i) * 1e-3;
                    let reached: f64 = [1.0f64, 1.4, 2.0, 2.2]
                        .iter()
                        .map(|y| h.ln() - 0.5 * (h * (y - mu)).powi(2))
                        .sum();
                    let censored: f64 =
                        [1.8, 2.5].iter().map(|c| ln_normal_cdf(h * (mu - c))).sum();
                    reached + censored
                })
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let mu = best.locations[0];
        assert!((profile(mu) - best.log_likelihood).abs() < 1e-5);
        let step = 0.05;
        let curvature =
            (2.0 * profile(mu) - profile(mu + step) - profile(mu - step)) / (step * step);
        assert!(
            (curvature / best.information - 1.0).abs() < 0.02,
            "{curvature} {}",
            best.information
        );
    }

    #[test]
    fn equal_observations_do_not_blow_up() {
        let solution = solve(&[group(&[3.0, 3.0], &[3.5]), group(&[2.0], &[1.0, 9.0])]);
        assert!(solution.log_likelihood.is_finite() && solution.sigma > 0.0);
    }
}
