//! Random vectors from ChaCha streams.

use batchscope_core::{Purpose, StreamKey};
use rand_core::Rng;

/// What a stream inside this crate is for; two uses never share numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Start = 1,
    Subspace = 2,
    Perturbation = 3,
    Lanczos = 4,
    Trace = 5,
    Density = 6,
    Direction = 7,
}

/// Bits of a stream's index given to blocks of a vector, and to the repetition above them.
const BLOCK_BITS: u32 = 32;
const REPETITION_BITS: u32 = 24;

/// Uniform and normal draws of one stream.
pub(crate) struct Draws<R: Rng> {
    rng: R,
    /// Box and Muller's transform makes two normals at a time.
    spare: Option<f64>,
}

/// The stream of `block` of `repetition` of a use, under `seed`.
pub(crate) fn draws(seed: u64, what: Use, repetition: u64, block: u64) -> Draws<impl Rng> {
    debug_assert!(repetition < 1 << REPETITION_BITS && block < 1 << BLOCK_BITS);
    let key = StreamKey {
        study_seed: seed,
        trial: 0,
        purpose: Purpose::Landscape,
    };
    let index =
        ((what as u64) << (BLOCK_BITS + REPETITION_BITS)) | (repetition << BLOCK_BITS) | block;
    Draws {
        rng: key.stream(index),
        spare: None,
    }
}

impl<R: Rng> Draws<R> {
    /// Uniform in (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// `n` standard normals.
    pub(crate) fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// `n` signs, ±1 with equal chance.
    pub(crate) fn signs(&mut self, n: usize) -> Vec<f64> {
        let mut bits = 0u64;
        (0..n)
            .map(|i| {
                if i % 64 == 0 {
                    bits = self.rng.next_u64();
                }
                let sign = if bits & 1 == 1 { 1.0 } else { -1.0 };
                bits >>= 1;
                sign
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_right_and_uses_do_not_share_numbers() {
        let values = draws(7, Use::Start, 0, 0).normals(100_000);
        let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02);
        assert!((moment(4) - 3.0).abs() < 0.1);
        let signs = draws(7, Use::Trace, 0, 0).signs(10_000);
        assert!(signs.iter().sum::<f64>().abs() < 300.0);
        assert!(signs.iter().all(|s| s.abs() == 1.0));
        for other in [
            draws(7, Use::Trace, 0, 0).normal(),
            draws(7, Use::Start, 1, 0).normal(),
            draws(7, Use::Start, 0, 1).normal(),
            draws(8, Use::Start, 0, 0).normal(),
        ] {
            assert_ne!(values[0], other);
        }
    }
}
