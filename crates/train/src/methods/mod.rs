//! How a step is made: one method a file, listed in [`METHODS`].
//!
//! A method replaces one part of a step. One that only changes which gradient a step takes is a
//! [`GradientSource`]; one that takes several gradients or updates is a [`StepMethod`]. A run may have
//! one of each.

mod adversarial;
mod conservative;
mod plain;

use batchscope_core::{
    Choice, ChoiceError, DataShape, Described, Descriptor, Group, LossSum, Network, NoiseRecord,
    Registry, SettingError, StepBatch, split_list,
};

pub use adversarial::AdversarialSource;
pub use conservative::Conservative;
pub use plain::Plain;

use crate::{BatchStream, GradientSource, Supervised, TrainError, UpdateRule};

/// Makes one optimizer step of gradients and updates.
pub trait StepMethod: Send {
    /// Changes the parameters as step `context.step` does, and returns the loss sum over this
    /// replica's part of the batch, at the parameters the step began with.
    ///
    /// Depends on the network, the update rule's memory and the step alone, so that a step may be done
    /// again from a checkpoint.
    ///
    /// # Errors
    /// When the network, its device or the group fails.
    fn take(&self, context: StepContext<'_>) -> Result<LossSum, TrainError>;
}

/// What a step is made with.
pub struct StepContext<'a> {
    /// The network in training.
    pub network: &'a mut dyn Network,
    /// Where gradients come from.
    pub source: &'a mut dyn GradientSource,
    /// How they change the parameters.
    pub rule: &'a mut dyn UpdateRule,
    /// The replicas that make the step together.
    pub group: &'a dyn Group,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Its number and its examples.
    pub step: StepBatch,
    /// Where gradient noise is recorded, if it is watched.
    pub noise: Option<NoiseWatch<'a>>,
}

/// The gradient noise of the steps since the last evaluation.
pub struct NoiseWatch<'a> {
    /// What they told so far.
    pub record: &'a mut Option<NoiseRecord>,
    /// Whether layers are kept apart.
    pub layers: bool,
}

/// A step method that can be chosen.
///
/// One of your own that moves the parameters on every other step only:
///
/// ```
/// use batchscope_core::{Choice, Descriptor, LossSum};
/// use batchscope_train::{MethodKind, Part, StepContext, StepMethod, TrainError};
///
/// struct EveryOther;
///
/// impl StepMethod for EveryOther {
///     fn take(&self, context: StepContext<'_>) -> Result<LossSum, TrainError> {
///         let StepContext { network, source, rule, group, learning_rate, step, .. } = context;
///         let loss = source.gradient(network, step)?;
///         if step.step % 2 == 0 {
///             rule.update(network, group, learning_rate, step.step / 2)?;
///         }
///         Ok(loss)
///     }
/// }
///
/// static EVERY_OTHER: MethodKind = MethodKind {
///     descriptor: Descriptor {
///         name: "every-other",
///         aliases: &[],
///         about: "Moves the parameters on every other step",
///         source: "",
///         parameters: &[],
///     },
///     check: |_| Ok(()),
///     part: Part::Step(|_| Box::new(EveryOther)),
/// };
/// # let _ = &EVERY_OTHER;
/// ```
pub struct MethodKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// Refuses data that it cannot train on.
    pub check: fn(&DataShape) -> Result<(), TrainError>,
    /// What of a step it is.
    pub part: Part,
}

/// The part of a step that a method is, made from parameters that its descriptor has checked.
pub enum Part {
    /// Where the gradient comes from.
    Gradient(MakeSource),
    /// What is done with gradients and updates.
    Step(fn(&Choice) -> Box<dyn StepMethod>),
}

/// Makes a gradient source on the examples of a stream.
pub type MakeSource = for<'a> fn(&Choice, BatchStream<'a>) -> Box<dyn GradientSource + 'a>;

impl Described for MethodKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Every step method there is.
pub static METHODS: Registry<MethodKind> = Registry {
    what: "step method",
    all: &[
        &plain::PLAIN,
        &adversarial::ADVERSARIAL,
        &conservative::CONSERVATIVE,
    ],
};

/// Reads methods: `adversarial(0.1), conservative(0.001, 3)`. Plain steps are no methods at all.
///
/// # Errors
/// When there is no such method, or a setting is wrong.
pub fn read_methods(text: &str) -> Result<Vec<Choice>, ChoiceError> {
    let mut methods = Vec::new();
    for item in split_list(text)? {
        let (kind, choice) = METHODS.read(item)?;
        if !std::ptr::eq(kind, &plain::PLAIN) {
            methods.push(choice);
        }
    }
    Ok(methods)
}

/// Refuses methods that cannot be combined, or cannot train on data of this shape.
///
/// # Errors
/// Naming the method.
pub fn check_methods(methods: &[Choice], shape: &DataShape) -> Result<(), TrainError> {
    let (mut gradient, mut step) = (None, None);
    for method in methods {
        let (kind, _) = METHODS.check(method).map_err(wrong_method)?;
        (kind.check)(shape)?;
        let (slot, what) = match kind.part {
            Part::Gradient(_) => (&mut gradient, "where a step's gradient comes from"),
            Part::Step(_) => (&mut step, "what a step does with its gradients"),
        };
        if let Some(other) = slot.replace(kind.descriptor.name) {
            let why = format!(
                "{other} and {} both say {what}: choose one of them",
                kind.descriptor.name
            );
            return Err(SettingError::new("method", why).into());
        }
    }
    Ok(())
}

fn wrong_method(error: ChoiceError) -> TrainError {
    TrainError::choice("method", &error)
}

/// What makes the steps of a run.
type Parts<'a> = (Box<dyn GradientSource + 'a>, Box<dyn StepMethod>);

/// The gradient source and the step method of a run on the examples of `stream`.
pub(crate) fn assemble<'a>(
    methods: &[Choice],
    stream: BatchStream<'a>,
) -> Result<Parts<'a>, TrainError> {
    let mut make_source: Option<(MakeSource, Choice)> = None;
    let mut step: Box<dyn StepMethod> = Box::new(Plain);
    for method in methods {
        let (kind, choice) = METHODS.check(method).map_err(wrong_method)?;
        match kind.part {
            Part::Gradient(make) => make_source = Some((make, choice)),
            Part::Step(make) => step = make(&choice),
        }
    }
    let source = match make_source {
        Some((make, choice)) => make(&choice, stream),
        None => Box::new(Supervised::new(stream)),
    };
    Ok((source, step))
}
