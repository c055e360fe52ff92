//! What the experiment works with.

use std::sync::Arc;

use batchscope_core::{
    Examples, MetricSums, Network, NetworkError, NetworkFactory, Purpose, Solo, StateTensor,
    StreamKey,
};
use batchscope_landscape::{Objective, ObjectiveError};
use batchscope_train::EvaluationSet;

use super::record::Snapshot;

/// Makes the training loss around a state of the network, over the first so many training examples
/// of the stored order: a function of the parameters in the order of the network's layout.
pub type MakeObjective<'a> =
    dyn Fn(&[StateTensor], u64) -> Result<Box<dyn Objective>, ObjectiveError> + Sync + 'a;

/// Estimates the running statistics of batch norm anew for a state of the network, from the first so
/// many training examples of the stored order: the state with them in place of its own, and all else
/// as it was.
pub type Reestimate<'a> =
    dyn Fn(&[StateTensor], u64) -> Result<Vec<StateTensor>, ObjectiveError> + Sync + 'a;

/// The network, the data, and how a loss is made of them.
pub struct ExperimentContext<'a> {
    /// Makes the networks.
    pub factory: Arc<dyn NetworkFactory>,
    /// The training examples.
    pub train: Arc<dyn Examples>,
    /// The test examples.
    pub test: Arc<dyn Examples>,
    /// Makes the losses whose sharpness is measured.
    pub objective: &'a MakeObjective<'a>,
    /// Estimates batch norm's statistics anew.
    pub reestimate: &'a Reestimate<'a>,
}

/// Examples per forward pass of an evaluation.
const CHUNK: u64 = 250;

impl ExperimentContext<'_> {
    /// A network of the experiment; its weights are those of a start.
    pub(crate) fn network(&self, seed: u64, start: u32) -> Result<Box<dyn Network>, NetworkError> {
        let key = StreamKey {
            study_seed: seed,
            trial: u64::from(start),
            purpose: Purpose::Initialization,
        };
        self.factory.build(&self.train.shape(), key)
    }

    /// Losses and accuracies of a network on the first `most` training and test examples.
    pub(crate) fn evaluate(
        &self,
        network: &mut dyn Network,
        most: u64,
        epoch: u32,
    ) -> Result<Snapshot, batchscope_train::TrainError> {
        let mut sums = |examples: &dyn Examples| {
            EvaluationSet::stored(examples, most, CHUNK).measure(network, &Solo)
        };
        let (train, test) = (sums(self.train.as_ref())?, sums(self.test.as_ref())?);
        let loss = |sums: &MetricSums| sums.loss / sums.weight;
        let accuracy = |sums: &MetricSums| 1.0 - sums.errors / sums.weight;
        Ok(Snapshot {
            epoch,
            train_loss: loss(&train),
            train_accuracy: accuracy(&train),
            test_loss: loss(&test),
            test_accuracy: accuracy(&test),
        })
    }
}

/// The parameters of a state in the order of the network's layout, one after the other.
pub(crate) fn parameters(network: &dyn Network, state: &[StateTensor]) -> Vec<f64> {
    let tensors = network.layout().tensors.iter();
    tensors
        .filter_map(|tensor| state.iter().find(|s| s.name == tensor.name))
        .flat_map(|tensor| tensor.values.iter().map(|&v| f64::from(v)))
        .collect()
}
