//! The loss of a network as a function of its parameters, by what every network can do.

use batchscope_core::{Batch, Network};
use batchscope_landscape::{Blocks, Objective, ObjectiveError};

/// The mean loss of any network over a fixed batch, with its gradient, as in training: batch norm by
/// the statistics of its ghost batches, label smoothing as the model has it; without dropout.
///
/// It computes in single precision. Networks that offer better have objectives of their own.
pub struct TrainingLoss {
    network: Box<dyn Network>,
    examples: Batch,
    dimension: usize,
}

impl TrainingLoss {
    /// The loss of a network on these examples, taken as one step.
    pub fn new(network: Box<dyn Network>, examples: Batch) -> Self {
        Self {
            dimension: network.layout().parameters(),
            examples: Batch {
                first_position: 0,
                first_draw: 0,
                fresh_streams: true,
                noise: None,
                ..examples
            },
            network,
        }
    }

    fn loss(&mut self, x: &[f64], scale: f32) -> Result<f64, ObjectiveError> {
        let mut place = 0;
        self.network
            .visit(&mut |_, parameters, _| {
                for parameter in parameters {
                    *parameter = x[place] as f32;
                    place += 1;
                }
            })
            .map_err(ObjectiveError::new)?;
        self.network.begin_step(self.examples.len as u64);
        let sum = self.network.accumulate(&self.examples, scale);
        Ok(sum.map_err(ObjectiveError::new)?.mean())
    }
}

impl Objective for TrainingLoss {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        let scale = (1.0 / self.examples.weight()) as f32;
        let loss = self.loss(x, scale)?;
        let mut place = 0;
        self.network
            .visit(&mut |_, _, slope| {
                for slope in slope.iter() {
                    gradient[place] = f64::from(*slope);
                    place += 1;
                }
            })
            .map_err(ObjectiveError::new)?;
        Ok(loss)
    }

    fn relative_precision(&self) -> f64 {
        f64::from(f32::EPSILON)
    }

    fn blocks(&self) -> Blocks {
        Blocks::from_layout(self.network.layout())
    }
}
