//! The spectral gap of mixing matrices.

use std::f64::consts::TAU;

use nalgebra::DMatrix;

use super::{MAX_DENSE_MEMBERS, matrix::Matrix};

/// 1 − ρ of the product of these matrices, the last on the left; `None` where it is not known.
pub(super) fn gap(matrices: &[&Matrix]) -> Option<f64> {
    let hops: Option<Vec<_>> = matrices.iter().map(|matrix| matrix.hops()).collect();
    let members = matrices.first()?.size();
    match hops {
        Some(hops) => Some(circulant(members, &hops)),
        None if members > MAX_DENSE_MEMBERS => None,
        None => dense(matrices),
    }
}

/// 1 − ρ of a product of circulant matrices, each with its hops and weights.
///
/// A circulant has the eigenvalues λ_m = Σ_h c_h exp(2πi·mh/n), m from 0 to n − 1. All circulants share their eigenvectors:
/// so those of the product are the products, and its singular values are their absolute values. 11ᵀ/n takes away m = 0.
fn circulant(members: usize, hops: &[&[(usize, f64)]]) -> f64 {
    // The number of members is at most 65,536, so that m·h fits even where a usize has 32 bits.
    let n = members as u64;
    let eigenvalue = |hops: &[(usize, f64)], m: u64| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for &(hop, weight) in hops {
            let angle = TAU * (m * hop as u64 % n) as f64 / n as f64;
            real += weight * angle.cos();
            imaginary += weight * angle.sin();
        }
        f64::hypot(real, imaginary)
    };
    let product = |m| hops.iter().map(|hops| eigenvalue(hops, m)).product();
    one_minus((1..n).map(product).fold(0.0, f64::max))
}

/// 1 − ρ by the singular values of the dense matrix; `None` where their iteration does not end.
pub(super) fn dense(matrices: &[&Matrix]) -> Option<f64> {
    /// Far above what is needed: it only keeps the iteration from running for ever.
    const MOST_ITERATIONS: usize = 100 * MAX_DENSE_MEMBERS;
    let members = matrices.first()?.size();
    let mut product = DMatrix::<f64>::identity(members, members);
    for matrix in matrices {
        let mut one = DMatrix::zeros(members, members);
        for row in 0..members {
            for &(column, weight) in matrix.row(row) {
                one[(row, column)] = weight;
            }
        }
        product = one * product;
    }
    product.add_scalar_mut(-1.0 / members as f64);
    let values = product
        .try_svd(false, false, f64::EPSILON, MOST_ITERATIONS)?
        .singular_values;
    Some(one_minus(values.iter().copied().fold(0.0, f64::max)))
}

/// Rounding may leave ρ a little above 1.
fn one_minus(rho: f64) -> f64 {
    (1.0 - rho).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The discrete Fourier transform against the decomposition, on circulants without symmetry.
    #[test]
    fn circulants_have_the_gaps_of_their_dense_matrices() {
        for members in [2, 3, 5, 8, 12] {
            let one = Matrix::circulant(members, &[(0, 0.6), (1, 0.4)]);
            let other = Matrix::circulant(members, &[(0, 0.3), (members - 1, 0.7)]);
            for matrices in [&[&one][..], &[&one, &other], &[&other, &other, &one]] {
                let (fast, slow) = (gap(matrices).unwrap(), dense(matrices).unwrap());
                assert!((fast - slow).abs() < 1e-12, "{members}: {fast} {slow}");
            }
        }
    }

    /// Reversed, three matrices with one that is not symmetric between two that are have another ρ.
    #[test]
    fn the_product_is_in_the_order_of_the_steps() {
        let swap = |a, b| Matrix::of_edges(3, &[(a, b, 0.75)]);
        let (first, last) = (swap(0, 1), swap(1, 2));
        let between = Matrix::circulant(3, &[(0, 0.75), (1, 0.25)]);
        let steps = [&first, &between, &last];
        // Column j is what the steps make of a vector that is 1 at j alone.
        let mut rest = DMatrix::<f64>::zeros(3, 3);
        for j in 0..3 {
            let mut x = [0.0; 3];
            x[j] = 1.0;
            for matrix in steps {
                let mix = |i: usize| matrix.row(i).iter().map(|&(k, weight)| weight * x[k]);
                x = [mix(0).sum(), mix(1).sum(), mix(2).sum()];
            }
            for (i, x) in x.into_iter().enumerate() {
                rest[(i, j)] = x - 1.0 / 3.0;
            }
        }
        let squares = (rest.transpose() * &rest).symmetric_eigenvalues();
        let expected = 1.0 - squares.max().sqrt();
        let reversed = gap(&[&last, &between, &first]).unwrap();
        assert!((gap(&steps).unwrap() - expected).abs() < 1e-12);
        assert!((reversed - expected).abs() > 1e-3, "{reversed} {expected}");
    }
}
