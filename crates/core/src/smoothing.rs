use serde::{Deserialize, Serialize};

/// Time constant of the smoothing, in natural log of steps: one default evaluation spacing.
///
/// A metric moves on a log-step scale, so the smoothing has its memory there: every batch size is
/// smoothed alike. The lag is a factor in steps, so steps to a target are not read off it: see
/// [`crate::Crossing`].
pub const SMOOTHING_LOG_STEPS: f64 = 0.182_321_556_793_954_6; // ln 1.2

/// Exponential smoothing in log-steps: `m̃ ← m̃ + (1 − e^{−Δ ln s/τ})(m − m̃)`, τ =
/// [`SMOOTHING_LOG_STEPS`]. Irregular spacing is allowed. Non-finite values stick: a diverged metric never smooths away.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Smoother {
    /// The last observed step and the smoothed value there.
    state: Option<(u64, f64)>,
}

impl Smoother {
    /// Takes the value at `step` (after the last) and returns the smoothed one.
    pub fn observe(&mut self, step: u64, value: f64) -> f64 {
        let smoothed = match self.state {
            None => value,
            Some((last, old)) => {
                let gap = (step.max(1) as f64).ln() - (last.max(1) as f64).ln();
                old + (1.0 - (-gap / SMOOTHING_LOG_STEPS).exp()) * (value - old)
            }
        };
        self.state = Some((step, smoothed));
        smoothed
    }

    /// The smoothed value so far.
    pub fn value(&self) -> Option<f64> {
        self.state.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_is_a_function_of_log_steps_only() {
        let curve = |scale: u64| {
            let mut smoother = Smoother::default();
            [5, 6, 8, 10, 12].map(|s| smoother.observe(s * scale, 1.0 / s as f64))
        };
        for (a, b) in curve(1).iter().zip(curve(1000)) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn a_constant_is_its_own_smoothing_and_a_nan_sticks() {
        let mut smoother = Smoother::default();
        assert_eq!(smoother.observe(1, 0.25), 0.25);
        assert_eq!(smoother.observe(7, 0.25), 0.25);
        smoother.observe(8, f64::NAN);
        assert!(smoother.observe(9, 0.0).is_nan());
    }
}
