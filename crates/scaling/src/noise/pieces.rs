//! The unbiased pieces of a noise scale.

use batchscope_core::{Estimate, statistics::t_quantile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why squared norms make no pieces.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// One micro-batch, or two batches of one size, cannot tell signal from noise.
    #[error(
        "the noise of a gradient needs two batch sizes: split the step of {batch_size} examples into two micro-batches or more"
    )]
    OneBatchSize {
        /// The only batch size there is.
        batch_size: u64,
    },
    /// Sizes that must be equal or ordered are not.
    #[error("{0}")]
    Sizes(String),
    /// A squared norm that is infinite or not a number.
    #[error("a squared gradient norm is {0}: the gradient has overflowed")]
    NonFinite(f64),
}

/// `|G|²` and `tr Σ` as estimated from one step, each without bias; or `GᵀHG` and `tr(HΣ)`.
///
/// Every constructor takes squared norms `|g|²` of mean gradients. Given the quadratic forms `gᵀHg`
/// instead (one Hessian-vector product per mean gradient, the same `H` for all), the same algebra
/// gives `GᵀHG` and `tr(HΣ)`, and [`Pieces::noise_scale`] is `B_noise`.
///
/// Pieces add over the layers of a network: the whole is the sum of its parts.
///
/// ```
/// use batchscope_scaling::noise::Pieces;
/// // mean gradients 3 and 1 of two micro-batches of 4 examples: mean 2
/// let pieces = Pieces::from_micro_batches(&[(4, 9.0), (4, 1.0)], 4.0).unwrap();
/// assert_eq!(pieces.trace, 4.0 * 2.0);
/// assert_eq!(pieces.squared_norm, 4.0 - 8.0 / 8.0);
/// assert!((pieces.noise_scale().value.unwrap() - 8.0 / 3.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pieces {
    /// Estimate of `|G|²`; noise can make it negative.
    pub squared_norm: f64,
    /// Estimate of `tr Σ`, the variance of one example's gradient summed over coordinates.
    pub trace: f64,
    /// Examples in the step.
    pub batch_size: u64,
}

impl Pieces {
    /// Neither signal nor noise, of no step.
    pub const ZERO: Self = Self {
        squared_norm: 0.0,
        trace: 0.0,
        batch_size: 0,
    };

    /// From the squared norms at two batch sizes (\[MKA\] equations A.2 and A.3):
    /// `|G|² ≈ (B_big|G_big|² − B_small|G_small|²)/(B_big − B_small)`,
    /// `tr Σ ≈ (|G_small|² − |G_big|²)/(1/B_small − 1/B_big)`.
    /// The small batch may be part of the big one.
    ///
    /// # Errors
    /// When the sizes are not `0 < small < big` or a norm is not finite.
    pub fn from_two_batch_sizes(small: (u64, f64), big: (u64, f64)) -> Result<Self, NoiseError> {
        if small.0 == big.0 {
            return Err(NoiseError::OneBatchSize {
                batch_size: small.0,
            });
        }
        if small.0 == 0 || small.0 > big.0 {
            return Err(NoiseError::Sizes(format!(
                "the small batch has {} examples and the big one {}",
                small.0, big.0
            )));
        }
        let (b, big_b) = (small.0 as f64, big.0 as f64);
        finite(&[small.1, big.1])?;
        Ok(Self {
            squared_norm: (big_b * big.1 - b * small.1) / (big_b - b),
            trace: (small.1 - big.1) / (1.0 / b - 1.0 / big_b),
            batch_size: big.0,
        })
    }

    /// From the `k` micro-batches of one step, given as (examples, squared norm of their mean
    /// gradient), and the squared norm of the step's mean gradient. Micro-batches may be ragged:
    /// with sizes `b_j` summing to `B`, `E Σ b_j|g_j|² = B|G|² + k·tr Σ` and
    /// `E B|g_B|² = B|G|² + tr Σ`, so `tr Σ ≈ (Σ b_j|g_j|² − B|g_B|²)/(k − 1)` and
    /// `|G|² ≈ |g_B|² − tr Σ/B`. For equal sizes this is \[MKA\]'s pair with the mean of the small
    /// norms, and the least variance its norms allow.
    ///
    /// # Errors
    /// With fewer than two micro-batches, an empty one, or a norm that is not finite.
    pub fn from_micro_batches(
        micro_batches: &[(u64, f64)],
        mean_squared_norm: f64,
    ) -> Result<Self, NoiseError> {
        let batch_size = micro_batches.iter().map(|m| m.0).sum();
        if micro_batches.len() < 2 {
            return Err(NoiseError::OneBatchSize { batch_size });
        }
        if micro_batches.iter().any(|m| m.0 == 0) {
            return Err(NoiseError::Sizes(
                "a micro-batch has no examples".to_owned(),
            ));
        }
        let weighted: f64 = micro_batches.iter().map(|m| m.0 as f64 * m.1).sum();
        Self::from_sum(weighted, micro_batches.len(), batch_size, mean_squared_norm)
    }

    /// From the sum of the squared norms of every example's gradient and the squared norm of their
    /// mean: the case of micro-batches of one example.
    ///
    /// # Errors
    /// With fewer than two examples, or a norm that is not finite.
    pub fn from_example_norms(
        sum_of_squared_norms: f64,
        examples: u64,
        mean_squared_norm: f64,
    ) -> Result<Self, NoiseError> {
        if examples < 2 {
            return Err(NoiseError::OneBatchSize {
                batch_size: examples,
            });
        }
        let k = examples as usize;
        Self::from_sum(sum_of_squared_norms, k, examples, mean_squared_norm)
    }

    /// From sums taken elsewhere: `weighted = Σ b_j|g_j|²` over `parts` parts of a step of
    /// `batch_size` examples, and the squared norm of the step's mean gradient. As
    /// [`Pieces::from_micro_batches`], for parts that are micro-batches, and
    /// [`Pieces::from_example_norms`], for parts that are examples.
    ///
    /// # Errors
    /// With fewer than two parts, more parts than examples, or a number that is not finite.
    pub fn from_parts(
        weighted: f64,
        parts: u64,
        batch_size: u64,
        mean_squared_norm: f64,
    ) -> Result<Self, NoiseError> {
        if parts < 2 {
            return Err(NoiseError::OneBatchSize { batch_size });
        }
        if parts > batch_size {
            return Err(NoiseError::Sizes(format!(
                "{parts} parts of a step of {batch_size} examples"
            )));
        }
        Self::from_sum(weighted, parts as usize, batch_size, mean_squared_norm)
    }

    fn from_sum(
        weighted: f64,
        k: usize,
        batch_size: u64,
        mean_squared_norm: f64,
    ) -> Result<Self, NoiseError> {
        finite(&[weighted, mean_squared_norm])?;
        let b = batch_size as f64;
        let trace = (weighted - b * mean_squared_norm) / (k - 1) as f64;
        Ok(Self {
            squared_norm: mean_squared_norm - trace / b,
            trace,
            batch_size,
        })
    }

    /// The same for the gradient of the training set of `examples` that the batches were drawn
    /// from: `|G_N|² = |G|² + tr Σ/N`.
    pub fn of_training_set(self, examples: u64) -> Self {
        Self {
            squared_norm: self.squared_norm + self.trace / examples as f64,
            ..self
        }
    }

    /// `tr Σ/|G|²` without an interval (both ends open), undefined where a piece is not positive.
    pub fn noise_scale(&self) -> Estimate {
        let (trace, norm) = (self.trace, self.squared_norm);
        super::ratio::without_interval(trace, norm, 1, super::ratio::ONE_STEP)
    }

    /// Root mean square error of a mean gradient over `batch_size` examples drawn without
    /// replacement from `examples` (`None`: from the population): `√(tr Σ·(1/B − 1/N))`, the
    /// `1/√B` law (Goodfellow, Bengio and Courville 2016, section 8.1.3). 0 where the trace is
    /// negative.
    pub fn gradient_error(&self, batch_size: f64, examples: Option<u64>) -> f64 {
        let rest = examples.map_or(0.0, |n| 1.0 / n as f64);
        (self.trace * (1.0 / batch_size - rest)).max(0.0).sqrt()
    }
}

/// The root of the mean of squared errors, with Student's interval of that mean (the ends' roots);
/// the ends stay open for a single one.
///
/// ```
/// use batchscope_scaling::noise::mean_square_error;
/// let error = mean_square_error(&[4.0, 4.0, 4.0], 0.95);
/// assert_eq!((error.low, error.value, error.high), (Some(2.0), Some(2.0), Some(2.0)));
/// ```
pub fn mean_square_error(squared_errors: &[f64], level: f64) -> Estimate {
    let n = squared_errors.len();
    if n == 0 {
        return Estimate::undefined(level, 0, "nothing was drawn");
    }
    let count = n as f64;
    let mean = squared_errors.iter().sum::<f64>() / count;
    if !mean.is_finite() {
        return Estimate::undefined(level, n as u64, "a gradient has overflowed");
    }
    let half = (n > 1).then(|| {
        let scatter: f64 = squared_errors.iter().map(|e| (e - mean).powi(2)).sum();
        t_quantile(level, count - 1.0) * (scatter / (count - 1.0) / count).sqrt()
    });
    Estimate {
        low: half.map(|half| (mean - half).max(0.0).sqrt()),
        high: half.map(|half| (mean + half).sqrt()),
        ..Estimate::estimated(mean.sqrt(), 0.0, 0.0, level, n as u64)
    }
}

fn finite(values: &[f64]) -> Result<(), NoiseError> {
    match values.iter().find(|v| !v.is_finite()) {
        Some(&v) => Err(NoiseError::NonFinite(v)),
        None => Ok(()),
    }
}

impl std::iter::Sum for Pieces {
    /// The pieces of a network from those of its layers, which share one batch.
    fn sum<I: Iterator<Item = Self>>(layers: I) -> Self {
        layers.fold(Self::ZERO, |a, b| Self {
            squared_norm: a.squared_norm + b.squared_norm,
            trace: a.trace + b.trace,
            batch_size: a.batch_size.max(b.batch_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every split of every sample of a tiny population, without replacement: the averages are the
    /// finite-population identities, exactly.
    #[test]
    fn averages_over_all_samples_are_the_finite_population_s_own() {
        let population = [
            [1.0, 0.0],
            [3.0, -1.0],
            [-2.0, 2.0],
            [4.0, 1.0],
            [0.5, -3.0],
        ];
        let n = population.len();
        let mean = |members: &[usize]| {
            let sum = members.iter().fold([0.0, 0.0], |a, &i| {
                [a[0] + population[i][0], a[1] + population[i][1]]
            });
            sum.map(|s| s / members.len() as f64)
        };
        let square = |g: [f64; 2]| g[0] * g[0] + g[1] * g[1];
        let everyone: Vec<usize> = (0..n).collect();
        let center = mean(&everyone);
        let trace = (0..n)
            .map(|i| square([population[i][0] - center[0], population[i][1] - center[1]]))
            .sum::<f64>()
            / (n - 1) as f64;
        let (mut count, mut sums) = (0.0, [0.0; 6]);
        for i in 0..n {
            for j in 0..n {
                for k in 0..n {
                    if i == j || j == k || i == k {
                        continue;
                    }
                    let whole = square(mean(&[i, j, k]));
                    let ragged = [(1, square(mean(&[i]))), (2, square(mean(&[j, k])))];
                    let a = Pieces::from_micro_batches(&ragged, whole).unwrap();
                    let b = Pieces::from_two_batch_sizes(ragged[1], (3, whole)).unwrap();
                    let norms = [i, j, k].iter().map(|&i| square(population[i])).sum();
                    let c = Pieces::from_example_norms(norms, 3, whole).unwrap();
                    count += 1.0;
                    for (s, p) in sums.chunks_mut(2).zip([a, b, c]) {
                        s[0] += p.trace;
                        s[1] += p.of_training_set(n as u64).squared_norm;
                    }
                }
            }
        }
        for pair in sums.chunks(2) {
            assert!((pair[0] / count - trace).abs() < 1e-12, "{pair:?}");
            assert!((pair[1] / count - square(center)).abs() < 1e-12, "{pair:?}");
        }
    }

    #[test]
    fn examples_are_micro_batches_of_one_and_equal_halves_are_a_pair() {
        let one = Pieces::from_micro_batches(&[(1, 4.0), (1, 9.0), (1, 1.0)], 2.0).unwrap();
        assert_eq!(one, Pieces::from_example_norms(14.0, 3, 2.0).unwrap());
        let halves = Pieces::from_micro_batches(&[(8, 3.0), (8, 5.0)], 2.5).unwrap();
        let pair = Pieces::from_two_batch_sizes((8, 4.0), (16, 2.5)).unwrap();
        assert!((halves.trace - pair.trace).abs() < 1e-12);
        assert!((halves.squared_norm - pair.squared_norm).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_known_is_refused_or_undefined() {
        assert_eq!(
            Pieces::from_micro_batches(&[(8, 3.0)], 3.0),
            Err(NoiseError::OneBatchSize { batch_size: 8 })
        );
        assert!(Pieces::from_two_batch_sizes((8, 1.0), (4, 1.0)).is_err());
        assert!(Pieces::from_two_batch_sizes((0, 1.0), (4, 1.0)).is_err());
        assert!(Pieces::from_micro_batches(&[(0, 0.0), (2, 1.0)], 1.0).is_err());
        assert!(Pieces::from_example_norms(f64::NAN, 4, 1.0).is_err());
        let drowned = Pieces::from_two_batch_sizes((1, 9.0), (4, 2.0)).unwrap();
        assert!(drowned.squared_norm < 0.0);
        let estimate = drowned.noise_scale();
        assert_eq!(estimate.value, None);
        assert!(estimate.reason.unwrap().contains("not positive"));
    }

    #[test]
    fn the_error_falls_as_one_over_root_b_and_ends_at_the_training_set() {
        let pieces = Pieces {
            squared_norm: 1.0,
            trace: 36.0,
            batch_size: 64,
        };
        assert_eq!(pieces.gradient_error(4.0, None), 3.0);
        assert_eq!(pieces.gradient_error(16.0, None), 1.5);
        assert_eq!(pieces.gradient_error(100.0, Some(100)), 0.0);
    }
}
