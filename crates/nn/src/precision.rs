use batchscope_kernels::Real;
use burn_flex::FlexTensor;
use burn_std::DType;
use serde::{Deserialize, Serialize};

/// The floating-point numbers a network computes with.
///
/// Training is always in single precision. Curvature by differences of gradients is not worth much
/// in it: half of the digits are lost, so an [`NetworkObjective`](crate::NetworkObjective) offers
/// double precision too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision, 24 bits.
    F32,
    /// Double precision, 53 bits.
    #[default]
    F64,
}

impl Precision {
    /// Distance from 1 to the next number, `2⁻²³` or `2⁻⁵²`.
    pub fn epsilon(self) -> f64 {
        match self {
            Precision::F32 => f64::from(f32::EPSILON),
            Precision::F64 => f64::EPSILON,
        }
    }

    /// burn's name of it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }
}

/// What the kernels, burn's tensors and their memory all take: `f32` and `f64`.
pub(crate) trait Number: Real {
    /// burn's name of the type.
    const DTYPE: DType;

    /// The values of a contiguous tensor of this type, `None` for any other.
    fn slice(tensor: &FlexTensor) -> Option<&[Self]>;

    /// The whole memory of a tensor of this type, copied first if it is shared.
    fn memory(tensor: &mut FlexTensor) -> &mut [Self];
}

macro_rules! number {
    ($type:ty, $dtype:expr) => {
        impl Number for $type {
            const DTYPE: DType = $dtype;

            fn slice(tensor: &FlexTensor) -> Option<&[Self]> {
                tensor.as_slice()
            }

            fn memory(tensor: &mut FlexTensor) -> &mut [Self] {
                tensor.storage_mut()
            }
        }
    };
}
number!(f32, DType::F32);
number!(f64, DType::F64);

/// Runs code with the [`Number`] that tensors of a type hold, under the name given.
macro_rules! in_precision {
    ($dtype:expr, $number:ident => $body:expr) => {
        match $dtype {
            burn_std::DType::F64 => {
                type $number = f64;
                $body
            }
            _ => {
                type $number = f32;
                $body
            }
        }
    };
}
pub(crate) use in_precision;
