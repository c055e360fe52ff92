//! Concurrent adversarial learning: the examples of a coming step are moved while this step's gradient is computed.
//!
//! Y. Liu et al., "Concurrent Adversarial Learning for Large-Batch Training" (arXiv 2106.00221):
//!
//! ```text
//! x̃ = x + ε·dir(∇_x L(w_{t−τ}; x, y))
//! L̃ = α·L(w_t; x, y) + (1 − α)·L(w_t; x̃, y)
//! ```
//!
//! Since `x̃` comes from weights τ steps old, it need not wait for the step before: the critical path of a step is that of the
//! mixed gradient alone. As in DisAdv, α = 1/2 is half of their plain sum, and batch norm's statistics of `x̃` are kept apart.
//!
//! The weights are those of a stated step, copied when it begins, never whatever memory holds; in the first τ steps, those the
//! run began with. So `x̃` is a function of the step: the same on any number of threads, and after a checkpoint, which holds
//! the copies. Where the next step's batch is not the one that was foreseen, as where batches grow, it is made when it is
//! needed, from the same weights.

use std::collections::{BTreeMap, VecDeque};

use batchscope_core::{
    Descriptor, Kind, LossSum, Mode, Network, NetworkError, Parameter, ParameterDefault,
    SettingError, StateTensor, StepBatch,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{
    Extra, MethodKind, Part,
    attack::{self, Attack, Mixture},
};
use crate::{BatchStream, GradientSource, TrainError};

pub(super) static CONADV: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "conadv",
        aliases: &[],
        about: "As disadv, the examples moved by older weights on threads of their own",
        source: "Liu et al. 2021, arXiv 2106.00221",
        parameters: &[
            attack::EPSILON,
            attack::NORM,
            attack::CLEAN_WEIGHT,
            Parameter {
                name: "staleness",
                about: "Age of the weights that move the examples, τ, in steps",
                kind: Kind::Whole(1, 64),
                default: ParameterDefault::Whole(1),
            },
            Parameter {
                name: "threads",
                about: "How many of the run's threads move examples, at most all but one; a third where not said, on a single thread one after the other",
                kind: Kind::Whole(1, 1024),
                default: ParameterDefault::Absent,
            },
        ],
    },
    check: attack::check,
    part: Part::Gradient(|choice, parts| {
        let (stream, network) = (parts.beside)()?;
        Ok(Box::new(ConcurrentSource {
            stream: parts.stream,
            mixture: Mixture::of(choice, true),
            attacker: Attacker {
                stream,
                network,
                attack: Attack::of(choice),
                slope: Vec::new(),
            },
            staleness: choice.whole("staleness").unwrap_or(1) as usize,
            threads: choice.whole("threads"),
            sides: None,
            stale: VecDeque::new(),
            step: None,
            current: Moved::default(),
            coming: Moved::default(),
        }))
    }),
    beside: |choice| Extra {
        networks: 1,
        weights: choice.whole("staleness").unwrap_or(1),
    },
};

/// The weights of a step, tensor by tensor.
type Weights = Vec<Vec<f32>>;

/// The gradient of the mixed loss on clean examples and on those moved by older weights.
struct ConcurrentSource<'a> {
    stream: BatchStream<'a>,
    mixture: Mixture,
    attacker: Attacker<'a>,
    /// τ, at least 1.
    staleness: usize,
    threads: Option<u64>,
    /// Made at the first step, when the number of threads is known.
    sides: Option<Sides>,
    /// The weights of the last τ steps, the oldest first.
    stale: VecDeque<Weights>,
    /// The last step whose weights are among them.
    step: Option<u64>,
    /// Its examples, moved.
    current: Moved,
    /// Those of the step after it, as far as is known.
    coming: Moved,
}

/// Moves examples by weights that are not those in training.
struct Attacker<'a> {
    stream: BatchStream<'a>,
    network: Box<dyn Network>,
    attack: Attack,
    /// Gradient with respect to the inputs of a micro-batch, reused.
    slope: Vec<f32>,
}

/// The examples of this replica's part of a step, moved.
#[derive(Default)]
struct Moved {
    /// Whose they are; `None` for nobody's.
    step: Option<StepBatch>,
    values: Vec<f32>,
}

/// The two sides of a step.
enum Sides {
    /// There is one thread: one after the other.
    OneThread,
    /// Each on threads of its own.
    Apart {
        gradient: ThreadPool,
        attack: ThreadPool,
    },
}

impl Sides {
    /// Shares the threads of whoever calls; `attack` of them move examples, and at least one does not.
    fn of_here(attack: Option<u64>) -> Result<Self, TrainError> {
        let all = rayon::current_num_threads();
        if all < 2 {
            return Ok(Self::OneThread);
        }
        // Two passes forward and back on one side, and one without the gradients of weights on the other.
        let usual = (all / 3).max(1);
        let attack = attack.map_or(usual, |n| (n as usize).min(all - 1));
        let pool = |name: &'static str, threads: usize| {
            let built = ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("{name}-{index}"))
                .build();
            built.map_err(|e| {
                SettingError::new("method", format!("conadv finds no threads to run in: {e}"))
            })
        };
        Ok(Self::Apart {
            gradient: pool("gradient", all - attack)?,
            attack: pool("attack", attack)?,
        })
    }

    /// Does both, at the same time where there are threads for it.
    fn both<A: Send, B: Send>(
        &self,
        gradient: impl FnOnce() -> A + Send,
        attack: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match self {
            Self::OneThread => (gradient(), attack()),
            Self::Apart {
                gradient: of_gradient,
                attack: of_attack,
            } => {
                let mut moved = None;
                let sum = of_attack.in_place_scope(|scope| {
                    scope.spawn(|_| moved = Some(attack()));
                    of_gradient.install(gradient)
                });
                (sum, moved.expect("the scope waits for it"))
            }
        }
    }
}

impl Attacker<'_> {
    /// Moves the examples of a step by these weights.
    fn shift(
        &mut self,
        weights: &Weights,
        step: StepBatch,
        moved: &mut Moved,
    ) -> Result<(), TrainError> {
        let Self {
            stream,
            network,
            attack,
            slope,
        } = self;
        moved.step = None;
        moved.values.clear();
        let share = stream.portions().share(step.batch_size);
        network.visit(&mut |tensor, parameters, _| parameters.copy_from_slice(&weights[tensor]))?;
        network.begin_step(step.batch_size);
        for positions in stream.portions().micro_batches(step.batch_size) {
            let batch = stream.fill(step, positions);
            network.input_gradient(batch, Mode::Training, slope)?;
            let (examples, values) = (batch.len, attack::values(batch));
            attack.shift(values, slope, examples);
            if moved.values.is_empty() {
                let all = (share.end - share.start) as usize * (values.len() / examples);
                moved.values.reserve_exact(all);
            }
            moved.values.extend_from_slice(values);
        }
        moved.step = Some(step);
        Ok(())
    }
}

impl ConcurrentSource<'_> {
    /// Takes a copy of the weights, in place of the oldest of τ.
    fn remember(&mut self, network: &mut dyn Network) -> Result<(), TrainError> {
        let mut weights = match self.stale.len() < self.staleness {
            true => Weights::new(),
            false => self.stale.pop_front().unwrap_or_default(),
        };
        network.visit(&mut |tensor, parameters, _| match weights.get_mut(tensor) {
            Some(copy) => copy.copy_from_slice(parameters),
            None => weights.push(parameters.to_vec()),
        })?;
        self.stale.push_back(weights);
        Ok(())
    }

    /// Goes over to a step that has not been seen: its examples are moved, its weights copied.
    fn begin(&mut self, network: &mut dyn Network, step: StepBatch) -> Result<(), TrainError> {
        let held = step.step.min(self.staleness as u64);
        if self.stale.len() as u64 != held {
            let why = "the run goes on without the weights of the steps before: begin it again";
            return Err(TrainError::Refused(why.to_owned()));
        }
        self.step = None;
        std::mem::swap(&mut self.current, &mut self.coming);
        self.coming.step = None;
        if held == 0 {
            self.remember(network)?;
        }
        if self.current.step != Some(step) {
            (self.attacker).shift(&self.stale[0], step, &mut self.current)?;
        }
        if held > 0 {
            self.remember(network)?;
        }
        self.step = Some(step.step);
        Ok(())
    }
}

impl GradientSource for ConcurrentSource<'_> {
    fn gradient(
        &mut self,
        network: &mut dyn Network,
        step: StepBatch,
    ) -> Result<LossSum, TrainError> {
        // A step of several gradients keeps its examples.
        if self.step != Some(step.step) || self.current.step != Some(step) {
            self.begin(network, step)?;
        }
        if self.sides.is_none() {
            self.sides = Some(Sides::of_here(self.threads)?);
        }
        let Self {
            stream,
            mixture,
            attacker,
            stale,
            current,
            coming,
            sides: Some(sides),
            ..
        } = self
        else {
            unreachable!("made above")
        };
        let first = stream.portions().share(step.batch_size).start;
        let moved = &current.values;
        let mut mixed = || {
            mixture.gradient(network, stream, step, |_, batch, positions| {
                let (examples, values) = (batch.len, attack::values(batch));
                let from = (positions.start - first) as usize * (values.len() / examples);
                let len = values.len();
                values.copy_from_slice(&moved[from..from + len]);
                Ok(())
            })
        };
        let next = StepBatch {
            step: step.step + 1,
            first_draw: step.first_draw.saturating_add(step.batch_size),
            batch_size: step.batch_size,
        };
        if coming.step == Some(next) {
            return mixed();
        }
        let (sum, shifted) = sides.both(mixed, || attacker.shift(&stale[0], next, coming));
        shifted?;
        sum
    }

    fn state(&self) -> Vec<StateTensor> {
        let tensors = &self.attacker.network.layout().tensors;
        let of_step = |(age, weights): (usize, &Weights)| {
            let named = tensors.iter().zip(weights.clone());
            let state = named.map(|(tensor, values)| StateTensor {
                name: stale_name(age, &tensor.name),
                shape: tensor.shape.clone(),
                values,
            });
            state.collect::<Vec<_>>()
        };
        self.stale.iter().enumerate().flat_map(of_step).collect()
    }

    fn state_len(&self) -> u64 {
        (self.staleness * self.attacker.network.layout().parameters()) as u64
    }

    fn load(&mut self, state: &[StateTensor]) -> Result<(), NetworkError> {
        let tensors = &self.attacker.network.layout().tensors;
        let mut given: BTreeMap<&str, &StateTensor> = BTreeMap::new();
        given.extend(state.iter().map(|tensor| (tensor.name.as_str(), tensor)));
        let mut stale = VecDeque::new();
        while !given.is_empty() && stale.len() < self.staleness {
            let of_step = tensors.iter().map(|tensor| {
                let name = stale_name(stale.len(), &tensor.name);
                match given.remove(name.as_str()) {
                    Some(found) if found.shape == tensor.shape => Ok(found.values.clone()),
                    _ => Err(NetworkError::State(format!(
                        "tensor {name} is missing, or of another shape"
                    ))),
                }
            });
            stale.push_back(of_step.collect::<Result<Weights, _>>()?);
        }
        if let Some(name) = given.keys().next() {
            return Err(NetworkError::State(format!(
                "tensor {name} is none of its own"
            )));
        }
        self.stale = stale;
        self.step = None;
        self.current.step = None;
        self.coming.step = None;
        Ok(())
    }
}

/// The name of a tensor in a checkpoint, of the oldest weights first.
fn stale_name(place: usize, tensor: &str) -> String {
    format!("stale.{place}.{tensor}")
}
