//! The points of a slice, measured on training and test examples.

use batchscope_core::{MetricSums, NetworkError, Task};
use batchscope_landscape::{
    ObjectiveError,
    slices::{Measure, PointLoss},
};

use super::NetworkObjective;

/// Where the running statistics of batch norm come from at a point between two solutions, whose own
/// fit neither the points between them nor those around them.
#[derive(Debug, Clone, PartialEq)]
pub enum Statistics {
    /// Those of the state that the objective was made with, everywhere.
    Kept,
    /// Between those of the two solutions of a path, by its coordinate α and
    /// [`Statistic::between`](batchscope_landscape::slices::Statistic::between).
    Interpolated {
        /// Of the small-batch solution, where α is 0; see [`NetworkObjective::statistics`].
        small: Vec<f64>,
        /// Of the large-batch solution, where α is 1.
        large: Vec<f64>,
    },
    /// Estimated anew from all the training examples measured, at every point: see
    /// [`NetworkObjective::estimate_statistics`].
    Estimated,
}

/// Measures training and, where there are any, test examples at each point of a slice: a
/// [`Measure`], one for each worker.
pub struct SliceMeasure {
    train: NetworkObjective,
    test: Option<NetworkObjective>,
    statistics: Statistics,
}

impl SliceMeasure {
    /// On these examples, with statistics from there.
    ///
    /// # Errors
    /// When the two objectives are of different models, or the solutions' statistics do not fit
    /// them.
    pub fn new(
        train: NetworkObjective,
        test: Option<NetworkObjective>,
        statistics: Statistics,
    ) -> Result<Self, NetworkError> {
        if let Some(test) = &test
            && test.layout() != train.layout()
        {
            return Err(NetworkError::State(
                "training and test examples are measured by different models".to_owned(),
            ));
        }
        if let Statistics::Interpolated { small, large } = &statistics {
            for statistics in [small, large] {
                train.check_statistics(statistics)?;
            }
        }
        Ok(Self {
            train,
            test,
            statistics,
        })
    }

    /// Another one that gives the same numbers, for another thread.
    ///
    /// # Errors
    /// When the device fails.
    pub fn worker(&self) -> Result<Self, NetworkError> {
        Ok(Self {
            train: self.train.worker()?,
            test: self
                .test
                .as_ref()
                .map(NetworkObjective::worker)
                .transpose()?,
            statistics: self.statistics.clone(),
        })
    }

    fn point_losses(
        &mut self,
        coordinates: &[f64],
        x: &[f64],
    ) -> Result<(PointLoss, Option<PointLoss>), NetworkError> {
        match &self.statistics {
            Statistics::Kept => {}
            Statistics::Interpolated { small, large } => {
                let [alpha] = *coordinates else {
                    return Err(NetworkError::State(format!(
                        "statistics were to be interpolated at a point with {} coordinates; a path \
                         has one",
                        coordinates.len()
                    )));
                };
                let statistics = self.train.statistics_between(alpha, small, large);
                self.train.set_statistics(&statistics)?;
            }
            Statistics::Estimated => self.train.estimate_statistics(x)?,
        }
        let train = self.train.point_loss(x)?;
        let Some(test) = &mut self.test else {
            return Ok((train, None));
        };
        if self.statistics != Statistics::Kept {
            test.set_statistics(&self.train.statistics()?)?;
        }
        Ok((train, Some(test.point_loss(x)?)))
    }
}

impl NetworkObjective {
    /// Loss and error at `x`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn point_loss(&mut self, x: &[f64]) -> Result<PointLoss, NetworkError> {
        let MetricSums {
            loss,
            errors,
            weight,
            ..
        } = self.metrics(x)?;
        let regression = matches!(self.examples.shape.task, Task::Regress { .. });
        Ok(PointLoss {
            loss: loss / weight,
            error: (!regression).then_some(errors / weight),
        })
    }
}

impl Measure for SliceMeasure {
    /// On the training examples, and on the test examples where there are any.
    type Output = (PointLoss, Option<PointLoss>);

    fn measure(
        &mut self,
        _: usize,
        coordinates: &[f64],
        x: &[f64],
    ) -> Result<Self::Output, ObjectiveError> {
        self.point_losses(coordinates, x)
            .map_err(ObjectiveError::new)
    }
}
