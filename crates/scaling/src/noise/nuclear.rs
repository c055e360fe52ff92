//! The noise scale of Muon: `B_S1 = ‖C^{1/2}‖_*²/‖∇L‖_*²`, summed over the matrices that it moves.
//!
//! "Noise scales beyond SGD" (arXiv 2602.03001): Muon's step is of unit size in the spectral norm, so signal and noise are
//! weighed in its dual, the nuclear norm `‖·‖_*`, the sum of singular values; `C = E[(G_ξ − G)(G_ξ − G)ᵀ]` is the covariance
//! of the rows of one example's gradient of a matrix, a row for each output.
//!
//! **The bias.** Noise adds to every singular value of a mean of `n` examples: to large ones in proportion to `1/n`, to those
//! that are 0 in proportion to `n^(−1/2)`. So the norm at `n` and at `n/2` examples is carried to infinitely many by both laws. The
//! first removes too little where singular values are 0, the second too much where they are not: the interval reaches
//! from the one to the other, each end with a jackknife over eight blocks of parts, and the estimate is their geometric mean.
//! Where the second law takes more than half of the plain norm for bias, the noise scale is *at least* what the plain norm
//! says.

use nalgebra::{DMatrix, SymmetricEigen};

use super::{
    NoiseError, NormNoise,
    norms::{Norms, noise_scale, parts_of},
};

/// Largest share of the plain norm that is taken for bias and removed.
const MOST_BIAS: f64 = 0.5;

/// Sums of the gradients of matrices over parts of equally many examples.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSums {
    parts: u64,
    /// Of the gradients.
    sums: Vec<DMatrix<f32>>,
    /// Of their products with their own transposes.
    outer: Vec<DMatrix<f32>>,
}

impl MatrixSums {
    /// Of no gradient yet, of matrices with so many outputs (rows) and inputs (columns).
    pub fn new(shapes: &[[usize; 2]]) -> Self {
        let sums = shapes.iter().map(|&[m, n]| DMatrix::zeros(m, n));
        let outer = shapes.iter().map(|&[m, _]| DMatrix::zeros(m, m));
        Self {
            parts: 0,
            sums: sums.collect(),
            outer: outer.collect(),
        }
    }

    /// Begins another gradient: the mean over a part's examples, whose matrices [`MatrixSums::add`] takes.
    pub fn begin(&mut self) {
        self.parts += 1;
    }

    /// Adds the gradient of a matrix, output by output, or input by input where `by_inputs` is set.
    ///
    /// # Panics
    /// When there is no such matrix, or it has another number of entries.
    pub fn add(&mut self, matrix: usize, gradient: &[f32], by_inputs: bool) {
        let (m, n) = self.sums[matrix].shape();
        assert_eq!(gradient.len(), m * n, "a gradient of another matrix");
        // nalgebra's matrices lie column by column: outputs of one input together.
        let gradient = match by_inputs {
            true => DMatrix::from_column_slice(m, n, gradient),
            false => DMatrix::from_row_slice(m, n, gradient),
        };
        self.outer[matrix].gemm(1.0, &gradient, &gradient.transpose(), 1.0);
        self.sums[matrix] += gradient;
    }
}

/// The noise scale from [`NORM_BLOCKS`] blocks of parts of `part` examples each, the same number of parts in every block.
///
/// # Errors
/// With other numbers of blocks or parts, fewer than two parts a block, no matrix, or a gradient that is not finite.
///
/// [`NORM_BLOCKS`]: super::NORM_BLOCKS
pub fn nuclear_noise(
    blocks: &[MatrixSums],
    part: u64,
    level: f64,
) -> Result<NormNoise, NoiseError> {
    let parts = parts_of(blocks.iter().map(|block| block.parts))?;
    if blocks[0].sums.is_empty() {
        return Err(NoiseError::Sizes("there is no matrix".to_owned()));
    }
    let all: Vec<&MatrixSums> = blocks.iter().collect();
    if let Some(wrong) = not_finite(&all) {
        return Err(NoiseError::NonFinite(wrong));
    }
    let whole = norms(&all, part);
    let too_biased = (whole.gradients[1] < (1.0 - MOST_BIAS) * whole.plain).then_some(
        "half of the gradient's nuclear norm may be the bias of its noise: measure more examples",
    );
    let without = |left| {
        let others = blocks.iter().enumerate().filter(|(at, _)| *at != left);
        let others: Vec<&MatrixSums> = others.map(|(_, block)| block).collect();
        norms(&others, part)
    };
    Ok(noise_scale(
        &whole,
        without,
        too_biased,
        (parts, part),
        level,
    ))
}

/// A number of the gradients that is not finite, if there is one.
fn not_finite(blocks: &[&MatrixSums]) -> Option<f64> {
    let all = blocks
        .iter()
        .flat_map(|block| block.sums.iter().chain(&block.outer));
    let mut numbers = all.flat_map(|matrix| matrix.iter());
    numbers.find(|x| !x.is_finite()).map(|&x| f64::from(x))
}

/// The norms, summed over the matrices; the gradient's as carried by `1/n` and by `n^(−1/2)`.
fn norms(blocks: &[&MatrixSums], part: u64) -> Norms {
    let parts = blocks.iter().map(|block| block.parts).sum::<u64>() as f64;
    let (k, h) = (blocks.len(), blocks.len() / 2);
    let (mut deviation, mut plain, mut halves) = (0.0, 0.0, 0.0);
    for matrix in 0..blocks[0].sums.len() {
        let mean = |chosen: &mut dyn Iterator<Item = &MatrixSums>| {
            let (m, n) = blocks[0].sums[matrix].shape();
            let (mut sum, mut count) = (DMatrix::<f64>::zeros(m, n), 0);
            for block in chosen {
                sum += block.sums[matrix].map(f64::from);
                count += block.parts;
            }
            sum / count as f64
        };
        let all = mean(&mut blocks.iter().copied());
        plain += nuclear(&all);
        let windows =
            (0..k).map(|from| nuclear(&mean(&mut (0..h).map(|i| blocks[(from + i) % k]))));
        halves += windows.sum::<f64>() / k as f64;
        let (m, _) = all.shape();
        let mut outer = DMatrix::<f64>::zeros(m, m);
        for block in blocks {
            outer += block.outer[matrix].map(f64::from);
        }
        let covariance = (outer - &all * all.transpose() * parts) / (parts - 1.0);
        deviation += (part as f64).sqrt() * roots(covariance);
    }
    let carried = |whole: f64, half: f64| (whole * plain - half * halves) / (whole - half);
    let (k, h) = (k as f64, h as f64);
    Norms {
        deviation,
        plain,
        // A norm is no less than 0, and noise makes it no smaller.
        gradients: [carried(k, h), carried(k.sqrt(), h.sqrt())]
            .map(|gradient| gradient.clamp(1e-12 * plain, plain)),
    }
}

/// The sum of singular values.
fn nuclear(matrix: &DMatrix<f64>) -> f64 {
    match matrix.nrows() <= matrix.ncols() {
        true => roots(matrix * matrix.transpose()),
        false => roots(matrix.transpose() * matrix),
    }
}

/// The sum of the roots of the eigenvalues of a symmetric matrix; those below 0 are rounding.
fn roots(symmetric: DMatrix<f64>) -> f64 {
    let eigenvalues = SymmetricEigen::new(symmetric).eigenvalues;
    eigenvalues.iter().map(|l| l.max(0.0).sqrt()).sum()
}

#[cfg(test)]
mod tests {
    use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};

    use super::*;
    use crate::noise::NORM_BLOCKS;

    /// Outputs, inputs, parts a block, examples a part.
    const SHAPE: [usize; 2] = [24, 40];
    const PARTS: u64 = 8;
    const PART: u64 = 8;

    fn draws(stream: u64) -> NormalDraws<impl rand_core::Rng> {
        let key = StreamKey {
            study_seed: 3,
            trial: 0,
            purpose: Purpose::Simulation,
        };
        NormalDraws::new(key.stream(stream))
    }

    /// A gradient of so many singular values that are not 0, each `size` times the largest of the noise of all examples.
    fn signal(rank: usize, size: f64) -> DMatrix<f64> {
        let [m, n] = SHAPE;
        let mut draws = draws(1 << 32);
        let mut normal = |rows, columns| DMatrix::from_fn(rows, columns, |_, _| draws.normal());
        let (left, right) = (normal(m, rank).qr().q(), normal(n, rank).qr().q());
        let examples = (NORM_BLOCKS as u64 * PARTS * PART) as f64;
        let largest = ((m as f64).sqrt() + (n as f64).sqrt()) / examples.sqrt();
        left * right.transpose() * (size * largest)
    }

    fn measured(signal: &DMatrix<f64>, stream: u64) -> NormNoise {
        let [m, n] = SHAPE;
        let mut draws = draws(stream);
        let blocks: Vec<MatrixSums> = (0..NORM_BLOCKS)
            .map(|_| {
                let mut block = MatrixSums::new(&[SHAPE]);
                for _ in 0..PARTS {
                    let noise = DMatrix::from_fn(m, n, |_, _| draws.normal());
                    let gradient = (signal + noise / (PART as f64).sqrt()).map(|x| x as f32);
                    block.begin();
                    block.add(0, gradient.as_slice(), true);
                }
                block
            })
            .collect();
        nuclear_noise(&blocks, PART, 0.95).unwrap()
    }

    /// Noise of variance 1 in each entry: `C = n·1`, so `‖C^{1/2}‖_* = m·√n`. Where the noise scale is estimated its interval
    /// holds the truth; where it is a bound the truth lies above.
    #[test]
    fn intervals_cover_gradients_of_any_rank() {
        const RUNS: u64 = 30;
        let [m, n] = SHAPE.map(|side| side as f64);
        println!("| rank | size | at least | covered | mean log error |");
        for (rank, size) in [
            (24, 0.3),
            (24, 1.0),
            (24, 3.0),
            (6, 1.0),
            (6, 3.0),
            (6, 10.0),
            (1, 3.0),
            (1, 100.0),
        ] {
            let gradient = signal(rank, size);
            let truth = (m * n.sqrt() / nuclear(&gradient)).powi(2);
            let (mut bounds, mut covered, mut error) = (0u32, 0u32, 0.0);
            for stream in 0..RUNS {
                let found = measured(&gradient, stream);
                assert!(
                    (found.deviation / (m * n.sqrt()) - 1.0).abs() < 0.02,
                    "{found:?}"
                );
                let scale = &found.noise_scale;
                if scale.is_estimated() {
                    covered += u32::from(scale.low <= Some(truth) && Some(truth) <= scale.high);
                    error += (scale.value.unwrap() / truth).ln();
                } else {
                    bounds += 1;
                    assert!(scale.value.unwrap() <= truth, "{rank} {size}: {found:?}");
                }
            }
            let estimated = RUNS as u32 - bounds;
            let share = f64::from(covered) / f64::from(estimated.max(1));
            println!(
                "| {rank} | {size} | {:.2} | {share:.2} | {:+.3} |",
                f64::from(bounds) / RUNS as f64,
                error / f64::from(estimated.max(1))
            );
            assert!(
                estimated < 8 || share >= 0.9,
                "rank {rank}, size {size}: {share}"
            );
        }
    }

    #[test]
    fn without_a_signal_there_is_a_bound() {
        let nothing = DMatrix::zeros(SHAPE[0], SHAPE[1]);
        for stream in 0..10 {
            let found = measured(&nothing, stream);
            assert!(!found.noise_scale.is_estimated(), "{found:?}");
        }
    }

    #[test]
    fn matrices_lie_by_outputs_or_by_inputs() {
        let mut by_outputs = MatrixSums::new(&[[2, 3]]);
        let mut by_inputs = by_outputs.clone();
        by_outputs.add(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], false);
        by_inputs.add(0, &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0], true);
        assert_eq!(by_outputs, by_inputs);
        assert_eq!(by_outputs.outer[0].as_slice(), [14.0, 32.0, 32.0, 77.0]);
        assert!(nuclear_noise(&[], 2, 0.95).is_err());
    }
}
