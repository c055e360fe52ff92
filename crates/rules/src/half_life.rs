//! Adam's second-moment decay across batch sizes (Marek et al. 2025, arXiv 2507.07101).
//!
//! A gradient's weight in Adam's second moment falls as `β2^steps`, hence with the examples seen
//! as `β2^{examples/B}`. Keeping its half-life *in examples (tokens)* while the batch size moves
//! from `B` to `B'` means `β2' = β2^{B'/B}`.

use crate::{RulesError, error::check};

/// `β2' = β2^{B'/B}`: the β2 at `batch_size` with the half-life in examples that `beta2` has at
/// `base_batch`.
///
/// ```
/// # use batchscope_rules::token_half_life_beta2;
/// // the paper's direction: a batch 512 times smaller needs β2 far closer to one
/// let beta2 = token_half_life_beta2(0.95, 512, 1)?;
/// assert!((beta2 - 0.9999).abs() < 1e-6);
/// # Ok::<(), batchscope_rules::RulesError>(())
/// ```
///
/// # Errors
/// When `beta2` is outside (0, 1) or a batch size is zero.
pub fn token_half_life_beta2(
    beta2: f64,
    base_batch: u64,
    batch_size: u64,
) -> Result<f64, RulesError> {
    check("optimizer.beta2", beta2, "in (0, 1)", |b| {
        b > 0.0 && b < 1.0
    })?;
    check("base_batch", base_batch as f64, "at least 1", |b| b >= 1.0)?;
    check("batch_size", batch_size as f64, "at least 1", |b| b >= 1.0)?;
    Ok(beta2.powf(batch_size as f64 / base_batch as f64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The half-life of Adam's second moment in examples, `B·ln ½ / ln β2`.
    fn half_life(beta2: f64, batch_size: u64) -> f64 {
        batch_size as f64 * 0.5f64.ln() / beta2.ln()
    }

    #[test]
    fn values_that_are_no_decay_are_refused() {
        for beta2 in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(token_half_life_beta2(beta2, 32, 64).is_err(), "{beta2}");
        }
        assert!(token_half_life_beta2(0.9, 0, 64).is_err());
        assert!(token_half_life_beta2(0.9, 64, 0).is_err());
    }

    proptest! {
        #[test]
        fn the_half_life_in_examples_is_kept(beta2 in 0.5..0.99999f64, b0 in 1u64..1000, b in 1u64..1000) {
            let moved = token_half_life_beta2(beta2, b0, b).unwrap();
            // far beyond the half-life the new decay underflows to zero, which is its true limit
            prop_assume!(moved > 1e-300 && moved < 1.0);
            let (before, after) = (half_life(beta2, b0), half_life(moved, b));
            prop_assert!((before / after - 1.0).abs() < 1e-9, "{} {}", before, after);
        }
    }
}
