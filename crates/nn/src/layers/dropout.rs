use burn::tensor::Tensor;
use rand_core::Rng;
use rayon::prelude::*;

use crate::{builder::Builder, pass::Pass, storage::Storage};

/// Drops each number of an activation with a fixed probability in training and scales the rest so
/// that the mean stays (Srivastava et al. 2014, inverted form). Evaluation is the identity.
///
/// The mask of an example comes from its own noise stream, from which the dropout layers of a
/// model draw in turn: how a batch is split into micro-batches does not change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    /// The probability, in 65536ths.
    threshold: u32,
}

/// A mask number costs 16 random bits, so probabilities are multiples of 1/65536.
const LEVELS: u32 = 1 << 16;

impl Dropout {
    /// Dropout with this probability, in [0, 1), over `len` numbers of an example.
    pub(crate) fn new(builder: &mut Builder, probability: f64, len: usize) -> Self {
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

    /// The activation with a fresh mask; its first dimension holds the examples.
    pub(crate) fn forward<const D: usize>(self, x: Tensor<D>, pass: &mut Pass) -> Tensor<D> {
        if self.threshold == 0 {
            return x;
        }
        let dims = x.dims();
        let device = pass.device().clone();
        let Some(streams) = pass.noise() else {
            return x;
        };
        let mask = Storage::from_host(self.mask(streams, dims.iter().product()), &dims, &device);
        x * mask.tensor()
    }

    /// `len` numbers, an equal share from each stream: 0, or the factor that keeps the mean.
    fn mask<R: Rng + Send>(self, streams: &mut [R], len: usize) -> Vec<f32> {
        let scale = LEVELS as f32 / (LEVELS - self.threshold) as f32;
        let share = len / streams.len().max(1);
        let mut mask = vec![0.0; len];
        mask.par_chunks_mut(share.max(1))
            .zip(streams)
            .for_each(|(mask, stream)| {
                let mut bytes = vec![0; 2 * share];
                stream.fill_bytes(&mut bytes);
                for (value, pair) in mask.iter_mut().zip(bytes.chunks_exact(2)) {
                    let draw = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                    *value = if draw < self.threshold { 0.0 } else { scale };
                }
            });
        mask
    }
}

#[cfg(test)]
mod tests {
    use batchwise_core::{Purpose, StreamKey};

    use super::*;

    #[test]
    fn masks_keep_the_mean_and_drop_the_stated_share() {
        let key = StreamKey {
            study_seed: 1,
            trial: 2,
            purpose: Purpose::Network,
        };
        let n = 200_000;
        let mask = Dropout::with_probability(0.3).mask(&mut [key.stream(0), key.stream(1)], n);
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
        let whole = Dropout::with_probability(0.5).mask(&mut streams(0..6), 60);
        let parts = [0..1, 1..4, 4..6].map(|r| {
            Dropout::with_probability(0.5)
                .mask(&mut streams(r.clone()), 10 * (r.end - r.start) as usize)
        });
        assert_eq!(whole, parts.concat());
    }
}
