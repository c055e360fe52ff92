//! The censored fit of `S(B) = S_min·(1 + B_c/B)` (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.11;
//! written there as `(S/S_min − 1)(E/E_min − 1) = 1`), in log space.
//!
//! Because `E = B·S`, errors in steps and examples are one error: only `ln S` is fitted,
//! `ln S = ln(S_min + E_min/B) + σ·ε`, by maximum likelihood with censored trials as
//! `ln Φ((μ − ln cap)/σ)`. Intervals are profile likelihood, with the threshold of the F
//! distribution in place of χ²: `2Δℓ ≤ n·ln(1 + F(1, n − 2)/(n − 2))` is exactly Student's interval
//! in a linear model, however few trials there are.
//!
//! The fit is held against the pooled seed variance (lack of fit). Where the batch sizes scatter about
//! it more than their seeds explain (another shape, or unevenly tuned rates), that scatter, with
//! *its* few degrees of freedom, replaces the residual variance in every interval.
//!
//! What lies outside the studied range is a bound: without a bend inside the range the critical
//! batch size is `at_least`, never above the largest batch size that reached the target.

use batchscope_core::{Estimate, format::p_value, statistics::t_quantile};

use crate::distribution::f_survival;
use crate::findings::{BandPoint, Fit};
use crate::intervals::Pooled;
use crate::profile::{At, Profile, brent_maximum, shape};
use crate::sample::Sample;

/// Below this p-value the curve is said not to be a hyperbola.
pub const LACK_OF_FIT_LEVEL: f64 = 0.05;
/// Above this p-value the scatter of the batch sizes is pooled with the seeds'; below it the scatter
/// alone makes the intervals. A preliminary test must be lenient (Bancroft 1964): simulated with
/// three seeds, 0.05 left 91 % coverage where scatter equals the seeds' deviation, and 0.25 reached
/// 97 % where there is none; 0.15 lies between (`tests/coverage.rs`).
const POOLING_LEVEL: f64 = 0.15;
/// Points of the band for drawing.
const BAND_POINTS: usize = 60;
/// Nodes over the confidence range of `b` from which profiles of other quantities are made.
const NODES: usize = 48;

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
    /// Standard deviation between batch sizes beyond the seeds', where lack of fit is significant.
    pub between_sigma: f64,
}

impl Hyperbola {
    /// Fitted `ln S` at a batch size.
    pub fn ln_steps(&self, batch_size: f64) -> f64 {
        self.ln_e_min + shape(1.0 / batch_size, self.ln_b_c)
    }
}

/// The maximum likelihood curve alone, without intervals: `(ln E_min, ln B_c)`.
pub(crate) fn point(profile: &Profile) -> (f64, f64) {
    let best = profile.maximum();
    (best.a, best.b)
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
    let profile = Profile::new(samples);
    let diverged: u64 = samples.iter().map(|s| s.diverged).sum();
    let censored: u64 = samples.iter().map(|s| s.ln_caps.len() as u64).sum();
    match profile.batch_sizes {
        0 if censored > 0 => return Err(NoFit::NoneReached),
        0 if diverged > 0 => return Err(NoFit::AllDiverged(diverged)),
        0 => return Err(NoFit::NoTrials),
        few @ 1..=2 => return Err(NoFit::TooFew(few)),
        _ => {}
    }
    let pooled = Pooled::new(samples);
    let best = profile.maximum();
    let n = profile.n;
    let squares = n * best.sigma * best.sigma;
    let lack = LackOfFit::new(&profile, &pooled, best, samples);
    let inflated = lack
        .as_ref()
        .is_some_and(|l| l.p < POOLING_LEVEL && l.mean_square > squares / (n - 2.0));
    let (variance, dof) = match &lack {
        Some(lack) if inflated => (lack.mean_square, lack.dof),
        _ => (squares / (n - 2.0), n - 2.0),
    };
    let quantile = t_quantile(level, dof).powi(2);
    let threshold = n * (variance * quantile / squares).ln_1p();
    let region = Region::new(&profile, best, threshold);

    let trials = pooled.n + censored;
    let range = Range::new(samples);
    let why = inflated.then(|| {
        format!(
            "the interval uses the scatter between batch sizes, which exceeds the seeds' (lack of fit p {})",
            lack.as_ref().map_or(String::new(), |l| p_value(l.p))
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
    let mean_per_batch = n / profile.batch_sizes as f64;
    let seed_variance = pooled.sigma.map_or(0.0, |s| s * s);
    Ok(Hyperbola {
        critical: note(says.critical(&region, &range)),
        fit: Fit {
            s_min: note(says.s_min(&region, &range)),
            e_min: note(says.e_min(&region, &range)),
            sigma: (squares / (n - 2.0)).sqrt(),
            seed_sigma: pooled.sigma,
            lack_of_fit_f: lack.as_ref().map(|l| l.f),
            lack_of_fit_p: lack.as_ref().map(|l| l.p),
            n: trials,
            censored,
            diverged,
            band: band(&region, &range),
        },
        ln_e_min: best.a,
        ln_b_c: best.b,
        dof,
        between_sigma: if inflated {
            ((variance - seed_variance).max(0.0) / mean_per_batch).sqrt()
        } else {
            0.0
        },
    })
}

/// The residuals of the batch sizes' means about the curve, against the pooled seed variance.
struct LackOfFit {
    f: f64,
    p: f64,
    /// Mean square of the lack of fit and its degrees of freedom.
    mean_square: f64,
    dof: f64,
}

impl LackOfFit {
    /// From the likelihood ratio of "a mean for each batch size" to the curve, `Λ = 2Δℓ`:
    /// `SS_lack/SS_within = e^{Λ/n} − 1`, which without censoring is the classical F test.
    fn new(profile: &Profile, pooled: &Pooled, best: At, samples: &[Sample]) -> Option<Self> {
        let sigma = pooled.sigma?;
        let used = samples.iter().filter(|s| s.trials() > 0).count() as f64;
        let dof = used - 2.0;
        let ratio = 2.0 * (pooled.log_likelihood - best.log_likelihood).max(0.0);
        let relative = (ratio / profile.n).exp_m1();
        let f = relative * pooled.dof / dof;
        (dof > 0.0).then(|| Self {
            f,
            p: f_survival(f, dof, pooled.dof),
            mean_square: f * sigma * sigma,
            dof,
        })
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

/// The confidence region of `(a, b)`: nodes over `b`, with the best `a` and its half-width.
struct Region {
    best: At,
    /// Ends of `b`; `None` is open.
    low: Option<f64>,
    high: Option<f64>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    b: f64,
    a: f64,
    half_width: f64,
}

impl Region {
    fn new(profile: &Profile, best: At, threshold: f64) -> Self {
        let floor = best.log_likelihood - 0.5 * threshold;
        let low = profile.end(best, floor, -1.0);
        let high = profile.end(best, floor, 1.0);
        let (from, to) = (low.unwrap_or(profile.low), high.unwrap_or(profile.high));
        let node = |at: At| {
            // 2ℓ falls by n·ln(1 + I·d²/n) when a moves by d: exact without censoring
            let slack = (2.0 * (at.log_likelihood - floor)).max(0.0);
            let half_width = (profile.n * (slack / profile.n).exp_m1() / at.information).sqrt();
            Node {
                b: at.b,
                a: at.a,
                half_width: if half_width.is_finite() {
                    half_width
                } else {
                    0.0
                },
            }
        };
        // the nodes crowd towards the ends, where half-widths fall like a square root
        let mut nodes: Vec<Node> = (0..NODES)
            .map(|i| 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / (NODES - 1) as f64).cos())
            .map(|x| node(profile.at(from + (to - from) * x)))
            .collect();
        nodes.push(node(best));
        nodes.sort_by(|x, y| x.b.total_cmp(&y.b));
        Self {
            best,
            low,
            high,
            nodes,
        }
    }

    /// Profile interval of `a + offset(b)`: its extremes over the region.
    fn extremes(&self, offset: impl Fn(f64) -> f64) -> (f64, f64) {
        let side = |sign: f64| {
            let value = |node: &Node| sign * (node.a + offset(node.b)) + node.half_width;
            sign * peak(&self.nodes, value)
        };
        (side(-1.0), side(1.0))
    }
}

/// Largest value over the nodes, by the parabola through the best node and its neighbors.
fn peak(nodes: &[Node], value: impl Fn(&Node) -> f64) -> f64 {
    let values: Vec<f64> = nodes.iter().map(value).collect();
    let best = (0..values.len())
        .max_by(|&i, &j| values[i].total_cmp(&values[j]))
        .unwrap_or(0);
    if best == 0 || best + 1 >= values.len() {
        return values[best];
    }
    let (x0, x1, x2) = (nodes[best - 1].b, nodes[best].b, nodes[best + 1].b);
    let (y0, y1, y2) = (values[best - 1], values[best], values[best + 1]);
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
                "the trials fit a straight line (no bend) and a constant (all bend) alike: too few or too noisy",
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

    fn s_min(&self, region: &Region, range: &Range) -> Estimate {
        let (low, high) = region.extremes(|b| -b);
        let value = region.best.a - region.best.b;
        if region.high.is_none() || region.best.b > range.largest.ln() {
            let reason = "steps still fall at the largest batch size, so the floor is only bounded";
            return Estimate::at_most(high.exp(), self.level, self.trials, reason);
        }
        let estimate =
            Estimate::estimated(value.exp(), low.exp(), high.exp(), self.level, self.trials);
        if region.low.is_none() {
            estimate.because("without the bend, the mean over all batch sizes")
        } else {
            estimate
        }
    }

    fn e_min(&self, region: &Region, range: &Range) -> Estimate {
        let (low, high) = region.extremes(|_| 0.0);
        if region.low.is_none() || region.best.b < range.smallest.ln() {
            let reason =
                "examples still fall at the smallest batch size, so the floor is only bounded";
            return Estimate::at_most(high.exp(), self.level, self.trials, reason);
        }
        Estimate::estimated(
            region.best.a.exp(),
            low.exp(),
            high.exp(),
            self.level,
            self.trials,
        )
    }
}

/// The curve and its pointwise interval, from half the smallest to twice the largest batch size.
fn band(region: &Region, range: &Range) -> Vec<BandPoint> {
    let (from, to) = ((0.5 * range.smallest).ln(), (2.0 * range.largest).ln());
    (0..BAND_POINTS)
        .map(|i| {
            let batch_size = (from + (to - from) * i as f64 / (BAND_POINTS - 1) as f64).exp();
            let offset = |b| shape(1.0 / batch_size, b);
            let (low, high) = region.extremes(offset);
            let steps = region.best.a + offset(region.best.b);
            BandPoint {
                batch_size,
                steps: steps.exp(),
                low: low.exp(),
                high: high.exp(),
            }
        })
        .collect()
}
