//! Embedding tables.

use super::{places_of_each, sum_of_squares};
use crate::chunks;
use crate::embedding::checked;
use crate::error::{KernelError, check_length};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Squared norms of the gradients that each example gives of an embedding table, summed over the
/// examples. Arguments are those of [`crate::embedding_scatter_add`]; token `t · examples + i` is
/// place `t` of example `i`. Equal tokens of an example look up the same row of the table, so their
/// gradients add up before the square is taken.
///
/// # Errors
/// When `examples` is zero or does not divide the number of tokens, a token is not below the
/// vocabulary, or a slice does not have its shape's length.
pub fn embedding_example_norms<T: Real>(
    workspace: &Workspace,
    vocabulary: usize,
    width: usize,
    examples: usize,
    tokens: &[u32],
    dout: &[T],
) -> Result<f64, KernelError> {
    checked(vocabulary, width, tokens)?;
    check_length("dout", dout, tokens.len() * width)?;
    let each = places_of_each(tokens.len(), "tokens", examples)?.max(1);
    let piece = chunks::piece(examples, chunks::FLAT.div_ceil(each * width));
    Ok(chunks::sum(examples, piece, |range| {
        let share = Share {
            workspace,
            width,
            examples,
            tokens,
            dout,
            range,
        };
        T::dispatch(workspace.isa(), share)
    }))
}

struct Share<'a, T> {
    workspace: &'a Workspace,
    width: usize,
    examples: usize,
    tokens: &'a [u32],
    dout: &'a [T],
    range: std::ops::Range<usize>,
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> f64 {
        let width = self.width;
        let mut sum = self.workspace.take::<T>(width);
        // (token, row) of an example, equal tokens side by side.
        let mut order: Vec<(u32, usize)> = Vec::new();
        let mut total = 0.0;
        for example in self.range {
            let rows = (example..self.tokens.len()).step_by(self.examples);
            order.clear();
            order.extend(rows.map(|row| (self.tokens[row], row)));
            order.sort_unstable();
            for equal in order.chunk_by(|a, b| a.0 == b.0) {
                let row = |&(_, row): &(u32, usize)| &self.dout[row * width..][..width];
                if let [one] = equal {
                    total += sum_of_squares(s, row(one));
                    continue;
                }
                sum.fill(T::ZERO);
                for dout in equal.iter().map(row) {
                    for (sum, dout) in sum.chunks_mut(S::LANES).zip(dout.chunks(S::LANES)) {
                        s.store(sum, s.add(s.load(sum), s.load(dout)));
                    }
                }
                total += sum_of_squares(s, &sum);
            }
        }
        total
    }
}
