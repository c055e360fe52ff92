//! The noise scale layer by layer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NoiseError, NoiseEstimates, Pieces, Replicates, Sampling};

/// Replicates of every layer of a network, and of the whole as their sum.
///
/// ```
/// use batchscope_scaling::noise::{LayerReplicates, Pieces, Sampling};
/// let mut table = LayerReplicates::new(vec!["conv1".into(), "fc".into()]);
/// for (a, b) in [(1.0, 2.0), (1.2, 1.9), (0.9, 2.2)] {
///     let layer = |squared_norm| Pieces { squared_norm, trace: 30.0, batch_size: 16 };
///     table.push(&[layer(a), layer(b)]).unwrap();
/// }
/// let noise = table.estimate(Sampling::Fresh, 0.95);
/// assert_eq!(noise.layers[1].0, "fc");
/// let whole = noise.whole.population.noise_scale.value.unwrap();
/// assert!((whole - 60.0 / (9.2 / 3.0)).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReplicates {
    names: Vec<String>,
    layers: Vec<Replicates>,
    whole: Replicates,
}

/// Noise scales of a network and its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerEstimates {
    /// Of all parameters together.
    pub whole: NoiseEstimates,
    /// Of each layer, by name, in order.
    pub layers: Vec<(String, NoiseEstimates)>,
}

impl LayerReplicates {
    /// No step yet, for layers of these names.
    pub fn new(names: Vec<String>) -> Self {
        Self {
            layers: vec![Replicates::new(); names.len()],
            whole: Replicates::new(),
            names,
        }
    }

    /// Adds a step: the pieces of each layer, in order.
    ///
    /// # Errors
    /// When their number is not that of the layers, or the batch size is not that of the steps
    /// before.
    pub fn push(&mut self, pieces: &[Pieces]) -> Result<(), NoiseError> {
        if pieces.len() != self.names.len() {
            return Err(NoiseError::Sizes(format!(
                "pieces of {} layers for a table of {}",
                pieces.len(),
                self.names.len()
            )));
        }
        self.whole.push(pieces.iter().copied().sum())?;
        for (layer, &pieces) in self.layers.iter_mut().zip(pieces) {
            layer.push(pieces)?;
        }
        Ok(())
    }

    /// The noise scale of all layers together at confidence `level`.
    pub fn whole(&self, sampling: Sampling, level: f64) -> NoiseEstimates {
        self.whole.estimate(sampling, level)
    }

    /// The noise scales at confidence `level`.
    pub fn estimate(&self, sampling: Sampling, level: f64) -> LayerEstimates {
        LayerEstimates {
            whole: self.whole.estimate(sampling, level),
            layers: self
                .names
                .iter()
                .cloned()
                .zip(self.layers.iter().map(|l| l.estimate(sampling, level)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_refuses_another_network_s_pieces() {
        let mut table = LayerReplicates::new(vec!["a".to_owned(), "b".to_owned()]);
        let pieces = Pieces {
            squared_norm: 1.0,
            trace: 2.0,
            batch_size: 4,
        };
        assert!(table.push(&[pieces]).is_err());
        table.push(&[pieces, pieces]).unwrap();
        let noise = table.estimate(Sampling::TrainingSet { examples: 40 }, 0.95);
        let norm = noise
            .whole
            .training_set
            .unwrap()
            .squared_norm
            .value
            .unwrap();
        assert!((norm - 2.1).abs() < 1e-12);
    }
}
