//! The Hessian's products, exact or by checked differences of gradients.

use crate::error::check_length;
use crate::operator::{LinearOperator, OVERFLOW, finite};
use crate::vector::{axpy, norm};
use crate::{LandscapeError, Objective};

/// How a Hessian-vector product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// The objective's own where it has them, otherwise central differences of second order
    /// (2 gradients a product).
    Fast,
    /// The objective's own where it has them, otherwise Richardson's extrapolation of two central
    /// differences (4 gradients a product), every product with its own error estimate.
    Checked,
}

/// `∇²f(x)`.
///
/// Where the objective offers no exact product, gradients are differenced along `v`:
///
/// ```text
/// D(h) = (∇f(x + h·v̂) − ∇f(x − h·v̂))/2h,    R = (4·D(h) − D(2h))/3
/// ```
///
/// `D` errs by `O(h²)` and `R` by `O(h⁴)`, plus rounding of about `ε‖∇f‖/h`. The step is chosen at
/// the first product from a ladder of powers of 4 about `ε^{1/3}·max(1, ‖x‖)`, as the one whose
/// `D(h)` and `D(2h)` agree best, and checked by that agreement: `‖D(h) − D(2h)‖` is three times
/// the truncation error of `D(h)` and about the size of its rounding error.
/// [`LinearOperator::relative_error`] reports the largest seen, relative to `‖D(h)‖`, and adds what
/// rounding of `x ± h·v̂` and of the gradients may do; for exact products it is 0.
///
/// A network of ReLUs is piecewise smooth ([`Objective::is_smooth`] says so): a kink inside a step adds
/// its jump over `h` to the product. Steps there begin at `ε^{0.6}·max(1, ‖x‖)` and end where they agree
/// to `ε^{0.3}`, so that the curvature is that of the smooth piece, as automatic differentiation sees it.
///
/// ```
/// use batchscope_landscape::{HessianOperator, LinearOperator, Products, problems::Rosenbrock};
/// let mut f = Rosenbrock { dimension: 2 };
/// let mut hessian = HessianOperator::new(&mut f, &[1.0, 1.0], Products::Checked).unwrap();
/// let mut product = [0.0; 2];
/// hessian.apply(&[1.0, 0.0], &mut product).unwrap();
/// assert!((product[0] - 802.0).abs() < 1e-6 && (product[1] + 400.0).abs() < 1e-6);
/// assert!(hessian.relative_error() < 1e-6);
/// ```
pub struct HessianOperator<'a> {
    objective: &'a mut dyn Objective,
    x: Vec<f64>,
    products: Products,
    /// Length of a difference's step; `None` before the first.
    step: Option<f64>,
    relative_error: f64,
    shifted: Vec<f64>,
    gradient: Vec<f64>,
}

/// Powers of 4 to either side of the first guess at a step.
const LADDER: i32 = 4;
/// An agreement this good ends the search for a step.
const GOOD_AGREEMENT: f64 = 1e-7;
/// Power of the precision that steps begin with where there are kinks: 4e-10 in double precision,
/// which leaves five digits to rounding and hardly a kink to be crossed.
const KINKED: f64 = 0.6;

impl<'a> HessianOperator<'a> {
    /// At the point `x`.
    ///
    /// # Errors
    /// When `x` has another length than the objective's or is not finite.
    pub fn new(
        objective: &'a mut dyn Objective,
        x: &[f64],
        products: Products,
    ) -> Result<Self, LandscapeError> {
        check_length("x", objective.dimension(), x.len())?;
        if x.iter().any(|x| !x.is_finite()) {
            return Err(LandscapeError::NonFinite {
                what: "the point of the Hessian",
                remedy: "give finite parameters",
            });
        }
        let n = x.len();
        Ok(Self {
            objective,
            x: x.to_vec(),
            products,
            step: None,
            relative_error: 0.0,
            shifted: vec![0.0; n],
            gradient: vec![0.0; n],
        })
    }

    /// Length of the steps that gradients are differenced over; `None` for exact products and
    /// before the first.
    pub fn step(&self) -> Option<f64> {
        self.step
    }

    /// `D(h)` times `‖v‖` into `out`.
    fn difference(
        &mut self,
        v: &[f64],
        length: f64,
        h: f64,
        out: &mut [f64],
    ) -> Result<(), LandscapeError> {
        let scale = h / length;
        self.shifted.copy_from_slice(&self.x);
        axpy(scale, v, &mut self.shifted);
        self.objective.value_and_gradient(&self.shifted, out)?;
        self.shifted.copy_from_slice(&self.x);
        axpy(-scale, v, &mut self.shifted);
        self.objective
            .value_and_gradient(&self.shifted, &mut self.gradient)?;
        for (out, back) in out.iter_mut().zip(&self.gradient) {
            *out = (*out - back) / (2.0 * scale);
        }
        Ok(())
    }

    /// Relative error that rounding of `x ± h·v̂` and of the gradients leaves in `fine`.
    fn rounding(&self, length: f64, fine: &[f64]) -> f64 {
        let Some(h) = self.step else { return 0.0 };
        let curvature = norm(fine) / length;
        let gradients = if curvature > 0.0 {
            norm(&self.gradient) / curvature
        } else {
            0.0
        };
        self.objective.relative_precision() * (norm(&self.x) + gradients) / h
    }

    /// Tries the ladder; leaves `D(h)` of the best step in `fine`, `D(2h)` in `coarse`, and returns
    /// the step and their relative disagreement.
    fn choose_step(
        &mut self,
        v: &[f64],
        length: f64,
        fine: &mut Vec<f64>,
        coarse: &mut Vec<f64>,
    ) -> Result<(f64, f64), LandscapeError> {
        let precision = self.objective.relative_precision();
        let (exponent, good) = match self.objective.is_smooth() {
            true => (1.0 / 3.0, GOOD_AGREEMENT.max(precision)),
            false => (KINKED, precision.powf(0.5 * KINKED)),
        };
        let guess = precision.powf(exponent) * norm(&self.x).max(1.0);
        let mut best = (guess, f64::INFINITY);
        let (mut a, mut b) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        // the guess first, then ever further to either side
        let rungs = (0..=LADDER).flat_map(|k| if k == 0 { vec![0] } else { vec![k, -k] });
        for rung in rungs {
            let h = guess * 4f64.powi(rung);
            self.difference(v, length, h, &mut a)?;
            self.difference(v, length, 2.0 * h, &mut b)?;
            let disagreement = relative_distance(&a, &b);
            if disagreement < best.1 {
                best = (h, disagreement);
                std::mem::swap(fine, &mut a);
                std::mem::swap(coarse, &mut b);
                a.resize(v.len(), 0.0);
                b.resize(v.len(), 0.0);
            }
            if best.1 <= good {
                break;
            }
        }
        Ok(best)
    }
}

/// `‖a − b‖/‖a‖`; 0 for equal vectors, infinite where it is not a number.
fn relative_distance(a: &[f64], b: &[f64]) -> f64 {
    let squared: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    if squared == 0.0 {
        return 0.0;
    }
    let ratio = squared.sqrt() / norm(a);
    if ratio.is_nan() { f64::INFINITY } else { ratio }
}

impl LinearOperator for HessianOperator<'_> {
    fn dimension(&self) -> usize {
        self.x.len()
    }

    fn apply(&mut self, v: &[f64], product: &mut [f64]) -> Result<(), LandscapeError> {
        check_length("v", self.x.len(), v.len())?;
        check_length("product", self.x.len(), product.len())?;
        if let Some(given) = self.objective.hessian_vector(&self.x, v, product) {
            given?;
            return finite(product);
        }
        let length = norm(v);
        if length == 0.0 {
            product.fill(0.0);
            return Ok(());
        }
        let known = self.step;
        if let (Some(h), Products::Fast) = (known, self.products) {
            self.difference(v, length, h, product)?;
            return finite(product);
        }
        let (mut fine, mut coarse) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        let disagreement = match known {
            Some(h) => {
                self.difference(v, length, h, &mut fine)?;
                self.difference(v, length, 2.0 * h, &mut coarse)?;
                relative_distance(&fine, &coarse)
            }
            None => {
                let (h, disagreement) = self.choose_step(v, length, &mut fine, &mut coarse)?;
                self.step = Some(h);
                disagreement
            }
        };
        if !disagreement.is_finite() {
            return Err(OVERFLOW);
        }
        self.relative_error = self
            .relative_error
            .max(disagreement + self.rounding(length, &fine));
        for ((out, fine), coarse) in product.iter_mut().zip(&fine).zip(&coarse) {
            *out = match self.products {
                Products::Fast => *fine,
                Products::Checked => (4.0 * fine - coarse) / 3.0,
            };
        }
        finite(product)
    }

    fn relative_error(&self) -> f64 {
        self.relative_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectiveError;
    use crate::problems::Logistic;

    /// Hides an objective's exact products, and computes in single precision if asked.
    struct Hidden<O> {
        inner: O,
        single: bool,
    }

    impl<O: Objective> Objective for Hidden<O> {
        fn dimension(&self) -> usize {
            self.inner.dimension()
        }
        fn value_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, ObjectiveError> {
            let round = |x: f64| if self.single { f64::from(x as f32) } else { x };
            let x: Vec<f64> = x.iter().copied().map(round).collect();
            let value = self.inner.value_and_gradient(&x, g)?;
            g.iter_mut().for_each(|g| *g = round(*g));
            Ok(round(value))
        }
        fn relative_precision(&self) -> f64 {
            if self.single {
                f64::from(f32::EPSILON)
            } else {
                f64::EPSILON
            }
        }
    }

    fn logistic() -> Logistic {
        let rows = (0..40)
            .map(|i| (0..5).map(|j| ((i * 7 + j * 3) as f64).sin()).collect())
            .collect();
        let labels = (0..40)
            .map(|i| if i % 3 == 0 { -1.0 } else { 1.0 })
            .collect();
        Logistic::new(rows, labels, 0.01).unwrap()
    }

    /// The stated error bounds the true one, and both are small.
    #[test]
    fn differences_are_as_good_as_they_say() {
        let x = [0.3, -1.2, 0.8, 0.1, 2.0];
        let v = [1.0, -0.5, 0.25, 2.0, -1.0];
        let mut exact = [0.0; 5];
        logistic()
            .hessian_vector(&x, &v, &mut exact)
            .unwrap()
            .unwrap();
        for (single, products, limit) in [
            (false, Products::Fast, 1e-6),
            (false, Products::Checked, 1e-9),
            (true, Products::Fast, 3e-3),
            (true, Products::Checked, 3e-3),
        ] {
            let mut hidden = Hidden {
                inner: logistic(),
                single,
            };
            let mut hessian = HessianOperator::new(&mut hidden, &x, products).unwrap();
            let mut product = [0.0; 5];
            for _ in 0..2 {
                hessian.apply(&v, &mut product).unwrap();
                let error = relative_distance(&exact, &product);
                assert!(error < limit, "{single} {products:?}: {error:e}");
                assert!(
                    error <= hessian.relative_error().max(1e-12),
                    "{single} {products:?}"
                );
            }
        }
    }

    #[test]
    fn a_kink_shows_in_the_stated_error_and_a_cliff_is_an_error() {
        struct Kink;
        impl Objective for Kink {
            fn dimension(&self) -> usize {
                1
            }
            fn value_and_gradient(
                &mut self,
                x: &[f64],
                g: &mut [f64],
            ) -> Result<f64, ObjectiveError> {
                g[0] = if x[0] > 1e-3 { 1.0 } else { x[0] };
                Ok(x[0].abs())
            }
        }
        let mut product = [0.0];
        let mut objective = Kink;
        let mut hessian = HessianOperator::new(&mut objective, &[1e-3], Products::Checked).unwrap();
        hessian.apply(&[1.0], &mut product).unwrap();
        assert!(
            hessian.relative_error() > 0.1,
            "{}",
            hessian.relative_error()
        );
        struct Nan;
        impl Objective for Nan {
            fn dimension(&self) -> usize {
                1
            }
            fn value_and_gradient(
                &mut self,
                _: &[f64],
                g: &mut [f64],
            ) -> Result<f64, ObjectiveError> {
                g[0] = f64::NAN;
                Ok(0.0)
            }
        }
        let mut nan = Nan;
        let mut hessian = HessianOperator::new(&mut nan, &[0.0], Products::Fast).unwrap();
        assert!(hessian.apply(&[1.0], &mut product).is_err());
    }
}
