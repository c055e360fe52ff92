//! What batch-size and learning-rate rules that adapt to noise take from the same pieces.
//!
//! * CABS: L. Balles, J. Romero, P. Hennig, "Coupling Adaptive Batch Sizes with Learning Rates"
//!   (arXiv 1612.05086).
//! * AdaScale: T. Johnson, P. Agrawal, H. Gu, C. Guestrin, "AdaScale SGD" (arXiv 2007.05105).

use super::Pieces;

/// CABS smooths its batch size with this factor.
pub const CABS_SMOOTHING: f64 = 0.95;
/// CABS keeps its batch size in this range, in examples.
pub const CABS_BATCH_SIZES: (f64, f64) = (16.0, 2048.0);
/// AdaScale's floor of the variance.
pub const ADASCALE_VARIANCE_FLOOR: f64 = 1e-6;

/// CABS's batch size `B = η·ξ/F`, with `ξ = tr Σ` and `F` the training loss (its infimum taken as
/// 0), clipped to [`CABS_BATCH_SIZES`]; `None` where the loss is not positive. Smooth it, or the
/// trace, with [`CABS_SMOOTHING`].
///
/// ```
/// use batchscope_scaling::noise::cabs_batch_size;
/// assert_eq!(cabs_batch_size(0.1, 500.0, 0.5), Some(100.0));
/// assert_eq!(cabs_batch_size(0.1, 500.0, 1e-9), Some(2048.0));
/// assert_eq!(cabs_batch_size(0.1, 500.0, 0.0), None);
/// ```
pub fn cabs_batch_size(learning_rate: f64, trace: f64, loss: f64) -> Option<f64> {
    let (low, high) = CABS_BATCH_SIZES;
    let batch_size = learning_rate * trace / loss;
    (loss > 0.0 && batch_size.is_finite()).then(|| batch_size.clamp(low, high))
}

/// AdaScale's gain `r = (σ² + μ²)/(σ²/S + μ²)` for a step that sums `scale = S` gradients, between
/// 1 (no noise) and `S` (all noise). `σ² = S·tr Σ/B` is the variance of one of the `S` gradients,
/// floored at [`ADASCALE_VARIANCE_FLOOR`], and `μ² = |G|²`, floored at 0.
///
/// ```
/// use batchscope_scaling::noise::{Pieces, adascale_gain};
/// let pieces = Pieces { squared_norm: 1.0, trace: 96.0, batch_size: 128 };
/// assert_eq!(adascale_gain(pieces, 128, 4), (3.0 + 1.0) / (3.0 / 4.0 + 1.0));
/// ```
///
/// # Panics
/// When `scale` or `batch_size` is 0.
pub fn adascale_gain(pieces: Pieces, batch_size: u64, scale: u64) -> f64 {
    assert!(scale > 0 && batch_size > 0, "a step has examples");
    let s = scale as f64;
    let variance = (s * pieces.trace / batch_size as f64).max(ADASCALE_VARIANCE_FLOOR);
    let signal = pieces.squared_norm.max(0.0);
    (variance + signal) / (variance / s + signal)
}

/// AdaScale's smoothing factor of `σ²` and `μ²` for `S` gradients: `θ = max(1 − S/1000, 0)`.
pub fn adascale_smoothing(scale: u64) -> f64 {
    (1.0 - scale as f64 / 1000.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the paper's estimators written from the gradients themselves:
    /// `σ̂² = Σ‖g_i‖²/(S−1) − S‖ḡ‖²/(S−1)`, `μ̂² = ‖ḡ‖² − σ̂²/S`.
    #[test]
    fn the_gain_is_that_of_the_paper_s_own_estimators() {
        let gradients = [[1.0, 2.0], [0.0, 2.5], [2.0, 1.0], [1.0, 3.5]];
        let s = gradients.len() as f64;
        let norm = |g: &[f64; 2]| g[0] * g[0] + g[1] * g[1];
        let mean = norm(&[4.0 / s, 9.0 / s]);
        let sum: f64 = gradients.iter().map(norm).sum();
        let variance = sum / (s - 1.0) - s * mean / (s - 1.0);
        let signal = mean - variance / s;
        let gain = (variance + signal) / (variance / s + signal);
        let micro: Vec<_> = gradients.iter().map(|g| (32, norm(g))).collect();
        let pieces = Pieces::from_micro_batches(&micro, mean).unwrap();
        assert!((adascale_gain(pieces, 128, 4) - gain).abs() < 1e-12);
    }

    #[test]
    fn the_gain_lies_between_1_and_s() {
        let pieces = |squared_norm, trace| Pieces {
            squared_norm,
            trace,
            batch_size: 64,
        };
        assert_eq!(adascale_gain(pieces(-1.0, 5.0), 64, 8), 8.0);
        assert!((adascale_gain(pieces(1.0, -5.0), 64, 8) - 1.0).abs() < 1e-5);
        assert_eq!(adascale_smoothing(8), 0.992);
        assert_eq!(adascale_smoothing(2000), 0.0);
    }
}
