use batchscope_core::{NetworkError, ParameterLayout, ParameterVisitor};
use burn_dispatch::DispatchTensor;
use burn_tensor::{Device, Gradients, Tensor};

use crate::{precision::Precision, storage::Storage};

/// Handle of a parameter in its network's table.
#[derive(Debug, Clone, Copy)]
pub struct ParameterId(pub usize);

/// The parameters of a network and the gradient window of the current step.
pub(crate) struct Parameters {
    layout: ParameterLayout,
    values: Vec<Storage>,
    /// `None` where nothing has flowed yet, which means zero.
    gradients: Vec<Option<Storage>>,
    device: Device,
}

impl Parameters {
    /// Parameters with these values, in the order of the table.
    pub(crate) fn new(layout: ParameterLayout, values: Vec<Storage>, device: Device) -> Self {
        let gradients = layout.tensors.iter().map(|_| None).collect();
        Self {
            layout,
            values,
            gradients,
            device,
        }
    }

    /// The table.
    pub(crate) fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// A parameter, sharing its memory. `D` must be its rank.
    pub(crate) fn tensor<const D: usize>(&self, id: ParameterId) -> Tensor<D> {
        debug_assert_eq!(self.layout.tensors[id.0].shape.len(), D);
        self.values[id.0].tensor()
    }

    /// Zeroes the gradient window.
    pub(crate) fn clear_gradients(&mut self) {
        self.gradients.fill_with(|| None);
    }

    /// Adds the gradients of the tracked leaves to the window, and their squared norms to
    /// `squared_norms`, tensor by tensor.
    pub(crate) fn add_gradients(
        &mut self,
        leaves: &Leaves,
        mut gradients: Gradients,
        mut squared_norms: Option<&mut [f64]>,
    ) -> Result<(), NetworkError> {
        for (index, (slot, leaf)) in self.gradients.iter_mut().zip(&leaves.0).enumerate() {
            // The dispatch layer carries the true rank.
            let gradient = leaf.as_ref().and_then(|leaf| {
                Tensor::<1>::from_dispatch(leaf.clone()).grad_remove(&mut gradients)
            });
            let Some(gradient) = gradient.map(|g| Storage::from_dispatch(g.into_dispatch())) else {
                continue;
            };
            if let Some(squared_norms) = &mut squared_norms {
                squared_norms[index] += gradient.squared_norm()?;
            }
            match slot {
                None => *slot = Some(gradient),
                Some(sum) => sum.add(&gradient),
            }
        }
        Ok(())
    }

    /// See [`batchscope_core::Network::visit`].
    pub(crate) fn visit(&mut self, visitor: &mut ParameterVisitor<'_>) -> Result<(), NetworkError> {
        for (index, tensor) in self.layout.tensors.iter().enumerate() {
            let gradient = self.gradients[index].get_or_insert_with(|| {
                Storage::from_host(vec![0.0; tensor.len()], &tensor.shape, &self.device)
            });
            let value = &mut self.values[index];
            if let (Some(value), Some(gradient)) = (value.as_mut_slice(), gradient.as_mut_slice()) {
                visitor(index, value, gradient);
                continue;
            }
            let (mut values, mut gradients) = (value.to_host()?, gradient.to_host()?);
            visitor(index, &mut values, &mut gradients);
            value.set(values, &tensor.shape, &self.device);
            gradient.set(gradients, &tensor.shape, &self.device);
        }
        Ok(())
    }

    /// A copy of the values of each tensor, in the order of the table.
    pub(crate) fn to_host(&self) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.values.iter().map(Storage::to_host).collect()
    }

    /// What the numbers are.
    pub(crate) fn precision(&self) -> Precision {
        self.values
            .first()
            .map_or(Precision::F32, Storage::precision)
    }

    /// Takes all values over from a flat vector, in a precision.
    pub(crate) fn set_flat(&mut self, x: &[f64], precision: Precision) {
        let mut rest = x;
        for (value, tensor) in self.values.iter_mut().zip(&self.layout.tensors) {
            let (own, after) = rest.split_at(tensor.len());
            rest = after;
            if value.precision() == precision {
                value.set_numbers(own, &tensor.shape, &self.device);
            } else {
                *value = Storage::from_numbers(own, &tensor.shape, precision, &self.device);
            }
        }
    }

    /// Adds `factor` times the gradients of the tracked leaves to a flat vector.
    pub(crate) fn add_flat(
        &self,
        leaves: &Leaves,
        mut gradients: Gradients,
        factor: f64,
        sum: &mut [f64],
    ) -> Result<(), NetworkError> {
        let mut rest = sum;
        for (tensor, leaf) in self.layout.tensors.iter().zip(&leaves.0) {
            let (own, after) = rest.split_at_mut(tensor.len());
            rest = after;
            let gradient = leaf.as_ref().and_then(|leaf| {
                Tensor::<1>::from_dispatch(leaf.clone()).grad_remove(&mut gradients)
            });
            if let Some(gradient) = gradient {
                Storage::from_dispatch(gradient.into_dispatch()).add_to(factor, own)?;
            }
        }
        Ok(())
    }

    /// Replaces the values of tensor `index`.
    pub(crate) fn set(&mut self, index: usize, values: Vec<f32>) {
        self.values[index].set(values, &self.layout.tensors[index].shape, &self.device);
    }
}

/// The parameters of one training pass as leaves of its autodiff graph, made when first used.
pub(crate) struct Leaves(Vec<Option<DispatchTensor>>);

impl Leaves {
    /// No leaves yet.
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self(parameters.values.iter().map(|_| None).collect())
    }

    /// The leaf of a parameter.
    pub(crate) fn get<const D: usize>(
        &mut self,
        parameters: &Parameters,
        id: ParameterId,
    ) -> Tensor<D> {
        let leaf = self.0[id.0].get_or_insert_with(|| {
            parameters
                .tensor::<D>(id)
                .autodiff()
                .require_grad()
                .into_dispatch()
        });
        Tensor::from_dispatch(leaf.clone())
    }
}
