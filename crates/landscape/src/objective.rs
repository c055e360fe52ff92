//! The function whose landscape is measured.

use crate::{Blocks, ObjectiveError};

/// A loss on a flat parameter vector, over a stated, fixed set of examples.
///
/// Implemented by models, by the closed forms of [`problems`](crate::problems), or by a callback
/// into another program. Evaluations must be deterministic: the same `x` gives the same number.
/// Vectors are `f64` whatever the objective computes in; a network that computes in `f32` rounds on
/// the way in, widens on the way out, and says so in [`Objective::relative_precision`]. That
/// conversion is one pass over `x`, nothing beside a pass over the examples.
///
/// Methods take `&mut self` because most implementers own buffers or a device. What runs in
/// parallel (see [`slices`](crate::slices)) takes one objective per worker.
///
/// ```
/// use batchscope_landscape::{Objective, ObjectiveError};
///
/// /// f(x) = Σ x⁴
/// struct Quartic(usize);
///
/// impl Objective for Quartic {
///     fn dimension(&self) -> usize {
///         self.0
///     }
///     fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
///         g.iter_mut().zip(x).for_each(|(g, x)| *g = 4.0 * x.powi(3));
///         Ok(x.iter().map(|x| x.powi(4)).sum())
///     }
/// }
///
/// let mut f = Quartic(2);
/// let mut gradient = [0.0; 2];
/// assert_eq!(f.value_and_gradient(&[1.0, -2.0], &mut gradient).unwrap(), 17.0);
/// assert_eq!(gradient, [4.0, -32.0]);
/// assert_eq!(f.value(&[1.0, 1.0]).unwrap(), 2.0);
/// ```
pub trait Objective {
    /// Number of parameters.
    fn dimension(&self) -> usize;

    /// `f(x)`, and `∇f(x)` into `gradient`; both slices have the length of the dimension.
    /// A value that is infinite or not a number is an answer, not an error.
    ///
    /// # Errors
    /// When the evaluation fails or is to stop.
    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError>;

    /// `f(x)` alone. Implement it where that is cheaper (a forward pass without the backward one).
    ///
    /// # Errors
    /// As [`Objective::value_and_gradient`].
    fn value(&mut self, x: &[f64]) -> Result<f64, ObjectiveError> {
        let mut gradient = vec![0.0; self.dimension()];
        self.value_and_gradient(x, &mut gradient)
    }

    /// Exact `∇²f(x)·v` into `product`, where the objective offers it; `None` otherwise, and
    /// [`HessianOperator`](crate::HessianOperator) differences gradients.
    fn hessian_vector(
        &mut self,
        _x: &[f64],
        _v: &[f64],
        _product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        None
    }

    /// Generalized Gauss–Newton product `Jᵀ·∇²ℓ·J·v` (mean over examples, `J` the Jacobian of the
    /// network's outputs, `ℓ` the loss as a function of them; Schraudolph 2002) into `product`,
    /// where the objective offers it.
    fn gauss_newton_vector(
        &mut self,
        _x: &[f64],
        _v: &[f64],
        _product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        None
    }

    /// Unit roundoff of the arithmetic behind the gradient, which sets the step of differences:
    /// `f64::EPSILON` unless overridden, `f32::EPSILON as f64` for networks in single precision.
    fn relative_precision(&self) -> f64 {
        f64::EPSILON
    }

    /// False where the gradient jumps, as a network's of rectifiers does: differences then take far
    /// shorter steps, which cross hardly any kink.
    fn is_smooth(&self) -> bool {
        true
    }

    /// The table of layers; one nameless block unless overridden.
    fn blocks(&self) -> Blocks {
        Blocks::whole(self.dimension())
    }
}

impl<O: Objective + ?Sized> Objective for &mut O {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }

    fn value_and_gradient(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, ObjectiveError> {
        (**self).value_and_gradient(x, gradient)
    }

    fn value(&mut self, x: &[f64]) -> Result<f64, ObjectiveError> {
        (**self).value(x)
    }

    fn hessian_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        (**self).hessian_vector(x, v, product)
    }

    fn gauss_newton_vector(
        &mut self,
        x: &[f64],
        v: &[f64],
        product: &mut [f64],
    ) -> Option<Result<(), ObjectiveError>> {
        (**self).gauss_newton_vector(x, v, product)
    }

    fn relative_precision(&self) -> f64 {
        (**self).relative_precision()
    }

    fn is_smooth(&self) -> bool {
        (**self).is_smooth()
    }

    fn blocks(&self) -> Blocks {
        (**self).blocks()
    }
}
