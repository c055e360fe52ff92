//! Squared norms, of tensors and of the gradients of single examples.
//!
//! What an example adds to the gradient of a matrix of weights is a sum of outer products, one for
//! each place where the matrix met it: `Σ_t x_tᵀ·dz_t` over the steps of a sequence or the pixels of
//! an image. Its norm needs no gradient to be kept ([`outer`]): exactly, and one example after the
//! other in memory that does not grow with the batch.

mod embedding;
mod linear;
mod outer;
mod tied;

pub use embedding::embedding_example_norms;
pub use linear::{linear_example_norms, lstm_example_norms};
pub use outer::outer_norm_work;
pub use tied::{pick_tied_scores, tied_example_products, tied_pairs};

pub(crate) use outer::{OuterSum, by_products};

use crate::chunks;
use crate::error::KernelError;
use crate::simd::{Isa, Kernel, Real, Simd};

/// Elements whose squares are added up in the element type, in 4 vectors of partial sums, before
/// the sum goes on in double precision: the relative error stays near `f32`'s own, 1e-7.
const BLOCK: usize = 1024;

/// `Σ x²`, added up in a fixed order whatever the number of threads. Squares below the element
/// type's smallest number count as 0, those above its largest make the sum infinite.
///
/// ```
/// use batchscope_kernels::{Isa, squared_norm};
/// assert_eq!(squared_norm(Isa::best(), &[3.0f32, -4.0]), 25.0);
/// ```
pub fn squared_norm<T: Real>(isa: Isa, x: &[T]) -> f64 {
    let piece = chunks::piece(x.len(), chunks::FLAT);
    chunks::sum(x.len(), piece, |range| {
        T::dispatch(isa, Squares { x: &x[range] })
    })
}

struct Squares<'a, T> {
    x: &'a [T],
}

impl<T: Real> Kernel<T> for Squares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> f64 {
        sum_of_squares(s, self.x)
    }
}

/// `Σ x²` inside a kernel.
#[inline(always)]
pub(crate) fn sum_of_squares<S: Simd>(s: S, x: &[S::Scalar]) -> f64 {
    let mut total = 0.0;
    for block in x.chunks(BLOCK) {
        let mut parts = [s.zero(); 4];
        let mut quads = block.chunks_exact(4 * S::LANES);
        for quad in &mut quads {
            for (i, part) in parts.iter_mut().enumerate() {
                let x = s.load(&quad[i * S::LANES..]);
                *part = s.fma(x, x, *part);
            }
        }
        for (x, part) in quads.remainder().chunks(S::LANES).zip(&mut parts) {
            let x = s.load(x);
            *part = s.fma(x, x, *part);
        }
        let sum = s.add(s.add(parts[0], parts[1]), s.add(parts[2], parts[3]));
        total += s.sum(sum).to_f64();
    }
    total
}

/// Places of each of so many examples, of which all are among the `rows` of `what`.
fn places_of_each(rows: usize, what: &str, examples: usize) -> Result<usize, KernelError> {
    if examples == 0 || !rows.is_multiple_of(examples) {
        return Err(KernelError::Shape(format!(
            "{rows} {what} do not belong to {examples} examples: choose a divisor"
        )));
    }
    Ok(rows / examples)
}

/// Sums over the examples of a batch of the squared norms of their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExampleNorms {
    /// Of the weights.
    pub weights: f64,
    /// Of the bias.
    pub bias: f64,
}

impl std::ops::AddAssign for ExampleNorms {
    fn add_assign(&mut self, other: Self) {
        self.weights += other.weights;
        self.bias += other.bias;
    }
}

impl std::iter::Sum for ExampleNorms {
    fn sum<I: Iterator<Item = Self>>(norms: I) -> Self {
        norms.fold(Self::default(), |mut sum, norms| {
            sum += norms;
            sum
        })
    }
}
