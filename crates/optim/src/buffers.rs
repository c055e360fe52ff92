use batchscope_core::{ParameterLayout, StateTensor};

use crate::StateError;

/// One remembered quantity (a momentum, a moment) for every tensor of a layout, zero at first.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    tensors: Vec<StateTensor>,
}

impl Buffers {
    /// Zeros named `quantity.TENSOR`.
    pub fn zeros(quantity: &str, layout: &ParameterLayout) -> Self {
        let zeros = layout.tensors.iter().map(|tensor| StateTensor {
            name: format!("{quantity}.{}", tensor.name),
            shape: tensor.shape.clone(),
            values: vec![0.0; tensor.len()],
        });
        Self {
            tensors: zeros.collect(),
        }
    }

    /// The values that go with tensor number `tensor`.
    pub fn values(&mut self, tensor: usize) -> &mut [f32] {
        &mut self.tensors[tensor].values
    }

    /// A copy, for a checkpoint.
    pub fn tensors(&self) -> &[StateTensor] {
        &self.tensors
    }
}

/// Loads several quantities at once: all or nothing.
pub(crate) fn load(buffers: &mut [&mut Buffers], state: &[StateTensor]) -> Result<(), StateError> {
    let expected = || buffers.iter().flat_map(|b| &b.tensors);
    if let Some(unknown) = state.iter().find(|t| !expected().any(|e| e.name == t.name)) {
        return Err(StateError::Unknown(unknown.name.clone()));
    }
    for tensor in expected() {
        let stored = state
            .iter()
            .find(|t| t.name == tensor.name)
            .ok_or_else(|| StateError::Missing(tensor.name.clone()))?;
        if stored.shape != tensor.shape || stored.values.len() != tensor.values.len() {
            return Err(StateError::Shape {
                name: tensor.name.clone(),
                found: stored.shape.clone(),
                expected: tensor.shape.clone(),
            });
        }
    }
    for tensor in buffers.iter_mut().flat_map(|b| &mut b.tensors) {
        if let Some(stored) = state.iter().find(|t| t.name == tensor.name) {
            tensor.values.copy_from_slice(&stored.values);
        }
    }
    Ok(())
}
