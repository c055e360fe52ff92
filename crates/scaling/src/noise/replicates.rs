//! Several steps at the same weights: means of the pieces, with intervals from their scatter.
//!
//! The interval was chosen by simulation (`tests/noise_coverage.rs`, table in
//! `docs/results/noise-coverage.md`): Fieller's holds its level where the delta method on the log
//! scale and the jackknife of the log ratio lose it, which is where `|G|²` is weak.

use batchscope_core::{Estimate, EstimateState, statistics::t_quantile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ratio::{self, Covariance, ONE_STEP};
use super::{NoiseError, Pieces};

/// Why batches of everything have no interval for the population.
const NOTHING_BEYOND: &str = "batches of the whole training set say nothing of the population beyond it: choose a smaller batch size";

/// Where the batches come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Every batch is fresh from the population: a stream, or at most one pass over a training set
    /// whose own noise scale is not asked for.
    Fresh,
    /// Every batch is drawn from a training set of this many examples, without replacement inside
    /// the batch and independently of the other batches.
    TrainingSet {
        /// Examples in the training set, `N`.
        examples: u64,
    },
}

/// A noise scale and its two pieces, each with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseScale {
    /// `tr Σ/|G|²`, in examples.
    pub noise_scale: Estimate,
    /// `|G|²`.
    pub squared_norm: Estimate,
    /// `tr Σ`.
    pub trace: Estimate,
}

/// The noise scale of the population and of the training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseEstimates {
    /// Against the gradient of the population that examples come from.
    pub population: NoiseScale,
    /// Against the gradient of the training set, where there is one of known size.
    pub training_set: Option<NoiseScale>,
}

/// The pieces of independent steps taken at the same weights.
///
/// ```
/// use batchscope_scaling::noise::{Pieces, Replicates, Sampling};
/// let mut steps = Replicates::new();
/// for (small, big) in [(12.1, 4.0), (11.4, 3.6), (12.9, 3.8), (12.0, 4.3)] {
///     steps.push(Pieces::from_two_batch_sizes((8, small), (64, big)).unwrap()).unwrap();
/// }
/// let noise = steps.estimate(Sampling::Fresh, 0.95).population.noise_scale;
/// assert!(noise.is_estimated() && noise.low < noise.value && noise.value < noise.high);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replicates {
    pieces: Vec<Pieces>,
}

impl Replicates {
    /// No step yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the pieces of a step.
    ///
    /// # Errors
    /// When its batch size is not that of the steps before.
    pub fn push(&mut self, pieces: Pieces) -> Result<(), NoiseError> {
        if let Some(first) = self.pieces.first()
            && first.batch_size != pieces.batch_size
        {
            return Err(NoiseError::Sizes(format!(
                "a step of {} examples among steps of {}: replicate one batch size",
                pieces.batch_size, first.batch_size
            )));
        }
        self.pieces.push(pieces);
        Ok(())
    }

    /// Steps taken in.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// True before the first step.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Mean pieces and the covariance of one step's, as (trace, squared norm).
    fn moments(&self) -> Moments {
        let n = self.pieces.len() as f64;
        let trace = self.pieces.iter().map(|p| p.trace).sum::<f64>() / n;
        let squared_norm = self.pieces.iter().map(|p| p.squared_norm).sum::<f64>() / n;
        let mut v = Covariance {
            ss: 0.0,
            sg: 0.0,
            gg: 0.0,
        };
        for p in &self.pieces {
            let (s, g) = (p.trace - trace, p.squared_norm - squared_norm);
            v.ss += s * s / (n - 1.0);
            v.sg += s * g / (n - 1.0);
            v.gg += g * g / (n - 1.0);
        }
        Moments {
            trace,
            squared_norm,
            one: v,
        }
    }

    /// Noise scales at confidence `level`, with Student's quantile on one degree of freedom less
    /// than there are steps.
    ///
    /// With [`Sampling::TrainingSet`] the scatter between steps is that about the training set. The
    /// population's interval adds the variance of the training set itself, `B/(N − B)` times a
    /// step's (exact for the part of a step's error that is linear in its gradient, `4GᵀΣG/B`, and
    /// more than enough for the rest); a step of all `N` examples leaves nothing to say of it, and
    /// its ends stay open.
    pub fn estimate(&self, sampling: Sampling, level: f64) -> NoiseEstimates {
        let n = self.pieces.len();
        let Some(first) = self.pieces.first() else {
            return NoiseEstimates::nothing(sampling, level, "no step was measured");
        };
        self.moments()
            .estimates(n as u64, first.batch_size, sampling, level)
    }
}

impl NoiseEstimates {
    /// Nothing is known, and why.
    pub fn nothing(sampling: Sampling, level: f64, why: &str) -> Self {
        let undefined = || Estimate::undefined(level, 0, why);
        let nothing = NoiseScale {
            noise_scale: undefined(),
            squared_norm: undefined(),
            trace: undefined(),
        };
        Self {
            training_set: match sampling {
                Sampling::Fresh => None,
                Sampling::TrainingSet { .. } => Some(nothing.clone()),
            },
            population: nothing,
        }
    }
}

/// Mean pieces with the covariance of a single observation of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) trace: f64,
    pub(super) squared_norm: f64,
    pub(super) one: Covariance,
}

impl Moments {
    /// The noise scales from `n` steps of `batch_size` examples.
    pub(super) fn estimates(
        self,
        n: u64,
        batch_size: u64,
        sampling: Sampling,
        level: f64,
    ) -> NoiseEstimates {
        let count = n as f64;
        let t = (n > 1)
            .then(|| t_quantile(level, count - 1.0))
            .ok_or(ONE_STEP);
        match sampling {
            Sampling::Fresh => NoiseEstimates {
                population: self.scale(t, 1.0 / count, level, n as usize),
                training_set: None,
            },
            Sampling::TrainingSet { examples } => {
                let (b, all) = (batch_size as f64, examples as f64);
                let (population_t, share) = if b < all {
                    (t, 1.0 / count + b / (all - b))
                } else {
                    (Err(NOTHING_BEYOND), 0.0)
                };
                let inner = self.of_training_set(all);
                NoiseEstimates {
                    population: self.scale(population_t, share, level, n as usize),
                    training_set: Some(inner.scale(t, 1.0 / count, level, n as usize)),
                }
            }
        }
    }

    /// `|G|² ← |G|² + tr Σ/N`, with its covariances.
    pub(super) fn of_training_set(self, examples: f64) -> Self {
        let Covariance { ss, sg, gg } = self.one;
        Self {
            squared_norm: self.squared_norm + self.trace / examples,
            one: Covariance {
                ss,
                sg: sg + ss / examples,
                gg: gg + 2.0 * sg / examples + ss / (examples * examples),
            },
            ..self
        }
    }

    /// The estimates, the covariance of the means being `share` of a single observation's; without
    /// a quantile the ends stay open, and the reason is said.
    pub(super) fn scale(
        self,
        t: Result<f64, &str>,
        share: f64,
        level: f64,
        n: usize,
    ) -> NoiseScale {
        let n = n as u64;
        let (s, g) = (self.trace, self.squared_norm);
        let t = match t {
            Ok(t) => t,
            Err(why) => {
                let open = |value: f64, name: &str| positive(value, None, level, n, name);
                return NoiseScale {
                    noise_scale: Estimate {
                        level,
                        ..ratio::without_interval(s, g, n, why)
                    },
                    squared_norm: open(g, "squared gradient"),
                    trace: open(s, "gradient's variance"),
                };
            }
        };
        let v = Covariance {
            ss: share * self.one.ss,
            sg: share * self.one.sg,
            gg: share * self.one.gg,
        };
        NoiseScale {
            noise_scale: ratio::estimate(s, g, v, t, level, n),
            squared_norm: positive(g, Some(t * v.gg.sqrt()), level, n, "squared gradient"),
            trace: positive(s, Some(t * v.ss.sqrt()), level, n, "gradient's variance"),
        }
    }
}

/// A quantity that cannot be negative, from an estimate that can: undefined where that is not
/// positive (never clamped), with the end of its interval that still says something.
fn positive(value: f64, half: Option<f64>, level: f64, n: u64, name: &str) -> Estimate {
    let low = half.map(|h| (value - h).max(0.0));
    let high = half.map(|h| value + h).filter(|h| *h > 0.0);
    if value > 0.0 {
        Estimate {
            low,
            high,
            ..Estimate::estimated(value, 0.0, 0.0, level, n)
        }
    } else {
        Estimate {
            value: None,
            low: None,
            high,
            level,
            n,
            state: EstimateState::Undefined,
            reason: Some(format!("the estimate of the {name} is not positive")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(pieces: &[(f64, f64)], batch_size: u64) -> Replicates {
        let mut steps = Replicates::new();
        for &(trace, squared_norm) in pieces {
            let pieces = Pieces {
                squared_norm,
                trace,
                batch_size,
            };
            steps.push(pieces).unwrap();
        }
        steps
    }

    /// By hand: mean 2, deviation 1, t(0.975, 2) = 4.302653.
    #[test]
    fn pieces_have_student_s_interval() {
        let noise =
            steps(&[(10.0, 1.0), (10.0, 2.0), (10.0, 3.0)], 8).estimate(Sampling::Fresh, 0.95);
        let norm = noise.population.squared_norm;
        assert!((norm.high.unwrap() - (2.0 + 4.302652729911275 / 3f64.sqrt())).abs() < 1e-9);
        assert_eq!(norm.low, Some(0.0));
        assert_eq!(noise.training_set, None);
    }

    #[test]
    fn population_and_training_set_are_kept_apart() {
        let steps = steps(&[(10.0, 1.9), (11.0, 2.1), (9.0, 2.0), (10.0, 2.0)], 20);
        let noise = steps.estimate(Sampling::TrainingSet { examples: 100 }, 0.95);
        let inner = noise.training_set.unwrap();
        assert!((inner.squared_norm.value.unwrap() - 2.1).abs() < 1e-12);
        assert!((inner.noise_scale.value.unwrap() - 10.0 / 2.1).abs() < 1e-12);
        let outer = noise.population;
        assert!((outer.noise_scale.value.unwrap() - 5.0).abs() < 1e-12);
        // the sample of 100 is uncertain too: variance 1/4 + 20/80 against 1/4 of a step's
        let fresh = steps.estimate(Sampling::Fresh, 0.95).population.trace;
        let wide = outer.trace.high.unwrap() - 10.0;
        assert!((wide / (fresh.high.unwrap() - 10.0) - 2f64.sqrt()).abs() < 1e-9);
        // batches of everything: the training set is known, the population beyond it is not
        let all = steps.estimate(Sampling::TrainingSet { examples: 20 }, 0.95);
        assert_eq!(all.population.noise_scale.high, None);
        let why = all.population.noise_scale.reason.unwrap();
        assert!(why.contains("whole training set"), "{why}");
        assert!(all.training_set.unwrap().noise_scale.high.is_some());
    }

    #[test]
    fn none_one_and_unequal_steps() {
        let none = Replicates::new().estimate(Sampling::Fresh, 0.9);
        assert_eq!(none.population.noise_scale.state, EstimateState::Undefined);
        let one = steps(&[(10.0, 2.0)], 8)
            .estimate(Sampling::Fresh, 0.9)
            .population;
        assert_eq!(
            (one.noise_scale.value, one.noise_scale.low),
            (Some(5.0), None)
        );
        assert_eq!(one.noise_scale.level, 0.9);
        assert_eq!(one.noise_scale.reason.as_deref(), Some(ONE_STEP));
        let mut steps = steps(&[(10.0, 2.0)], 8);
        let other = Pieces {
            squared_norm: 1.0,
            trace: 1.0,
            batch_size: 9,
        };
        assert!(steps.push(other).is_err());
        let drowned = self::steps(&[(10.0, -0.5), (11.0, 0.1)], 8).estimate(Sampling::Fresh, 0.95);
        assert_eq!(drowned.population.noise_scale.value, None);
        assert_eq!(drowned.population.squared_norm.value, None);
        assert!(drowned.population.squared_norm.high.is_some());
    }
}
