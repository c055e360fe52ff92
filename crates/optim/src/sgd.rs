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

use batchscope_core::{ParameterLayout, StateTensor};
use batchscope_kernels as kernels;

use crate::{
    DecayPolicy, Optimizer, SettingError, StateError, WORKSPACE,
    buffers::{self, Buffers},
    optimizer::{fraction, not_negative},
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
    /// SGD for a layout.
    ///
    /// # Errors
    /// When `momentum` is outside [0, 1), `weight_decay` is negative or not finite, or Nesterov's
    /// look-ahead is asked for without momentum.
    pub fn new(
        layout: &ParameterLayout,
        momentum: f64,
        nesterov: bool,
        weight_decay: f64,
        policy: DecayPolicy,
    ) -> Result<Self, SettingError> {
        fraction("momentum", momentum)?;
        not_negative("weight_decay", weight_decay)?;
        if nesterov && momentum == 0.0 {
            let range = "a momentum above 0 with nesterov, or leave nesterov out";
            return Err(SettingError {
                name: "momentum",
                value: momentum,
                range,
            });
        }
        Ok(Self {
            momentum,
            nesterov,
            decay: policy.table(layout, weight_decay),
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
