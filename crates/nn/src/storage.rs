use burn_dispatch::DispatchTensor;
use burn_flex::{Flex, FlexTensor};
use burn_tensor::{Device, Tensor, TensorData};

use batchscope_core::NetworkError;
use batchscope_kernels::{Isa, Real, squared_norm};

use crate::precision::{Number, Precision, in_precision};

/// A tensor at rest on its device, of a rank known only at run time.
///
/// On the CPU the host slice is the tensor's own memory, so an optimizer updates it in place; on
/// other devices a host slice is a copy that must be written back.
#[derive(Debug, Clone)]
pub(crate) enum Storage {
    /// On the CPU: contiguous, covering its whole buffer.
    Flex(FlexTensor),
    /// On another device.
    Device(DispatchTensor),
}

/// Any rank will do to name a tensor whose rank is only known at run time: the dispatch layer
/// carries the true shape.
type AnyRank = Tensor<1>;

impl Storage {
    /// A tensor with these row-major values.
    pub(crate) fn from_host(values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        let data = TensorData::new(values, shape.to_vec());
        if *device == Device::flex() {
            Storage::Flex(FlexTensor::from_data(data))
        } else {
            Storage::Device(AnyRank::from_data(data, device).into_dispatch())
        }
    }

    /// Takes over a tensor without gradient tracking.
    pub(crate) fn from_dispatch(tensor: DispatchTensor) -> Self {
        match AnyRank::from_dispatch(tensor.clone()).try_into_primitive::<Flex>() {
            Ok(flex) => {
                drop(tensor);
                Storage::Flex(whole(flex))
            }
            Err(_) => Storage::Device(tensor),
        }
    }

    /// The tensor, sharing the memory. `D` must be its rank.
    pub(crate) fn tensor<const D: usize>(&self) -> Tensor<D> {
        match self {
            Storage::Flex(tensor) => Tensor::from_primitive::<Flex>(tensor.clone()),
            Storage::Device(tensor) => Tensor::from_dispatch(tensor.clone()),
        }
    }

    /// The values in place, where the device allows it. Memory shared with another tensor is
    /// copied first, so that the other is never changed.
    pub(crate) fn as_mut_slice(&mut self) -> Option<&mut [f32]> {
        match self {
            Storage::Flex(tensor) => Some(tensor.storage_mut::<f32>()),
            Storage::Device(_) => None,
        }
    }

    /// A tensor with these values, rounded to a precision.
    pub(crate) fn from_numbers(
        values: &[f64],
        shape: &[usize],
        precision: Precision,
        device: &Device,
    ) -> Self {
        if precision == Precision::F32 {
            let values = values.iter().map(|&x| x as f32).collect();
            return Self::from_host(values, shape, device);
        }
        let data = TensorData::new(values.to_vec(), shape.to_vec());
        if *device == Device::flex() {
            Storage::Flex(FlexTensor::from_data(data))
        } else {
            let options = (device, precision.dtype());
            Storage::Device(AnyRank::from_data(data, options).into_dispatch())
        }
    }

    /// Replaces the values, rounded to the tensor's own precision; the shape stays.
    pub(crate) fn set_numbers(&mut self, values: &[f64], shape: &[usize], device: &Device) {
        let precision = self.precision();
        let Storage::Flex(tensor) = self else {
            *self = Self::from_numbers(values, shape, precision, device);
            return;
        };
        in_precision!(tensor.dtype(), T => {
            for (to, &from) in <T as Number>::memory(tensor).iter_mut().zip(values) {
                *to = T::from_f64(from);
            }
        });
    }

    /// Adds `factor` times the values to `sum`.
    pub(crate) fn add_to(&self, factor: f64, sum: &mut [f64]) -> Result<(), NetworkError> {
        match self {
            Storage::Flex(tensor) => in_precision!(tensor.dtype(), T => {
                for (sum, &value) in sum.iter_mut().zip(tensor.storage::<T>()) {
                    *sum += factor * value.to_f64();
                }
            }),
            Storage::Device(tensor) => {
                let values = to_numbers(AnyRank::from_dispatch(tensor.clone()))?;
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += factor * value;
                }
            }
        }
        Ok(())
    }

    /// What its numbers are.
    pub(crate) fn precision(&self) -> Precision {
        let dtype = match self {
            Storage::Flex(tensor) => tensor.dtype(),
            Storage::Device(tensor) => AnyRank::from_dispatch(tensor.clone()).dtype(),
        };
        if dtype == Precision::F64.dtype() {
            Precision::F64
        } else {
            Precision::F32
        }
    }

    /// A copy of the values.
    pub(crate) fn to_host(&self) -> Result<Vec<f32>, NetworkError> {
        match self {
            Storage::Flex(tensor) => Ok(tensor.storage::<f32>().to_vec()),
            Storage::Device(tensor) => to_host(AnyRank::from_dispatch(tensor.clone())),
        }
    }

    /// Replaces the values; the shape stays.
    pub(crate) fn set(&mut self, values: Vec<f32>, shape: &[usize], device: &Device) {
        match self.as_mut_slice() {
            Some(slice) => slice.copy_from_slice(&values),
            None => *self = Self::from_host(values, shape, device),
        }
    }

    /// The squared norm: on the CPU with the kernel's accuracy, elsewhere in single precision.
    pub(crate) fn squared_norm(&self) -> Result<f64, NetworkError> {
        match self {
            Storage::Flex(tensor) => Ok(in_precision!(tensor.dtype(), T => {
                squared_norm(Isa::best(), tensor.storage::<T>())
            })),
            Storage::Device(tensor) => {
                let tensor = AnyRank::from_dispatch(tensor.clone());
                Ok(to_host(tensor.square().sum())?
                    .iter()
                    .map(|&x| f64::from(x))
                    .sum())
            }
        }
    }

    /// Adds `other`, of the same shape.
    pub(crate) fn add(&mut self, other: &Storage) {
        match (&mut *self, other) {
            (Storage::Flex(sum), Storage::Flex(other)) => {
                for (a, b) in sum
                    .storage_mut::<f32>()
                    .iter_mut()
                    .zip(other.storage::<f32>())
                {
                    *a += b;
                }
            }
            (a, b) => {
                let sum = a.tensor::<1>() + b.tensor::<1>();
                *self = Storage::from_dispatch(sum.into_dispatch());
            }
        }
    }
}

/// The same tensor, contiguous and covering its whole buffer; copied only if it is not so already.
fn whole(tensor: FlexTensor) -> FlexTensor {
    let elements = tensor.layout().num_elements();
    let covers = in_precision!(tensor.dtype(), T => tensor
        .as_slice::<T>()
        .is_some_and(|_| tensor.storage::<T>().len() == elements));
    if covers {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Copies a tensor's values to the host.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetworkError> {
    tensor
        .try_into_vec_as::<f32>()
        .map_err(|error| NetworkError::Device(format!("{error:?}")))
}

/// Copies a tensor's values to the host, in double precision.
pub(crate) fn to_numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>, NetworkError> {
    tensor
        .try_into_vec_as::<f64>()
        .map_err(|error| NetworkError::Device(format!("{error:?}")))
}
