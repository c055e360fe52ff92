//! How the deviation between seeds differs by batch size.
//!
//! `ln S_ij = μ_i + σ_i·ε`, `ln σ_i = α + γ·x_i`, `x_i = ln B_i − mean`: a power of the batch size, the
//! variance function of Davidian & Carroll (1987, "Variance function estimation", eq. 2.4). `γ`
//! maximizes the likelihood of the residuals alone, which owes nothing to the curve:
//!
//! `A(γ) = max_{μ,σ} ℓ − ½·Σ ln j_i − γ²/(2·τ²)`, `j_i` the information of `μ_i`.
//!
//! The second term is Cox & Reid's (1987, eq. 10) for the means; without censoring the first two are
//! Harville's (1977) restricted likelihood, `−(F/2)·ln Σ SS_i·e^{−2γx_i} − γ·Σ f_i·x_i` with
//! `f_i = n_i − 1` and `F = Σ f_i`. The third shrinks `γ` to 0, one deviation for all: nine batch
//! sizes of three seeds know `γ` to ±0.09, three of two hardly at all.
//!
//! Fisher's information on `γ` is `J = 2·Σ f_i·x_i²`, so `s = J/(J + 1/τ²)` of the data's `γ` is left,
//! and its sampling variance is `s²/J`. Everything here tends to one deviation as `J` tends to 0.

use batchscope_core::statistics::NormalDraws;
use rand_core::Rng;

use crate::profile::brent_maximum;
use crate::sample::Sample;
use crate::tobit;

/// Prior deviation `τ` of `γ`. On nine curves of six studies on real data `γ` was −0.64 to 0.41, with
/// root mean square 0.22 beyond its own error. A wider prior costs little where the data know `γ`, and a
/// narrower one is a bias there: with deviations from 0.13 to 0.61, 0.3 made the intervals where they
/// are small 10 % too wide (`tests/coverage.rs`).
const PRIOR: f64 = 0.5;
/// Largest `|γ|`: past it a few equal counts of steps, not noise, are being fitted.
const LIMIT: f64 = 1.0;

/// Deviations between seeds relative to that at the mean batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Deviations {
    /// `γ = d ln σ/d ln B`, shrunk.
    pub slope: f64,
    /// Sampling variance of `slope`.
    pub slope_variance: f64,
    /// `s`: the part of the data's slope that shrinking left, and of a degree of freedom that it took.
    pub kept: f64,
    /// Mean `ln B`, each batch size weighted by its degrees of freedom.
    pub center: f64,
}

impl Deviations {
    /// One deviation for all batch sizes.
    pub const EQUAL: Self = Self {
        slope: 0.0,
        slope_variance: 0.0,
        kept: 0.0,
        center: 0.0,
    };

    /// From the seeds of the repeated batch sizes.
    pub fn new(samples: &[Sample]) -> Self {
        // one reached trial says something of its deviation too where others are censored
        let reached: Vec<&Sample> = samples
            .iter()
            .filter(|s| s.n_reached() > 0 && s.batch_size > 0)
            .collect();
        let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
            reached
                .iter()
                .map(|s| (s.n_reached() - 1) as f64 * of((s.batch_size as f64).ln()))
                .sum()
        };
        let dof = sum(&|_| 1.0);
        if dof == 0.0 {
            return Self::EQUAL;
        }
        let center = sum(&|x| x) / dof;
        let information = 2.0 * sum(&|x| (x - center).powi(2));
        if information == 0.0 {
            return Self {
                center,
                ..Self::EQUAL
            };
        }
        let kept = information / (information + PRIOR.powi(-2));
        let at = |slope: f64| Self {
            slope,
            slope_variance: kept * kept / information,
            kept,
            center,
        };
        let slope = brent_maximum(
            |slope| at(slope).likelihood(&reached) - 0.5 * (slope / PRIOR).powi(2),
            -LIMIT,
            LIMIT,
            1e-7,
        );
        at(slope)
    }

    /// With a slope drawn from the error of this one.
    pub fn redrawn(mut self, draws: &mut NormalDraws<impl Rng>) -> Self {
        self.slope += self.slope_variance.sqrt() * draws.normal();
        self
    }

    /// `x`: `ln` of a batch size less the center.
    pub fn offset(&self, batch_size: u64) -> f64 {
        (batch_size.max(1) as f64).ln() - self.center
    }

    /// The deviation at a batch size over that at the center.
    pub fn relative(&self, batch_size: u64) -> f64 {
        (self.slope * self.offset(batch_size)).exp()
    }

    /// Degrees of freedom of a variance at the offset `x`, where that at the center has `dof`.
    pub fn dof(&self, dof: f64, x: f64) -> f64 {
        1.0 / (1.0 / dof + 2.0 * self.slope_variance * x * x)
    }

    /// The adjusted profile likelihood of the slope.
    fn likelihood(&self, reached: &[&Sample]) -> f64 {
        let groups: Vec<_> = reached
            .iter()
            .map(|s| s.group().scaled(1.0 / self.relative(s.batch_size)))
            .collect();
        let scales: f64 = reached
            .iter()
            .map(|s| s.n_reached() as f64 * self.slope * self.offset(s.batch_size))
            .sum();
        let solution = tobit::solve(&groups);
        solution.log_likelihood - scales - 0.5 * solution.ln_informations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(batch_size: u64, ln_steps: &[f64]) -> Sample {
        Sample {
            ln_steps: ln_steps.to_vec(),
            ..Sample::new(batch_size)
        }
    }

    /// Deviations exactly `0.1·(B/16)^0.2`: the restricted likelihood's slope is 0.2, and shrinking
    /// leaves the root of its derivative, `2·Σ f·x·(r(x) − 1)·F/Σ f·r(x) = γ/τ²` about
    /// `r = e^{2(0.2 − γ)x}`.
    #[test]
    fn a_power_law_of_deviations_comes_back_shrunk() {
        let samples: Vec<Sample> = [4u64, 8, 16, 32, 64]
            .iter()
            .map(|&b| {
                let sigma = 0.1 * (b as f64 / 16.0).powf(0.2);
                sample(b, &[5.0 - sigma, 5.0, 5.0 + sigma])
            })
            .collect();
        let found = Deviations::new(&samples);
        assert!((found.center - 16f64.ln()).abs() < 1e-12);
        let x = |i: f64| i * std::f64::consts::LN_2;
        let information = 2.0 * 2.0 * (x(1.0).powi(2) + x(2.0).powi(2)) * 2.0;
        let kept = information / (information + 1.0 / 0.25);
        assert!((found.kept - kept).abs() < 1e-12);
        assert!((found.slope_variance - kept * kept / information).abs() < 1e-12);
        let mut squares = 0.0;
        let mut moments = 0.0;
        for i in -2..=2 {
            let x = x(f64::from(i));
            let r = (2.0 * (0.2 - found.slope) * x).exp();
            squares += 2.0 * r;
            moments += 2.0 * r * x;
        }
        let slope = 10.0 * moments / squares - found.slope / 0.25;
        assert!(slope.abs() < 1e-4, "{slope} {found:?}");
        assert!((found.slope / 0.2 - kept).abs() < 0.02, "{found:?}");
        assert!((found.relative(64) - (found.slope * x(2.0)).exp()).abs() < 1e-12);
    }

    /// Censoring cuts off upper tails. At equal deviations, caps at one end alone must not be taken for
    /// a slope: the reached trials' own deviations would give −0.16.
    #[test]
    fn caps_are_not_taken_for_small_deviations() {
        // normal scores of 9: the deviation of the six lowest alone is half of all nine's
        let scores = [-1.49, -0.93, -0.57, -0.27, 0.0, 0.27, 0.57, 0.93, 1.49];
        let samples: Vec<Sample> = [4u64, 16, 64, 256]
            .iter()
            .map(|&b| {
                let reached = if b == 256 { 6 } else { 9 };
                let mut sample = sample(b, &scores.map(|z| 5.0 + 0.1 * z)[..reached]);
                sample.ln_caps = vec![5.04; 9 - reached];
                sample
            })
            .collect();
        let found = Deviations::new(&samples);
        assert!(found.slope.abs() < 0.03, "{found:?}");
        let blind: Vec<Sample> = samples
            .iter()
            .map(|s| Sample {
                ln_caps: Vec::new(),
                ..s.clone()
            })
            .collect();
        let blind = Deviations::new(&blind).slope;
        assert!(blind < 3.0 * found.slope.min(-0.02), "{blind} {found:?}");
    }

    #[test]
    fn nothing_repeated_or_one_batch_size_is_one_deviation() {
        assert_eq!(
            Deviations::new(&[sample(4, &[1.0]), sample(8, &[2.0])]),
            Deviations::EQUAL
        );
        let one = Deviations::new(&[sample(4, &[1.0, 2.0]), sample(8, &[2.0])]);
        assert_eq!((one.slope, one.slope_variance), (0.0, 0.0));
        assert_eq!(one.relative(1024), 1.0);
    }

    #[test]
    fn equal_counts_of_steps_give_a_finite_slope() {
        let samples = [
            sample(4, &[1.0, 1.0]),
            sample(8, &[2.0, 2.0]),
            sample(16, &[3.0, 3.4]),
        ];
        let found = Deviations::new(&samples);
        assert!(found.slope > 0.0 && found.slope <= LIMIT, "{found:?}");
    }
}
