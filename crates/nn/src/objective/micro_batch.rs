//! Gradients over other examples than the objective's own.

use std::sync::Arc;

use batchscope_core::{Batch, NetworkError};

use super::{NetworkObjective, Wanted};

impl NetworkObjective {
    /// The mean gradient at `x` over other examples of the same shape, as this objective would have it
    /// if they were its own: a micro-batch's. With batch norm in training mode their number must be a
    /// multiple of the ghost size, or a smaller group's gradient is among them.
    ///
    /// # Errors
    /// When the examples do not fit the network or have no labels, or the device fails.
    pub fn gradient_on(&mut self, examples: Batch, x: &[f64]) -> Result<Vec<f64>, NetworkError> {
        self.network.check(&examples)?;
        let weight = examples.weight();
        if weight == 0.0 {
            return Err(NetworkError::Unfit {
                model: self.factory.model().to_string(),
                why: "none of the examples of a micro-batch has a label".to_owned(),
            });
        }
        let own = std::mem::replace(&mut self.examples, Arc::new(examples));
        let own_weight = std::mem::replace(&mut self.weight, weight);
        let (mut loss, mut gradient) = (0.0, vec![0.0; self.parameters.len()]);
        let wanted = Wanted::Gradient(&mut loss, &mut gradient);
        let done = self.run(x, wanted, self.chunk, self.groups());
        (self.examples, self.weight) = (own, own_weight);
        done.map(|()| gradient)
    }
}
