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

use batchscope_core::{ParameterLayout, StateTensor};
use batchscope_kernels as kernels;

use crate::{
    DecayPolicy, Optimizer, SettingError, StateError, WORKSPACE,
    buffers::{self, Buffers},
    optimizer::{fraction, not_negative},
};

/// How weight decay enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecayKind {
    /// Added to the gradient, so adapted with it: Adam.
    Coupled,
    /// Taken off the weights directly: AdamW.
    Decoupled,
}

/// Adam or AdamW, as the kind of weight decay says.
#[derive(Debug, Clone)]
pub struct Adam {
    betas: [f64; 2],
    epsilon: f64,
    kind: DecayKind,
    decay: Vec<f64>,
    first: Buffers,
    second: Buffers,
    learning_rate: f64,
    /// The update under way, counted from 1.
    update: u64,
}

impl Adam {
    /// Adam for a layout; `betas` are `[β₁, β₂]`.
    ///
    /// # Errors
    /// When a beta is outside [0, 1), or `epsilon` or `weight_decay` is negative or not finite.
    pub fn new(
        layout: &ParameterLayout,
        betas: [f64; 2],
        epsilon: f64,
        weight_decay: f64,
        kind: DecayKind,
        policy: DecayPolicy,
    ) -> Result<Self, SettingError> {
        fraction("beta1", betas[0])?;
        fraction("beta2", betas[1])?;
        not_negative("epsilon", epsilon)?;
        not_negative("weight_decay", weight_decay)?;
        Ok(Self {
            betas,
            epsilon,
            kind,
            decay: policy.table(layout, weight_decay),
            first: Buffers::zeros("first_moment", layout),
            second: Buffers::zeros("second_moment", layout),
            learning_rate: 0.0,
            update: 1,
        })
    }
}

impl Optimizer for Adam {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        self.learning_rate = learning_rate;
        self.update = step.saturating_add(1);
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let settings = kernels::Adam {
            learning_rate: self.learning_rate,
            beta1: self.betas[0],
            beta2: self.betas[1],
            epsilon: self.epsilon,
            weight_decay: self.decay[tensor],
            decoupled: self.kind == DecayKind::Decoupled,
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
        buffers::load(&mut [&mut self.first, &mut self.second], state)
    }
}
