//! Squared norms, of tensors and of the gradients of single examples.

use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::linear::LinearShape;
use crate::simd::{Isa, Kernel, Real, Simd};

/// Elements whose squares are added up in the element type, in 4 vectors of partial sums, before
/// the sum goes on in double precision: the relative error stays near `f32`'s own, 1e-7.
const BLOCK: usize = 1024;

/// `Σ x²`, added up in a fixed order whatever the number of threads. Squares below the element
/// type's smallest number count as 0, those above its largest make the sum infinite.
///
/// ```
/// use batchwise_kernels::{Isa, squared_norm};
/// assert_eq!(squared_norm(Isa::best(), &[3.0f32, -4.0]), 25.0);
/// ```
pub fn squared_norm<T: Real>(isa: Isa, x: &[T]) -> f64 {
    let piece = chunks::piece(x.len(), chunks::FLAT);
    let mut sums = [0.0; chunks::MOST];
    chunks::for_each(x.chunks(piece).zip(&mut sums), |(x, sum)| {
        *sum = T::dispatch(isa, Squares { x });
    });
    sums.iter().sum()
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

#[inline(always)]
fn sum_of_squares<S: Simd>(s: S, x: &[S::Scalar]) -> f64 {
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

/// Sums over the examples of a batch of the squared norms of their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExampleNorms {
    /// Of the weights.
    pub weights: f64,
    /// Of the bias.
    pub bias: f64,
}

/// Squared norms of the gradients that each row of a linear layer's batch gives, summed over the
/// rows, without making those gradients: row `i` adds the outer product `x_iᵀ·dz_i` to the weights'
/// gradient, whose squared norm is `|x_i|²·|dz_i|²` (I. Goodfellow, "Efficient Per-Example Gradient
/// Computations", arXiv 1510.01799), and `dz_i` to the bias's. Arguments are those of
/// [`crate::linear_backward`]; a row is an example.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn linear_example_norms<T: Real>(
    isa: Isa,
    shape: LinearShape,
    x: &[T],
    rectified: Option<&[T]>,
    dy: &[T],
) -> Result<ExampleNorms, KernelError> {
    let (rows, inputs, outputs) = (shape.rows(), shape.inputs(), shape.outputs());
    check_length("x", x, rows * inputs)?;
    check_length("dy", dy, rows * outputs)?;
    if let Some(rectified) = rectified {
        check_length("rectified", rectified, rows * outputs)?;
    }
    let height = chunks::piece(rows, chunks::FLAT.div_ceil(inputs + outputs));
    let mut sums = [ExampleNorms::default(); chunks::MOST];
    let shares = x
        .chunks(height * inputs)
        .zip(dy.chunks(height * outputs))
        .zip(chunks::optional(rectified, height * outputs))
        .zip(&mut sums);
    chunks::for_each(shares, |(((x, dy), rectified), sum)| {
        let rows = Rows {
            inputs,
            outputs,
            x,
            dy,
            rectified,
        };
        *sum = T::dispatch(isa, rows);
    });
    Ok(sums
        .iter()
        .fold(ExampleNorms::default(), |a, b| ExampleNorms {
            weights: a.weights + b.weights,
            bias: a.bias + b.bias,
        }))
}

struct Rows<'a, T> {
    inputs: usize,
    outputs: usize,
    x: &'a [T],
    dy: &'a [T],
    rectified: Option<&'a [T]>,
}

impl<T: Real> Kernel<T> for Rows<'_, T> {
    type Output = ExampleNorms;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> ExampleNorms {
        let mut sums = ExampleNorms::default();
        let rows = self.x.chunks(self.inputs).zip(self.dy.chunks(self.outputs));
        for (i, (x, dy)) in rows.enumerate() {
            let dz = match self.rectified {
                Some(rectified) => {
                    let rectified = &rectified[i * self.outputs..][..self.outputs];
                    masked_sum_of_squares(s, dy, rectified)
                }
                None => sum_of_squares(s, dy),
            };
            sums.weights += sum_of_squares(s, x) * dz;
            sums.bias += dz;
        }
        sums
    }
}

/// `Σ dy²` where the output is positive.
#[inline(always)]
fn masked_sum_of_squares<S: Simd>(s: S, dy: &[S::Scalar], output: &[S::Scalar]) -> f64 {
    let mut total = 0.0;
    for (dy, output) in dy.chunks(BLOCK).zip(output.chunks(BLOCK)) {
        let mut parts = [s.zero(); 2];
        for (i, (dy, output)) in dy.chunks(S::LANES).zip(output.chunks(S::LANES)).enumerate() {
            let passes = s.gt(s.load(output), s.zero());
            let dz = s.select(passes, s.load(dy), s.zero());
            parts[i % 2] = s.fma(dz, dz, parts[i % 2]);
        }
        total += s.sum(s.add(parts[0], parts[1])).to_f64();
    }
    total
}
