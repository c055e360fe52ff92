//! Uniform and normal random numbers from a stream of bits.

use rand_core::Rng;

/// Uniform and standard normal draws from a random stream.
///
/// Normals come in pairs (Box and Muller 1958, Annals of Mathematical Statistics 29, 610): for
/// uniform `u`, `v` in (0, 1), `√(−2 ln u)·cos 2πv` and `√(−2 ln u)·sin 2πv`. A library's normals
/// would be other numbers after every upgrade, so these are written out.
///
/// ```
/// use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};
/// let key = StreamKey { study_seed: 1, trial: 0, purpose: Purpose::Simulation };
/// let mut draws = NormalDraws::new(key.stream(0));
/// assert!(draws.uniform() < 1.0 && draws.normal().is_finite());
/// ```
#[derive(Debug, Clone)]
pub struct NormalDraws<R: Rng> {
    rng: R,
    /// The second normal of a pair, until it is asked for.
    spare: Option<f64>,
}

impl<R: Rng> NormalDraws<R> {
    /// Draws from `rng`.
    pub fn new(rng: R) -> Self {
        Self { rng, spare: None }
    }

    /// Uniform in (0, 1), both ends excluded: odd multiples of 2⁻⁵⁴.
    pub fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// `n` standard normals.
    pub fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// `n` signs, ±1 with equal chance, 64 from each word of the stream.
    pub fn signs(&mut self, n: usize) -> Vec<f64> {
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
    use crate::{Purpose, StreamKey};

    fn draws(index: u64) -> NormalDraws<impl Rng> {
        let key = StreamKey {
            study_seed: 1,
            trial: 2,
            purpose: Purpose::Simulation,
        };
        NormalDraws::new(key.stream(index))
    }

    #[test]
    fn moments_are_those_of_the_normal_and_streams_repeat() {
        let values = draws(3).normals(100_000);
        let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02);
        assert!((moment(4) - 3.0).abs() < 0.1);
        assert_eq!(values[..10], draws(3).normals(10));
        assert_ne!(draws(4).normal(), values[0]);
    }

    #[test]
    fn signs_are_even() {
        let signs = draws(5).signs(10_000);
        assert!(signs.iter().sum::<f64>().abs() < 300.0);
        assert!(signs.iter().all(|s| s.abs() == 1.0));
    }
}
