//! Draws for the parametric bootstrap.

use batchscope_core::{Purpose, StreamKey};
use rand_core::Rng;

/// A stream of draws of one replicate.
pub(crate) struct Draws<R: Rng> {
    rng: R,
    /// Box and Muller's transform makes two normals at a time.
    spare: Option<f64>,
}

/// The stream of a replicate of a study's analysis; `analysis` tells analyses apart.
pub(crate) fn draws(study_seed: u64, analysis: u64, replicate: u64) -> Draws<impl Rng> {
    let key = StreamKey {
        study_seed,
        trial: analysis,
        purpose: Purpose::Simulation,
    };
    Draws {
        rng: key.stream(replicate),
        spare: None,
    }
}

impl<R: Rng> Draws<R> {
    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f64 {
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

    /// `√(dof/χ²_dof)`: what a standard deviation estimated on `dof` degrees of freedom may be off
    /// by. Degrees of freedom are rounded, and past 200 the factor is 1 to within 5 %.
    pub fn deviation_factor(&mut self, dof: f64) -> f64 {
        let dof = dof.round().clamp(1.0, 200.0) as u32;
        let chi_square: f64 = (0..dof).map(|_| self.normal().powi(2)).sum();
        (f64::from(dof) / chi_square).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_normal_and_streams_repeat() {
        let mut stream = draws(1, 2, 3);
        let values: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / values.len() as f64;
        assert!(
            moment(1).abs() < 0.01
                && (moment(2) - 1.0).abs() < 0.02
                && (moment(4) - 3.0).abs() < 0.1
        );
        let mut again = draws(1, 2, 3);
        assert!(values[..10].iter().all(|v| *v == again.normal()));
        assert_ne!(draws(1, 2, 4).normal(), values[0]);
    }

    #[test]
    fn the_inverse_square_of_the_factor_has_mean_one() {
        let mut stream = draws(5, 0, 0);
        let mean = (0..20_000)
            .map(|_| stream.deviation_factor(7.0).powi(-2))
            .sum::<f64>()
            / 20_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
}
