//! Squared norms of every example's gradient, from inside the layers.

use std::sync::{Arc, Mutex, PoisonError};

use crate::parameters::ParameterId;

/// Sums over a micro-batch's examples of the squared norms of their gradients, for each tensor of
/// the layout. The layers of a pass share it; the operations they leave in the autodiff graph add
/// to it on the way back, one after another.
#[derive(Debug, Clone)]
pub(crate) struct ExampleNorms(Arc<Mutex<Vec<f64>>>);

/// Where one affine layer's sums go.
#[derive(Debug, Clone)]
pub(crate) struct AffineNorms {
    pub sums: ExampleNorms,
    pub weight: ParameterId,
    pub bias: Option<ParameterId>,
}

impl ExampleNorms {
    /// Zeros for so many tensors.
    pub(crate) fn new(tensors: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![0.0; tensors])))
    }

    /// Adds to the sum of a tensor.
    pub(crate) fn add(&self, id: ParameterId, squared_norm: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[id.0] += squared_norm;
    }

    /// Adds all sums to those of the caller.
    pub(crate) fn add_to(&self, squared_norms: &mut [f64]) {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, sum) in squared_norms.iter_mut().zip(&*sums) {
            *total += sum;
        }
    }
}
