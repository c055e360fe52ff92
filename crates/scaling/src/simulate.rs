//! Draws for the parametric bootstrap.

use batchscope_core::{Purpose, StreamKey, statistics::NormalDraws};
use rand_core::Rng;

/// The stream of a replicate of a study's analysis; `analysis` tells analyses apart.
pub(crate) fn draws(study_seed: u64, analysis: u64, replicate: u64) -> NormalDraws<impl Rng> {
    let key = StreamKey {
        study_seed,
        trial: analysis,
        purpose: Purpose::Simulation,
    };
    NormalDraws::new(key.stream(replicate))
}

/// `√(dof/χ²_dof)`: what a standard deviation estimated on `dof` degrees of freedom may be off
/// by. Degrees of freedom are rounded, and past 200 the factor is 1 to within 5 %.
pub(crate) fn deviation_factor(draws: &mut NormalDraws<impl Rng>, dof: f64) -> f64 {
    let dof = dof.round().clamp(1.0, 200.0) as u32;
    let chi_square: f64 = (0..dof).map(|_| draws.normal().powi(2)).sum();
    (f64::from(dof) / chi_square).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicates_and_analyses_have_streams_of_their_own() {
        let first = draws(1, 2, 3).normal();
        assert_eq!(draws(1, 2, 3).normal(), first);
        assert_ne!(draws(1, 2, 4).normal(), first);
        assert_ne!(draws(1, 3, 3).normal(), first);
        assert_ne!(draws(2, 2, 3).normal(), first);
    }

    #[test]
    fn the_inverse_square_of_the_factor_has_mean_one() {
        let mut stream = draws(5, 0, 0);
        let mean = (0..20_000)
            .map(|_| deviation_factor(&mut stream, 7.0).powi(-2))
            .sum::<f64>()
            / 20_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
}
