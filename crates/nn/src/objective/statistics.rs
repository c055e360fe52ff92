//! The running statistics of batch norm at a point: read, replaced, estimated anew.

use batchscope_core::{Batch, DataShape, NetworkError, StateTensor};
use batchscope_landscape::slices::Statistic;

use super::{NetworkObjective, ObjectiveSettings, Wanted};
use crate::{factory::Factory, layers::NormState, precision::Precision};

/// Most examples of a group whose batch-norm statistics are taken together when they are estimated
/// anew: the small batch of Keskar et al. 2016. A model whose ghost batches are larger, or all of a
/// batch, would otherwise need room for all the examples at once.
pub const ESTIMATION_GROUP: usize = 256;

impl Factory {
    /// The state with its running statistics estimated anew from the examples, as
    /// [`NetworkObjective::estimate_statistics`] does; all else is unchanged, and all of it without
    /// batch norm.
    ///
    /// # Errors
    /// As [`Factory::objective`].
    pub fn reestimated(
        &self,
        shape: &DataShape,
        state: &[StateTensor],
        examples: Vec<Batch>,
    ) -> Result<Vec<StateTensor>, NetworkError> {
        let settings = ObjectiveSettings {
            precision: Precision::F32,
            ..ObjectiveSettings::default()
        };
        let mut objective = self.objective(shape, state, examples, settings)?;
        let x = objective.parameters().to_vec();
        objective.estimate_statistics(&x)?;
        objective.with_statistics(state)
    }
}

impl NetworkObjective {
    /// The running statistics: means, then variances, of each layer in turn. Empty without batch
    /// norm.
    ///
    /// # Errors
    /// When the device fails.
    pub fn statistics(&self) -> Result<Vec<f64>, NetworkError> {
        let mut all = Vec::new();
        for norm in &self.network.norms {
            for statistics in [&norm.main.mean, &norm.main.variance] {
                let from = all.len();
                all.resize(from + norm.channels, 0.0);
                statistics.add_to(1.0, &mut all[from..])?;
            }
        }
        Ok(all)
    }

    /// That so many running statistics are the network's.
    pub(super) fn check_statistics(&self, values: &[f64]) -> Result<(), NetworkError> {
        let norms = &self.network.norms;
        let expected: usize = norms.iter().map(|norm| 2 * norm.channels).sum();
        if values.len() == expected {
            return Ok(());
        }
        Err(NetworkError::State(format!(
            "{} running statistics were given, the network has {expected}",
            values.len()
        )))
    }

    /// Running statistics between those of two solutions, at α; all in the order of
    /// [`NetworkObjective::statistics`].
    pub(super) fn statistics_between(&self, alpha: f64, small: &[f64], large: &[f64]) -> Vec<f64> {
        let kinds = self.network.norms.iter().flat_map(|norm| {
            [Statistic::Mean, Statistic::Variance]
                .into_iter()
                .flat_map(|kind| std::iter::repeat_n(kind, norm.channels))
        });
        (kinds.zip(small).zip(large))
            .map(|((kind, &small), &large)| kind.between(alpha, small, large))
            .collect()
    }

    /// Replaces the running statistics, in the order of [`NetworkObjective::statistics`]. A variance
    /// below zero is taken as zero.
    ///
    /// # Errors
    /// [`NetworkError::State`] when there is another number of them.
    pub fn set_statistics(&mut self, values: &[f64]) -> Result<(), NetworkError> {
        self.check_statistics(values)?;
        let mut rest = values;
        let device = &self.network.device;
        for norm in &mut self.network.norms {
            let (mean, after) = rest.split_at(norm.channels);
            let (variance, after) = after.split_at(norm.channels);
            rest = after;
            let variance: Vec<f64> = variance.iter().map(|v| v.max(0.0)).collect();
            let shape = [norm.channels];
            norm.main.mean.set_numbers(mean, &shape, device);
            norm.main.variance.set_numbers(&variance, &shape, device);
        }
        Ok(())
    }

    /// Replaces the running statistics by those of all the examples at `x`: their mean and unbiased
    /// variance, from the exact averages of the first and second moments of consecutive groups, not
    /// from a running average. A group is a ghost batch, and never more than
    /// [`ESTIMATION_GROUP`] examples; deeper layers see what training would make of it. Without
    /// batch norm it does nothing.
    ///
    /// # Errors
    /// When the device fails; the statistics are then as they were.
    pub fn estimate_statistics(&mut self, x: &[f64]) -> Result<(), NetworkError> {
        let Some(ghost) = self.ghost else {
            return Ok(());
        };
        let group = ghost.min(ESTIMATION_GROUP);
        let chunk = (self.chunk / group).max(1) * group;
        self.network.norms.iter_mut().for_each(NormState::collect);
        let passed = self.run(x, Wanted::Statistics, chunk, Some(group));
        let sums = self.network.moments_put_by(passed)?;
        let (mut all, mut rest) = (Vec::new(), &sums[..]);
        for norm in &self.network.norms {
            let (moments, others) = norm.take_moments(rest);
            all.extend(moments.into_iter().flatten());
            rest = others;
        }
        self.set_statistics(&all)
    }

    /// The running statistics as they stand, as tensors of the network's state: those of
    /// `state` that are not among them are left as they were.
    ///
    /// # Errors
    /// When the device fails.
    fn with_statistics(&self, state: &[StateTensor]) -> Result<Vec<StateTensor>, NetworkError> {
        let mut state = state.to_vec();
        for norm in &self.network.norms {
            for (kind, storage) in [("mean", &norm.main.mean), ("variance", &norm.main.variance)] {
                let name = format!("{}.running_{kind}", norm.name);
                if let Some(tensor) = state.iter_mut().find(|tensor| tensor.name == name) {
                    let mut values = vec![0.0; norm.channels];
                    storage.add_to(1.0, &mut values)?;
                    tensor.values = values.into_iter().map(|v| v as f32).collect();
                }
            }
        }
        Ok(state)
    }
}
