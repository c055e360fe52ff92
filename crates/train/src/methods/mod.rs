//! How a step is made: one method a file, listed in [`METHODS`].
//!
//! A method replaces one part of a step. One that only changes which gradient a step takes is a
//! [`GradientSource`]; one that takes several gradients or updates is a [`StepMethod`]. A run may have
//! one of each.

mod adversarial;
pub(crate) mod attack;
mod conadv;
mod conservative;
mod disadv;
mod plain;

use batchscope_core::{
    Choice, ChoiceError, DataShape, Described, Descriptor, Group, LossSum, Network, NoiseRecord,
    Purpose, Registry, SettingError, StepBatch, StreamKey, split_list,
};

pub use adversarial::AdversarialSource;
pub use attack::{Attack, AttackNorm, Mixture};
pub use conservative::Conservative;
pub use plain::Plain;

use crate::{
    BatchStream, GradientSource, Supervised, TrainError, UpdateRule,
    augment::{AUGMENTATIONS, AugmentSpec, Augmenter},
};

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
/// use batchscope_train::{Extra, MethodKind, Part, StepContext, StepMethod, TrainError};
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
///     check: |_, _| Ok(()),
///     part: Part::Step(|_| Box::new(EveryOther)),
///     beside: |_| Extra::NOTHING,
/// };
/// # let _ = &EVERY_OTHER;
/// ```
pub struct MethodKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// Refuses data that it cannot train on, and parameters that contradict each other.
    pub check: fn(&Choice, &DataShape) -> Result<(), TrainError>,
    /// What of a step it is.
    pub part: Part,
    /// What it keeps in memory beside the run's own network.
    pub beside: fn(&Choice) -> Extra,
}

/// What a method keeps in memory beside the network of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extra {
    /// Networks that compute at the same time, each with the memory of a pass.
    pub networks: u64,
    /// Copies of the weights.
    pub weights: u64,
}

impl Extra {
    /// No network and no copy.
    pub const NOTHING: Self = Self {
        networks: 0,
        weights: 0,
    };
}

/// The part of a step that a method is, made from parameters that its descriptor has checked.
pub enum Part {
    /// Where the gradient comes from.
    Gradient(MakeSource),
    /// What is done with gradients and updates.
    Step(fn(&Choice) -> Box<dyn StepMethod>),
}

/// Makes a gradient source.
pub type MakeSource =
    for<'a> fn(&Choice, SourceParts<'a, '_>) -> Result<Box<dyn GradientSource + 'a>, TrainError>;

/// What a gradient source is made of.
pub struct SourceParts<'a, 'm> {
    /// The examples of its steps.
    pub stream: BatchStream<'a>,
    /// Makes the same examples once more and a network of the run's model, for a source that computes beside the run.
    pub beside: &'m dyn Fn() -> Result<Beside<'a>, TrainError>,
}

/// Examples and a network beside those of a run.
pub type Beside<'a> = (BatchStream<'a>, Box<dyn Network>);

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
        &disadv::DISADV,
        &conadv::CONADV,
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

/// Reads a part of how steps are made: a step method, or an augmentation.
///
/// # Errors
/// When there is neither of that name, or a setting is wrong.
pub fn read_part(text: &str) -> Result<Choice, ChoiceError> {
    let name = text.split(['(', ':']).next().unwrap_or_default();
    match AUGMENTATIONS.find(name) {
        Ok(_) => AUGMENTATIONS.read(text).map(|(_, choice)| choice),
        Err(_) => METHODS.read(text).map(|(_, choice)| choice),
    }
}

/// A part of how steps are made, as it is written the shortest.
pub fn written_part(part: &Choice) -> String {
    let descriptor = match (METHODS.find(part.name()), AUGMENTATIONS.find(part.name())) {
        (Ok(method), _) => &method.descriptor,
        (_, Ok(augmentation)) => &augmentation.descriptor,
        _ => return part.to_string(),
    };
    descriptor.shortest(part)
}

/// The augmentations among a trial's methods, after those of the trainer.
///
/// # Errors
/// Key `augment`, where both name the same.
pub(crate) fn augmentations(
    of_trainer: &AugmentSpec,
    methods: &[Choice],
) -> Result<AugmentSpec, TrainError> {
    let own: Vec<&Choice> = methods.iter().filter(|m| is_augmentation(m)).collect();
    match own.iter().find(|method| of_trainer.names(method.name())) {
        Some(twice) => {
            let why = format!(
                "{} is done to all runs, and a method does it again: name it once",
                twice.name()
            );
            Err(SettingError::new("augment", why).into())
        }
        None => Ok(of_trainer.with(own.into_iter().cloned())),
    }
}

fn is_augmentation(method: &Choice) -> bool {
    AUGMENTATIONS.find(method.name()).is_ok()
}

/// Refuses methods that cannot be combined, or cannot train on data of this shape.
///
/// # Errors
/// Naming the method.
pub fn check_methods(methods: &[Choice], shape: &DataShape) -> Result<(), TrainError> {
    // Only to see whether the images can be augmented so.
    let key = StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Augmentation,
    };
    Augmenter::new(
        &augmentations(&AugmentSpec::default(), methods)?,
        shape,
        key,
    )?;
    let (mut gradient, mut step) = (None, None);
    for method in methods.iter().filter(|method| !is_augmentation(method)) {
        let (kind, choice) = METHODS.check(method).map_err(wrong_method)?;
        (kind.check)(&choice, shape)?;
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

/// Networks that compute at a time in a run of these methods, at least 1, and copies of the weights that are kept.
pub(crate) fn beside(methods: &[Choice]) -> (u64, u64) {
    let known = methods.iter().filter_map(|m| METHODS.check(m).ok());
    known.fold((1, 0), |(networks, weights), (kind, choice)| {
        let extra = (kind.beside)(&choice);
        (networks + extra.networks, weights + extra.weights)
    })
}

/// True where a method says where a step's gradient comes from.
pub(crate) fn takes_gradients(methods: &[Choice]) -> bool {
    let known = methods.iter().filter_map(|m| METHODS.find(m.name()).ok());
    known
        .into_iter()
        .any(|kind| matches!(kind.part, Part::Gradient(_)))
}

/// What makes the steps of a run.
pub(crate) type Parts<'a> = (Box<dyn GradientSource + 'a>, Box<dyn StepMethod>);

/// The gradient source and the step method of a run.
pub(crate) fn assemble<'a>(
    methods: &[Choice],
    parts: SourceParts<'a, '_>,
) -> Result<Parts<'a>, TrainError> {
    let mut make_source: Option<(MakeSource, Choice)> = None;
    let mut step: Box<dyn StepMethod> = Box::new(Plain);
    for method in methods.iter().filter(|method| !is_augmentation(method)) {
        let (kind, choice) = METHODS.check(method).map_err(wrong_method)?;
        match kind.part {
            Part::Gradient(make) => make_source = Some((make, choice)),
            Part::Step(make) => step = make(&choice),
        }
    }
    let source = match make_source {
        Some((make, choice)) => make(&choice, parts)?,
        None => Box::new(Supervised::new(parts.stream)),
    };
    Ok((source, step))
}
