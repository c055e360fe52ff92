use std::ops::ControlFlow;

use crate::{Blocks, Objective, ObjectiveError};

/// An objective that tells of every evaluation, and stops where it is told to: for progress, and
/// for whoever presses Ctrl-C.
///
/// ```
/// use std::ops::ControlFlow;
/// use batchscope_landscape::{Objective, Stopped, Watched, problems::Rosenbrock};
/// let mut seen = 0;
/// let mut f = Watched::new(Rosenbrock { dimension: 2 }, |evaluations| {
///     seen = evaluations;
///     if evaluations < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
/// });
/// assert!(f.value(&[1.0, 1.0]).is_ok());
/// let stopped = f.value(&[1.0, 1.0]).unwrap_err();
/// assert!(stopped.0.is::<Stopped>());
/// assert_eq!(seen, 2);
/// ```
pub struct Watched<O, F> {
    objective: O,
    evaluations: u64,
    on_evaluation: F,
}

/// The error of an evaluation that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;

impl<O, F: FnMut(u64) -> ControlFlow<()>> Watched<O, F> {
    /// Watches an objective: after each evaluation `on_evaluation` is given their number so far.
    pub fn new(objective: O, on_evaluation: F) -> Self {
        Self {
            objective,
            evaluations: 0,
            on_evaluation,
        }
    }

    fn seen(&mut self) -> Result<(), ObjectiveError> {
        self.evaluations += 1;
        match (self.on_evaluation)(self.evaluations) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ObjectiveError::new(Stopped)),
        }
    }
}

impl<O: Objective, F: FnMut(u64) -> ControlFlow<()>> Objective for Watched<O, F> {
    fn dimension(&self) -> usize {
        self.objective.dimension()
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        let value = self.objective.value_and_gradient(x, gradient)?;
        self.seen().map(|()| value)
    }

    fn value(&mut self, x: &[f64]) -> Result<f64, ObjectiveError> {
        let value = self.objective.value(x)?;
        self.seen().map(|()| value)
    }

    fn hessian_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        let given = self.objective.hessian_vector(x, v, product)?;
        Some(given.and_then(|()| self.seen()))
    }

    fn gauss_newton_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        let given = self.objective.gauss_newton_vector(x, v, product)?;
        Some(given.and_then(|()| self.seen()))
    }

    fn relative_precision(&self) -> f64 {
        self.objective.relative_precision()
    }

    fn is_smooth(&self) -> bool {
        self.objective.is_smooth()
    }

    fn blocks(&self) -> Blocks {
        self.objective.blocks()
    }
}
