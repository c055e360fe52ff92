use batchscope_core::{
    Choice, ChoiceError, DecayPolicy, Described, Descriptor, Kind, Parameter, ParameterDefault,
    ParameterLayout, ParameterTensor, Range, StateTensor,
};

use crate::OPTIMIZERS;

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

    /// True for an optimizer whose runs are judged by an average of their parameters, not by those in training.
    fn averages(&self) -> bool {
        false
    }

    /// Replaces the parameters of tensor number `tensor` by their average. The caller keeps those in training.
    ///
    /// # Panics
    /// As [`Optimizer::update`].
    fn average(&self, _tensor: usize, _parameters: &mut [f32]) {}

    /// Everything the optimizer remembers between steps, named `QUANTITY.TENSOR`, in canonical
    /// layout. Empty where nothing is remembered (SGD without momentum).
    fn state(&self) -> Vec<StateTensor>;

    /// Takes over a state made by [`Optimizer::state`] of the same optimizer and layout; leaves
    /// the optimizer unchanged on error.
    ///
    /// # Errors
    /// When a tensor is missing, unknown or of another shape.
    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError>;
}

/// The decay of every tensor of a layout: `weight_decay` or 0.
pub(crate) fn decay_table(
    policy: DecayPolicy,
    layout: &ParameterLayout,
    weight_decay: f64,
) -> Vec<f64> {
    let decay = |t: &ParameterTensor| match policy.decays(t.kind) {
        true => weight_decay,
        false => 0.0,
    };
    layout.tensors.iter().map(decay).collect()
}

/// Builds an optimizer for a network with this layout.
pub type Build = fn(&Choice, &ParameterLayout, DecayPolicy) -> Built;
/// The optimizer, or the setting that is wrong.
type Built = Result<Box<dyn Optimizer>, ChoiceError>;

/// Learning rates of an optimizer when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of a single run: its authors' or the common libraries' default where that trains small networks too.
    pub usual: f64,
    /// What a search begins with, the lowest and the highest.
    pub searched: [f64; 2],
}

impl Rates {
    /// Searched is from a twentieth to twenty times the usual rate.
    pub const fn around(usual: f64) -> Self {
        Self {
            usual,
            searched: [usual / 20.0, usual * 20.0],
        }
    }
}

/// An optimizer that can be chosen: its description, and what builds it.
pub struct OptimizerKind {
    /// Name, source and settings.
    pub descriptor: Descriptor,
    /// Learning rates to start from.
    pub rates: Rates,
    /// Makes it for a network with this layout, from settings that the descriptor has checked.
    pub build: Build,
}

impl Described for OptimizerKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// True for the tensors whose norm measures the size of a layer's function: matrices, kernels and embeddings, not
/// biases and normalizations. Optimizers that go by norms leave the others to the step that they are made from.
pub(crate) fn is_adapted(tensor: &ParameterTensor) -> bool {
    DecayPolicy::Weights.decays(tensor.kind)
}

/// The momentum of those that have one.
pub(crate) const MOMENTUM: Parameter = Parameter {
    name: "momentum",
    about: "Momentum of sgd, sgdp, lars and muon; share of the average for schedule_free_sgd",
    kind: Kind::Number(Range::FRACTION),
    default: ParameterDefault::Number(0.9),
};

/// The look-ahead of those that have one.
pub(crate) const NESTEROV: Parameter = Parameter {
    name: "nesterov",
    about: "Nesterov's form of momentum",
    kind: Kind::Switch,
    default: ParameterDefault::Switch(false),
};

/// The weight decay that every optimizer takes.
pub(crate) const WEIGHT_DECAY: Parameter = Parameter {
    name: "weight_decay",
    about: "Weight decay (coupled for sgd, lars and adam, decoupled for adamw, adamp, sgdp and muon, at the parameters in training for the schedule-free two; part of lamb's step)",
    kind: Kind::Number(Range::NOT_NEGATIVE),
    default: ParameterDefault::Number(0.0),
};

/// Why a stored optimizer state was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A tensor is not there.
    #[error("the stored optimizer state lacks tensor {0}")]
    Missing(String),
    /// A tensor belongs to another optimizer or network.
    #[error("the stored optimizer state has tensor {0}, which this optimizer does not know")]
    Unknown(String),
    /// What it was made with has changed since.
    #[error("{0} is another one than that of the stored state")]
    Differs(String),
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

/// Makes the optimizer of a choice for a network with this layout.
///
/// # Errors
/// When there is no such optimizer, or a setting is out of its range; the error names it.
pub fn build(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Built {
    let (kind, choice) = OPTIMIZERS.check(choice)?;
    (kind.build)(&choice, layout, policy)
}
