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
