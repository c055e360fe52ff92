//! Examples moved against their labels, and the loss on them and on the clean ones: what adversarial methods share.

use std::ops::Range;

use batchscope_core::{
    Batch, Choice, DataShape, InputShape, Inputs, Kind, LossSum, Network, NormStatistics,
    Parameter, ParameterDefault, Range as Numbers, SettingError, StepBatch,
};

use crate::{BatchStream, TrainError};

/// ε where a method says nothing else: that of Goodfellow et al. 2015 for CIFAR-10.
const USUAL_EPSILON: f64 = 0.1;

const L2: &str = "l2";

/// ε of the methods whose norm can be chosen.
pub(crate) const EPSILON: Parameter = Parameter {
    name: "epsilon",
    about: "How far every input value moves, ε, 0.1 where not said; by l2, how far the example does, which must be said",
    kind: Kind::Number(Numbers::POSITIVE),
    default: ParameterDefault::Absent,
};

/// The norm of the move.
pub(crate) const NORM: Parameter = Parameter {
    name: "norm",
    about: "Along the gradient's signs, or along the gradient of each example at length ε",
    kind: Kind::Word(&["sign", L2]),
    default: ParameterDefault::Text("sign"),
};

/// α of the mixed loss.
pub(super) const CLEAN_WEIGHT: Parameter = Parameter {
    name: "clean_weight",
    about: "Weight of the clean loss, α",
    kind: Kind::Number(Numbers::UNIT),
    default: ParameterDefault::Number(0.5),
};

/// Refuses data whose inputs cannot be moved by a little, and a length that nobody has said.
pub(super) fn check(choice: &Choice, shape: &DataShape) -> Result<(), TrainError> {
    check_as("method", choice, shape)
}

/// The same, of a choice that is made by this key.
pub(crate) fn check_as(
    key: &'static str,
    choice: &Choice,
    shape: &DataShape,
) -> Result<(), TrainError> {
    let refused = |why: &str| Err(SettingError::new(key, why).into());
    if matches!(shape.input, InputShape::Tokens { .. }) {
        return refused(
            "adversarial examples move input values by a little, and tokens cannot be: leave them \
             out for text",
        );
    }
    if choice.text("norm") == Some(L2) && choice.number("epsilon").is_none() {
        let name = choice.name();
        return refused(&format!(
            "{name} moves examples by a length in the l2 norm that depends on their size: say it, \
             as in {name}(epsilon=1, norm=l2)"
        ));
    }
    Ok(())
}

/// How an example is moved: `x̃ = x + ε·dir(∇_x J(θ, x, y))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attack {
    /// How far, ε, above 0, in the units the network sees: standard deviations of the training inputs, where those are
    /// standardized.
    pub epsilon: f64,
    /// In which direction.
    pub norm: AttackNorm,
}

/// The direction of the steepest rise of a linear function, within a ball of a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttackNorm {
    /// `dir(g) = sign(g)`: every value moves by ε.
    Sign,
    /// `dir(g) = g/‖g‖₂`, example by example: the example moves by ε.
    L2,
}

impl Attack {
    /// The attack of a method.
    pub(crate) fn of(choice: &Choice) -> Self {
        Self {
            epsilon: choice.number("epsilon").unwrap_or(USUAL_EPSILON),
            norm: match choice.text("norm") {
                Some(L2) => AttackNorm::L2,
                _ => AttackNorm::Sign,
            },
        }
    }

    /// Moves `examples` examples by the gradient of their losses. A value without a slope, which is neither above nor below
    /// 0, stays where it is.
    pub fn shift(&self, x: &mut [f32], gradient: &[f32], examples: usize) {
        match self.norm {
            AttackNorm::Sign => step_by_sign(x, gradient, self.epsilon as f32),
            AttackNorm::L2 => {
                let each = (x.len() / examples.max(1)).max(1);
                for (x, g) in x.chunks_mut(each).zip(gradient.chunks(each)) {
                    let length = g.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
                    if length > 0.0 && length.is_finite() {
                        let factor = (self.epsilon / length) as f32;
                        x.iter_mut().zip(g).for_each(|(x, g)| *x += factor * g);
                    }
                }
            }
        }
    }
}

/// `x ← x + ε·sign(g)`, with sign 0 of what is neither above nor below 0.
fn step_by_sign(x: &mut [f32], g: &[f32], epsilon: f32) {
    for (x, &g) in x.iter_mut().zip(g) {
        if g > 0.0 {
            *x += epsilon;
        } else if g < 0.0 {
            *x -= epsilon;
        }
    }
}

/// The loss on clean examples and on moved ones: `α·J(θ, x, y) + (1 − α)·J(θ, x̃, y)`, with `x̃` held fixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    /// Weight of the clean loss, α, in [0, 1].
    pub clean_weight: f64,
    /// Batch norm's running statistics of the moved examples are kept apart: mixed batch norm.
    pub mixed_norm: bool,
}

impl Mixture {
    /// The mixture of a method.
    pub(super) fn of(choice: &Choice, mixed_norm: bool) -> Self {
        Self {
            clean_weight: choice.number("clean_weight").unwrap_or(0.5),
            mixed_norm,
        }
    }

    /// Fills the network's window with this replica's part of the gradient, micro-batch by micro-batch. `shift` moves the
    /// examples at some positions of the step.
    pub(super) fn gradient(
        self,
        network: &mut dyn Network,
        stream: &mut BatchStream<'_>,
        step: StepBatch,
        mut shift: impl FnMut(&mut dyn Network, &mut Batch, Range<u64>) -> Result<(), TrainError>,
    ) -> Result<LossSum, TrainError> {
        let share = self.clean_weight;
        let scale = f64::from(stream.scale(step));
        network.begin_step(step.batch_size);
        let mut sum = LossSum::default();
        for positions in stream.portions().micro_batches(step.batch_size) {
            let batch = stream.fill(step, positions.clone());
            let clean = network.accumulate(batch, (share * scale) as f32)?;
            shift(network, batch, positions)?;
            if self.mixed_norm {
                network.collect_statistics(NormStatistics::Auxiliary);
            }
            let moved = network.accumulate(batch, ((1.0 - share) * scale) as f32)?;
            network.collect_statistics(NormStatistics::Main);
            sum.loss += share * clean.loss + (1.0 - share) * moved.loss;
            sum.weight += clean.weight;
        }
        Ok(sum)
    }
}

/// The values of a batch whose inputs are no tokens, which [`check`] has seen to.
pub(crate) fn values(batch: &mut Batch) -> &mut Vec<f32> {
    match &mut batch.inputs {
        Inputs::Values(values) => values,
        Inputs::Tokens(_) => unreachable!("checked: adversarial methods refuse tokens"),
    }
}
