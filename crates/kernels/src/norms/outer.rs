//! The squared norm of a sum of outer products, `|Σ_t x_tᵀ·d_t|²`.
//!
//! Two ways: the sum itself, in memory that the next example uses again, or the inner products of
//! the factors,
//!
//! ```text
//! |Σ_t x_tᵀ·d_t|² = Σ_t Σ_u (x_t·x_u)·(d_t·d_u)
//! ```
//!
//! (G. Rochette, A. Manoel and E. Tramel, "Efficient Per-Example Gradient Computations in
//! Convolutional Neural Networks", arXiv 1912.06015; X. Li, F. Tramèr, P. Liang and T. Hashimoto,
//! "Large Language Models Can Be Strong Differentially Private Learners", arXiv 2110.05679,
//! section 4). With `T` terms of `p` by `q` numbers the first takes `T·p·q` multiply-adds, the second
//! `T²·(p + q)`: whichever is less is taken, so that a long sequence through a small layer and a
//! small image through a large one are both cheap.

use crate::product::{Matrix, MatrixBlock, Product};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::{Scratch, Workspace};

use super::sum_of_squares;

/// True where inner products cost less than the sum of the outer ones.
pub(crate) fn by_products(terms: usize, inputs: usize, outputs: usize) -> bool {
    let (terms, inputs, outputs) = (terms as u128, inputs as u128, outputs as u128);
    terms * (inputs + outputs) < inputs * outputs
}

/// Multiply-adds that the squared norm of one example's gradient of a matrix of `inputs` by
/// `outputs` weights takes where the matrix has met `terms` places of the example: a linear layer's
/// 1, the steps of a sequence, the output pixels of a convolution (whose matrix is a group's, with
/// `kernel height · kernel width · in_channels / groups` inputs).
///
/// ```
/// use batchscope_kernels::outer_norm_work;
/// assert_eq!(outer_norm_work(1, 512, 10), 522);
/// assert_eq!(outer_norm_work(35, 200, 800), 35 * 35 * 1000); // less than 35 · 200 · 800
/// assert_eq!(outer_norm_work(576, 25, 16), 576 * 25 * 16);
/// ```
pub fn outer_norm_work(terms: usize, inputs: usize, outputs: usize) -> u64 {
    let (t, i, o) = (terms as u64, inputs as u64, outputs as u64);
    let one = if by_products(terms, inputs, outputs) {
        t.saturating_mul(i.saturating_add(o))
    } else {
        i.saturating_mul(o)
    };
    t.saturating_mul(one)
}

/// Memory for one such norm after another.
pub(crate) struct OuterSum<'w, T: Real> {
    terms: usize,
    inputs: usize,
    outputs: usize,
    by_products: bool,
    workspace: &'w Workspace,
    /// The sum, or the inner products of the `x_t` and then those of the `d_t`.
    memory: Scratch<'w, T>,
}

impl<'w, T: Real> OuterSum<'w, T> {
    /// For `terms` products of `inputs` by `outputs` numbers.
    pub(crate) fn new(
        workspace: &'w Workspace,
        terms: usize,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let by_products = by_products(terms, inputs, outputs);
        let len = if by_products {
            2 * terms * terms
        } else {
            inputs * outputs
        };
        Self {
            terms,
            inputs,
            outputs,
            by_products,
            workspace,
            memory: workspace.take(len),
        }
    }

    /// `|Σ_t x_tᵀ·d_t|²` of `x`, `[terms, inputs]`, and `d`, `[terms, outputs]`.
    #[inline(always)]
    pub(crate) fn squared_norm<S: Simd<Scalar = T>>(&mut self, s: S, x: &[T], d: &[T]) -> f64 {
        let x = Matrix::new(x, self.terms, self.inputs);
        let d = Matrix::new(d, self.terms, self.outputs);
        if !self.by_products {
            let sum = MatrixBlock::new(&mut self.memory, self.inputs, self.outputs);
            Product::new(x.transposed(), d)
                .piece(self.workspace, sum)
                .run(s);
            return sum_of_squares(s, &self.memory);
        }
        let terms = self.terms;
        let (of_x, of_d) = self.memory.split_at_mut(terms * terms);
        for (factor, products) in [(x, &mut *of_x), (d, &mut *of_d)] {
            let products = MatrixBlock::new(products, terms, terms);
            Product::new(factor, factor.transposed())
                .piece(self.workspace, products)
                .run(s);
        }
        let pairs = of_x.iter().zip(&*of_d);
        let norm: f64 = pairs.map(|(x, d)| x.to_f64() * d.to_f64()).sum();
        // Rounding may leave a norm of nearly nothing below 0; what is no number stays none.
        if norm < 0.0 { 0.0 } else { norm }
    }
}
