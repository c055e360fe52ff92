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
pub mod gossip;
mod plain;

use batchscope_core::{
    Choice, ChoiceError, DataShape, Described, Descriptor, Group, LossSum, Network, NoiseRecord,
    ParameterLayout, Purpose, Registry, SettingError, StepBatch, StreamKey, TrialSpec, split_list,
};

pub use adversarial::AdversarialSource;
pub use attack::{Attack, AttackNorm, Mixture};
pub use conservative::Conservative;
pub use plain::Plain;

use crate::{
    BatchStream, GradientSource, Supervised, TrainError, UpdateRule,
    augment::{AUGMENTATIONS, AugmentSpec, Augmenter},
    shards::Sharding,
};

/// Makes one optimizer step of gradients and updates.
pub trait StepMethod: Send {
    /// Changes the parameters as step `context.step` does, and returns the loss sum over the batch of all replicas, at
    /// the parameters the step began with.
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
///         let loss = rule.agree(network, group, loss)?;
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
    /// How gradients change the parameters, of replicas that hold their own: in place of the optimizer.
    Update(MakeRule),
}

/// Makes a gradient source.
pub type MakeSource =
    for<'a> fn(&Choice, SourceParts<'a, '_>) -> Result<Box<dyn GradientSource + 'a>, TrainError>;

/// Makes an update rule.
pub type MakeRule = fn(&Choice, RuleParts<'_>) -> Result<Box<dyn UpdateRule>, TrainError>;

/// What an update rule is made of.
pub struct RuleParts<'a> {
    /// The trial whose rule it is: its optimizer says the momentum and the weight decay.
    pub spec: &'a TrialSpec,
    /// The tensors of the parameters.
    pub layout: &'a ParameterLayout,
}

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
        &gossip::PMSGD,
        &gossip::DSGD,
        &gossip::DMSGD,
        &gossip::DA_DMSGD,
        &gossip::QG_DMSGD,
        &gossip::DECENTLAM,
        &gossip::LOCAL_SGD,
        &gossip::POST_LOCAL_SGD,
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
    let (mut gradient, mut step, mut update) = (None, None, None);
    for method in methods.iter().filter(|method| !is_augmentation(method)) {
        let (kind, choice) = METHODS.check(method).map_err(wrong_method)?;
        (kind.check)(&choice, shape)?;
        let (slot, what) = match kind.part {
            Part::Gradient(_) => (&mut gradient, "where a step's gradient comes from"),
            Part::Step(_) => (&mut step, "what a step does with its gradients"),
            Part::Update(_) => (&mut update, "how replicas change their parameters"),
        };
        if let Some(other) = slot.replace(kind.descriptor.name) {
            let why = format!(
                "{other} and {} both say {what}: choose one of them",
                kind.descriptor.name
            );
            return Err(SettingError::new("method", why).into());
        }
    }
    if let (Some(step), Some(update)) = (step, update) {
        let why = format!(
            "{step} updates several times a step, and {update} mixes replicas once: choose one of them"
        );
        return Err(SettingError::new("method", why).into());
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

/// What a method says of replicas that hold parameters of their own.
pub(crate) struct OwnReplicas {
    /// The method's name.
    pub name: &'static str,
    /// How many there are.
    pub replicas: usize,
    /// How they share out the training set.
    pub sharding: Sharding,
}

/// What these methods say of replicas that hold parameters of their own; `None` where there are none.
pub(crate) fn own_replicas(methods: &[Choice]) -> Option<OwnReplicas> {
    methods.iter().find_map(|method| {
        let (kind, choice) = METHODS.check(method).ok()?;
        let Part::Update(_) = kind.part else {
            return None;
        };
        Some(OwnReplicas {
            name: kind.descriptor.name,
            replicas: choice.whole("replicas")? as usize,
            sharding: gossip::sharding(&choice),
        })
    })
}

/// True where replicas hold parameters of their own.
pub fn has_own_replicas(methods: &[Choice]) -> bool {
    own_replicas(methods).is_some()
}

/// True where a method says where a step's gradient comes from.
pub(crate) fn takes_gradients(methods: &[Choice]) -> bool {
    let known = methods.iter().filter_map(|m| METHODS.find(m.name()).ok());
    known
        .into_iter()
        .any(|kind| matches!(kind.part, Part::Gradient(_)))
}

/// The update rule of a run whose methods name one.
pub(crate) fn update_rule(
    spec: &TrialSpec,
    layout: &ParameterLayout,
) -> Result<Option<Box<dyn UpdateRule>>, TrainError> {
    for method in &spec.methods {
        let Ok((kind, choice)) = METHODS.check(method) else {
            continue;
        };
        if let Part::Update(make) = kind.part {
            return make(&choice, RuleParts { spec, layout }).map(Some);
        }
    }
    Ok(None)
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
            Part::Update(_) => {}
        }
    }
    let source = match make_source {
        Some((make, choice)) => make(&choice, parts)?,
        None => Box::new(Supervised::new(parts.stream)),
    };
    Ok((source, step))
}
