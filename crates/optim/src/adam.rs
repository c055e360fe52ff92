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

use batchwise_core::{ParameterLayout, StateTensor};

use crate::{
    DecayPolicy, Optimiser, SettingError, StateError,
    buffers::{self, Buffers},
    optimiser::{fraction, not_negative},
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
    epsilon: f32,
    kind: DecayKind,
    decay: Vec<f32>,
    first: Buffers,
    second: Buffers,
    step: Step,
}

/// The scalars of a step, in the precision the pass needs them.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    learning_rate: f64,
    /// `η / (1 − β₁ᵗ)`.
    size: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    root_correction: f32,
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
            epsilon: epsilon as f32,
            kind,
            decay: policy.table(layout, weight_decay),
            first: Buffers::zeros("first_moment", layout),
            second: Buffers::zeros("second_moment", layout),
            step: Step::default(),
        })
    }
}

impl Optimiser for Adam {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        // Past 2^31 steps both corrections are 1 to the last bit.
        let t = i32::try_from(step.saturating_add(1)).unwrap_or(i32::MAX);
        let correction = self.betas.map(|beta| 1.0 - beta.powi(t));
        self.step = Step {
            learning_rate,
            size: (learning_rate / correction[0]) as f32,
            root_correction: (1.0 / correction[1].sqrt()) as f32,
        };
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let (first, second) = (self.first.values(tensor), self.second.values(tensor));
        assert_eq!(parameters.len(), gradient.len());
        assert_eq!(first.len(), gradient.len());
        let Step {
            learning_rate,
            size,
            root_correction,
        } = self.step;
        let (new1, beta2, new2) = (
            (1.0 - self.betas[0]) as f32,
            self.betas[1] as f32,
            (1.0 - self.betas[1]) as f32,
        );
        let (epsilon, decay) = (self.epsilon, self.decay[tensor]);
        let (coupled, shrink) = match self.kind {
            DecayKind::Coupled => (decay, 1.0),
            DecayKind::Decoupled => (0.0, (1.0 - learning_rate * f64::from(decay)) as f32),
        };
        for (((w, &g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
            let g = g + coupled * *w;
            *m += new1 * (g - *m);
            *v = beta2 * *v + new2 * g * g;
            *w = shrink * *w - size * *m / (v.sqrt() * root_correction + epsilon);
        }
    }

    fn state(&self) -> Vec<StateTensor> {
        [self.first.tensors(), self.second.tensors()].concat()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        buffers::load(&mut [&mut self.first, &mut self.second], state)
    }
}
