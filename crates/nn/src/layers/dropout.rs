use burn_tensor::Tensor;
use rand_core::Rng;
use rayon::prelude::*;

use crate::{builder::Builder, pass::Pass, storage::Storage};

/// Drops each number of an activation with a fixed probability in training and scales the rest so
/// that the mean stays (Srivastava et al. 2014, inverted form). Evaluation is the identity.
///
/// The mask of an example comes from its own noise stream, from which the dropout layers of a
/// model draw in turn: how a batch is split into micro-batches does not change it.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// The probability, in 65536ths.
    threshold: u32,
}

/// A mask number costs 16 random bits, so probabilities are multiples of 1/65536.
const LEVELS: u32 = 1 << 16;

impl Dropout {
    /// Dropout with this probability, in [0, 1), over `len` numbers of an example.
    pub fn new(builder: &mut Builder, probability: f64, len: usize) -> Self {
        let dropout = Self::with_probability(probability);
        if dropout.threshold > 0 {
            builder.activations(2 * len); // mask and product
        }
        dropout
    }

    fn with_probability(probability: f64) -> Self {
        Self {
            threshold: ((probability * f64::from(LEVELS)).round() as u32).min(LEVELS - 1),
        }
    }

    /// `[k · n, width]` with a fresh mask: row `r` belongs to example `r mod n` of the `n`.
    pub fn forward(self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        if self.threshold == 0 {
            return x;
        }
        let [rows, width] = x.dims();
        let device = pass.device().clone();
        let Some(streams) = pass.noise() else {
            return x;
        };
        let mask = Storage::from_host(self.mask(streams, rows, width), &[rows, width], &device);
        x * mask.tensor()
    }

    /// A mask of 0 and the factor that keeps the mean: each example's rows from its stream.
    fn mask<R: Rng + Send>(self, streams: &mut [R], rows: usize, width: usize) -> Vec<f32> {
        let scale = LEVELS as f32 / (LEVELS - self.threshold) as f32;
        let n = streams.len();
        let draws: Vec<Vec<u8>> = streams
            .par_iter_mut()
            .map(|stream| {
                let mut draws = vec![0; 2 * (rows / n) * width];
                stream.fill_bytes(&mut draws);
                draws
            })
            .collect();
        let mut mask = vec![0.0; rows * width];
        mask.par_chunks_mut(width)
            .enumerate()
            .for_each(|(row, mask)| {
                let draws = draws[row % n][2 * (row / n) * width..].chunks_exact(2);
                for (value, pair) in mask.iter_mut().zip(draws) {
                    let draw = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                    *value = if draw < self.threshold { 0.0 } else { scale };
                }
            });
        mask
    }
}

#[cfg(test)]
mod tests {
    use batchscope_core::{Purpose, StreamKey};

    use super::*;

    #[test]
    fn masks_keep_the_mean_and_drop_the_stated_share() {
        let key = StreamKey {
            study_seed: 1,
            trial: 2,
            purpose: Purpose::Network,
        };
        let n = 200_000;
        let mask =
            Dropout::with_probability(0.3).mask(&mut [key.stream(0), key.stream(1)], n / 100, 100);
        let dropped = mask.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64;
        let mean = mask.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        assert!(
            (dropped - 0.3).abs() < 4.0 * (0.3 * 0.7 / n as f64).sqrt(),
            "{dropped}"
        );
        assert!(
            (mean - 1.0).abs() < 4.0 * (0.3 / 0.7 / n as f64).sqrt(),
            "{mean}"
        );
    }

    #[test]
    fn an_example_keeps_its_mask_whatever_the_micro_batch() {
        let key = StreamKey {
            study_seed: 1,
            trial: 2,
            purpose: Purpose::Network,
        };
        let streams =
            |range: std::ops::Range<u64>| range.map(|i| key.stream(i)).collect::<Vec<_>>();
        let (steps, width) = (3, 10);
        let mask = |range: std::ops::Range<u64>| {
            let n = (range.end - range.start) as usize;
            let mask = Dropout::with_probability(0.5).mask(&mut streams(range), steps * n, width);
            // Example by example, each example's steps together.
            let row = |i: usize, t: usize| &mask[(t * n + i) * width..][..width];
            (0..n)
                .map(|i| (0..steps).map(|t| row(i, t)).collect::<Vec<_>>().concat())
                .collect::<Vec<_>>()
        };
        assert_eq!(mask(0..6), [mask(0..1), mask(1..4), mask(4..6)].concat());
    }
}
