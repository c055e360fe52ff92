//! The noise scale of optimizers that go by signs: `B_ℓ1 = ‖σ‖₁²/‖∇L‖₁²`.
//!
//! "Noise scales beyond SGD" (arXiv 2602.03001): for signSGD, and for Adam and its kin near it, signal and noise are of equal
//! size where the ℓ1 norm of the gradient equals that of its standard deviation, coordinate by coordinate; `σ_i` is that of
//! one example's gradient.
//!
//! **The bias.** Put in as they come, both norms are biased: a coordinate whose mean is 0 has a mean of `n` examples of size
//! `σ_i·√(2/(πn))` all the same, so with no signal at all the quotient is `(π/2)·n`, whatever the truth. Here
//!
//! * `‖σ‖₁` is that of the sample standard deviations over parts, divided by their bias `c₄` for normal numbers;
//! * `‖∇L‖₁` comes from the distribution of the coordinates' ratios `z_i = |∇L_i|·√n/σ_i`, weighted by `σ_i`. What is seen of
//!   each is a folded normal: `|z_i + e|`, `e` standard normal (for few parts Student's, which the transformation
//!   `√(2ν)·asinh(x/√(2ν))` brings near a normal). The distribution of the `z` is the one of most likelihood on a grid
//!   (Kiefer and Wolfowitz 1956; Koenker and Mizera 2014); ratios beyond 8 are taken as they are.
//!
//! **The interval.** Small ratios cannot be told from 0, so two distributions are fitted: the likeliest, and one that calls
//! 0 whatever may be 0 (a prior count of 30 there). The first's lower end and the second's upper end are those of the
//! interval, each by a jackknife over eight blocks of parts; the estimate is the geometric mean of the two. Where more than two
//! fifths of the plain norm are bias, the noise scale is *at least* what the plain norm says.

use statrs::function::gamma::ln_gamma;

use super::{
    NoiseError, NormNoise,
    norms::{Norms, noise_scale, parts_of},
};

/// Ratios above this are not corrected: the bias of one is below 1e-15.
const EDGE: f64 = 8.0;
/// Bins of the ratios below.
const BINS: usize = 160;
/// Iterations of the fit.
const ITERATIONS: usize = 300;
/// Prior count of ratios that are 0, in the second fit.
const PRIOR: f64 = 30.0;
/// Largest share of the plain norm that is taken for bias and removed.
const MOST_BIAS: f64 = 0.4;

/// Sums of gradients of equally many examples, coordinate by coordinate.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinateSums {
    parts: u64,
    sums: Vec<f32>,
    squares: Vec<f32>,
}

impl CoordinateSums {
    /// Of no gradient yet.
    pub fn new(coordinates: usize) -> Self {
        Self {
            parts: 0,
            sums: vec![0.0; coordinates],
            squares: vec![0.0; coordinates],
        }
    }

    /// Begins another gradient: the mean over a part's examples, whose coordinates [`CoordinateSums::add`] takes.
    pub fn begin(&mut self) {
        self.parts += 1;
    }

    /// Adds coordinates of the gradient that was begun, from number `at` on.
    ///
    /// # Panics
    /// When they reach beyond the last coordinate.
    pub fn add(&mut self, at: usize, gradient: &[f32]) {
        let range = at..at + gradient.len();
        let sums = self.sums[range.clone()].iter_mut();
        for ((sum, square), g) in sums.zip(&mut self.squares[range]).zip(gradient) {
            *sum += g;
            *square += g * g;
        }
    }
}

/// The noise scale from [`NORM_BLOCKS`] blocks of parts of `part` examples each, the same number of parts in every block.
///
/// # Errors
/// With other numbers of blocks or parts, fewer than two parts a block, or a gradient that is not finite.
///
/// [`NORM_BLOCKS`]: super::NORM_BLOCKS
pub fn sign_noise(
    blocks: &[CoordinateSums],
    part: u64,
    level: f64,
) -> Result<NormNoise, NoiseError> {
    let parts = parts_of(blocks.iter().map(|block| block.parts))?;
    let kernel = Kernel::new();
    let whole = norms(blocks, None, part, &kernel);
    if !whole.plain.is_finite() || !whole.deviation.is_finite() {
        return Err(NoiseError::NonFinite(whole.plain));
    }
    let too_biased = (whole.gradients[0] < (1.0 - MOST_BIAS) * whole.plain).then_some(
        "more than two fifths of the gradient's norm is the bias of its noise: measure more examples",
    );
    let without = |block| norms(blocks, Some(block), part, &kernel);
    Ok(noise_scale(
        &whole,
        without,
        too_biased,
        (parts, part),
        level,
    ))
}

/// The norms of all blocks, or all but one; the gradient's by both fits.
fn norms(blocks: &[CoordinateSums], without: Option<usize>, part: u64, kernel: &Kernel) -> Norms {
    let used: Vec<&CoordinateSums> = blocks
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != without)
        .map(|(_, block)| block)
        .collect();
    let parts = used.iter().map(|block| block.parts).sum::<u64>() as f64;
    let freedom = parts - 1.0;
    let stretch = (2.0 * freedom).sqrt();
    let mut histogram = vec![0.0; BINS];
    let (mut deviation, mut plain, mut large) = (0.0, 0.0, 0.0);
    let (mut small_errors, mut small) = (0.0, 0.0);
    for at in 0..blocks[0].sums.len() {
        let sum: f64 = used.iter().map(|block| f64::from(block.sums[at])).sum();
        let square: f64 = used.iter().map(|block| f64::from(block.squares[at])).sum();
        let mean = (sum / parts).abs();
        // Coordinates without noise, such as those of dead units, have a rounding error for a variance.
        let variance = ((square - parts * mean * mean) / freedom).max(0.0);
        let error = (variance / parts).sqrt();
        deviation += variance.sqrt();
        plain += mean;
        let ratio = stretch * (mean / error / stretch).asinh();
        if ratio < EDGE {
            histogram[(ratio / EDGE * BINS as f64) as usize] += error;
            small_errors += error;
            small += 1.0;
        } else {
            large += mean;
        }
    }
    let gradients = [0.0, PRIOR].map(|prior| {
        if small_errors == 0.0 {
            return large;
        }
        large + small_errors * kernel.mean_ratio(&histogram, small, prior, stretch)
    });
    // The mean of a sample standard deviation of normal numbers is c₄ times the truth.
    let c4 =
        (2.0 / freedom).sqrt() * (ln_gamma((freedom + 1.0) / 2.0) - ln_gamma(freedom / 2.0)).exp();
    Norms {
        deviation: deviation * (part as f64).sqrt() / c4,
        plain,
        gradients,
    }
}

/// Probabilities of the bins for each ratio of the grid.
struct Kernel {
    grid: Vec<f64>,
    /// A row for each bin.
    probabilities: Vec<Vec<f64>>,
    /// Of a ratio to be seen below the edge.
    below: Vec<f64>,
}

impl Kernel {
    fn new() -> Self {
        // Finer where ratios are hard to tell apart from 0; beyond the edge for what is seen below it of those above.
        let fine = (0..10).map(|i| 0.2 * f64::from(i));
        let grid: Vec<f64> = fine
            .chain((0..=20).map(|i| 2.0 + 0.4 * f64::from(i)))
            .collect();
        let width = EDGE / BINS as f64;
        let density = |u: f64| (-u * u / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let probabilities: Vec<Vec<f64>> = (0..BINS)
            .map(|bin| {
                let x = (bin as f64 + 0.5) * width;
                let of = |z: &f64| (density(x - z) + density(x + z)) * width;
                grid.iter().map(of).collect()
            })
            .collect();
        let below = (0..grid.len())
            .map(|z| probabilities.iter().map(|row| row[z]).sum())
            .collect();
        Self {
            grid,
            probabilities,
            below,
        }
    }

    /// The mean ratio under the distribution of most likelihood, of ratios seen below the edge: `count` of them, in bins by
    /// weight, with `prior` more that are 0.
    fn mean_ratio(&self, histogram: &[f64], count: f64, prior: f64, stretch: f64) -> f64 {
        let k = self.grid.len();
        let total: f64 = histogram.iter().sum();
        let mut shares = vec![1.0 / k as f64; k];
        for _ in 0..ITERATIONS {
            let mut seen = vec![0.0; k];
            for (row, weight) in self.probabilities.iter().zip(histogram) {
                if *weight > 0.0 {
                    let density: f64 = row.iter().zip(&shares).map(|(p, s)| p * s).sum();
                    let scale = weight / density.max(f64::MIN_POSITIVE);
                    seen.iter_mut()
                        .zip(row)
                        .for_each(|(seen, p)| *seen += scale * p);
                }
            }
            for (share, seen) in shares.iter_mut().zip(seen) {
                *share *= seen / total * count;
            }
            shares[0] += prior;
            // Of those that are seen below the edge to all there are.
            shares
                .iter_mut()
                .zip(&self.below)
                .for_each(|(share, below)| *share /= below);
            let sum: f64 = shares
                .iter()
                .zip(&self.below)
                .map(|(share, below)| share * below)
                .sum();
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        let parts = shares.iter().zip(&self.below).zip(&self.grid);
        parts
            .map(|((share, below), z)| share * below * stretch * (z / stretch).sinh())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::NORM_BLOCKS;

    /// Parts that alternate about a mean: the deviation is known, and there is no bias to remove.
    #[test]
    fn a_strong_signal_gives_the_plain_quotient() {
        let blocks: Vec<CoordinateSums> = (0..NORM_BLOCKS)
            .map(|_| {
                let mut block = CoordinateSums::new(2);
                for sign in [1.0f32, -1.0, 1.0, -1.0] {
                    block.begin();
                    block.add(0, &[10.0 + sign]);
                    block.add(1, &[-20.0 + sign]);
                }
                block
            })
            .collect();
        let found = sign_noise(&blocks, 9, 0.95).unwrap();
        assert!((found.gradient - 30.0).abs() < 1e-6);
        // A sample deviation of √(32/31) each, of nine examples' mean, less its bias of 1 − 1/(4·31).
        let deviation = 2.0 * 3.0 * (32.0f64 / 31.0).sqrt() / (1.0 - 1.0 / 124.0);
        assert!(
            (found.deviation / deviation - 1.0).abs() < 1e-4,
            "{found:?}"
        );
        assert_eq!(found.examples, 8 * 4 * 9);
        assert!(found.noise_scale.is_estimated());
    }

    #[test]
    fn what_makes_no_blocks_is_refused() {
        let one = CoordinateSums::new(3);
        assert!(sign_noise(&[], 4, 0.95).is_err());
        assert!(sign_noise(&vec![one; NORM_BLOCKS], 4, 0.95).is_err());
        let mut infinite = CoordinateSums::new(1);
        for _ in 0..2 {
            infinite.begin();
            infinite.add(0, &[f32::INFINITY]);
        }
        assert!(sign_noise(&vec![infinite; NORM_BLOCKS], 4, 0.95).is_err());
    }
}
