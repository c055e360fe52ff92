//! Squared norms of every example's gradient, from inside the layers.
//!
//! An example is what the data set calls one: an image, a row, or, of a text, a window. A window's
//! gradient takes the hidden state its stream was in as given and goes back to the window's first
//! token, as training does (truncated back-propagation).

use std::sync::{Arc, Mutex, PoisonError};

use burn_flex::FlexTensor;

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

/// Of a table that is looked up and scores too: its two operations meet here on the way back, the
/// scores' first.
#[derive(Debug, Clone)]
pub(crate) struct TiedNorms {
    /// What every example looks up, in the order of the rows.
    pub tokens: Arc<[u32]>,
    scores: Arc<Mutex<Option<TiedScores>>>,
}

/// What the scores' operation leaves for the look-up's.
#[derive(Debug, Clone)]
pub(crate) struct TiedScores {
    /// Its input.
    pub x: FlexTensor,
    /// Its output's gradient where tokens of the same example pick it.
    pub picked: FlexTensor,
}

impl TiedNorms {
    /// For the look-up of these tokens.
    pub(crate) fn new(tokens: &[u32]) -> Self {
        Self {
            tokens: tokens.into(),
            scores: Arc::default(),
        }
    }

    /// Leaves the scores' part.
    pub(crate) fn leave(&self, scores: TiedScores) {
        let mut place = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(scores);
    }

    /// Takes it.
    pub(crate) fn take(&self) -> Option<TiedScores> {
        let mut scores = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        scores.take()
    }
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
    pub(crate) fn add(&self, found: batchscope_kernels::ExampleNorms) {
        self.sums.add(self.weight, found.weights);
        if let Some(bias) = self.bias {
            self.sums.add(bias, found.bias);
        }
    }
}
