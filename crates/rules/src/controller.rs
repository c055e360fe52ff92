//! What leads a run: the learning rate and the batch size of every step.

use batchscope_core::{
    Choice, ChoiceError, Described, Descriptor, NoiseMoments, Purpose, Schedule, StepBatch,
    StreamKey, TrialSpec,
};

use crate::{CONTROLLERS, LearningRate, RulesError};

/// What a step is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSetting {
    /// Learning rate, finite and at least 0.
    pub learning_rate: f64,
    /// The examples it takes.
    pub batch: StepBatch,
}

/// The batch sizes that a controller may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    /// The smallest.
    pub smallest: u64,
    /// The largest.
    pub largest: u64,
    /// All are whole multiples of it.
    pub divisor: u64,
}

impl BatchSizes {
    /// Of these sizes; `None` where they are one.
    pub(crate) fn of(sizes: impl Iterator<Item = u64> + Clone) -> Option<Self> {
        let (smallest, largest) = (sizes.clone().min()?, sizes.clone().max()?);
        let divisor = sizes.fold(0, |a, b| {
            let (mut a, mut b) = (a, b);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        });
        (smallest < largest).then_some(Self {
            smallest,
            largest,
            divisor,
        })
    }
}

/// A step that was taken, as a controller sees it.
#[derive(Debug, Clone, Copy)]
pub struct StepSeen<'a> {
    /// What it was made with.
    pub setting: StepSetting,
    /// Mean training loss over its examples.
    pub loss: f64,
    /// The two pieces of the gradient noise in this step's gradient, where it was measured: not every step is
    /// ([`Controller::watches_noise`]).
    pub noise: Option<&'a NoiseMoments>,
}

/// Leads a run: sees each step, and says what the next one is made with.
///
/// What it says depends on the steps it has seen and nothing else, so that a run that is resumed, or
/// done again from an earlier state, is led alike. What it remembers is saved in checkpoints.
///
/// A controller of one's own that halves the rate whenever the loss rises:
///
/// ```
/// use batchscope_core::StepBatch;
/// use batchscope_rules::{Controller, RulesError, StepSeen, StepSetting};
///
/// struct Careful { rate: f64, last: f64, batch_size: u64 }
///
/// impl Controller for Careful {
///     fn at(&self, step: u64) -> StepSetting {
///         StepSetting { learning_rate: self.rate, batch: StepBatch::constant(step, self.batch_size) }
///     }
///     fn observe(&mut self, seen: &StepSeen<'_>) {
///         if seen.loss > self.last {
///             self.rate /= 2.0;
///         }
///         self.last = seen.loss;
///     }
///     fn state(&self) -> Vec<f64> {
///         vec![self.rate, self.last]
///     }
///     fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
///         let [rate, last] = state else { return Err(RulesError::ForeignState) };
///         (self.rate, self.last) = (*rate, *last);
///         Ok(())
///     }
/// }
///
/// let mut careful = Careful { rate: 0.1, last: f64::INFINITY, batch_size: 32 };
/// for (step, loss) in [2.0, 1.0, 1.5].into_iter().enumerate() {
///     let setting = careful.at(step as u64);
///     careful.observe(&StepSeen { setting, loss, noise: None });
/// }
/// assert_eq!(careful.at(3).learning_rate, 0.05);
/// ```
pub trait Controller: Send {
    /// What step `step` (from 0) is made with; asked for the last step seen, and for the one after it.
    fn at(&self, step: u64) -> StepSetting;

    /// Sees a step that was taken.
    fn observe(&mut self, _seen: &StepSeen<'_>) {}

    /// Steps until the full learning rate is reached.
    fn warm_up_steps(&self) -> u64 {
        0
    }

    /// The batch sizes it may use, where the batch size may change on the way.
    fn batch_sizes(&self) -> Option<BatchSizes> {
        None
    }

    /// True where it goes by the gradient noise of steps: that is then measured, wherever it can be.
    fn watches_noise(&self) -> bool {
        false
    }

    /// Why step `step` is made otherwise than the course before would have it, where that is a decision: a sentence
    /// without a full stop. Asked for the step after the last seen.
    fn decision(&self, _step: u64) -> Option<String> {
        None
    }

    /// True once the run has come to its end by the controller's own count: no step is taken after.
    fn has_ended(&self) -> bool {
        false
    }

    /// Everything it remembers between steps, as finite or infinite numbers.
    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Takes over a state made by [`Controller::state`].
    ///
    /// # Errors
    /// [`RulesError::ForeignState`] when it belongs to another controller; nothing is changed then.
    fn load(&mut self, state: &[f64]) -> Result<(), RulesError> {
        match state {
            [] => Ok(()),
            _ => Err(RulesError::ForeignState),
        }
    }
}

/// Number of steps after which a run led by `led` has drawn at least `examples` examples;
/// `u64::MAX` where it never does. Where batch sizes follow from what is seen on the way, the most steps it may be.
pub fn steps_to_draw(led: &dyn Controller, examples: u64) -> u64 {
    if let (true, Some(sizes)) = (led.watches_noise(), led.batch_sizes()) {
        return examples.div_ceil(sizes.smallest.max(1));
    }
    let (mut low, mut high) = (0, u64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if led.at(middle).batch.first_draw < examples {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// How long a run led by `led` is that draws `examples` examples: the steps it has at most, and the examples themselves where
/// they end it, since batch sizes follow from what is seen on the way.
pub fn length_of_run(led: &dyn Controller, examples: u64) -> (u64, Option<u64>) {
    let is_open = led.watches_noise() && led.batch_sizes().is_some();
    let steps = steps_to_draw(led, examples).max(1);
    (steps, is_open.then_some(examples))
}

/// True where the controller of a choice finds the learning rate itself.
pub fn finds_rate(choice: &Choice) -> bool {
    CONTROLLERS
        .find(choice.name())
        .is_ok_and(|kind| kind.finds_rate)
}

/// What a run begins with: everything a controller may go by.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Warm-up and decay.
    pub schedule: &'a Schedule,
    /// Full learning rate.
    pub learning_rate: f64,
    /// Examples per step at the beginning.
    pub batch_size: u64,
    /// Training examples `N`, where there is a training set.
    pub train_examples: Option<u64>,
    /// Any key of the trial's: of what a controller draws at random.
    pub key: StreamKey,
}

/// A controller that can be chosen.
pub struct ControllerKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// It finds the learning rate itself: a rate that is set, or tuned, changes nothing.
    pub finds_rate: bool,
    /// Makes it for a run, from parameters that the descriptor has checked.
    pub build: BuildController,
}

/// Makes a controller for a run.
pub type BuildController = fn(&Choice, &Course<'_>) -> Built;
/// The controller, or why it cannot lead the run.
type Built = Result<Box<dyn Controller>, RulesError>;

impl<'a> Course<'a> {
    /// The course of a trial on so many training examples.
    pub fn of(spec: &'a TrialSpec, train_examples: Option<u64>) -> Self {
        Self {
            schedule: &spec.schedule,
            learning_rate: spec.learning_rate,
            batch_size: spec.batch_size,
            train_examples,
            key: spec.key(Purpose::Controller),
        }
    }

    /// The rates of a schedule at the batch size the run begins with.
    pub(crate) fn rates(&self, schedule: &Schedule) -> Result<LearningRate, RulesError> {
        LearningRate::new(
            schedule,
            self.learning_rate,
            self.batch_size,
            self.train_examples,
        )
    }
}

/// A count in a controller's state: below 2⁵³, where whole numbers are exact.
pub(crate) fn whole(x: f64) -> Option<u64> {
    (x >= 0.0 && x < (1u64 << 53) as f64 && x.fract() == 0.0).then_some(x as u64)
}

/// For tests that draw nothing.
#[cfg(test)]
pub(crate) const KEY: StreamKey = StreamKey {
    study_seed: 0,
    trial: 0,
    purpose: Purpose::Controller,
};

impl Described for ControllerKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Makes the controller of a choice; of none, the registry's first, which follows the schedule.
///
/// # Errors
/// When there is no such controller, a parameter is wrong, or the schedule cannot be followed so.
pub fn controller(
    choice: Option<&Choice>,
    course: &Course<'_>,
) -> Result<Box<dyn Controller>, ControllerError> {
    match choice {
        None => controller(Some(&CONTROLLERS.all[0].descriptor.defaults()?), course),
        Some(choice) => {
            let (kind, choice) = CONTROLLERS.check(choice)?;
            Ok((kind.build)(&choice, course)?)
        }
    }
}

/// Why a run cannot be led so.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ControllerError {
    /// There is no such controller, or a parameter of it is wrong.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// It cannot follow the schedule.
    #[error(transparent)]
    Rules(#[from] RulesError),
}
