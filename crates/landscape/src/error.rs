/// Why a measurement of a landscape failed.
#[derive(Debug, thiserror::Error)]
pub enum LandscapeError {
    /// The objective itself failed.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// Two lengths that must agree do not.
    #[error("{what} has length {got}, expected {expected}")]
    Length {
        /// Which vector.
        what: &'static str,
        /// The length it must have.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// A number that must be finite is not.
    #[error("{what} is not finite: {remedy}")]
    NonFinite {
        /// Which number.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A setting outside its range.
    #[error("{name}: {why}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        why: String,
    },
}

impl LandscapeError {
    pub(crate) fn setting(name: &'static str, why: impl Into<String>) -> Self {
        Self::Setting {
            name,
            why: why.into(),
        }
    }
}

/// An error raised inside an [`Objective`](crate::Objective): a device that does not answer, a
/// callback that threw, a wish to stop.
#[derive(Debug, thiserror::Error)]
#[error("the objective failed: {0}")]
pub struct ObjectiveError(pub Box<dyn std::error::Error + Send + Sync>);

impl ObjectiveError {
    /// Wraps any error, or a message.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// `Err` unless `got == expected`.
pub(crate) fn check_length(
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), LandscapeError> {
    if expected == got {
        Ok(())
    } else {
        Err(LandscapeError::Length {
            what,
            expected,
            got,
        })
    }
}
