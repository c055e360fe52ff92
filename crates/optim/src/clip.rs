//! Clipping by the global norm.
//!
//! R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
//! ICML 2013 (arXiv 1211.5063), algorithm 1, with `g` the *mean* gradient over all tensors:
//!
//! ```text
//! g ← g · min(1, c / ‖g‖₂)
//! ```
//!
//! PyTorch divides by `‖g‖ + 1e-6` instead; the difference is a factor `1 − 1e-6/‖g‖`.

/// Sum of squares in double precision, in a fixed order: the same bits on every machine.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    // Eight lanes so that the loop vectorizes without re-association by the compiler.
    let mut lanes = [0.0f64; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>()
        + rest
            .iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
}

/// The factor that brings a gradient of this squared norm within `max_norm`; `None` when it
/// already is. A norm that is not finite is left alone: it is a divergence for the loop to see,
/// and no factor mends it.
pub fn clip_factor(squared_norm: f64, max_norm: f64) -> Option<f32> {
    let norm = squared_norm.sqrt();
    (norm.is_finite() && norm > max_norm).then(|| (max_norm / norm) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_gradient_gets_the_largest_allowed_norm_and_a_short_one_stays() {
        assert_eq!(clip_factor(25.0, 1.0), Some(0.2));
        assert_eq!(clip_factor(25.0, 5.0), None);
        assert_eq!(clip_factor(f64::NAN, 1.0), None);
        assert_eq!(clip_factor(f64::INFINITY, 1.0), None);
    }

    proptest! {
        #[test]
        fn the_sum_equals_the_plain_one(values in prop::collection::vec(-1e3f32..1e3, 0..100)) {
            let plain: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
            prop_assert!((sum_of_squares(&values) - plain).abs() <= 1e-12 * plain);
        }
    }
}
