//! Adam and AdamW.
//!
//! 1. D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015
//!    (arXiv 1412.6980), algorithm 1.
//! 2. I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
//!    (arXiv 1711.05101), algorithm 2.
//!
//! With `t` the number of the step from 1, and `λ` the weight decay:
//!
//! ```text
//! g ← g + λ·w                     (coupled, Adam)      or
//! w ← w − η·λ·w                   (decoupled, AdamW)
//! m ← β₁·m + (1 − β₁)·g           m̂ = m / (1 − β₁ᵗ)
//! v ← β₂·v + (1 − β₂)·g²          v̂ = v / (1 − β₂ᵗ)
//! w ← w − η·m̂ / (√v̂ + ε)
//! ```
//!
//! Decoupled decay is multiplied by the learning rate of the step, as in `torch.optim.AdamW`; in
//! the paper it is multiplied by the schedule's factor alone.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterLayout, Range,
    StateTensor,
};
use batchscope_kernels as kernels;

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    buffers::{self, Buffers},
    optimizer::WEIGHT_DECAY,
    optimizer::decay_table,
};

/// Decay of the first moment.
pub(crate) const BETA1: Parameter = Parameter {
    name: "beta1",
    about: "First-moment decay of adam, adamw, adamp, lamb and muon; share of the average for schedule_free_adamw",
    kind: Kind::Number(Range::FRACTION),
    default: ParameterDefault::Number(0.9),
};
/// Decay of the second moment.
pub(crate) const BETA2: Parameter = Parameter {
    name: "beta2",
    about: "Second-moment decay of adam and its kin",
    kind: Kind::Number(Range::FRACTION),
    default: ParameterDefault::Number(0.999),
};
/// What keeps a small second moment from a large step.
pub(crate) const EPSILON: Parameter = Parameter {
    name: "epsilon",
    about: "Added to the root of the second moment of adam and its kin",
    kind: Kind::Number(Range::POSITIVE),
    default: ParameterDefault::Number(1e-8),
};

/// What can be set of both.
const PARAMETERS: &[Parameter] = &[BETA1, BETA2, EPSILON, WEIGHT_DECAY];

/// What can be chosen: decay added to the gradient, so adapted with it.
pub(crate) static ADAM: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "adam",
        aliases: &[],
        about: "Adaptive moments; weight decay is added to the gradient",
        source: "Kingma and Ba 2015, arXiv 1412.6980",
        parameters: PARAMETERS,
    },
    rates: Rates::around(0.001),
    build: |choice, layout, policy| Ok(Box::new(Adam::new(choice, false, layout, policy))),
};

/// What can be chosen: decay taken off the weights directly.
pub(crate) static ADAMW: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "adamw",
        aliases: &[],
        about: "Adam with decoupled weight decay",
        source: "Loshchilov and Hutter 2019, arXiv 1711.05101",
        parameters: PARAMETERS,
    },
    rates: Rates::around(0.001),
    build: |choice, layout, policy| Ok(Box::new(Adam::new(choice, true, layout, policy))),
};

/// The constants of an optimizer of this family; learning rate and weight decay belong to each update.
pub(crate) fn constants(choice: &Choice, decoupled: bool) -> kernels::Adam {
    let number = |key: &str| choice.number(key).unwrap_or(0.0);
    kernels::Adam {
        learning_rate: 0.0,
        beta1: number("beta1"),
        beta2: number("beta2"),
        epsilon: number("epsilon"),
        weight_decay: 0.0,
        decoupled,
    }
}

/// Adam, or AdamW where weight decay is decoupled.
#[derive(Debug, Clone)]
pub struct Adam {
    settings: kernels::Adam,
    decay: Vec<f64>,
    first: Buffers,
    second: Buffers,
    /// The update under way, counted from 1.
    update: u64,
}

impl Adam {
    /// Adam for a layout, from the settings of the descriptor.
    pub(crate) fn new(
        choice: &Choice,
        decoupled: bool,
        layout: &ParameterLayout,
        policy: DecayPolicy,
    ) -> Self {
        let weight_decay = choice.number("weight_decay").unwrap_or(0.0);
        Self {
            settings: constants(choice, decoupled),
            decay: decay_table(policy, layout, weight_decay),
            first: Buffers::zeros("first_moment", layout),
            second: Buffers::zeros("second_moment", layout),
            update: 1,
        }
    }
}

impl Adam {
    /// What it remembers, to be loaded together with what another does.
    pub(crate) fn buffers(&mut self) -> [&mut Buffers; 2] {
        [&mut self.first, &mut self.second]
    }
}

impl Optimizer for Adam {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        self.settings.learning_rate = learning_rate;
        self.update = step.saturating_add(1);
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let settings = kernels::Adam {
            weight_decay: self.decay[tensor],
            ..self.settings
        };
        let (first, second) = (self.first.values(tensor), self.second.values(tensor));
        kernels::adam_step(
            &WORKSPACE,
            settings,
            self.update,
            parameters,
            first,
            second,
            gradient,
        )
        .expect("settings were checked by `new`, and the tensors are the layout's");
    }

    fn state(&self) -> Vec<StateTensor> {
        [self.first.tensors(), self.second.tensors()].concat()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        buffers::load(&mut self.buffers(), state)
    }
}
