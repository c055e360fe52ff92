//! Muon: momentum whose singular values are brought near 1, on matrices and kernels; AdamW on the rest.
//!
//! K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
//! (<https://kellerjordan.github.io/posts/muon/>); J. Liu et al., "Muon is Scalable for LLM Training", 2025 (arXiv
//! 2502.16982) for the scale and the weight decay. With `g` the mean gradient of a matrix, `μ` the momentum, `λ` the
//! weight decay:
//!
//! ```text
//! v ← μ·v + (1 − μ)·g
//! u = (1 − μ)·g + μ·v                 (with Nesterov's look-ahead; v without)
//! X = u/‖u‖;   five times   X ← a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X,   (a, b, c) = (3.4445, −4.7750, 2.0315)
//! w ← (1 − η·λ)·w − η·s·X
//! ```
//!
//! A kernel is the matrix of its output channels by everything else. AdamW's are the matrix that makes the network's
//! outputs, the head; kernels of one input channel (depthwise, or the first layer's on gray images), whose rows meet in
//! no sum; embeddings, biases and normalizations.
//!
//! What implementations do otherwise:
//!
//! | | scale `s` of a matrix with `o` outputs and `i` inputs | polynomial | numbers | AdamW's |
//! | --- | --- | --- | --- | --- |
//! | Jordan et al. | `√max(1, o/i)` | as above | bfloat16 | head and embeddings, by hand |
//! | Liu et al. | `0.2·√max(o, i)` | as above | bfloat16 | head and embeddings |
//! | PyTorch 2.15 `Muon` | `√max(1, o/i)`; the other by `adjust_lr_fn` | as above | bfloat16 | by hand |
//! | timm 1.0 `Muon` | `0.2·√max(o, i)`; the other by `adjust_lr_fn` | another at each step; this one as `original` | bfloat16 | kernels of one input channel, sides under 4, sides 128 times apart, the rest by hand; NAdamW's with the look-ahead |
//! | optax 0.2 `contrib.muon` | `√max(1, o/i)`; the other by `consistent_rms` | as above | single precision, moments corrected for their start | by hand |
//! | here | `0.2·√max(o, i)`; the other by `adjust_lr_fn` | as above | single precision | as said |
//!
//! `0.2·√max(o, i)` is the default because it makes a step as long as AdamW's are in practice, so that one learning rate
//! serves both kinds of tensors; with the other, matrices want a rate some ten times higher than AdamW's tensors.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterKind,
    ParameterLayout, ParameterTensor, StateTensor,
};
use batchscope_kernels as kernels;

use crate::{
    Adam, Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    adam::{BETA1, BETA2, EPSILON},
    buffers::{self, Buffers},
    optimizer::{MOMENTUM, NESTEROV, WEIGHT_DECAY, decay_table},
};

/// The scale under which one rate serves matrices and AdamW's tensors.
const MATCH_RMS: &str = "match_rms_adamw";

/// What can be chosen.
pub(crate) static MUON: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "muon",
        aliases: &[],
        about: "Momentum made nearly orthogonal on matrices, AdamW on the rest",
        source: "Jordan et al. 2024; Liu et al. 2025, arXiv 2502.16982",
        parameters: &[
            Parameter {
                default: ParameterDefault::Number(0.95),
                ..MOMENTUM
            },
            Parameter {
                default: ParameterDefault::Switch(true),
                ..NESTEROV
            },
            Parameter {
                name: "adjust_lr_fn",
                about: "Step of muon by a matrix's shape: 0.2·√max(outputs, inputs) or √max(1, outputs/inputs)",
                kind: Kind::Word(&[MATCH_RMS, "original"]),
                default: ParameterDefault::Text(MATCH_RMS),
            },
            BETA1,
            // What its authors and timm use beside it.
            Parameter {
                default: ParameterDefault::Number(0.95),
                ..BETA2
            },
            EPSILON,
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(0.002),
    build: |choice, layout, policy| Ok(Box::new(Muon::new(choice, layout, policy))),
};

/// Muon, and AdamW for what it leaves.
#[derive(Debug, Clone)]
pub struct Muon {
    momentum: f64,
    nesterov: bool,
    places: Vec<Place>,
    velocity: Buffers,
    others: Adam,
    learning_rate: f64,
}

/// Whose a tensor is.
#[derive(Debug, Clone)]
enum Place {
    Matrix {
        /// Among the matrices.
        index: usize,
        shape: [usize; 2],
        /// Factor of the learning rate.
        scale: f64,
        decay: f64,
    },
    /// Its number among those of AdamW.
    Other(usize),
}

impl Muon {
    /// Muon for a layout, from the settings of the descriptor.
    fn new(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let number = |key: &str| choice.number(key).unwrap_or(0.0);
        let decay = decay_table(policy, layout, number("weight_decay"));
        let matches_rms = choice.text("adjust_lr_fn") != Some("original");
        let muons = matrices(layout);
        let [mut matrices, mut others] = [ParameterLayout::default(), ParameterLayout::default()];
        let mut places = Vec::new();
        for (at, tensor) in layout.tensors.iter().enumerate() {
            match muons.iter().find(|matrix| matrix.tensor == at) {
                Some(matrix) => {
                    let shape = [tensor.shape[0], tensor.len() / tensor.shape[0]];
                    let [outputs, inputs] = [matrix.outputs as f64, matrix.inputs as f64];
                    places.push(Place::Matrix {
                        index: matrices.tensors.len(),
                        shape,
                        scale: if matches_rms {
                            0.2 * f64::max(outputs, inputs).sqrt()
                        } else {
                            (outputs / inputs).max(1.0).sqrt()
                        },
                        decay: decay[at],
                    });
                    matrices.tensors.push(tensor.clone());
                }
                None => {
                    places.push(Place::Other(others.tensors.len()));
                    others.tensors.push(tensor.clone());
                }
            }
        }
        Self {
            momentum: number("momentum"),
            nesterov: choice.is_on("nesterov"),
            places,
            velocity: Buffers::zeros("momentum", &matrices),
            others: Adam::new(choice, true, &others, policy),
            learning_rate: 0.0,
        }
    }
}

/// A tensor that Muon moves, as a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuonMatrix {
    /// The number of the tensor in its layout.
    pub tensor: usize,
    /// Its outputs.
    pub outputs: usize,
    /// Its inputs: of a kernel, the channels of all its places.
    pub inputs: usize,
    /// Its values lie input by input: those of all outputs together.
    pub by_inputs: bool,
}

/// The tensors of a layout that Muon moves: matrices and kernels of several input channels, but for the head.
pub fn matrices(layout: &ParameterLayout) -> Vec<MuonMatrix> {
    let head = layout.head();
    let all = layout.tensors.iter().enumerate();
    all.filter(|(at, _)| head != Some(*at))
        .filter_map(|(at, tensor)| matrix(at, tensor))
        .collect()
}

fn matrix(at: usize, tensor: &ParameterTensor) -> Option<MuonMatrix> {
    match (tensor.kind, tensor.shape.as_slice()) {
        (ParameterKind::Matrix, &[inputs, outputs]) => Some(MuonMatrix {
            tensor: at,
            outputs,
            inputs,
            by_inputs: true,
        }),
        (ParameterKind::Kernel, &[outputs, channels, ..]) if outputs > 0 && channels > 1 => {
            Some(MuonMatrix {
                tensor: at,
                outputs,
                inputs: tensor.len() / outputs,
                by_inputs: false,
            })
        }
        _ => None,
    }
}

impl Optimizer for Muon {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        self.learning_rate = learning_rate;
        self.others.begin_step(learning_rate, step);
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        match self.places[tensor] {
            Place::Matrix {
                index,
                shape,
                scale,
                decay,
            } => {
                let settings = kernels::Muon {
                    learning_rate: self.learning_rate,
                    scale,
                    momentum: self.momentum,
                    weight_decay: decay,
                    nesterov: self.nesterov,
                };
                let velocity = self.velocity.values(index);
                kernels::muon_step(&WORKSPACE, settings, shape, parameters, velocity, gradient)
                    .expect("settings were checked by `new`, and the tensors are the layout's");
            }
            Place::Other(index) => self.others.update(index, parameters, gradient),
        }
    }

    fn state(&self) -> Vec<StateTensor> {
        [self.velocity.tensors().to_vec(), self.others.state()].concat()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        let [first, second] = self.others.buffers();
        buffers::load(&mut [&mut self.velocity, first, second], state)
    }
}
