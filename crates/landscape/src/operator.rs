//! Linear operators that are known by their products.

use std::ops::Range;

use crate::error::check_length;
use crate::{LandscapeError, Objective};

/// A symmetric linear map that is known by its products alone.
///
/// Implemented by [`HessianOperator`](crate::HessianOperator), [`GaussNewtonOperator`], [`Restricted`], and by any closure
/// over a dimension ([`operator`]).
pub trait LinearOperator {
    /// Length of the vectors it takes and gives.
    fn dimension(&self) -> usize;

    /// `A·v` into `product`.
    ///
    /// # Errors
    /// When the objective behind it fails, or the product is not finite.
    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError>;

    /// Relative error of the products so far, `‖computed − A·v‖/‖A·v‖`, as far as it is known: 0
    /// for exact ones.
    fn relative_error(&self) -> f64 {
        0.0
    }
}

impl<A: LinearOperator + ?Sized> LinearOperator for &mut A {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }

    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
        (**self).apply(v, product)
    }

    fn relative_error(&self) -> f64 {
        (**self).relative_error()
    }
}

/// The operator of a closure `f(v, product)`.
///
/// ```
/// use batchscope_landscape::{LinearOperator, operator};
/// let mut twice = operator(2, |v: &[f64], out: &mut [f64]| {
///     out.iter_mut().zip(v).for_each(|(o, v)| *o = 2.0 * v);
///     Ok(())
/// });
/// let mut product = [0.0; 2];
/// twice.apply(&[1.0, 3.0], &mut product).unwrap();
/// assert_eq!(product, [2.0, 6.0]);
/// ```
pub fn operator<F>(dimension: usize, apply: F) -> impl LinearOperator
where
    F: FnMut(&[f64], &mut [f64]) -> Result<(), LandscapeError>,
{
    struct Closure<F>(usize, F);
    impl<F: FnMut(&[f64], &mut [f64]) -> Result<(), LandscapeError>> LinearOperator for Closure<F> {
        fn dimension(&self) -> usize {
            self.0
        }
        fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
            (self.1)(v, product)
        }
    }
    Closure(dimension, apply)
}

/// The generalized Gauss–Newton matrix at `x`, of an objective that offers its products.
pub struct GaussNewtonOperator<'a> {
    objective: &'a mut dyn Objective,
    x: Vec<f64>,
}

impl<'a> GaussNewtonOperator<'a> {
    /// At the point `x`.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn new(objective: &'a mut dyn Objective, x: &[f64]) -> Result<Self, LandscapeError> {
        check_length("x", objective.dimension(), x.len())?;
        Ok(Self {
            objective,
            x: x.to_vec(),
        })
    }
}

impl LinearOperator for GaussNewtonOperator<'_> {
    fn dimension(&self) -> usize {
        self.x.len()
    }

    /// # Errors
    /// When the objective has no Gauss–Newton products, or fails.
    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
        check_length("v", self.x.len(), v.len())?;
        check_length("product", self.x.len(), product.len())?;
        let given = self.objective.gauss_newton_vector(&self.x, v, product);
        given.ok_or_else(|| {
            LandscapeError::setting(
                "Gauss–Newton",
                "the objective offers no such products: use its Hessian",
            )
        })??;
        finite(product)
    }
}

/// The diagonal block of an operator on a range of its coordinates: a layer's own curvature.
pub struct Restricted<A> {
    whole: A,
    range: Range<usize>,
    v: Vec<f64>,
    product: Vec<f64>,
}

impl<A: LinearOperator> Restricted<A> {
    /// The block on `range`.
    ///
    /// # Errors
    /// When the range is empty or leaves the operator's.
    pub fn new(whole: A, range: Range<usize>) -> Result<Self, LandscapeError> {
        let n = whole.dimension();
        if range.is_empty() || range.end > n {
            return Err(LandscapeError::setting(
                "range",
                format!("{range:?} is no part of 0..{n}"),
            ));
        }
        Ok(Self {
            whole,
            range,
            v: vec![0.0; n],
            product: vec![0.0; n],
        })
    }
}

impl<A: LinearOperator> LinearOperator for Restricted<A> {
    fn dimension(&self) -> usize {
        self.range.len()
    }

    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
        check_length("v", self.range.len(), v.len())?;
        self.v[self.range.clone()].copy_from_slice(v);
        self.whole.apply(&self.v, &mut self.product)?;
        product.copy_from_slice(&self.product[self.range.clone()]);
        Ok(())
    }

    fn relative_error(&self) -> f64 {
        self.whole.relative_error()
    }
}

pub(crate) fn finite(product: &[f64]) -> Result<(), LandscapeError> {
    if product.iter().all(|p| p.is_finite()) {
        Ok(())
    } else {
        Err(OVERFLOW)
    }
}

pub(crate) const OVERFLOW: LandscapeError = LandscapeError::NonFinite {
    what: "a Hessian-vector product",
    remedy: "the loss or its gradient overflows near these parameters",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::{Logistic, Quadratic, Rosenbrock};
    use crate::{Blocks, HessianOperator, Products};

    fn logistic() -> Logistic {
        let rows = (0..20)
            .map(|i| (0..5).map(|j| ((i * 7 + j * 3) as f64).sin()).collect())
            .collect();
        let labels = (0..20)
            .map(|i| if i % 3 == 0 { -1.0 } else { 1.0 })
            .collect();
        Logistic::new(rows, labels, 0.01).unwrap()
    }

    #[test]
    fn blocks_and_gauss_newton() {
        let mut f = logistic();
        let x = [0.1; 5];
        let mut full = [0.0; 5];
        f.hessian_vector(&x, &[0.0, 0.0, 1.0, -2.0, 0.0], &mut full)
            .unwrap()
            .unwrap();
        let whole = GaussNewtonOperator::new(&mut f, &x).unwrap();
        let mut block = Restricted::new(whole, 2..4).unwrap();
        let mut product = [0.0; 2];
        block.apply(&[1.0, -2.0], &mut product).unwrap();
        assert_eq!(product, full[2..4]);
        let mut plain = Rosenbrock { dimension: 3 };
        let mut none = GaussNewtonOperator::new(&mut plain, &[0.0; 3]).unwrap();
        assert!(none.apply(&[1.0; 3], &mut [0.0; 3]).is_err());
        let mut quadratic = Quadratic::with_spectrum(&[1.0, 2.0]);
        assert_eq!(quadratic.blocks(), Blocks::whole(2));
        let hessian = HessianOperator::new(&mut quadratic, &[0.0; 2], Products::Fast).unwrap();
        assert!(Restricted::new(hessian, 1..3).is_err());
    }
}
