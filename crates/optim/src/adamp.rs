//! AdamP and SGDP: Adam and SGD without the part of a step along the weights, where that only changes their scale.
//!
//! B. Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", ICLR 2021
//! (arXiv 2006.08217), algorithms 1 and 2. With `u` the direction of SGD or Adam, for each channel of a tensor and, if
//! that does not hold, for the tensor as a whole:
//!
//! ```text
//! if max |cos(g, w)| < δ/√n:   u ← u − ŵ·(ŵ·u),   ŵ = w/(‖w‖ + ε);   λ ← ρ·λ
//! w ← (1 − η·λ)·w − η·u                    (AdamP)
//! w ← (1 − η·λ/(1 − m))·w − η·u            (SGDP)
//! ```
//!
//! `n` are the elements of a channel or of the tensor, δ = 0.1 and ρ = 0.1. Weights before a normalization have
//! gradients orthogonal to themselves, and a step along them only makes the next ones smaller.
//!
//! What implementations do otherwise:
//!
//! | | projected tensors | SGDP's velocity |
//! | --- | --- | --- |
//! | the paper | all; it names convolutions before a normalization | as it is |
//! | the authors' `adamp` 0.3 | those of two dimensions and more, by the first | takes over the projected direction, without Nesterov's look-ahead |
//! | timm 1.0 | the same | as it is |
//! | here | matrices by output, kernels by output channel, embeddings by token | as it is |
//!
//! The velocity is the paper's: with the look-ahead the authors' code agrees, so the other is taken for an accident of
//! updating in place.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterKind,
    ParameterLayout, ParameterTensor, Range, StateTensor,
};
use batchscope_kernels::{self as kernels, Channels, Projection};

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    adam::{self, BETA1, BETA2, EPSILON},
    buffers::{self, Buffers},
    optimizer::{MOMENTUM, NESTEROV, WEIGHT_DECAY, decay_table, is_adapted},
};

const DELTA: Parameter = Parameter {
    name: "delta",
    about: "adamp, sgdp: project where the cosine of gradient and weights is below this over √n",
    kind: Kind::Number(Range::NOT_NEGATIVE),
    default: ParameterDefault::Number(0.1),
};
const DECAY_RATIO: Parameter = Parameter {
    name: "decay_ratio",
    about: "adamp, sgdp: factor of the weight decay of tensors that are projected",
    kind: Kind::Number(Range::NOT_NEGATIVE),
    default: ParameterDefault::Number(0.1),
};

/// What can be chosen.
pub(crate) static ADAMP: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "adamp",
        aliases: &[],
        about: "AdamW without the part of a step that only scales the weights",
        source: "Heo et al. 2021, arXiv 2006.08217",
        parameters: &[
            BETA1,
            BETA2,
            EPSILON,
            NESTEROV,
            DELTA,
            DECAY_RATIO,
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(0.001),
    build: |choice, layout, policy| Ok(Box::new(Projected::new(choice, true, layout, policy))),
};

/// What can be chosen.
pub(crate) static SGDP: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "sgdp",
        aliases: &[],
        about: "SGD without the part of a step that only scales the weights",
        source: "Heo et al. 2021, arXiv 2006.08217",
        parameters: &[MOMENTUM, NESTEROV, DELTA, DECAY_RATIO, WEIGHT_DECAY],
    },
    rates: Rates::around(0.02),
    build: |choice, layout, policy| Ok(Box::new(Projected::new(choice, false, layout, policy))),
};

/// ε of SGDP, which takes none.
const SGDP_EPSILON: f64 = 1e-8;

/// AdamP or SGDP.
#[derive(Debug, Clone)]
pub struct Projected {
    settings: kernels::Adam,
    momentum: f64,
    projection: Projection,
    decay: Vec<f64>,
    /// How each tensor is cut, and whether it is projected.
    channels: Vec<(Channels, bool)>,
    first: Buffers,
    /// Of Adam.
    second: Option<Buffers>,
    scratch: Vec<f32>,
    /// The update under way, counted from 1.
    update: u64,
}

impl Projected {
    /// AdamP or SGDP for a layout, from the settings of the descriptor.
    fn new(choice: &Choice, adam: bool, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let number = |key: &str| choice.number(key).unwrap_or(0.0);
        let channels: Vec<(Channels, bool)> = layout
            .tensors
            .iter()
            .map(|tensor| (channels(tensor), is_adapted(tensor)))
            .collect();
        let scratch = layout
            .tensors
            .iter()
            .zip(&channels)
            .map(|(tensor, (channels, _))| {
                kernels::projection_scratch(tensor.len() / channels.row.max(1), *channels)
            });
        Self {
            settings: adam::constants(choice, true),
            momentum: number("momentum"),
            projection: Projection {
                delta: number("delta"),
                decay_ratio: number("decay_ratio"),
                nesterov: choice.is_on("nesterov"),
                epsilon: if adam {
                    number("epsilon")
                } else {
                    SGDP_EPSILON
                },
            },
            decay: decay_table(policy, layout, number("weight_decay")),
            scratch: vec![0.0; scratch.max().unwrap_or(0)],
            channels,
            first: Buffers::zeros(if adam { "first_moment" } else { "momentum" }, layout),
            second: adam.then(|| Buffers::zeros("second_moment", layout)),
            update: 1,
        }
    }
}

/// Channels by output; of what is not projected, one.
fn channels(tensor: &ParameterTensor) -> Channels {
    match (tensor.kind, tensor.shape.as_slice()) {
        (ParameterKind::Matrix, [_, outputs]) => Channels {
            row: *outputs,
            by_rows: false,
        },
        (ParameterKind::Kernel | ParameterKind::Embedding, [first, ..]) => Channels {
            row: tensor.len() / (*first).max(1),
            by_rows: true,
        },
        _ => Channels {
            row: tensor.len(),
            by_rows: true,
        },
    }
}

impl Optimizer for Projected {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        self.settings.learning_rate = learning_rate;
        self.update = step.saturating_add(1);
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let (channels, is_projected) = self.channels[tensor];
        let projection = Projection {
            // No cosine is below 0.
            delta: if is_projected {
                self.projection.delta
            } else {
                0.0
            },
            ..self.projection
        };
        let weight_decay = self.decay[tensor];
        let rows = parameters.len() / channels.row.max(1);
        let scratch = &mut self.scratch[..kernels::projection_scratch(rows, channels)];
        let first = self.first.values(tensor);
        let updated = match &mut self.second {
            // Two passes over the many small tensors would cost as much as the large ones.
            Some(second) if !is_projected && !projection.nesterov => kernels::adam_step(
                &WORKSPACE,
                kernels::Adam {
                    weight_decay,
                    ..self.settings
                },
                self.update,
                parameters,
                first,
                second.values(tensor),
                gradient,
            ),
            Some(second) => {
                let settings = kernels::Adam {
                    weight_decay,
                    ..self.settings
                };
                kernels::adamp_step(
                    &WORKSPACE,
                    (settings, projection),
                    self.update,
                    channels,
                    parameters,
                    first,
                    second.values(tensor),
                    gradient,
                    scratch,
                )
            }
            None => {
                let settings = kernels::Sgd {
                    learning_rate: self.settings.learning_rate,
                    momentum: self.momentum,
                    weight_decay,
                    nesterov: projection.nesterov,
                    scale: 1.0,
                };
                kernels::sgdp_step(
                    &WORKSPACE,
                    (settings, projection),
                    channels,
                    parameters,
                    first,
                    gradient,
                    scratch,
                )
            }
        };
        updated.expect("settings were checked by `new`, and the tensors are the layout's");
    }

    fn state(&self) -> Vec<StateTensor> {
        let second = self.second.iter().flat_map(|second| second.tensors());
        self.first.tensors().iter().chain(second).cloned().collect()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        let mut all = vec![&mut self.first];
        all.extend(&mut self.second);
        buffers::load(&mut all, state)
    }
}
