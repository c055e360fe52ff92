//! Steps to the target at each batch size, with intervals that a few seeds can carry.
//!
//! Three to five seeds cannot say their own variance, and a percentile bootstrap over three values
//! covers at most 75 %. So `ln S` is taken as normal about each batch size's mean with *one*
//! standard deviation, pooled over batch sizes, and the intervals are Student's with the pooled
//! degrees of freedom. Trials censored at their cap enter as `ln Φ((μ − ln c)/σ)` (a Tobit mean,
//! with a likelihood-ratio interval); the variance that crossing brackets leave is added with
//! Satterthwaite's degrees of freedom.

use batchscope_core::{
    Estimate,
    statistics::{normal_quantile, t_quantile},
};

use crate::distribution::ln_normal_cdf;
use crate::sample::Sample;
use crate::tobit;

/// The one-way model: a mean of `ln S` per batch size, one standard deviation for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Standard deviation of `ln S` between seeds; `None` without a repeated batch size.
    pub sigma: Option<f64>,
    /// Its degrees of freedom: reached trials less batch sizes that reached.
    pub dof: f64,
    /// Mean `ln S` of each sample, in order; `None` where none reached.
    pub means: Vec<Option<f64>>,
    /// Reached trials.
    pub n: u64,
    /// Batch sizes with a reached trial.
    pub batch_sizes: u64,
    /// Maximum log likelihood, constants left out: what a fit is held against.
    pub(crate) log_likelihood: f64,
}

impl Pooled {
    /// Pools the seed variance of the samples.
    pub fn new(samples: &[Sample]) -> Self {
        let groups: Vec<_> = samples
            .iter()
            .filter(|s| s.n_reached() > 0)
            .map(Sample::group)
            .collect();
        let n: usize = samples.iter().map(Sample::n_reached).sum();
        let dof = (n - groups.len()) as f64;
        if groups.is_empty() {
            return Self {
                sigma: None,
                dof: 0.0,
                means: vec![None; samples.len()],
                n: 0,
                batch_sizes: 0,
                log_likelihood: 0.0,
            };
        }
        let solution = tobit::solve(&groups);
        // one seed each: no variance to be had, and no Tobit shift to trust
        let repeated = dof > 0.0;
        let mut locations = solution
            .locations
            .iter()
            .zip(&groups)
            .map(|(&m, g)| if repeated { m } else { g.center });
        let means = samples
            .iter()
            .map(|s| {
                if s.n_reached() > 0 {
                    locations.next()
                } else {
                    None
                }
            })
            .collect();
        Self {
            sigma: repeated.then(|| solution.sigma * (n as f64 / dof).sqrt()),
            dof,
            means,
            n: n as u64,
            batch_sizes: groups.len() as u64,
            log_likelihood: solution.log_likelihood,
        }
    }

    /// `ln S` of one of the pooled samples: mean and interval ends (`None` is open), or the bound
    /// where every trial was censored.
    pub(crate) fn ln_interval(&self, sample: &Sample, level: f64) -> LnInterval {
        if sample.n_reached() == 0 {
            let Some(&cap) = sample.ln_caps.iter().min_by(|a, b| a.total_cmp(b)) else {
                return LnInterval::Nothing;
            };
            // all m exceeded the cap: Φ((μ − ln c)/σ)^m = 1 − level at the bound
            let shift = self.sigma.map_or(0.0, |sigma| {
                sigma * normal_quantile((1.0 - level).powf(1.0 / sample.ln_caps.len() as f64))
            });
            return LnInterval::AtLeast(cap + shift.min(0.0));
        }
        let (center, _) = sample.moments();
        let Some(sigma) = self.sigma else {
            return LnInterval::Open(center);
        };
        let n = sample.n_reached() as f64;
        let sampling = sigma * sigma / n;
        let total = sampling + sample.bracket_variance;
        let dof = if sampling > 0.0 {
            self.dof * (total / sampling).powi(2)
        } else {
            f64::INFINITY
        };
        let t = t_quantile(level, dof);
        let profile = Profile {
            n,
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
        let mut low = self.center;
        let mut high = self.caps.iter().fold(self.center, |a, &b| a.max(b)) + self.sigma;
        while slope(high) > 0.0 {
            high += high - low;
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if slope(middle) > 0.0 {
                low = middle
            } else {
                high = middle
            }
        }
        0.5 * (low + high)
    }

    /// How far to `side` twice the log likelihood falls by `t²`.
    fn reach(&self, mean: f64, side: f64, t: f64) -> f64 {
        let plain = t * self.sigma / self.n.sqrt();
        if self.caps.is_empty() {
            return plain;
        }
        let floor = self.at(mean) - 0.5 * t * t;
        let (mut inside, mut outside) = (0.0, plain);
        // censored trials only add curvature, so the likelihood falls at least as fast as without
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            if self.at(mean + side * middle) > floor {
                inside = middle
            } else {
                outside = middle
            }
        }
        0.5 * (inside + outside)
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

    /// By hand: ln 100 ± t(0.975, 3)·s·√(1/3), s² pooled from (0.02 + 0.005)/3.
    #[test]
    fn without_censoring_it_is_the_pooled_t_interval() {
        let a = sample(
            1,
            &[100.0 * (0.1f64).exp(), 100.0, 100.0 * (-0.1f64).exp()],
            &[],
        );
        let b = sample(2, &[50.0 * (0.05f64).exp(), 50.0 * (-0.05f64).exp()], &[]);
        let pooled = Pooled::new(&[a.clone(), b]);
        let s = (0.025f64 / 3.0).sqrt();
        assert!((pooled.sigma.unwrap() - s).abs() < 1e-12 && pooled.dof == 3.0);
        let estimate = pooled.steps(&a, 0.95);
        let half = 3.182446305284263 * s / 3f64.sqrt();
        assert!((estimate.value.unwrap() - 100.0).abs() < 1e-9);
        assert!((estimate.high.unwrap() / (100.0 * half.exp()) - 1.0).abs() < 1e-9);
        assert!((estimate.low.unwrap() * half.exp() / 100.0 - 1.0).abs() < 1e-9);
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
