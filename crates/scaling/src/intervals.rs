//! Steps to the target at each batch size, with intervals that a few seeds can carry.
//!
//! Three to five seeds cannot say their own variance, and a percentile bootstrap over three values
//! covers at most 75 %. So `ln S` is taken as normal about each batch size's mean, with a standard
//! deviation that is a power of the batch size, `σ_i = σ·e^{γx_i}` (`deviations.rs`), pooled over
//! batch sizes. The intervals are Student's. Trials censored at their cap enter as
//! `ln Φ((μ − ln c)/σ_i)` (a Tobit mean, with a likelihood-ratio interval).
//!
//! The degrees of freedom are Satterthwaite's (1946), `ν = 2·V²/Var(V̂)`: with `F` of them behind `σ`
//! and `γ`'s sampling variance `v`, a variance `V = Σ V_i` of means has
//! `1/ν = 1/F + 2·v·x̄²`, `x̄ = Σ V_i·x_i/V`. So a batch size far from the mean one has fewer. The
//! variance that crossing brackets leave is added as known.

use batchscope_core::{
    Estimate,
    statistics::{normal_quantile, t_quantile},
};

use crate::deviations::Deviations;
use crate::distribution::ln_normal_cdf;
use crate::profile::bisect;
use crate::sample::Sample;
use crate::tobit::{self, Solution};

/// Why a mean has no interval.
pub(crate) const ONE_SEED: &str =
    "every batch size has one seed, so there is no variance for an interval";

/// The one-way model: a mean of `ln S` per batch size, and a standard deviation that is a power of the
/// batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Standard deviation of `ln S` between seeds, at the geometric mean of the batch sizes (weighted
    /// by their degrees of freedom); `None` without a repeated batch size.
    pub sigma: Option<f64>,
    /// Its degrees of freedom: reached trials less batch sizes that reached, less the part of one
    /// that the slope of the deviations took.
    pub dof: f64,
    /// How the deviation differs by batch size.
    pub(crate) deviations: Deviations,
    /// The model's maximum, each trial weighed by its deviation.
    pub(crate) one_way: Solution,
    /// Mean `ln S` of each sample, in order; `None` where none reached.
    pub means: Vec<Option<f64>>,
    /// Reached trials.
    pub n: u64,
    /// Batch sizes with a reached trial.
    pub batch_sizes: u64,
}

impl Pooled {
    /// Pools the seed variance of the samples.
    pub fn new(samples: &[Sample]) -> Self {
        let deviations = Deviations::new(samples);
        let solution = one_way(samples, |s| 1.0 / deviations.relative(s.batch_size));
        let n: usize = samples.iter().map(Sample::n_reached).sum();
        let reached = samples.iter().filter(|s| s.n_reached() > 0);
        let batch_sizes = reached.count();
        let repeated = n > batch_sizes;
        let dof = (n - batch_sizes) as f64 - deviations.kept;
        // one seed each: no variance to be had, and no Tobit shift to trust
        let mut locations = solution.locations.iter();
        let means = samples.iter().map(|s| {
            let reached = s.n_reached() > 0;
            let location = reached.then(|| locations.next().copied()).flatten();
            location.map(|m| if repeated { m } else { s.moments().0 })
        });
        Self {
            means: means.collect(),
            sigma: repeated.then(|| solution.sigma * (n as f64 / dof).sqrt()),
            dof,
            deviations,
            one_way: solution,
            n: n as u64,
            batch_sizes: batch_sizes as u64,
        }
    }

    /// The scale of a batch size's trials: its deviation is the pooled one over it.
    pub(crate) fn scale(&self, sample: &Sample) -> f64 {
        1.0 / self.deviations.relative(sample.batch_size)
    }

    /// The deviation between seeds at a batch size.
    pub(crate) fn sigma_at(&self, batch_size: u64) -> Option<f64> {
        Some(self.sigma? * self.deviations.relative(batch_size))
    }

    /// The variance of a sum or difference of the means of batch sizes that reached, seeds and
    /// brackets, and its degrees of freedom; `None` without a repeated batch size.
    pub(crate) fn variance(&self, samples: &[&Sample]) -> Option<(f64, f64)> {
        let (mut sampling, mut moment, mut brackets) = (0.0, 0.0, 0.0);
        for sample in samples {
            let variance = self.sigma_at(sample.batch_size)?.powi(2) / sample.n_reached() as f64;
            sampling += variance;
            moment += variance * self.deviations.offset(sample.batch_size);
            brackets += sample.bracket_variance;
        }
        let total: f64 = sampling + brackets;
        if sampling == 0.0 {
            return Some((total, f64::INFINITY));
        }
        let dof = self.deviations.dof(self.dof, moment / sampling);
        Some((total, dof * (total / sampling).powi(2)))
    }

    /// Degrees of freedom of a batch size's deviation, on average: `1/ν = 1/F + mean 2·v·x²`, which
    /// is `1/F + s²/F`.
    pub(crate) fn mean_dof(&self) -> f64 {
        let kept = self.deviations.kept;
        self.dof / (1.0 + kept * kept)
    }

    /// `ln S` of one of the pooled samples: mean and interval ends (`None` is open), or the bound
    /// where every trial was censored.
    pub(crate) fn ln_interval(&self, sample: &Sample, level: f64) -> LnInterval {
        let sigma = self.sigma_at(sample.batch_size);
        if sample.n_reached() == 0 {
            let Some(&cap) = sample.ln_caps.iter().min_by(|a, b| a.total_cmp(b)) else {
                return LnInterval::Nothing;
            };
            // all m exceeded the cap: Φ((μ − ln c)/σ)^m = 1 − level at the bound
            let shift = sigma.map_or(0.0, |sigma| {
                sigma * normal_quantile((1.0 - level).powf(1.0 / sample.ln_caps.len() as f64))
            });
            return LnInterval::AtLeast(cap + shift.min(0.0));
        }
        let (center, _) = sample.moments();
        let (Some(sigma), Some((_, dof))) = (sigma, self.variance(&[sample])) else {
            return LnInterval::Open(center);
        };
        let t = t_quantile(level, dof);
        let profile = Profile {
            n: sample.n_reached() as f64,
            center,
            sigma,
            caps: &sample.ln_caps,
        };
        let mean = profile.maximum();
        let bracket = t * t * sample.bracket_variance;
        let end = |side: f64| mean + side * (profile.reach(mean, side, t).powi(2) + bracket).sqrt();
        LnInterval::Closed {
            mean,
            low: end(-1.0),
            high: end(1.0),
        }
    }

    /// Steps to the target at one of the pooled samples.
    pub fn steps(&self, sample: &Sample, level: f64) -> Estimate {
        let n = sample.trials();
        match self.ln_interval(sample, level) {
            LnInterval::Closed { mean, low, high } => {
                let estimate = Estimate::estimated(mean.exp(), low.exp(), high.exp(), level, n);
                if sample.ln_caps.is_empty() {
                    estimate
                } else {
                    estimate.because(format!(
                        "{} of {n} trials hit the cap and enter as censored",
                        sample.ln_caps.len()
                    ))
                }
            }
            LnInterval::Open(mean) => Estimate {
                low: None,
                high: None,
                ..Estimate::estimated(mean.exp(), 0.0, 0.0, level, n)
                    .because("no batch size was repeated, so there is no seed variance to make an interval from")
            },
            LnInterval::AtLeast(bound) => {
                Estimate::at_least(bound.exp(), level, n, "no trial reached the target by its cap")
            }
            LnInterval::Nothing if sample.diverged > 0 => {
                Estimate::undefined(level, 0, format!("all {} trials diverged", sample.diverged))
            }
            LnInterval::Nothing => Estimate::undefined(level, 0, "no trial has finished"),
        }
    }
}

/// A mean for each batch size that reached, whose trials have the given scale.
pub(crate) fn one_way(samples: &[Sample], scale: impl Fn(&Sample) -> f64) -> Solution {
    let reached = samples.iter().filter(|s| s.n_reached() > 0);
    let groups: Vec<_> = reached.map(|s| s.group().scaled(scale(s))).collect();
    tobit::solve(&groups)
}

/// What is known of one batch size's mean `ln S`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LnInterval {
    /// Mean and interval.
    Closed { mean: f64, low: f64, high: f64 },
    /// A mean without a variance.
    Open(f64),
    /// All censored.
    AtLeast(f64),
    /// No trials.
    Nothing,
}

/// Log likelihood of one batch size's mean at a known deviation.
struct Profile<'a> {
    n: f64,
    center: f64,
    sigma: f64,
    caps: &'a [f64],
}

impl Profile<'_> {
    fn at(&self, mean: f64) -> f64 {
        let reached = -0.5 * self.n * ((mean - self.center) / self.sigma).powi(2);
        reached
            + self
                .caps
                .iter()
                .map(|c| ln_normal_cdf((mean - c) / self.sigma))
                .sum::<f64>()
    }

    /// The maximum lies at or above the reached mean; the likelihood is concave.
    fn maximum(&self) -> f64 {
        if self.caps.is_empty() {
            return self.center;
        }
        let slope = |mean: f64| {
            let pull: f64 = self
                .caps
                .iter()
                .map(|c| crate::distribution::inverse_mills((mean - c) / self.sigma))
                .sum();
            pull - self.n * (mean - self.center) / self.sigma
        };
        let mut high = self.caps.iter().fold(self.center, |a, &b| a.max(b)) + self.sigma;
        // A deviation may be too small to move the end at all.
        let mut step = self.sigma.max(4.0 * f64::EPSILON * high.abs());
        while slope(high) > 0.0 {
            high += step;
            step *= 2.0;
        }
        bisect(self.center, high, |mean| slope(mean) > 0.0)
    }

    /// How far to `side` twice the log likelihood falls by `t²`.
    fn reach(&self, mean: f64, side: f64, t: f64) -> f64 {
        let plain = t * self.sigma / self.n.sqrt();
        if self.caps.is_empty() {
            return plain;
        }
        let floor = self.at(mean) - 0.5 * t * t;
        // censored trials only add curvature, so the likelihood falls at least as fast as without
        bisect(0.0, plain, |distance| {
            self.at(mean + side * distance) > floor
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(batch_size: u64, steps: &[f64], caps: &[f64]) -> Sample {
        let mut sample = Sample::new(batch_size);
        for &s in steps {
            sample.reached(u64::MAX, s);
        }
        for &c in caps {
            sample.not_reached(c);
        }
        sample
    }

    /// By hand: equal deviations at two batch sizes, so no slope; `s² = 0.04/ν` over both, where `x` is
    /// `±½·ln 2` and the slope took `J/(J + 4)` of the four degrees of freedom.
    #[test]
    fn without_censoring_it_is_the_pooled_t_interval() {
        let three =
            |b: u64, steps: f64| sample(b, &[-0.1, 0.0, 0.1].map(|e: f64| steps * e.exp()), &[]);
        let a = three(1, 100.0);
        let pooled = Pooled::new(&[a.clone(), three(2, 50.0)]);
        let x = 0.5 * std::f64::consts::LN_2;
        let information = 2.0 * (2.0 + 2.0) * x * x;
        let kept = information / (information + 4.0);
        let dof = 4.0 - kept;
        let s = (0.04 / dof).sqrt();
        assert!((pooled.dof - dof).abs() < 1e-12);
        assert!((pooled.sigma.unwrap() - s).abs() < 1e-7);
        let estimate = pooled.steps(&a, 0.95);
        let own_dof = 1.0 / (1.0 / dof + 2.0 * x * x * kept * kept / information);
        let half = t_quantile(0.95, own_dof) * s / 3f64.sqrt();
        assert!((estimate.value.unwrap() - 100.0).abs() < 1e-9);
        assert!((estimate.high.unwrap() / (100.0 * half.exp()) - 1.0).abs() < 1e-6);
        assert!((estimate.low.unwrap() * half.exp() / 100.0 - 1.0).abs() < 1e-6);
    }

    /// A cap where all others reached, to the last digit: the search for the mean went on for ever,
    /// its first step too small to change a number.
    #[test]
    fn a_deviation_below_the_rounding_of_the_mean_ends() {
        for sigma in [0.0, 1e-300, 1e-17, 1e-3] {
            let profile = Profile {
                n: 3.0,
                center: 7.0,
                sigma,
                caps: &[7.0],
            };
            let mean = profile.maximum();
            assert!(
                (7.0..7.0 + 1e-14 + sigma).contains(&mean),
                "{sigma}: {mean}"
            );
        }
    }

    /// A batch size whose seeds lie far apart, beside those whose seeds do not: its interval is
    /// wider, and each is Student's with its own deviation.
    #[test]
    fn each_batch_size_has_its_own_deviation() {
        let samples: Vec<Sample> = (0..6)
            .map(|i| {
                let sigma = 0.05 * 1.4f64.powi(i);
                let steps = [-sigma, 0.0, sigma].map(|e| 100.0 * e.exp());
                sample(1 << i, &steps, &[])
            })
            .collect();
        let pooled = Pooled::new(&samples);
        let width = |s: &Sample| {
            let e = pooled.steps(s, 0.95);
            (e.high.unwrap() / e.low.unwrap()).ln()
        };
        let ratio = width(&samples[5]) / width(&samples[0]);
        let truth = 1.4f64.powi(5);
        assert!(ratio > 0.7 * truth && ratio < truth, "{ratio} of {truth}");
    }

    #[test]
    fn censoring_raises_the_mean_and_leans_the_interval_up() {
        let plain = sample(1, &[90.0, 100.0], &[]);
        let censored = sample(1, &[90.0, 100.0], &[105.0]);
        let other = sample(2, &[50.0, 55.0, 60.0], &[]);
        let a = Pooled::new(&[plain.clone(), other.clone()]).steps(&plain, 0.95);
        let pooled = Pooled::new(&[censored.clone(), other]);
        let b = pooled.steps(&censored, 0.95);
        assert!(b.value.unwrap() > a.value.unwrap());
        let (low, value, high) = (b.low.unwrap(), b.value.unwrap(), b.high.unwrap());
        assert!(high / value > value / low, "{b:?}");
        assert_eq!(b.n, 3);
    }

    #[test]
    fn all_censored_is_a_bound_at_or_below_the_cap() {
        let hit = sample(8, &[], &[500.0, 500.0, 500.0]);
        let pooled = Pooled::new(&[sample(1, &[90.0, 110.0], &[]), hit.clone()]);
        let estimate = pooled.steps(&hit, 0.95);
        let bound = estimate.value.unwrap();
        assert!(bound < 500.0 && bound > 400.0 && estimate.high.is_none());
        // three times as far above the bound as this happens one time in twenty
        let z = (500f64.ln() - bound.ln()) / pooled.sigma.unwrap();
        assert!((3.0 * ln_normal_cdf(-z) - 0.05f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn brackets_widen_the_interval() {
        let mut coarse = Sample::new(1);
        coarse.reached(99, 120.0);
        coarse.reached(99, 120.0);
        let pooled = Pooled::new(std::slice::from_ref(&coarse));
        let estimate = pooled.steps(&coarse, 0.95);
        let half = 1.959963984540054 * (1.2f64.ln().powi(2) / 12.0).sqrt();
        assert!(
            (estimate.high.unwrap() / (120.0 * half.exp()) - 1.0).abs() < 1e-4,
            "{estimate:?}"
        );
    }

    #[test]
    fn one_seed_each_leaves_the_ends_open_and_nothing_is_undefined() {
        let one = sample(1, &[100.0], &[]);
        let estimate = Pooled::new(std::slice::from_ref(&one)).steps(&one, 0.95);
        assert_eq!((estimate.low, estimate.high), (None, None));
        assert!(estimate.reason.is_some());
        let mut none = Sample::new(2);
        none.diverged = 2;
        let text = Pooled::new(std::slice::from_ref(&none))
            .steps(&none, 0.95)
            .reason
            .unwrap();
        assert_eq!(text, "all 2 trials diverged");
    }
}
