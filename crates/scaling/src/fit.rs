//! The censored fit of `S(B) = S_min·(1 + B_c/B)` (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.11;
//! written there as `(S/S_min − 1)(E/E_min − 1) = 1`), in log space.
//!
//! Because `E = B·S`, errors in steps and examples are one error: only `ln S` is fitted,
//! `ln S = ln(S_min + E_min/B) + σ_B·ε`, by maximum likelihood with censored trials as
//! `ln Φ((μ − ln cap)/σ_B)`. `σ_B` is a power of the batch size that the seeds alone decide
//! (`deviations.rs`). Intervals are profile likelihood, with the threshold of the F distribution in
//! place of χ²: `2Δℓ ≤ n·ln(1 + F(1, ν)/ν)` is exactly Student's interval in a linear model, however
//! few trials there are. What estimating the weights costs is added for each quantity of its own, after
//! Kenward & Roger (1997; `design.rs`).
//!
//! The fit is held against the seeds' deviations (lack of fit). Where the batch sizes scatter about
//! it more than their seeds explain (another shape, or unevenly tuned rates), that scatter enters the
//! weights and the intervals, with *its* few degrees of freedom (`lack_of_fit.rs`).
//!
//! What lies outside the studied range is a bound: without a bend inside the range the critical
//! batch size is `at_least`, never above the largest batch size that reached the target.

use batchscope_core::{Estimate, format::p_value, statistics::t_quantile};

use crate::design::{Combination, Design};
use crate::deviations::Deviations;
use crate::findings::{BandPoint, Fit};
use crate::intervals::Pooled;
use crate::lack_of_fit::{Weighted, design};
use crate::profile::{At, Profile, brent_maximum, shape, shape_slope};
use crate::sample::Sample;

/// Below this p-value the curve is said not to be a hyperbola.
pub const LACK_OF_FIT_LEVEL: f64 = 0.05;
/// Points of the band for drawing.
const BAND_POINTS: usize = 60;
/// Nodes over the confidence range of `b` from which profiles of other quantities are made.
const NODES: usize = 48;
/// `ln B_c = b`, `ln E_min = a` and `ln S_min = a − b`.
const CRITICAL: Combination = [0.0, 1.0];
const E_MIN: Combination = [1.0, 0.0];
const S_MIN: Combination = [1.0, -1.0];

/// Why no curve could be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFit {
    /// No trial at all.
    #[error("no trial has finished")]
    NoTrials,
    /// Nothing but diverged trials.
    #[error("all {0} trials diverged")]
    AllDiverged(u64),
    /// Nothing reached.
    #[error("no trial reached the target by its cap")]
    NoneReached,
    /// Two parameters need three points.
    #[error("only {0} batch sizes reached the target, and the curve needs 3")]
    TooFew(usize),
}

/// A fitted curve: what is reported, and what other analyses start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperbola {
    /// `B_c`, the critical batch size by definition (a).
    pub critical: Estimate,
    /// The rest of what is reported.
    pub fit: Fit,
    /// Maximum likelihood `ln E_min`.
    pub ln_e_min: f64,
    /// Maximum likelihood `ln B_c` (outside the studied range where `critical` is a bound).
    pub ln_b_c: f64,
    /// Degrees of freedom of the intervals.
    pub dof: f64,
    /// Standard deviation of `ln S` between batch sizes beyond that of their seeds. 0 unless the
    /// p-value of the lack of fit is below 0.35 (`POOLING_LEVEL`).
    pub between_sigma: f64,
}

impl Hyperbola {
    /// Fitted `ln S` at a batch size.
    pub fn ln_steps(&self, batch_size: f64) -> f64 {
        self.ln_e_min + shape(1.0 / batch_size, self.ln_b_c)
    }
}

/// Fits the curve to the samples of one learning-rate policy.
///
/// # Errors
/// When fewer than three batch sizes reached the target, and why.
///
/// ```
/// use batchscope_scaling::{Sample, fit};
/// let samples: Vec<Sample> = [8u64, 32, 128, 512, 2048].iter().map(|&b| {
///     let mut sample = Sample::new(b);
///     for noise in [-0.01, 0.0, 0.01f64] {
///         let steps = 100.0 * (1.0 + 200.0 / b as f64) * noise.exp();
///         sample.reached(steps as u64, steps);
///     }
///     sample
/// }).collect();
/// let curve = fit(&samples, 0.95).unwrap();
/// assert!((curve.critical.value.unwrap() - 200.0).abs() < 1e-3);
/// ```
pub fn fit(samples: &[Sample], level: f64) -> Result<Hyperbola, NoFit> {
    let reached = samples.iter().filter(|s| s.n_reached() > 0);
    let diverged: u64 = samples.iter().map(|s| s.diverged).sum();
    let censored: u64 = samples.iter().map(|s| s.ln_caps.len() as u64).sum();
    match reached.count() {
        0 if censored > 0 => return Err(NoFit::NoneReached),
        0 if diverged > 0 => return Err(NoFit::AllDiverged(diverged)),
        0 => return Err(NoFit::NoTrials),
        few @ 1..=2 => return Err(NoFit::TooFew(few)),
        _ => {}
    }
    let pooled = Pooled::new(samples);
    let curve = Weighted::new(samples, &pooled);
    let (best, lack) = (curve.best, curve.lack);
    let spread = Spread::new(samples, &pooled, &curve);
    let region = Region::new(&curve.profile, best, &spread, level);

    let trials = pooled.n + censored;
    let range = Range::new(samples);
    let why = curve.scatter.map(|_| {
        format!(
            "the batch sizes scatter about the curve more than their seeds explain (lack of fit p \
             {}), and the interval allows for it",
            lack.as_ref()
                .map_or(String::new(), |l| p_value(l.p_of_seeds))
        )
    });
    let note = |estimate: Estimate| match (&why, &estimate.reason) {
        (Some(why), Some(reason)) => {
            let both = format!("{reason}; {why}");
            estimate.because(both)
        }
        (Some(why), None) => estimate.because(why.clone()),
        _ => estimate,
    };
    let says = Says { level, trials };
    Ok(Hyperbola {
        critical: note(says.critical(&region, &range)),
        fit: Fit {
            s_min: note(says.s_min(&region, &range)),
            e_min: note(says.e_min(&region, &range)),
            sigma: spread.residual.sqrt(),
            seed_sigma: pooled.sigma,
            sigma_slope: pooled.sigma.map(|_| pooled.deviations.slope),
            lack_of_fit_f: lack.as_ref().map(|l| l.f),
            lack_of_fit_p: lack.as_ref().map(|l| l.p),
            least_squares: None,
            n: trials,
            censored,
            diverged,
            band: band(&region, &range),
        },
        ln_e_min: best.a,
        ln_b_c: best.b,
        dof: spread.dof,
        between_sigma: curve.scatter.map_or(0.0, |s| s.variance.sqrt()),
    })
}

/// What the intervals are made of.
struct Spread {
    /// Residual variance of a trial of scale 1.
    residual: f64,
    /// The one that makes the intervals, and its degrees of freedom.
    variance: f64,
    dof: f64,
    design: Design,
    deviations: Deviations,
    /// The scatter between batch sizes, and the degrees of freedom of the seeds' deviation.
    scatter: Option<(f64, f64)>,
    /// Reached trials and their sum of squares.
    n: f64,
    squares: f64,
}

impl Spread {
    fn new(samples: &[Sample], pooled: &Pooled, curve: &Weighted) -> Self {
        let (n, best) = (curve.profile.n, curve.best);
        let squares = n * best.sigma * best.sigma;
        let dof = n - 2.0 - pooled.deviations.kept;
        let residual = squares / dof;
        let scatter = curve.scatter.zip(pooled.sigma);
        let sigma = scatter.map_or(residual.sqrt(), |(_, sigma)| sigma);
        Self {
            residual,
            variance: scatter.map_or(residual, |(s, _)| s.mean_square),
            dof: match (scatter, curve.lack) {
                (Some(_), Some(lack)) => lack.dof,
                _ => dof,
            },
            design: design(samples, pooled, best, sigma),
            deviations: pooled.deviations,
            scatter: scatter.map(|(s, _)| (s.variance, pooled.dof)),
            n,
            squares,
        }
    }

    /// By how much twice the log likelihood may fall in the interval of a combination of `a` and `b`.
    fn threshold(&self, level: f64, of: Combination) -> f64 {
        let correction = match self.scatter {
            Some((t, dof)) => self.design.scattered(t, &self.deviations, dof, of),
            None => self.design.correction(&self.deviations, self.dof, of),
        };
        let reach =
            self.variance * correction.inflation * t_quantile(level, correction.dof).powi(2);
        self.n * (reach / self.squares).ln_1p()
    }
}

/// Batch sizes that reached the target.
struct Range {
    smallest: f64,
    largest: f64,
}

impl Range {
    fn new(samples: &[Sample]) -> Self {
        let reached = || {
            samples
                .iter()
                .filter(|s| s.n_reached() > 0)
                .map(|s| s.batch_size as f64)
        };
        Self {
            smallest: reached().fold(f64::INFINITY, f64::min),
            largest: reached().fold(0.0, f64::max),
        }
    }
}

/// The confidence region of `(a, b)`: nodes over `b`, with the best `a` and how far the likelihood
/// has fallen there.
struct Region<'a> {
    best: At,
    spread: &'a Spread,
    level: f64,
    /// Ends of `b`; `None` is open.
    low: Option<f64>,
    high: Option<f64>,
    nodes: Vec<At>,
}

impl<'a> Region<'a> {
    fn new(profile: &Profile, best: At, spread: &'a Spread, level: f64) -> Self {
        let end = |threshold: f64, side: f64| {
            profile.end(best, best.log_likelihood - 0.5 * threshold, side)
        };
        let threshold = spread.threshold(level, CRITICAL);
        // wide enough for every quantity
        let widest = [E_MIN, S_MIN]
            .iter()
            .map(|of| spread.threshold(level, *of))
            .fold(threshold, f64::max);
        let from = end(widest, -1.0).unwrap_or(profile.low);
        let to = end(widest, 1.0).unwrap_or(profile.high);
        // the nodes crowd towards the ends, where half-widths fall like a square root
        let mut nodes: Vec<At> = (0..NODES)
            .map(|i| 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / (NODES - 1) as f64).cos())
            .map(|x| profile.at(from + (to - from) * x))
            .collect();
        nodes.push(best);
        nodes.sort_by(|x, y| x.b.total_cmp(&y.b));
        Self {
            best,
            spread,
            level,
            low: end(threshold, -1.0),
            high: end(threshold, 1.0),
            nodes,
        }
    }

    /// Profile interval of `a + offset(b)`, whose gradient is `of`: its extremes over the region.
    /// Infinite where the trials bound nothing.
    fn extremes(&self, of: Combination, offset: impl Fn(f64) -> f64) -> (f64, f64) {
        let (n, threshold) = (self.spread.n, self.spread.threshold(self.level, of));
        let floor = self.best.log_likelihood - 0.5 * threshold;
        let inside: Vec<(&At, f64)> = self
            .nodes
            .iter()
            .filter_map(|at| {
                // 2ℓ falls by n·ln(1 + I·d²/n) when a moves by d: exact without censoring
                let slack = 2.0 * (at.log_likelihood - floor);
                let half_width = (n * (slack / n).exp_m1() / at.information).sqrt();
                // not a number outside the region
                (!half_width.is_nan()).then_some((at, half_width))
            })
            .collect();
        let side = |sign: f64| {
            let value =
                |(at, half_width): &(&At, f64)| (at.b, sign * (at.a + offset(at.b)) + half_width);
            sign * peak(&inside.iter().map(value).collect::<Vec<_>>())
        };
        (side(-1.0), side(1.0))
    }
}

/// Largest value over nodes `(b, value)`, by the parabola through the best and its neighbors.
fn peak(nodes: &[(f64, f64)]) -> f64 {
    let best = (0..nodes.len())
        .max_by(|&i, &j| nodes[i].1.total_cmp(&nodes[j].1))
        .unwrap_or(0);
    if best == 0 || best + 1 >= nodes.len() || nodes[best].1.is_infinite() {
        return nodes[best].1;
    }
    let [(x0, y0), (x1, y1), (x2, y2)] = [nodes[best - 1], nodes[best], nodes[best + 1]];
    let parabola = |x: f64| {
        y0 * (x - x1) * (x - x2) / ((x0 - x1) * (x0 - x2))
            + y1 * (x - x0) * (x - x2) / ((x1 - x0) * (x1 - x2))
            + y2 * (x - x0) * (x - x1) / ((x2 - x0) * (x2 - x1))
    };
    if x1 - x0 < 1e-12 || x2 - x1 < 1e-12 {
        return y1;
    }
    parabola(brent_maximum(parabola, x0, x2, 1e-6)).max(y1)
}

/// Turns regions into statements about a quantity.
struct Says {
    level: f64,
    trials: u64,
}

impl Says {
    fn critical(&self, region: &Region, range: &Range) -> Estimate {
        let (Says { level, trials }, b) = (self, region.best.b);
        let past_end = region.high.is_none() || b > range.largest.ln();
        let past_start = region.low.is_none() || b < range.smallest.ln();
        match (region.low, region.high) {
            (None, None) => Estimate::undefined(
                *level,
                *trials,
                "steps in proportion to 1/B and a constant number of steps fit the trials equally \
                 well: they are too few or too noisy",
            ),
            (Some(low), _) if past_end => Estimate::at_least(
                low.exp().min(range.largest),
                *level,
                *trials,
                format!(
                    "steps still fall without a clear bend at the largest batch size that reached the target ({})",
                    range.largest
                ),
            ),
            (_, Some(high)) if past_start => Estimate::at_most(
                high.exp().max(range.smallest),
                *level,
                *trials,
                format!(
                    "the bend lies below the smallest batch size that reached the target ({})",
                    range.smallest
                ),
            ),
            (Some(low), Some(high)) => {
                Estimate::estimated(b.exp(), low.exp(), high.exp(), *level, *trials)
            }
            _ => Estimate::undefined(*level, *trials, "the likelihood has no usable interval"),
        }
    }

    fn estimated(&self, value: f64, low: f64, high: f64) -> Estimate {
        if high.is_finite() {
            Estimate::estimated(value, low, high, self.level, self.trials)
        } else {
            self.unbounded()
        }
    }

    fn at_most(&self, bound: f64, reason: &str) -> Estimate {
        if bound.is_finite() {
            Estimate::at_most(bound, self.level, self.trials, reason)
        } else {
            self.unbounded()
        }
    }

    fn unbounded(&self) -> Estimate {
        let reason = "the trials are too noisy for a bound";
        Estimate::undefined(self.level, self.trials, reason)
    }

    fn s_min(&self, region: &Region, range: &Range) -> Estimate {
        let (low, high) = region.extremes(S_MIN, |b| -b);
        let value = region.best.a - region.best.b;
        if region.high.is_none() || region.best.b > range.largest.ln() {
            let reason = "steps still fall at the largest batch size, so S_min is only bounded";
            return self.at_most(high.exp(), reason);
        }
        let estimate = self.estimated(value.exp(), low.exp(), high.exp());
        if region.low.is_none() && estimate.value.is_some() {
            estimate
                .because("no bend is seen in the range, so this is the mean over all batch sizes")
        } else {
            estimate
        }
    }

    fn e_min(&self, region: &Region, range: &Range) -> Estimate {
        let (low, high) = region.extremes(E_MIN, |_| 0.0);
        if region.low.is_none() || region.best.b < range.smallest.ln() {
            let reason = "examples still fall at the smallest batch size, so E_min is only bounded";
            return self.at_most(high.exp(), reason);
        }
        self.estimated(region.best.a.exp(), low.exp(), high.exp())
    }
}

/// The curve and its pointwise interval, from half the smallest to twice the largest batch size,
/// where the trials bound it.
fn band(region: &Region, range: &Range) -> Vec<BandPoint> {
    let (from, to) = ((0.5 * range.smallest).ln(), (2.0 * range.largest).ln());
    (0..BAND_POINTS)
        .map(|i| {
            let batch_size = (from + (to - from) * i as f64 / (BAND_POINTS - 1) as f64).exp();
            let offset = |b| shape(1.0 / batch_size, b);
            let slope = shape_slope(1.0 / batch_size, region.best.b);
            let (low, high) = region.extremes([1.0, slope], offset);
            let steps = region.best.a + offset(region.best.b);
            BandPoint {
                batch_size,
                steps: steps.exp(),
                low: low.exp(),
                high: high.exp(),
            }
        })
        .filter(|point| point.high.is_finite())
        .collect()
}
