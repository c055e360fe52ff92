//! Pieces smoothed along training.

use super::ratio::{Covariance, ONE_STEP};
use super::replicates::{Moments, NoiseScale};
use super::{NoiseError, Pieces};
use batchscope_core::statistics::t_quantile;

/// Exponential moving averages of both pieces, apart, with the bias of the start corrected as in
/// Adam, and of their squares, from which the interval comes.
///
/// After `t` steps step `i` has weight `w_i = (1 − β)β^{t−i}/(1 − β^t)`. The average behaves as one
/// of `n = 1/Σw²` equal steps, `(1 + β)/(1 − β)` of them in the long run, so its variance is the
/// weighted scatter over `n` and Student's quantile has `n − 1` degrees of freedom. Steps are taken
/// as independent; what drifts within the window widens the interval.
///
/// ```
/// use batchscope_scaling::noise::{Pieces, Smoothed};
/// let mut noise = Smoothed::new(0.9);
/// for step in 0..50 {
///     let wobble = 0.1 * (step as f64).sin();
///     noise.push(Pieces { trace: 100.0, squared_norm: 2.0 + wobble, batch_size: 64 }).unwrap();
/// }
/// let scale = noise.estimate(None, 0.95).noise_scale;
/// assert!((scale.value.unwrap() - 50.0).abs() < 2.0);
/// assert_eq!(scale.n, 19);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothed {
    beta: f64,
    /// `β^t`.
    decay: f64,
    trace: f64,
    squared_norm: f64,
    /// Weighted sums of squared deviations from the running means.
    scatter: Covariance,
}

impl Smoothed {
    /// Averages that forget with factor `beta` a step, in [0, 1); 0.95 has a window of 39 steps.
    ///
    /// # Panics
    /// When `beta` is outside [0, 1).
    pub fn new(beta: f64) -> Self {
        assert!((0.0..1.0).contains(&beta), "beta must lie in [0, 1)");
        Self {
            beta,
            decay: 1.0,
            trace: 0.0,
            squared_norm: 0.0,
            scatter: Covariance {
                ss: 0.0,
                sg: 0.0,
                gg: 0.0,
            },
        }
    }

    /// Takes in the pieces of the next step. Batch sizes may change on the way: the pieces do not
    /// depend on them.
    ///
    /// # Errors
    /// When a piece is not finite; the averages stay as they were.
    pub fn push(&mut self, pieces: Pieces) -> Result<(), NoiseError> {
        for piece in [pieces.trace, pieces.squared_norm] {
            if !piece.is_finite() {
                return Err(NoiseError::NonFinite(piece));
            }
        }
        let decay = self.decay * self.beta;
        // weight of the new step and of all before, in the corrected average
        let new = (1.0 - self.beta) / (1.0 - decay);
        let old = 1.0 - new;
        let s = pieces.trace - self.trace;
        let g = pieces.squared_norm - self.squared_norm;
        self.scatter.ss = old * (self.scatter.ss + new * s * s);
        self.scatter.sg = old * (self.scatter.sg + new * s * g);
        self.scatter.gg = old * (self.scatter.gg + new * g * g);
        self.trace += new * s;
        self.squared_norm += new * g;
        self.decay = decay;
        Ok(())
    }

    /// Equal steps the averages are worth, `1/Σw²`; 0 before the first.
    pub fn effective_steps(&self) -> f64 {
        let b = self.beta;
        (1.0 + b) / (1.0 - b) * (1.0 - self.decay) / (1.0 + self.decay)
    }

    /// The smoothed pieces; `batch_size` is 0, for the average has none.
    pub fn pieces(&self) -> Pieces {
        Pieces {
            squared_norm: self.squared_norm,
            trace: self.trace,
            batch_size: 0,
        }
    }

    /// The noise scale now at confidence `level`: of the population, or of the training set of
    /// `examples`. `n` is the effective number of steps, rounded.
    pub fn estimate(&self, examples: Option<u64>, level: f64) -> NoiseScale {
        let n = self.effective_steps();
        let moments = Moments {
            trace: self.trace,
            squared_norm: self.squared_norm,
            one: self.scatter,
        };
        let moments = match examples {
            Some(examples) => moments.of_training_set(examples as f64),
            None => moments,
        };
        // Σw(x − x̄)² falls short of the variance by 1 − Σw²; the mean's variance is Σw² of it
        let t = (n > 1.0 + 1e-9)
            .then(|| t_quantile(level, n - 1.0))
            .ok_or(ONE_STEP);
        moments.scale(t, 1.0 / (n - 1.0), level, n.round() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Replicates, Sampling};

    fn pieces(i: usize) -> Pieces {
        Pieces {
            trace: 30.0 + (i as f64 * 1.3).sin(),
            squared_norm: 2.0 + (i as f64 * 0.7).cos(),
            batch_size: 32,
        }
    }

    /// Against the weights written out.
    #[test]
    fn averages_and_scatter_are_the_weighted_ones() {
        let (beta, t) = (0.8f64, 12);
        let mut smoothed = Smoothed::new(beta);
        (0..t).for_each(|i| smoothed.push(pieces(i)).unwrap());
        let weight =
            |i: usize| (1.0 - beta) * beta.powi((t - 1 - i) as i32) / (1.0 - beta.powi(t as i32));
        let mean: f64 = (0..t).map(|i| weight(i) * pieces(i).trace).sum();
        let scatter: f64 = (0..t)
            .map(|i| weight(i) * (pieces(i).trace - mean).powi(2))
            .sum();
        let n = 1.0 / (0..t).map(|i| weight(i).powi(2)).sum::<f64>();
        assert!((smoothed.trace - mean).abs() < 1e-12);
        assert!((smoothed.scatter.ss - scatter).abs() < 1e-12);
        assert!((smoothed.effective_steps() - n).abs() < 1e-9);
    }

    /// With β near 1 all steps weigh the same, and the interval is that of plain replicates.
    #[test]
    fn without_forgetting_it_is_the_plain_average() {
        let mut smoothed = Smoothed::new(1.0 - 1e-9);
        let mut plain = Replicates::new();
        for i in 0..20 {
            smoothed.push(pieces(i)).unwrap();
            plain.push(pieces(i)).unwrap();
        }
        let a = smoothed.estimate(None, 0.95).noise_scale;
        let b = plain.estimate(Sampling::Fresh, 0.95).population.noise_scale;
        for (a, b) in [(a.value, b.value), (a.low, b.low), (a.high, b.high)] {
            assert!((a.unwrap() / b.unwrap() - 1.0).abs() < 1e-5, "{a:?} {b:?}");
        }
        assert_eq!(a.n, 20);
    }

    #[test]
    fn the_start_is_not_pulled_to_zero_and_bad_numbers_are_refused() {
        let mut smoothed = Smoothed::new(0.99);
        smoothed.push(pieces(0)).unwrap();
        assert_eq!(smoothed.pieces().trace, 30.0);
        assert_eq!(smoothed.estimate(None, 0.95).noise_scale.low, None);
        let before = smoothed.clone();
        let bad = Pieces {
            trace: f64::NAN,
            ..pieces(1)
        };
        assert!(smoothed.push(bad).is_err());
        assert_eq!(smoothed, before);
    }
}
