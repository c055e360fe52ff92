use batchscope_core::LengthError;

/// Why a rule or schedule could not be used. Each message names the setting and the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RulesError {
    /// A number outside its range.
    #[error("{key} = {value}: must be {range}")]
    OutOfRange {
        /// The part of the schedule or setting at fault, such as `decay.factor`.
        key: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// A decay over no steps at all.
    #[error(
        "decay.over: the decay comes to 0 steps at batch size {batch_size}; make it longer, or \
         choose the constant schedule"
    )]
    EmptyDecay {
        /// The batch size at which the length vanished.
        batch_size: u64,
    },
    /// Marks of a step decay out of order.
    #[error(
        "decay.at: mark {index} (step {step}) is not after the mark before it (step {before}): list the marks in increasing order"
    )]
    MarkOrder {
        /// Number of the mark, from 0.
        index: usize,
        /// Where it lies.
        step: u64,
        /// Where the mark before it lies.
        before: u64,
    },
    /// Gradual warm-up without a rate to start from.
    #[error(
        "gradual warm-up starts from the base batch size's learning rate, and none is known here: choose linear warm-up"
    )]
    NoBaseRate,
    /// A length in epochs where there is no training set to pass over.
    #[error("a length in epochs needs a training set of known size: give it in steps")]
    NoTrainingSet,
    /// A growing batch without a step schedule.
    #[error(
        "a growing batch replaces the marks of a step schedule, and there are none: give one, for example step(0.2@30ep@60ep)"
    )]
    NothingToGrowAt,
    /// Seesaw without a decay.
    #[error(
        "seesaw follows a schedule that decays, and this one is constant: give one, for example cosine(30ep)"
    )]
    NothingToSaw,
    /// A length that is none.
    #[error(transparent)]
    Length(LengthError),
    /// A table that leads no run.
    #[error("the table of learning rates and batch sizes: {0}")]
    Table(String),
    /// AutoWU without the length of the run.
    #[error(
        "autowu needs to know how long the run is, and decays by a cosine to its end: give that as the schedule, for example cosine(30ep), without warm-up"
    )]
    NoHorizon,
    /// A rule that moves a setting which the optimizer has not.
    #[error("{rule} moves {key}, which {optimizer} has not: choose another optimizer or rule")]
    OptimizerLacks {
        /// The rule.
        rule: &'static str,
        /// The optimizer.
        optimizer: String,
        /// The setting.
        key: &'static str,
    },
    /// A rule for other optimizers.
    #[error("{rule} is made for {made_for}, not for {optimizer}: choose another optimizer or rule")]
    OtherOptimizer {
        /// The rule.
        rule: &'static str,
        /// The optimizer.
        optimizer: String,
        /// Those it is for.
        made_for: &'static str,
    },
    /// A batch size that a rule does not reach.
    #[error(
        "{rule} does not reach batch size {batch_size}: from this base it allows at most {largest}"
    )]
    TooLarge {
        /// The rule.
        rule: &'static str,
        /// What was asked for.
        batch_size: u64,
        /// The largest that it allows.
        largest: u64,
    },
    /// The surge law without a noise scale.
    #[error(
        "surge needs the gradient noise scale: measure it, and give it as surge(noise_scale=1000)"
    )]
    NoNoiseScale,
    /// A rule for the weight decay where there is none.
    #[error("timescale moves the weight decay, and there is none: set one, or leave the rule out")]
    NoWeightDecay,
    /// A saved state that belongs to another controller.
    #[error("the saved state of the controller is not this controller's")]
    ForeignState,
}

/// `value` if `within`, otherwise the error that names its key.
pub(crate) fn check(
    key: &'static str,
    value: f64,
    range: &'static str,
    within: impl FnOnce(f64) -> bool,
) -> Result<f64, RulesError> {
    if value.is_finite() && within(value) {
        Ok(value)
    } else {
        Err(RulesError::OutOfRange { key, value, range })
    }
}
