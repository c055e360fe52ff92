//! Schedule-free SGD and AdamW: an average of the run in place of a decaying learning rate.
//!
//! A. Defazio et al., "The Road Less Scheduled", NeurIPS 2024 (arXiv 2405.15682), algorithm 1. Gradients are taken at
//! `y`, between the sequence `z` of plain steps and its average `x`; a run is judged by `x`. With `γ` the learning rate,
//! `λ` the weight decay, and `d` the gradient at `y` (SGD) or `g/(√v̂ + ε)` (AdamW):
//!
//! ```text
//! y = (1 − β)·z + β·x
//! z ← z − γ·(d + λ·y)
//! x ← (1 − c)·x + c·z,     c = w_t/Σ w,     w_t = t^r·(max γ so far)^p
//! ```
//!
//! The parameters in training are `y`, so `x = (y − (1 − β)·z)/β` needs no memory of its own.
//!
//! What implementations do otherwise:
//!
//! | | weight `w_t` | second moment | decay at |
//! | --- | --- | --- | --- |
//! | the paper, SGD and AdamW | `γ²` with warm-up, so equal weights after it | `γ·√(1 − β₂ᵗ)` and no correction | `y` |
//! | the authors' `schedulefree` 1.4 | `t^r·(max γ)^p`, r = 0, p = 2 | corrected by `1 − β₂ᵗ` | `y` |
//! | optax 0.2 `contrib.schedule_free` | `(max γ)^p`, p = 2 | that of the optimizer inside | as it does |
//! | here | as the authors' code | as the authors' code | as the authors' code |
//!
//! The warm-up is the run's own. Batch norm's running statistics belong to `y`: for an evaluation at `x` they are
//! measured anew, on the training examples that evaluations look at.

use batchscope_core::{
    Choice, DecayPolicy, Descriptor, Kind, Parameter, ParameterDefault, ParameterKind,
    ParameterLayout, ParameterTensor, Range, StateTensor,
};
use batchscope_kernels as kernels;

use crate::{
    Optimizer, OptimizerKind, Rates, StateError, WORKSPACE,
    adam::{BETA1, BETA2, EPSILON},
    buffers::{self, Buffers},
    optimizer::{MOMENTUM, WEIGHT_DECAY, decay_table},
};

/// Both ends excluded: at 0 the average cannot be told from the parameters.
const BETWEEN: Kind = Kind::Number(Range::new(0.0, false, 1.0, false));

const POWER_OF_STEP: Parameter = Parameter {
    name: "r",
    about: "schedule-free: a step's weight in the average grows as this power of its number",
    kind: Kind::Number(Range::NOT_NEGATIVE),
    default: ParameterDefault::Number(0.0),
};
const POWER_OF_RATE: Parameter = Parameter {
    name: "weight_lr_power",
    about: "schedule-free: a step's weight in the average grows as this power of the learning rate",
    kind: Kind::Number(Range::NOT_NEGATIVE),
    default: ParameterDefault::Number(2.0),
};

/// What can be chosen.
pub(crate) static SGD: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "schedule_free_sgd",
        aliases: &["sgd_schedule_free"],
        about: "SGD judged by an average of the run, without a decaying rate",
        source: "Defazio et al. 2024, arXiv 2405.15682",
        parameters: &[
            Parameter {
                kind: BETWEEN,
                ..MOMENTUM
            },
            POWER_OF_STEP,
            POWER_OF_RATE,
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(1.0),
    build: |choice, layout, policy| Ok(Box::new(ScheduleFree::new(choice, layout, policy))),
};

/// What can be chosen.
pub(crate) static ADAMW: OptimizerKind = OptimizerKind {
    descriptor: Descriptor {
        name: "schedule_free_adamw",
        aliases: &["adamw_schedule_free"],
        about: "AdamW judged by an average of the run, without a decaying rate",
        source: "Defazio et al. 2024, arXiv 2405.15682",
        parameters: &[
            Parameter {
                kind: BETWEEN,
                ..BETA1
            },
            BETA2,
            EPSILON,
            POWER_OF_STEP,
            POWER_OF_RATE,
            WEIGHT_DECAY,
        ],
    },
    rates: Rates::around(0.0025),
    build: |choice, layout, policy| Ok(Box::new(ScheduleFree::new(choice, layout, policy))),
};

/// Schedule-free SGD, or AdamW where there is a second moment.
#[derive(Debug, Clone)]
pub struct ScheduleFree {
    /// β: momentum, or β₁.
    beta: f64,
    powers: [f64; 2],
    decay: Vec<f64>,
    /// `z`, the parameters at first.
    sequence: Buffers,
    second: Option<(kernels::SecondMoment, Buffers)>,
    /// What the weights are made of: [`Sums`].
    sums: Buffers,
    /// The step under way.
    step: Step,
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    learning_rate: f64,
    /// `c`.
    weight: f64,
    /// The sequence still has to start from the parameters.
    is_first: bool,
}

/// The largest rate so far, and the sum of the weights in two numbers of single precision, so that it is stored as it
/// is: the second is what the first has lost. All are 0 before the first step; the last number is 1 from then on.
struct Sums<'a>(&'a mut [f32]);

impl Sums<'_> {
    const LEN: usize = 4;

    /// Begins a step; returns its weight in the average, and whether it is the first.
    fn begin(&mut self, learning_rate: f64, number: f64, [r, p]: [f64; 2]) -> (f64, bool) {
        let [largest, high, low, begun] = self.0 else {
            unreachable!("made with so many numbers");
        };
        let is_first = *begun == 0.0;
        *begun = 1.0;
        // A rate that is not a number stays one, for the loop to see in the weights.
        *largest = if learning_rate.is_nan() {
            f32::NAN
        } else {
            largest.max(learning_rate as f32)
        };
        let weight = number.powf(r) * f64::from(*largest).powf(p);
        let sum = f64::from(*high) + f64::from(*low) + weight;
        *high = sum as f32;
        *low = (sum - f64::from(*high)) as f32;
        // Rates of 0 so far: nothing has moved.
        (if sum == 0.0 { 0.0 } else { weight / sum }, is_first)
    }
}

impl ScheduleFree {
    /// For a layout, from the settings of the descriptor.
    fn new(choice: &Choice, layout: &ParameterLayout, policy: DecayPolicy) -> Self {
        let number = |key: &str| choice.number(key).unwrap_or(0.0);
        let second = choice.number("beta2").map(|beta2| kernels::SecondMoment {
            beta2,
            epsilon: number("epsilon"),
            step: 1,
        });
        let sums = ParameterLayout {
            tensors: vec![ParameterTensor {
                name: "average".to_owned(),
                shape: vec![Sums::LEN],
                kind: ParameterKind::Bias,
            }],
        };
        Self {
            beta: choice.number("momentum").unwrap_or_else(|| number("beta1")),
            powers: ["r", "weight_lr_power"].map(number),
            decay: decay_table(policy, layout, number("weight_decay")),
            sequence: Buffers::zeros("sequence", layout),
            second: second.map(|second| (second, Buffers::zeros("second_moment", layout))),
            sums: Buffers::zeros("weights", &sums),
            step: Step::default(),
        }
    }
}

/// `x = y + (1 − 1/β)·(z − y)`, in the place of `y`.
fn average(beta: f64, parameters: &mut [f32], sequence: &[f32]) {
    let beyond = (1.0 - 1.0 / beta) as f32;
    for (y, z) in parameters.iter_mut().zip(sequence) {
        *y += beyond * (z - *y);
    }
}

impl Optimizer for ScheduleFree {
    fn begin_step(&mut self, learning_rate: f64, step: u64) {
        let number = step.saturating_add(1);
        let mut sums = Sums(self.sums.values(0));
        let (weight, is_first) = sums.begin(learning_rate, number as f64, self.powers);
        self.step = Step {
            learning_rate,
            weight,
            is_first,
        };
        if let Some((second, _)) = &mut self.second {
            second.step = number;
        }
    }

    fn update(&mut self, tensor: usize, parameters: &mut [f32], gradient: &[f32]) {
        let sequence = self.sequence.values(tensor);
        if self.step.is_first {
            sequence.copy_from_slice(parameters);
        }
        let settings = kernels::ScheduleFree {
            learning_rate: self.step.learning_rate,
            momentum: self.beta,
            weight: self.step.weight,
            weight_decay: self.decay[tensor],
        };
        let second = self
            .second
            .as_mut()
            .map(|(second, moments)| (*second, moments.values(tensor)));
        kernels::schedule_free_step(&WORKSPACE, settings, parameters, sequence, gradient, second)
            .expect("settings were checked by `new`, and the tensors are the layout's");
    }

    fn averages(&self) -> bool {
        true
    }

    fn average(&self, tensor: usize, parameters: &mut [f32]) {
        if self.sums.tensors()[0].values[Sums::LEN - 1] != 0.0 {
            average(
                self.beta,
                parameters,
                &self.sequence.tensors()[tensor].values,
            );
        }
    }

    fn state(&self) -> Vec<StateTensor> {
        let second = self
            .second
            .iter()
            .flat_map(|(_, moments)| moments.tensors());
        let all = self.sequence.tensors().iter().chain(second);
        all.chain(self.sums.tensors()).cloned().collect()
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), StateError> {
        let mut all = vec![&mut self.sequence];
        all.extend(self.second.as_mut().map(|(_, moments)| moments));
        all.push(&mut self.sums);
        buffers::load(&mut all, state)
    }
}
