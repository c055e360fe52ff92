//! What a run records of its gradient noise.

use serde::{Deserialize, Serialize};

/// Whose gradients [`crate::Network::accumulate_measured`] takes the squared norms of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormsOf {
    /// The micro-batch as a whole.
    MicroBatch,
    /// Each of its examples; only where [`crate::Network::measures_per_example_grad_norms`].
    Examples,
}

/// What the steps between two evaluations tell of gradient noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum NoiseRecord {
    /// Some of the steps were measured.
    Measured(NoiseMoments),
    /// None of them can be.
    Undefined {
        /// What stands in the way, and what would help.
        why: String,
    },
}

impl NoiseRecord {
    /// Takes what was found into the record of a stretch. What was measured stays where something else could not be; moments
    /// are those of one batch size, so where a run changes it, those before are left.
    pub fn merge(record: &mut Option<Self>, found: Self) {
        match (record.as_mut(), found) {
            (Some(_), Self::Undefined { .. }) => {}
            (Some(Self::Measured(moments)), Self::Measured(step))
                if moments.batch_size == step.batch_size =>
            {
                moments.merge(&step);
            }
            (_, found) => *record = Some(found),
        }
    }
}

/// Means and scatter of the two pieces of the noise scale over measured steps: from each step the
/// unbiased estimates of `tr Σ` and `|G|²`, with `Σ` the covariance of one example's gradient and
/// `G` the true gradient, in squared units of loss per parameter.
///
/// Moments of consecutive stretches add up ([`NoiseMoments::merge`]), so nothing is lost by keeping
/// them instead of the steps.
///
/// ```
/// use batchscope_core::NoiseMoments;
/// let mut moments = NoiseMoments::new(64);
/// moments.push(10.0, 1.0);
/// moments.push(14.0, 3.0);
/// assert_eq!((moments.steps, moments.trace, moments.squared_norm), (2, 12.0, 2.0));
/// assert_eq!((moments.trace_scatter, moments.cross_scatter), (8.0, 4.0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseMoments {
    /// Examples per step.
    pub batch_size: u64,
    /// Steps measured.
    pub steps: u64,
    /// Mean estimate of `tr Σ`.
    pub trace: f64,
    /// Mean estimate of `|G|²`; noise can make it negative.
    pub squared_norm: f64,
    /// Sum of squared deviations of the estimates of `tr Σ` from their mean.
    pub trace_scatter: f64,
    /// Sum of the products of both deviations.
    pub cross_scatter: f64,
    /// Sum of squared deviations of the estimates of `|G|²`.
    pub squared_norm_scatter: f64,
    /// Mean pieces of each layer, where they were asked for; they add up to the whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerNoise>,
}

/// Mean pieces of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerNoise {
    /// The layer's name: that of its tensors without their last part.
    pub name: String,
    /// Mean estimate of `tr Σ`.
    pub trace: f64,
    /// Mean estimate of `|G|²`.
    pub squared_norm: f64,
}

impl NoiseMoments {
    /// No step of this batch size yet.
    pub fn new(batch_size: u64) -> Self {
        Self {
            batch_size,
            steps: 0,
            trace: 0.0,
            squared_norm: 0.0,
            trace_scatter: 0.0,
            cross_scatter: 0.0,
            squared_norm_scatter: 0.0,
            layers: Vec::new(),
        }
    }

    /// Takes in a step's estimates of `tr Σ` and `|G|²`, both finite.
    pub fn push(&mut self, trace: f64, squared_norm: f64) {
        self.merge(&Self {
            steps: 1,
            trace,
            squared_norm,
            ..Self::new(self.batch_size)
        });
    }

    /// Takes in the steps of another stretch of the same batch size (T. Chan, G. Golub and
    /// R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    /// 1979). Layers are kept if both have the same ones, or one of them is empty.
    pub fn merge(&mut self, other: &Self) {
        let (own, new) = (self.steps as f64, other.steps as f64);
        let all = own + new;
        if new == 0.0 {
            return;
        }
        let (share, between) = (new / all, own * new / all);
        let (s, g) = (
            other.trace - self.trace,
            other.squared_norm - self.squared_norm,
        );
        self.trace_scatter += other.trace_scatter + between * s * s;
        self.cross_scatter += other.cross_scatter + between * s * g;
        self.squared_norm_scatter += other.squared_norm_scatter + between * g * g;
        self.trace += share * s;
        self.squared_norm += share * g;
        self.steps += other.steps;
        if own == 0.0 {
            self.layers.clone_from(&other.layers);
        } else if self.layers.len() == other.layers.len() {
            for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
                layer.trace += share * (other.trace - layer.trace);
                layer.squared_norm += share * (other.squared_norm - layer.squared_norm);
            }
        } else {
            self.layers.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(i: u32) -> (f64, f64) {
        let i = f64::from(i);
        (30.0 + (1.3 * i).sin(), 2.0 + (0.7 * i).cos())
    }

    /// Against sums over all the steps, however they are cut into stretches.
    #[test]
    fn stretches_add_up_to_the_whole() {
        let pieces: Vec<_> = (0..20).map(step).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| pieces.iter().map(of).sum::<f64>() / 20.0;
        let (s, g) = (mean(|p| p.0), mean(|p| p.1));
        let scatter = |of: &dyn Fn(&(f64, f64)) -> f64| pieces.iter().map(of).sum::<f64>();
        for cut in [0, 1, 7, 20] {
            let mut whole = NoiseMoments::new(8);
            let mut rest = NoiseMoments::new(8);
            for (i, &(trace, squared_norm)) in pieces.iter().enumerate() {
                let part = if i < cut { &mut whole } else { &mut rest };
                part.push(trace, squared_norm);
            }
            whole.merge(&rest);
            assert_eq!(whole.steps, 20);
            for (found, expected) in [
                (whole.trace, s),
                (whole.squared_norm, g),
                (whole.trace_scatter, scatter(&|p| (p.0 - s).powi(2))),
                (whole.cross_scatter, scatter(&|p| (p.0 - s) * (p.1 - g))),
                (whole.squared_norm_scatter, scatter(&|p| (p.1 - g).powi(2))),
            ] {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }

    #[test]
    fn layers_have_the_mean_over_the_steps_of_both() {
        let stretch = |steps, trace| NoiseMoments {
            steps,
            trace,
            layers: vec![LayerNoise {
                name: "fc".to_owned(),
                trace,
                squared_norm: 1.0,
            }],
            ..NoiseMoments::new(8)
        };
        let mut both = stretch(3, 2.0);
        both.merge(&stretch(1, 6.0));
        assert_eq!((both.layers[0].trace, both.trace), (3.0, 3.0));
        both.merge(&NoiseMoments {
            layers: Vec::new(),
            ..stretch(1, 3.0)
        });
        assert!(both.layers.is_empty());
    }
}
