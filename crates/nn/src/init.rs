//! Initial weights, drawn on the host from ChaCha streams so that they are the same everywhere.
//!
//! Tensor `i` of the parameter table draws from stream `i` of the key, in row-major order of its
//! canonical shape: a model's weights depend on the key, the model and the data's shape alone.

use batchscope_core::{StreamKey, statistics::NormalDraws};
use rand_core::Rng;

/// How a tensor is initialized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same value.
    Constant(f32),
    /// Uniform in `[−bound, bound)`.
    Uniform {
        /// Half the width of the interval.
        bound: f32,
    },
    /// Normal around 0.
    Normal {
        /// Standard deviation.
        deviation: f32,
    },
}

impl Init {
    /// PyTorch's default for linear and convolution layers, weights and biases alike:
    /// `U(−1/√fan_in, 1/√fan_in)`, which is Kaiming-uniform (He et al. 2015) with the gain of a
    /// leaky ReLU of slope √5.
    pub fn fan_in(fan_in: usize) -> Self {
        Init::Uniform {
            bound: 1.0 / (fan_in as f32).sqrt(),
        }
    }

    /// The values of a tensor of `len` scalars, number `index` of the table.
    pub(crate) fn draw(self, key: StreamKey, index: usize, len: usize) -> Vec<f32> {
        match self {
            Init::Constant(value) => vec![value; len],
            Init::Normal { deviation } => NormalDraws::new(key.stream(index as u64))
                .normals(len)
                .into_iter()
                .map(|z| (f64::from(deviation) * z) as f32)
                .collect(),
            Init::Uniform { bound } => {
                let mut stream = key.stream(index as u64);
                (0..len)
                    .map(|_| bound * (2.0 * unit(stream.next_u32()) - 1.0))
                    .collect()
            }
        }
    }
}

/// A number in [0, 1) from the top 24 bits of a word: every value is exact in `f32`.
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use batchscope_core::Purpose;

    use super::*;

    const KEY: StreamKey = StreamKey {
        study_seed: 3,
        trial: 1,
        purpose: Purpose::Initialization,
    };

    #[test]
    fn uniform_weights_have_the_moments_of_their_distribution() {
        let n = 100_000;
        let values = Init::fan_in(25).draw(KEY, 0, n);
        let bound = 0.2;
        assert!(values.iter().all(|v| (-bound..bound).contains(v)));
        let mean: f64 = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        let variance: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n as f64;
        // Standard errors: bound/√(3n) = 3.7e-4 for the mean, bound²·√(4/45n) = 3.8e-5 for the variance.
        assert!(mean.abs() < 4.0 * 3.7e-4, "{mean}");
        assert!((variance - 0.04 / 3.0).abs() < 4.0 * 3.8e-5, "{variance}");
    }

    #[test]
    fn normal_weights_have_the_moments_of_their_distribution() {
        let n = 100_000;
        let values = Init::Normal { deviation: 0.5 }.draw(KEY, 0, n);
        let mean: f64 = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        let variance: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n as f64;
        // Standard errors: 0.5/√n = 1.6e-3 for the mean, 0.25·√(2/n) = 1.1e-3 for the variance.
        assert!(mean.abs() < 4.0 * 1.6e-3, "{mean}");
        assert!((variance - 0.25).abs() < 4.0 * 1.1e-3, "{variance}");
    }

    #[test]
    fn tensors_draw_from_streams_of_their_own() {
        let draw = |index| Init::fan_in(4).draw(KEY, index, 8);
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }
}
