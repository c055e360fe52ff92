//! Embedding tables that also score (Press and Wolf 2017).
//!
//! An example's gradient of such a table is the sum of two: `E`, of the rows its tokens look up, and
//! `D = Σ_s dy_sᵀ·x_s`, of the scores of its places. What its squared norm has besides both norms is
//!
//! ```text
//! 2·⟨E, D⟩ = 2·Σ_t Σ_s dy_s[token_t]·(x_s·de_t)
//! ```
//!
//! for which neither gradient is needed: the scores' layer, which comes first on the way back, leaves
//! behind the few numbers of `dy` that tokens of the example pick.

use std::ops::Range;

use super::places_of_each;
use crate::chunks;
use crate::embedding::checked;
use crate::error::{KernelError, check_length};
use crate::linear::LinearShape;
use crate::product::{Matrix, MatrixBlock, Product};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Places of an example, where `tokens` are those of all examples, place by place.
fn places(shape: LinearShape, examples: usize, tokens: &[u32]) -> Result<usize, KernelError> {
    checked(shape.outputs(), shape.inputs(), tokens)?;
    if examples == 0 || !shape.rows().is_multiple_of(examples) || tokens.len() != shape.rows() {
        return Err(KernelError::Shape(format!(
            "{} tokens and {} rows do not belong to {examples} examples: give a token for each row",
            tokens.len(),
            shape.rows()
        )));
    }
    Ok(shape.rows() / examples)
}

/// Numbers that [`pick_tied_scores`] writes: for each example one for every pair of its places.
///
/// # Errors
/// As [`pick_tied_scores`], but for the slices.
pub fn tied_pairs(
    shape: LinearShape,
    examples: usize,
    tokens: &[u32],
) -> Result<usize, KernelError> {
    let places = places(shape, examples, tokens)?;
    Ok(shape.rows() * places)
}

/// `picked[i, s, t] = dy_s[token_t]` of example `i`, from the gradient `dy`, `[rows, vocabulary]`, of
/// the scores that a layer of this shape gives with the table. Row and token `t · examples + i` are
/// place `t` of example `i`.
///
/// # Errors
/// When the rows are not those of the examples, a token is not below the vocabulary (the shape's
/// outputs), or a slice does not have its shape's length.
pub fn pick_tied_scores<T: Real>(
    shape: LinearShape,
    examples: usize,
    tokens: &[u32],
    dy: &[T],
    picked: &mut [T],
) -> Result<(), KernelError> {
    let places = places(shape, examples, tokens)?;
    let vocabulary = shape.outputs();
    check_length("dy", dy, shape.rows() * vocabulary)?;
    check_length("picked", picked, shape.rows() * places)?;
    for (i, picked) in picked.chunks_exact_mut(places * places).enumerate() {
        for (s, picked) in picked.chunks_exact_mut(places).enumerate() {
            let dy = &dy[(s * examples + i) * vocabulary..][..vocabulary];
            for (t, picked) in picked.iter_mut().enumerate() {
                *picked = dy[tokens[t * examples + i] as usize];
            }
        }
    }
    Ok(())
}

/// `Σ 2·⟨E, D⟩` over the examples: what the squared norms of their gradients of a table have besides
/// those of both its uses, [`crate::embedding_example_norms`] and [`crate::linear_example_norms`].
/// `x`, `[rows, width]`, is the input of the scores' layer and `picked` what [`pick_tied_scores`] wrote;
/// `dout`, `[rows, width]`, is the gradient of the rows that were looked up.
///
/// # Errors
/// When a slice does not have its shape's length, or `examples` does not divide the rows.
pub fn tied_example_products<T: Real>(
    workspace: &Workspace,
    shape: LinearShape,
    examples: usize,
    x: &[T],
    picked: &[T],
    dout: &[T],
) -> Result<f64, KernelError> {
    let (rows, width) = (shape.rows(), shape.inputs());
    let places = places_of_each(rows, "rows", examples)?;
    check_length("x", x, rows * width)?;
    check_length("picked", picked, rows * places)?;
    check_length("dout", dout, rows * width)?;
    let piece = chunks::piece(examples, chunks::FLAT.div_ceil(places * places * width));
    Ok(chunks::sum(examples, piece, |range| {
        let share = Share {
            workspace,
            width,
            places,
            examples,
            x,
            picked,
            dout,
            range,
        };
        T::dispatch(workspace.isa(), share)
    }))
}

struct Share<'a, T> {
    workspace: &'a Workspace,
    width: usize,
    places: usize,
    examples: usize,
    x: &'a [T],
    picked: &'a [T],
    dout: &'a [T],
    range: Range<usize>,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> f64 {
        let (width, places) = (self.width, self.places);
        let mut x = self.workspace.take::<T>(places * width);
        let mut dout = self.workspace.take::<T>(places * width);
        let mut products = self.workspace.take::<T>(places * places);
        let mut total = 0.0;
        for example in self.range {
            for (all, own) in [(self.x, &mut x), (self.dout, &mut dout)] {
                for (t, own) in own.chunks_exact_mut(width).enumerate() {
                    own.copy_from_slice(&all[(t * self.examples + example) * width..][..width]);
                }
            }
            let x = Matrix::new(&x, places, width);
            let dout = Matrix::new(&dout, places, width);
            let out = MatrixBlock::new(&mut products, places, places);
            Product::new(x, dout.transposed())
                .piece(self.workspace, out)
                .run(s);
            let picked = &self.picked[example * places * places..][..places * places];
            let pairs = picked.iter().zip(&*products);
            total += pairs.map(|(d, p)| d.to_f64() * p.to_f64()).sum::<f64>();
        }
        2.0 * total
    }
}
