//! Another law of steps against batch size, beside the hyperbola.
//!
//! Schaipp 2026 (arXiv 2607.01487) takes the loss after `K` steps at batch size `M` for
//! `L(K, M) = E + B/M^β + C/K^γ`. Solved for the steps to a fixed loss that is
//!
//! `S(M) = S_∞ · (1 − (M₀/M)^β)^(−1/γ)`, finite above `M₀` alone:
//!
//! a smallest usable batch size, which the hyperbola has not. Both are fitted to `ln S` by least squares and
//! compared by the corrected information criterion of Akaike (Hurvich and Tsai 1989) and by how well each
//! predicts a batch size that was left out of its fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::brent_maximum;
use crate::sample::Sample;

/// Fewer batch sizes cannot tell four parameters from two.
const FEWEST: usize = 8;
/// A difference of the criterion that counts (Burnham and Anderson 2002, section 2.6).
const COUNTS: f64 = 4.0;
/// Exponents `β` that are looked at.
const EXPONENTS: (f64, f64) = (0.1, 4.0);
/// How far below the smallest batch size `M₀` is looked for, in `ln`.
const REACH: f64 = 8.0;
/// Points of the coarse search in each direction.
const GRID: usize = 24;

/// The hyperbola against the law with a smallest usable batch size, `S(M) = S_∞·(1 − (M₀/M)^β)^(−1/γ)`
/// (Schaipp 2026, arXiv 2607.01487), by least squares in `ln S` over the runs that reached the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShapeComparison {
    /// Which holds.
    pub verdict: ShapeVerdict,
    /// AICc of the other law less that of the hyperbola: above 0 speaks for the hyperbola.
    pub delta_aicc: Option<f64>,
    /// Root mean square error of `ln S` where each batch size is predicted from the others, by the hyperbola.
    pub hyperbola_error: Option<f64>,
    /// The same by the other law.
    pub smallest_batch_error: Option<f64>,
    /// `M₀`, in examples.
    pub smallest_batch: Option<f64>,
    /// `β`.
    pub beta: Option<f64>,
    /// `γ`.
    pub gamma: Option<f64>,
    /// `S_∞`, in steps.
    pub s_min: Option<f64>,
}

impl ShapeComparison {
    /// Nothing can be told.
    pub(crate) fn too_few() -> Self {
        Self {
            verdict: ShapeVerdict::TooFew,
            delta_aicc: None,
            hyperbola_error: None,
            smallest_batch_error: None,
            smallest_batch: None,
            beta: None,
            gamma: None,
            s_min: None,
        }
    }
}

/// Which of two laws holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShapeVerdict {
    /// Fewer than 8 batch sizes, none of them repeated, or censored runs: too few to tell.
    TooFew,
    /// The hyperbola, by both criteria.
    Hyperbola,
    /// The law with a smallest batch size, by both criteria.
    SmallestBatch,
    /// The criteria disagree, or hardly differ.
    Undecided,
}

/// The hyperbola by least squares in `ln S`, every run that reached the target alike: how others fit it. The
/// estimates above let the deviation between seeds differ by batch size, and count censored runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeastSquares {
    /// `B_c`, in examples.
    pub critical_batch_size: f64,
    /// `S_min`, in steps.
    pub s_min: f64,
    /// Standard deviation of `ln S` between runs of a batch size; `None` without a repeated one.
    pub seed_sigma: Option<f64>,
    /// The F statistic of lack of fit.
    pub lack_of_fit_f: Option<f64>,
}

/// The mean `ln` steps of a batch size.
#[derive(Debug, Clone, Copy)]
struct Mean {
    batch_size: f64,
    n: f64,
    ln_steps: f64,
}

/// Compares the two laws on the runs that reached the target.
pub(crate) fn compare(samples: &[Sample]) -> ShapeComparison {
    let reached: Vec<&Sample> = samples.iter().filter(|s| s.n_reached() > 0).collect();
    let n: usize = reached.iter().map(|s| s.n_reached()).sum();
    let censored = samples.iter().any(|s| !s.ln_caps.is_empty());
    if reached.len() < FEWEST || n <= reached.len() || censored {
        return ShapeComparison::too_few();
    }
    let means = means(samples);
    let within: f64 = reached.iter().map(|s| s.moments().1).sum();
    let smallest = means
        .iter()
        .map(|m| m.batch_size)
        .fold(f64::INFINITY, f64::min);
    let n = n as f64;
    let hyperbola = Hyperbola::fit(&means);
    let other = Schaipp::fit(&means, smallest);
    let criterion = |squares: f64, k: f64| {
        n * (squares / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
    };
    // Each law's parameters and the variance.
    let delta = criterion(within + other.squares, 5.0) - criterion(within + hyperbola.squares, 3.0);
    let held_out = |predict: &dyn Fn(&[Mean], f64) -> f64| {
        let errors = means.iter().enumerate().map(|(left, mean)| {
            let mut rest = means.clone();
            rest.remove(left);
            (predict(&rest, mean.batch_size) - mean.ln_steps).powi(2)
        });
        (errors.sum::<f64>() / means.len() as f64).sqrt()
    };
    let hyperbola_error = held_out(&|rest, at| Hyperbola::fit(rest).ln_steps(at));
    let other_error = held_out(&|rest, at| Schaipp::fit(rest, smallest).ln_steps(at));
    let verdict = if delta >= COUNTS && hyperbola_error <= other_error {
        ShapeVerdict::Hyperbola
    } else if delta <= -COUNTS && other_error < hyperbola_error {
        ShapeVerdict::SmallestBatch
    } else {
        ShapeVerdict::Undecided
    };
    ShapeComparison {
        verdict,
        delta_aicc: Some(delta),
        hyperbola_error: Some(hyperbola_error),
        smallest_batch_error: Some(other_error),
        smallest_batch: Some(other.ln_smallest.exp()),
        beta: Some(other.beta),
        gamma: Some(1.0 / other.power),
        s_min: Some(other.level.exp()),
    }
}

/// The hyperbola by least squares, every run that reached the target alike. `None` below three batch sizes.
pub(crate) fn least_squares(samples: &[Sample]) -> Option<LeastSquares> {
    let means = means(samples);
    let sizes = means.len() as f64;
    let runs: f64 = means.iter().map(|m| m.n).sum();
    let fit = (means.len() > 2).then(|| Hyperbola::fit(&means))?;
    let reached = samples.iter().filter(|s| s.n_reached() > 0);
    let variance = reached.map(|s| s.moments().1).sum::<f64>() / (runs - sizes);
    let repeated = runs > sizes;
    Some(LeastSquares {
        critical_batch_size: fit.b.exp(),
        s_min: (fit.a).exp(),
        seed_sigma: repeated.then(|| variance.sqrt()),
        lack_of_fit_f: (repeated && variance > 0.0).then(|| fit.squares / (sizes - 2.0) / variance),
    })
}

/// The means of the batch sizes that reached the target.
fn means(samples: &[Sample]) -> Vec<Mean> {
    let reached = samples.iter().filter(|s| s.n_reached() > 0);
    let mean = |s: &Sample| Mean {
        batch_size: s.batch_size as f64,
        n: s.n_reached() as f64,
        ln_steps: s.moments().0,
    };
    reached.map(mean).collect()
}

/// `ln S = a + ln(1 + e^b/B)`.
struct Hyperbola {
    a: f64,
    b: f64,
    squares: f64,
}

impl Hyperbola {
    fn fit(means: &[Mean]) -> Self {
        let at = |b: f64| {
            let shape = |m: &Mean| (b.exp() / m.batch_size).ln_1p();
            let n: f64 = means.iter().map(|m| m.n).sum();
            let a = means
                .iter()
                .map(|m| m.n * (m.ln_steps - shape(m)))
                .sum::<f64>()
                / n;
            let squares = means
                .iter()
                .map(|m| m.n * (m.ln_steps - a - shape(m)).powi(2))
                .sum();
            Self { a, b, squares }
        };
        let (low, high) = range(means);
        at(least(low - 5.0, high + 5.0, |b| at(b).squares))
    }

    fn ln_steps(&self, batch_size: f64) -> f64 {
        self.a + (self.b.exp() / batch_size).ln_1p()
    }
}

/// `ln S = level − power·ln(1 − (M₀/M)^β)`: linear in `level` and `power`.
#[derive(Clone, Copy)]
struct Schaipp {
    level: f64,
    /// `1/γ`.
    power: f64,
    ln_smallest: f64,
    beta: f64,
    squares: f64,
}

impl Schaipp {
    /// The best with `M₀` below the smallest batch size that reached.
    fn fit(means: &[Mean], smallest: f64) -> Self {
        let end = smallest.ln();
        // Evenly in the logarithm of the distance to the end, near which the law bends most.
        let place = |x: f64| end - x.exp();
        let (near, far) = (1e-3f64.ln(), REACH.ln());
        let at = |beta: f64, x: f64| Self::at(means, place(x), beta);
        let best_place = |beta: f64| least(near, far, |x| at(beta, x).squares);
        let beta = least(EXPONENTS.0.ln(), EXPONENTS.1.ln(), |ln_beta| {
            at(ln_beta.exp(), best_place(ln_beta.exp())).squares
        })
        .exp();
        at(beta, best_place(beta))
    }

    fn at(means: &[Mean], ln_smallest: f64, beta: f64) -> Self {
        let shape = |m: &Mean| -(-(beta * (ln_smallest - m.batch_size.ln())).exp()).ln_1p();
        let n: f64 = means.iter().map(|m| m.n).sum();
        let mean_shape = means.iter().map(|m| m.n * shape(m)).sum::<f64>() / n;
        let mean = means.iter().map(|m| m.n * m.ln_steps).sum::<f64>() / n;
        let spread: f64 = means
            .iter()
            .map(|m| m.n * (shape(m) - mean_shape).powi(2))
            .sum();
        let product: f64 = means
            .iter()
            .map(|m| m.n * (shape(m) - mean_shape) * (m.ln_steps - mean))
            .sum();
        // Steps fall with the batch size.
        let power = (product / spread).max(1e-6);
        let level = mean - power * mean_shape;
        let squares = means
            .iter()
            .map(|m| m.n * (m.ln_steps - level - power * shape(m)).powi(2))
            .sum();
        Self {
            level,
            power,
            ln_smallest,
            beta,
            squares,
        }
    }

    fn ln_steps(&self, batch_size: f64) -> f64 {
        self.level
            - self.power * (-(self.beta * (self.ln_smallest - batch_size.ln())).exp()).ln_1p()
    }
}

/// `ln` of the smallest and the largest batch size.
fn range(means: &[Mean]) -> (f64, f64) {
    let ln = || means.iter().map(|m| m.batch_size.ln());
    (
        ln().fold(f64::INFINITY, f64::min),
        ln().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Where a function is least: the best of a grid, refined between its neighbors.
fn least(low: f64, high: f64, of: impl Fn(f64) -> f64) -> f64 {
    let step = (high - low) / (GRID - 1) as f64;
    let place = |i: usize| low + step * i as f64;
    let best = (0..GRID)
        .min_by(|&i, &j| of(place(i)).total_cmp(&of(place(j))))
        .unwrap_or(0);
    let (from, to) = (
        place(best.saturating_sub(1)),
        place((best + 1).min(GRID - 1)),
    );
    brent_maximum(|x| -of(x), from, to, 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(steps: impl Fn(f64) -> f64, sigma: f64) -> Vec<Sample> {
        (3..13)
            .map(|i| {
                let batch_size = 1u64 << i;
                let mut sample = Sample::new(batch_size);
                // One deviation up and one down, smaller and larger by turns: a scatter without a trend.
                let wobble = if i % 2 == 0 { 0.3 } else { -0.3 };
                for z in [-1.0, wobble, 1.0] {
                    sample.reached(u64::MAX, steps(batch_size as f64) * (sigma * z).exp());
                }
                sample
            })
            .collect()
    }

    #[test]
    fn a_hyperbola_is_told_from_a_law_with_a_smallest_batch_size() {
        let found = compare(&study(|b| 100.0 * (1.0 + 200.0 / b), 0.05));
        assert_eq!(found.verdict, ShapeVerdict::Hyperbola, "{found:?}");
        // M₀ = 6, β = 0.6, γ = 0.5: the steps at 8 are many times what a hyperbola allows.
        let law = |b: f64| 100.0 * (1.0 - (6.0 / b).powf(0.6)).powf(-2.0);
        let found = compare(&study(law, 0.05));
        assert_eq!(found.verdict, ShapeVerdict::SmallestBatch, "{found:?}");
    }

    /// Without noise the parameters come back.
    #[test]
    fn the_parameters_of_the_other_law_come_back() {
        let law = |b: f64| 100.0 * (1.0 - (6.0 / b).powf(0.8)).powf(-1.0 / 0.7);
        let found = compare(&study(law, 1e-4));
        let near = |x: Option<f64>, truth: f64| (x.unwrap() / truth - 1.0).abs() < 0.03;
        assert!(near(found.smallest_batch, 6.0), "{found:?}");
        assert!(near(found.beta, 0.8) && near(found.gamma, 0.7), "{found:?}");
        assert!(near(found.s_min, 100.0), "{found:?}");
    }

    #[test]
    fn few_batch_sizes_or_single_runs_do_not_tell() {
        let whole = study(|b| 100.0 * (1.0 + 200.0 / b), 0.05);
        assert_eq!(compare(&whole[..7]).verdict, ShapeVerdict::TooFew);
        let single: Vec<Sample> = whole
            .iter()
            .map(|s| Sample {
                ln_steps: s.ln_steps[..1].to_vec(),
                ..s.clone()
            })
            .collect();
        assert_eq!(compare(&single).verdict, ShapeVerdict::TooFew);
    }
}
