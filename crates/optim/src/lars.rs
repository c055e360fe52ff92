//! LARS: momentum whose step is a fixed fraction of each layer's weights.
//!
//! Y. You, I. Gitman, B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017 (arXiv 1708.03888),
//! algorithm 1. With `g` the mean gradient of a layer, `λ` the weight decay, `c` the trust coefficient, `m` the
//! momentum:
//!
//! ```text
//! r = c·‖w‖ / (‖g‖ + λ·‖w‖ + ε)       (1 where ‖w‖ or ‖g‖ is 0)
//! v ← m·v + r·(g + λ·w)
//! w ← w − η·v
//! ```
//!
//! What implementations do otherwise:
//!
//! | | learning rate | norm under `c·‖w‖` | not adapted |
//! | --- | --- | --- | --- |
//! | the paper | in the velocity: `v ← m·v + η·r·(g + λ·w)` | `‖g‖ + λ·‖w‖` | not said |
//! | timm 1.0 `Lars` | outside | `‖g‖ + λ·‖w‖ + ε`, ε = 1e-8 | tensors without weight decay |
//! | optax 0.2 `lars` | in the velocity | `‖g + λ·w‖` | what a mask says |
//! | here | outside; `rate_inside` for the paper's | `‖g‖ + λ·‖w‖ + ε` | biases and normalizations, always |
//!
//! Outside is the default because SGD has it so here and in PyTorch: a change of rate acts at once. At a constant rate
//! the two are the same. Biases and normalizations are steps of plain momentum, without decay: their norms do not
//! measure the size of a layer's function, and a bias that starts at 0 would never leave it.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterLayout, Range,
    StateTensor,
};
use batchscope_kernels as kernels;

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    buffers::{self, Buffers},
    optimizer::{MOMENTUM, WEIGHT_DECAY, decay_table, is_adapted},
};

/// What can be chosen.
pub(crate) static LARS: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "lars",
        aliases: &[],
        about: "Momentum with steps in proportion to each layer's weights",
        source: "You et al. 2017, arXiv 1708.03888",
        parameters: &[
            MOMENTUM,
            Parameter {
                name: "trust_coefficient",
                about: "Step of lars as a fraction of a layer's weights, at learning rate 1",
                kind: Kind::Number(Range::POSITIVE),
                default: ParameterDefault::Number(0.001),
            },
            Parameter {
                name: "rate_inside",
                about: "lars: the learning rate enters the velocity, as in the paper",
                kind: Kind::Switch,
                default: ParameterDefault::Switch(false),
            },
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(1.0),
    build: |choice, layout, policy| Ok(Box::new(Lars::new(choice, layout, policy))),
};

/// Keeps a layer without gradient from dividing by 0.
const EPSILON: f64 = 1e-8;

/// LARS.
#[derive(Debug, Clone)]
pub struct Lars {
    momentum: f64,
    coefficient: f64,
    rate_inside: bool,
    decay: Vec<f64>,
    /// Whether a tensor's steps go by its norms.
    adapted: Vec<bool>,
    velocity: Buffers,
    learning_rate: f64,
}

impl Lars {
    /// LARS for a layout, from the settings of the descriptor.
    fn new(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let number = |key: &str| choice.number(key).unwrap_or(0.0);
        Self {
            momentum: number("momentum"),
            coefficient: number("trust_coefficient"),
            rate_inside: choice.is_on("rate_inside"),
            decay: decay_table(policy, layout, number("weight_decay")),
            adapted: layout.tensors.iter().map(is_adapted).collect(),
            velocity: Buffers::zeros("momentum", layout),
            learning_rate: 0.0,
        }
    }

    /// The factor of a layer's gradient, `r`.
    fn ratio(&self, decay: f64, norms: kernels::SquaredNorms) -> f64 {
        let (weights, gradient) = (norms.weights.sqrt(), norms.other.sqrt());
        match weights > 0.0 && gradient > 0.0 {
            true => self.coefficient * weights / (gradient + decay * weights + EPSILON),
            // Not a number, too, for the loop to see.
            false if weights.is_nan() || gradient.is_nan() => f64::NAN,
            false => 1.0,
        }
    }
}

impl Optimizer for Lars {
    fn begin_step(&mut self, learning_rate: f64, _step: u64) {
        self.learning_rate = learning_rate;
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let decay = self.decay[tensor];
        let ratio = match self.adapted[tensor] {
            true => {
                let norms = kernels::squared_norms(&WORKSPACE, parameters, gradient);
                self.ratio(decay, norms.expect("the tensors are the layout's"))
            }
            false => 1.0,
        };
        let (scale, learning_rate) = match self.rate_inside {
            true => (self.learning_rate * ratio, 1.0),
            false => (ratio, self.learning_rate),
        };
        let settings = kernels::Sgd {
            learning_rate,
            momentum: self.momentum,
            weight_decay: decay,
            nesterov: false,
            scale,
        };
        let velocity = self.velocity.values(tensor);
        kernels::sgd_step(&WORKSPACE, settings, parameters, velocity, gradient)
            .expect("settings were checked by `new`, and the tensors are the layout's");
    }

    fn state(&self) -> Vec<StateTensor> {
        self.velocity.tensors().to_vec()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        buffers::load(&mut [&mut self.velocity], state)
    }
}
