//! Squared norms of every example's gradient, from inside the layers.
//!
//! An example is what the data set calls one: an image, a row, or, of a text, a window. A window's
//! gradient takes the hidden state its stream was in as given and goes back to the window's first
//! token, as training does (truncated back-propagation).

use std::sync::{Arc, Mutex, PoisonError};

use crate::parameters::ParameterId;

/// Sums over a micro-batch's examples of the squared norms of their gradients, for each tensor of
/// the layout. The layers of a pass share it; the operations they leave in the autodiff graph add
/// to it on the way back, one after another.
#[derive(Debug, Clone)]
pub(crate) struct ExampleNorms {
    sums: Arc<Mutex<Vec<f64>>>,
    examples: usize,
}

/// Where the sums of one tensor go.
#[derive(Debug, Clone)]
pub(crate) struct TensorNorms {
    pub sums: ExampleNorms,
    pub tensor: ParameterId,
}

/// Where those of weights and a bias go.
#[derive(Debug, Clone)]
pub(crate) struct AffineNorms {
    pub sums: ExampleNorms,
    pub weight: ParameterId,
    pub bias: Option<ParameterId>,
}

impl ExampleNorms {
    /// Zeros for so many tensors, of a micro-batch of so many examples.
    pub(crate) fn new(tensors: usize, examples: usize) -> Self {
        Self {
            sums: Arc::new(Mutex::new(vec![0.0; tensors])),
            examples,
        }
    }

    /// Examples of the micro-batch.
    pub(crate) fn examples(&self) -> usize {
        self.examples
    }

    /// Adds to the sum of a tensor.
    pub(crate) fn add(&self, id: ParameterId, squared_norm: f64) {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)[id.0] += squared_norm;
    }

    /// Adds all sums to those of the caller.
    pub(crate) fn add_to(&self, squared_norms: &mut [f64]) {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, sum) in squared_norms.iter_mut().zip(&*sums) {
            *total += sum;
        }
    }
}

impl TensorNorms {
    /// Takes in what an operation found.
    pub(crate) fn add(&self, squared_norm: f64) {
        self.sums.add(self.tensor, squared_norm);
    }
}

impl AffineNorms {
    /// Takes in what an operation found.
    pub(crate) fn add(&self, found: batchwise_kernels::ExampleNorms) {
        self.sums.add(self.weight, found.weights);
        if let Some(bias) = self.bias {
            self.sums.add(bias, found.bias);
        }
    }
}
