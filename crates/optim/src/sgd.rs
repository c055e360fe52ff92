//! Stochastic gradient descent with momentum.
//!
//! 1. B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
//! 2. I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
//!    momentum in deep learning", ICML 2013 (Nesterov's momentum for networks).
//!
//! With `g` the mean gradient, `λ` the (coupled) weight decay and `m` the momentum:
//!
//! ```text
//! d = g + λ·w
//! v ← m·v + d
//! w ← w − η·v                 (heavy ball)
//! w ← w − η·(d + m·v)         (Nesterov)
//! ```
//!
//! `v` starts at 0 and dampening is 0, as in `torch.optim.SGD`: the learning rate stands outside
//! the buffer, so a change of rate acts at once on the whole velocity.

use batchscope_core::{
    Choice, ChoiceError, DecayPolicy, Descriptor, ParameterLayout, StateTensor, Value,
};
use batchscope_kernels as kernels;

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    buffers::{self, Buffers},
    optimizer::{MOMENTUM, NESTEROV, WEIGHT_DECAY, decay_table},
};

/// What can be chosen.
pub(crate) static SGD: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "sgd",
        aliases: &[],
        about: "Stochastic gradient descent with momentum",
        source: "Polyak 1964; Sutskever et al. 2013",
        parameters: &[MOMENTUM, NESTEROV, WEIGHT_DECAY],
    },
    // The usual one is safe for most models with momentum 0.9.
    rates: Rates {
        usual: 0.02,
        searched: [0.005, 2.0],
    },
    build: |choice, layout, policy| Ok(Box::new(Sgd::new(choice, layout, policy)?)),
};

/// SGD, with momentum and weight decay where they are not 0.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    decay: Vec<f64>,
    /// Absent without momentum: plain SGD remembers nothing.
    velocity: Option<Buffers>,
    learning_rate: f64,
}

impl Sgd {
    /// SGD for a layout, from the settings of the descriptor.
    ///
    /// # Errors
    /// When Nesterov's look-ahead is asked for without momentum.
    fn new(
        choice: &Choice,
        layout: &ParameterLayout,
        policy: DecayPolicy,
    ) -> Result<Self, ChoiceError> {
        let momentum = choice.number("momentum").unwrap_or(0.0);
        let nesterov = choice.is_on("nesterov");
        let weight_decay = choice.number("weight_decay").unwrap_or(0.0);
        if nesterov && momentum == 0.0 {
            return Err(ChoiceError::Value {
                name: choice.name().to_owned(),
                key: "momentum".to_owned(),
                value: Value::Number(momentum).to_string(),
                range: "above 0 with nesterov".to_owned(),
            });
        }
        Ok(Self {
            momentum,
            nesterov,
            decay: decay_table(policy, layout, weight_decay),
            velocity: (momentum > 0.0).then(|| Buffers::zeros("momentum", layout)),
            learning_rate: 0.0,
        })
    }
}

impl Optimizer for Sgd {
    fn begin_step(&mut self, learning_rate: f64, _step: u64) {
        self.learning_rate = learning_rate;
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let settings = kernels::Sgd {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            weight_decay: self.decay[tensor],
            nesterov: self.nesterov,
            scale: 1.0,
        };
        let velocity = match &mut self.velocity {
            Some(velocity) => velocity.values(tensor),
            None => &mut [],
        };
        kernels::sgd_step(&WORKSPACE, settings, parameters, velocity, gradient)
            .expect("settings were checked by `new`, and the tensors are the layout's");
    }

    fn state(&self) -> Vec<StateTensor> {
        self.velocity
            .iter()
            .flat_map(|v| v.tensors().to_vec())
            .collect()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        let mut velocity: Vec<&mut Buffers> = self.velocity.iter_mut().collect();
        buffers::load(&mut velocity, state)
    }
}
