//! Dense vectors of any length, summed in a fixed order.
//!
//! Sums run over chunks of fixed size whose partial sums are added in order, so that the result
//! does not depend on the number of threads.

use rayon::prelude::*;

/// Scalars to a chunk: a multiple of the cache line, small enough to stay in L1 with its partner.
const CHUNK: usize = 1 << 11;
/// Below this length a second thread costs more than it brings.
const PARALLEL: usize = 1 << 16;

/// Eight running sums, so that the compiler may use vector registers.
fn dot_chunk(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// `aᵀb`.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    if a.len() < PARALLEL {
        let pairs = a.chunks(CHUNK).zip(b.chunks(CHUNK));
        return pairs.map(|(a, b)| dot_chunk(a, b)).sum();
    }
    let partial: Vec<f64> = a
        .par_chunks(CHUNK)
        .zip(b.par_chunks(CHUNK))
        .map(|(a, b)| dot_chunk(a, b))
        .collect();
    partial.iter().sum()
}

/// `‖a‖₂`.
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `y ← y + s·x`.
pub(crate) fn axpy(s: f64, x: &[f64], y: &mut [f64]) {
    debug_assert_eq!(x.len(), y.len());
    let add = |(y, x): (&mut [f64], &[f64])| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += s * x);
    };
    if y.len() < PARALLEL {
        add((y, x));
    } else {
        y.par_chunks_mut(CHUNK)
            .zip(x.par_chunks(CHUNK))
            .for_each(add);
    }
}

/// `x ← s·x`.
pub(crate) fn scale(s: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x *= s);
}

/// Scales to unit length and returns the length it had; leaves a zero vector alone.
pub(crate) fn normalize(x: &mut [f64]) -> f64 {
    let length = norm(x);
    if length > 0.0 {
        scale(1.0 / length, x);
    }
    length
}

/// Removes from `x` its components along orthonormal `basis` vectors: classical Gram–Schmidt done
/// twice, which leaves them orthogonal to rounding (Giraud, Langou and Rozložník 2005).
pub(crate) fn orthogonalize(basis: &[Vec<f64>], x: &mut [f64]) {
    for _ in 0..2 {
        let along: Vec<f64> = basis.iter().map(|q| dot(q, x)).collect();
        for (q, c) in basis.iter().zip(along) {
            axpy(-c, q, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let a: Vec<f64> = (0..200_003).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..200_003).map(|i| (i as f64 * 0.11).cos()).collect();
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let many = rayon::ThreadPoolBuilder::new()
            .num_threads(5)
            .build()
            .unwrap();
        let one = alone.install(|| dot(&a, &b));
        assert_eq!(one, many.install(|| dot(&a, &b)));
        let plain: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        assert!((one - plain).abs() < 1e-8, "{one} {plain}");
    }

    #[test]
    fn orthogonalizing_twice_reaches_rounding() {
        // nearly parallel to the basis: one pass alone would leave 1e-10 of it
        let n = 100;
        let mut q: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
        normalize(&mut q);
        let mut x = q.clone();
        x[3] += 1e-8;
        orthogonalize(std::slice::from_ref(&q), &mut x);
        normalize(&mut x);
        assert!(dot(&q, &x).abs() < 1e-14);
    }
}
