//! The maximum likelihood curve with the weights that suit its deviations, and how well the batch
//! sizes' means follow it.
//!
//! A trial weighs `1/σ_i²` by the deviations of its seeds. Where the means scatter about the curve
//! more than that explains, each batch size also has a common scatter `t` between them: a mean
//! weighs `1/(t + σ_i²/n_i)`, with Paule & Mandel's `t`, and the curve is fitted again. The mean square of
//! that lack of fit then makes the intervals (Hartung & Knapp 2001): it is right on average whatever
//! the weights.

use crate::design::{Design, Row};
use crate::distribution::f_survival;
use crate::intervals::{Pooled, one_way};
use crate::profile::{At, Profile, shape, shape_slope};
use crate::sample::Sample;
use crate::tobit::Solution;

/// Below this p-value the scatter between batch sizes enters the weights and the intervals. A
/// preliminary test must be lenient (Bancroft 1964), the more where the batch sizes that weigh most
/// are few. Simulated in `tests/coverage.rs`, with deviations from 0.13 to 0.61 and a scatter of 0.12 a
/// level of 0.15 left 88 % coverage, 0.35 left 93 %; without scatter 0.35 covers 96–97.7 %.
const POOLING_LEVEL: f64 = 0.35;

/// The curve of a set of samples.
pub(crate) struct Weighted {
    pub profile: Profile,
    pub best: At,
    /// Of the fit by seeds' deviations alone; `None` without a repeated batch size, or with two.
    pub lack: Option<LackOfFit>,
    /// The scatter, where there is any: variance `t` and the mean square that replaces `σ²`.
    pub scatter: Option<Scatter>,
}

/// Scatter between batch sizes beyond their seeds'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scatter {
    /// `t`.
    pub variance: f64,
    /// Mean square of the lack of fit of a trial of scale 1, on [`LackOfFit::dof`].
    pub mean_square: f64,
}

/// The residuals of the batch sizes' means about the curve, against the pooled seed variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LackOfFit {
    /// Against the seeds and what rounding leaves open.
    pub f: f64,
    pub p: f64,
    /// The p-value against the seeds alone: whether the batch sizes scatter more, whatever the reason.
    pub p_of_seeds: f64,
    /// Mean square of the lack of fit and its degrees of freedom.
    pub mean_square: f64,
    pub dof: f64,
}

impl Weighted {
    /// The curve of samples of which at least three batch sizes reached the target.
    pub fn new(samples: &[Sample], pooled: &Pooled) -> Self {
        let profile = Profile::new(samples, |s| pooled.scale(s));
        let best = profile.maximum();
        let lack = LackOfFit::new(&profile, pooled, best, samples);
        let residual = best.sigma * best.sigma * profile.n / (profile.n - 2.0);
        let scattered = lack.filter(|l| l.p_of_seeds < POOLING_LEVEL && l.mean_square > residual);
        let (Some(lack), Some(sigma)) = (scattered, pooled.sigma) else {
            return Self {
                profile,
                best,
                lack,
                scatter: None,
            };
        };
        let t = design(samples, pooled, best, sigma).scatter();
        let total = |s: &Sample| {
            let seeds = (sigma * pooled.deviations.relative(s.batch_size)).powi(2);
            t * s.n_reached().max(1) as f64 + seeds
        };
        // scales about 1, so that σ stays that of a trial at the mean batch size
        let reached = || samples.iter().filter(|s| s.n_reached() > 0);
        let mean_ln = reached().map(|s| total(s).ln()).sum::<f64>() / reached().count() as f64;
        let scale = |s: &Sample| (0.5 * (mean_ln - total(s).ln())).exp();
        let profile = Profile::new(samples, scale);
        let best = profile.maximum();
        let scatter = Scatter {
            variance: t,
            mean_square: mean_square(&profile, best, &one_way(samples, scale), lack.dof),
        };
        Self {
            profile,
            best,
            lack: Some(lack),
            scatter: Some(scatter),
        }
    }
}

/// The regression about a fit, for a trial's deviation `sigma` at the mean batch size.
pub(crate) fn design(samples: &[Sample], pooled: &Pooled, at: At, sigma: f64) -> Design {
    let reached = samples.iter().zip(&pooled.means);
    let rows = reached.filter_map(|(s, mean)| {
        let inverse = 1.0 / s.batch_size as f64;
        let n = s.n_reached() as f64;
        Some(Row {
            slope: shape_slope(inverse, at.b),
            offset: pooled.deviations.offset(s.batch_size),
            residual: (*mean)? - at.a - shape(inverse, at.b),
            variance: (sigma * pooled.deviations.relative(s.batch_size)).powi(2) / n,
        })
    });
    Design {
        rows: rows.collect(),
    }
}

/// From the likelihood ratio of "a mean for each batch size" to the curve, `Λ = 2Δℓ`:
/// `SS_lack/SS_within = e^{Λ/n} − 1`, exact without censoring.
fn mean_square(profile: &Profile, best: At, means: &Solution, dof: f64) -> f64 {
    let ratio = 2.0 * (means.log_likelihood - best.log_likelihood).max(0.0);
    let within = profile.n * means.sigma * means.sigma;
    (ratio / profile.n).exp_m1() * within / dof
}

impl LackOfFit {
    /// The classical F test, with Satterthwaite's degrees of freedom of the deviations on average
    /// over the batch sizes. Rounded steps move a batch size's runs together, which their scatter does not
    /// show: on average over the batch sizes that adds `n_i` times the variance of its bracket to the mean
    /// square.
    fn new(profile: &Profile, pooled: &Pooled, best: At, samples: &[Sample]) -> Option<Self> {
        let sigma = pooled.sigma?;
        let used = samples.iter().filter(|s| s.trials() > 0).count() as f64;
        let dof = used - 2.0;
        let mean_square = mean_square(profile, best, &pooled.one_way, dof);
        let rounding = |s: &Sample| {
            let share = s.n_reached() as f64 * s.bracket_variance;
            share * pooled.scale(s).powi(2) / used
        };
        let rounding: f64 = samples.iter().map(rounding).sum();
        let f = mean_square / (sigma * sigma + rounding);
        let p = |f: f64| f_survival(f, dof, pooled.mean_dof());
        (dof > 0.0).then(|| Self {
            f,
            p: p(f),
            p_of_seeds: p(mean_square / (sigma * sigma)),
            mean_square,
            dof,
        })
    }
}
