//! Quadratic forms of many vectors.

use crate::error::check_length;
use crate::{LandscapeError, LinearOperator};

/// `v_iᵀ·A·v_j` for all pairs of vectors, row-major and symmetric: one product for each vector. The
/// vectors are in single precision, to be half as large; sums are in double. Where products are
/// approximate, the mean of `v_iᵀ(A·v_j)` and `v_jᵀ(A·v_i)` is taken.
///
/// ```
/// use batchscope_landscape::{operator, quadratic_forms};
/// let mut diagonal = operator(2, |v: &[f64], out: &mut [f64]| {
///     (out[0], out[1]) = (2.0 * v[0], -v[1]);
///     Ok(())
/// });
/// let forms = quadratic_forms(&mut diagonal, &[vec![1.0, 1.0], vec![3.0, 0.0]]).unwrap();
/// assert_eq!(forms, [1.0, 6.0, 6.0, 18.0]);
/// ```
///
/// # Errors
/// When a vector has another length than the operator's, or a product fails.
pub fn quadratic_forms(
    operator: &mut dyn LinearOperator,
    vectors: &[Vec<f32>],
) -> Result<Vec<f64>, LandscapeError> {
    let (n, count) = (operator.dimension(), vectors.len());
    let (mut v, mut product) = (vec![0.0; n], vec![0.0; n]);
    let mut forms = vec![0.0; count * count];
    for (j, vector) in vectors.iter().enumerate() {
        check_length("a vector", n, vector.len())?;
        v.iter_mut()
            .zip(vector)
            .for_each(|(v, &x)| *v = f64::from(x));
        operator.apply(&v, &mut product)?;
        for (i, other) in vectors.iter().enumerate() {
            let pairs = other.iter().zip(&product);
            let form: f64 = pairs.map(|(&x, p)| f64::from(x) * p).sum();
            forms[i * count + j] += 0.5 * form;
            forms[j * count + i] += 0.5 * form;
        }
    }
    Ok(forms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator;

    #[test]
    fn approximate_products_are_made_symmetric_and_lengths_checked() {
        let mut crooked = operator(2, |v: &[f64], out: &mut [f64]| {
            (out[0], out[1]) = (v[0] + 2.0 * v[1], v[1]);
            Ok(())
        });
        let units = [vec![1.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(
            quadratic_forms(&mut crooked, &units).unwrap(),
            [1.0, 1.0, 1.0, 1.0]
        );
        assert!(quadratic_forms(&mut crooked, &[vec![1.0]]).is_err());
        assert!(quadratic_forms(&mut crooked, &[]).unwrap().is_empty());
    }
}
