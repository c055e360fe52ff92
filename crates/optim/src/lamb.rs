//! LAMB: Adam whose step is a fixed fraction of each layer's weights.
//!
//! Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020
//! (arXiv 1904.00962), algorithm 2. With Adam's moments `m`, `v`, and `λ` the weight decay:
//!
//! ```text
//! u = m̂ / (√v̂ + ε) + λ·w
//! w ← w − η·φ(‖w‖)/‖u‖·u             (the ratio is 1 where ‖w‖ or ‖u‖ is 0)
//! ```
//!
//! What implementations do otherwise:
//!
//! | | bias correction | `φ(‖w‖)` | gradient | not adapted |
//! | --- | --- | --- | --- | --- |
//! | the paper, version 5 | yes | `‖w‖` clamped to a range that is not given | as it is | not said |
//! | the authors' TensorFlow code | yes | `‖w‖` | as it is | named tensors |
//! | timm 1.0 `Lamb` | on by default | `‖w‖`; the ratio at most 1 with `trust_clip` | global norm clipped to 1 | tensors without weight decay |
//! | optax 0.2 `lamb` | yes | `‖w‖` | as it is | none |
//! | Shacklett et al. 2021 (arXiv 2103.07013) | yes | `‖w‖`, at most 10; the ratio from 0.01 to 100 | global norm clipped | biases and Fixup's scalars |
//! | here | `bias_correction`, on | `‖w‖`, at most `clamp` where that is given; the ratio from `min_trust` to its inverse | as it is; `--clip` clips | biases and normalizations, always |
//!
//! Biases and normalizations take Adam's step without decay. ε is 1e-6, as in the paper and everywhere above.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterLayout,
    ParameterTensor, Range, StateTensor,
};
use batchscope_kernels as kernels;

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    adam::{self, BETA1, BETA2, EPSILON},
    buffers::{self, Buffers},
    optimizer::{WEIGHT_DECAY, decay_table, is_adapted},
};

/// What can be chosen.
pub(crate) static LAMB: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "lamb",
        aliases: &[],
        about: "Adam with steps in proportion to each layer's weights",
        source: "You et al. 2020, arXiv 1904.00962",
        parameters: &[
            BETA1,
            BETA2,
            Parameter {
                default: ParameterDefault::Number(1e-6),
                ..EPSILON
            },
            Parameter {
                name: "bias_correction",
                about: "lamb: divide the moments by 1 − βᵗ",
                kind: Kind::Switch,
                default: ParameterDefault::Switch(true),
            },
            Parameter {
                name: "clamp",
                about: "lamb: largest norm of a layer's weights that steps go by; 0 for any",
                kind: Kind::Number(Range::NOT_NEGATIVE),
                default: ParameterDefault::Number(0.0),
            },
            Parameter {
                name: "min_trust",
                about: "lamb: the ratio of weights to update counts from this to its inverse; 0 for any",
                kind: Kind::Number(Range::FRACTION),
                default: ParameterDefault::Number(0.0),
            },
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(0.01),
    build: |choice, layout, policy| Ok(Box::new(Lamb::new(choice, layout, policy))),
};

/// LAMB.
#[derive(Debug, Clone)]
pub struct Lamb {
    settings: kernels::Adam,
    corrected: bool,
    /// Largest norm that counts; infinite for any.
    clamp: f64,
    /// Least and largest ratio of weights to update.
    trusted: [f64; 2],
    decay: Vec<f64>,
    adapted: Vec<bool>,
    first: Buffers,
    second: Buffers,
    /// The update of a tensor, before its size is known.
    scratch: Vec<f32>,
    /// The update under way, counted from 1.
    update: u64,
}

impl Lamb {
    /// LAMB for a layout, from the settings of the descriptor.
    fn new(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let number = |key: &str| choice.number(key).unwrap_or(0.0);
        let clamp = number("clamp");
        let least = number("min_trust");
        Self {
            settings: adam::constants(choice, true),
            corrected: choice.is_on("bias_correction"),
            clamp: if clamp > 0.0 { clamp } else { f64::INFINITY },
            // One over zero: any.
            trusted: [least, 1.0 / least],
            decay: decay_table(policy, layout, number("weight_decay")),
            adapted: layout.tensors.iter().map(is_adapted).collect(),
            first: Buffers::zeros("first_moment", layout),
            second: Buffers::zeros("second_moment", layout),
            scratch: vec![
                0.0;
                layout
                    .tensors
                    .iter()
                    .map(ParameterTensor::len)
                    .max()
                    .unwrap_or(0)
            ],
            update: 1,
        }
    }
}

impl Optimizer for Lamb {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        self.settings.learning_rate = learning_rate;
        self.update = step.saturating_add(1);
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let settings = kernels::Adam {
            weight_decay: self.decay[tensor],
            ..self.settings
        };
        let (adapted, clamp, [least, largest]) = (self.adapted[tensor], self.clamp, self.trusted);
        let trust = |norms: kernels::SquaredNorms| {
            let (weights, update) = (norms.weights.sqrt().min(clamp), norms.other.sqrt());
            match adapted && weights > 0.0 && update > 0.0 {
                true => (weights / update).clamp(least, largest),
                false => 1.0,
            }
        };
        kernels::lamb_step(
            &WORKSPACE,
            settings,
            (self.update, self.corrected),
            trust,
            parameters,
            self.first.values(tensor),
            self.second.values(tensor),
            gradient,
            &mut self.scratch[..gradient.len()],
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
