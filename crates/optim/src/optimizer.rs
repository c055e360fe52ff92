use batchscope_core::{
    OptimizerSpec, ParameterKind, ParameterLayout, ParameterTensor, StateTensor,
};
use serde::{Deserialize, Serialize};

use crate::{Adam, DecayKind, Sgd};

/// An update rule for the parameters of one network: `begin_step`, then `update` once for every
/// tensor of the layout, in any order.
pub trait Optimizer: Send {
    /// Begins a step at this learning rate. `step` is the number of steps done before, so 0 at
    /// first; bias corrections go by it.
    fn begin_step(&mut self, learning_rate: f64, step: u64);

    /// Updates tensor number `tensor` of the layout from its (mean, clipped) gradient.
    ///
    /// # Panics
    /// When there is no such tensor or a slice has not its length: a fault of the caller's.
    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]);

    /// Everything the optimizer remembers between steps, named `QUANTITY.TENSOR`, in canonical
    /// layout. Empty before nothing is remembered (SGD without momentum).
    fn state(&self) -> Vec<StateTensor>;

    /// Takes over a state made by [`Optimizer::state`] of the same optimizer and layout; leaves
    /// the optimizer unchanged on error.
    ///
    /// # Errors
    /// When a tensor is missing, unknown or of another shape.
    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError>;
}

/// Which tensors weight decay applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayPolicy {
    /// Matrices, kernels and embeddings; not biases and not normalizations, whose size does not
    /// measure the complexity of the function (Goyal et al. 2017, section 5.3; He et al. 2019).
    #[default]
    Weights,
    /// Every tensor, as PyTorch does unless told otherwise.
    All,
}

impl DecayPolicy {
    /// True if a tensor of this kind is decayed.
    pub fn decays(self, kind: ParameterKind) -> bool {
        match self {
            DecayPolicy::All => true,
            DecayPolicy::Weights => {
                matches!(
                    kind,
                    ParameterKind::Matrix | ParameterKind::Kernel | ParameterKind::Embedding
                )
            }
        }
    }

    /// The decay of every tensor of a layout: `weight_decay` or 0.
    pub(crate) fn table(self, layout: &ParameterLayout, weight_decay: f64) -> Vec<f64> {
        let decay = |t: &ParameterTensor| {
            if self.decays(t.kind) {
                weight_decay
            } else {
                0.0
            }
        };
        layout.tensors.iter().map(decay).collect()
    }
}

/// A constant of an optimizer that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("optimizer setting {name} = {value} cannot be used: choose {range}")]
pub struct SettingError {
    /// Name of the constant in [`OptimizerSpec`].
    pub name: &'static str,
    /// What it was set to.
    pub value: f64,
    /// What it must be.
    pub range: &'static str,
}

/// Why a stored optimizer state was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor is not there.
    #[error("the stored optimizer state lacks tensor {0}")]
    Missing(String),
    /// A tensor belongs to another optimizer or network.
    #[error("the stored optimizer state has tensor {0}, which this optimizer does not know")]
    Unknown(String),
    /// A tensor has another shape.
    #[error(
        "the stored optimizer state has tensor {name} of shape {found:?}; expected {expected:?}"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its stored shape.
        found: Vec<usize>,
        /// The layout's.
        expected: Vec<usize>,
    },
}

/// Makes the optimizer of a spec for a network with this layout.
///
/// # Errors
/// When a constant is outside its range; the error names it.
pub fn build(
    spec: &OptimizerSpec,
    layout: &ParameterLayout,
    policy: DecayPolicy,
) -> Result<Box<dyn Optimizer>, SettingError> {
    Ok(match *spec {
        OptimizerSpec::Sgd {
            momentum,
            nesterov,
            weight_decay,
        } => Box::new(Sgd::new(layout, momentum, nesterov, weight_decay, policy)?),
        OptimizerSpec::Adam {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => Box::new(Adam::new(
            layout,
            [beta1, beta2],
            epsilon,
            weight_decay,
            DecayKind::Coupled,
            policy,
        )?),
        OptimizerSpec::Adamw {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => Box::new(Adam::new(
            layout,
            [beta1, beta2],
            epsilon,
            weight_decay,
            DecayKind::Decoupled,
            policy,
        )?),
    })
}

/// Checks that `value` lies in `[0, 1)`.
pub(crate) fn fraction(name: &'static str, value: f64) -> Result<f64, SettingError> {
    let range = "a number from 0 (included) to 1 (excluded)";
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(SettingError { name, value, range })
    }
}

/// Checks that `value` is finite and not negative.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<f64, SettingError> {
    let range = "a finite number, 0 or more";
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(SettingError { name, value, range })
    }
}
