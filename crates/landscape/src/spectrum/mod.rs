//! The spectrum of a loss's curvature, from products alone.
//!
//! * [`extreme_eigenpairs`]: the largest or smallest eigenvalues with vectors and residuals, by
//!   thick-restart Lanczos;
//! * [`trace`]: by Hutch++, to a stated standard error;
//! * [`spectral_density`]: all of it, smoothed, by stochastic Lanczos quadrature;
//! * [`stable_learning_rate`]: the bound `2/λ_max`.
//!
//! All take a [`LinearOperator`](crate::LinearOperator): the Hessian, a Gauss–Newton matrix, or a layer's block of either.
//! Everything random is keyed by a seed; every number comes with its error and says whether it has
//! converged. With batch norm the curvature depends on the mode the objective evaluates in
//! (training: over the whole batch; evaluation: running statistics fixed): that is the objective's
//! choice, and to be stated with the numbers.

mod density;
mod lanczos;
mod trace;

use batchscope_core::Estimate;

pub use density::{DensitySettings, SpectralDensity, spectral_density};
pub use lanczos::{EigenSettings, Eigenpair, Eigenpairs, Which, extreme_eigenpairs};
pub use trace::{TraceEstimate, TraceSettings, trace};

/// The learning rate above which gradient descent on the quadratic model diverges, `2/λ_max`, from
/// the largest eigenvalue. Undefined where that is not positive: nothing curves upwards.
///
/// ```
/// use batchscope_core::Estimate;
/// use batchscope_landscape::spectrum::stable_learning_rate;
/// let rate = stable_learning_rate(&Estimate::estimated(40.0, 32.0, 50.0, 1.0, 1));
/// assert_eq!((rate.low, rate.value, rate.high), (Some(0.04), Some(0.05), Some(0.0625)));
/// ```
pub fn stable_learning_rate(largest_eigenvalue: &Estimate) -> Estimate {
    let invert = |x: Option<f64>| x.filter(|x| *x > 0.0).map(|x| 2.0 / x);
    match invert(largest_eigenvalue.value) {
        Some(rate) => Estimate {
            value: Some(rate),
            low: invert(largest_eigenvalue.high),
            high: invert(largest_eigenvalue.low),
            ..largest_eigenvalue.clone()
        },
        None => Estimate::undefined(
            largest_eigenvalue.level,
            largest_eigenvalue.n,
            "the largest eigenvalue is not positive",
        ),
    }
}
