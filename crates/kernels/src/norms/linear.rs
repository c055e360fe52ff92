//! Linear layers and the recurrent product of an LSTM.

use super::{BLOCK, ExampleNorms, OuterSum, outer_norm_work, places_of_each, sum_of_squares};
use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::linear::LinearShape;
use crate::lstm::LstmShape;
use crate::reduce::{add_columns, mask_by_output};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Multiply-adds that are worth a piece of work of their own.
const PIECE: u64 = 1 << 18;

/// Squared norms of the gradients that each example gives of a linear layer, summed over the
/// examples, without keeping those gradients. Arguments are those of [`crate::linear_backward`], of
/// which row `t · examples + i` is place `t` of example `i`: an example has `rows / examples` rows,
/// one in an ordinary layer, one for each step of a sequence.
///
/// One row adds the outer product `x_iᵀ·dz_i` to the weights' gradient, whose squared norm is
/// `|x_i|²·|dz_i|²` (I. Goodfellow, "Efficient Per-Example Gradient Computations",
/// arXiv 1510.01799), and `dz_i` to the bias's. Several rows add up before the norm is taken, at
/// [`outer_norm_work`] multiply-adds for an example.
///
/// # Errors
/// When `examples` is zero or does not divide the rows, or a slice does not have its shape's length.
pub fn linear_example_norms<T: Real>(
    workspace: &Workspace,
    shape: LinearShape,
    examples: usize,
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
    let steps = places_of_each(rows, "rows of a linear layer", examples)?;
    if rows == examples {
        return Ok(single_rows(workspace, shape, x, rectified, dy));
    }
    let sequences = Sequences {
        workspace,
        steps,
        examples,
        inputs,
        outputs,
        first: None,
        x,
        rectified,
        dy,
        range: 0..0,
    };
    Ok(sequences.norms())
}

/// Squared norms of the gradients that each stream gives of an LSTM's recurrent weights, summed
/// over the streams: `|Σ_t h_{t−1}ᵀ·dgates_t|²`, back to the first step of the window and no
/// further (truncated back-propagation). `first_hidden` and `hidden` are those of
/// [`crate::lstm_backward`], `dgates` is what it wrote.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn lstm_example_norms<T: Real>(
    workspace: &Workspace,
    shape: LstmShape,
    first_hidden: &[T],
    hidden: &[T],
    dgates: &[T],
) -> Result<f64, KernelError> {
    let (steps, streams, width) = (shape.steps(), shape.streams(), shape.width());
    check_length("first_hidden", first_hidden, streams * width)?;
    check_length("hidden", hidden, steps * streams * width)?;
    check_length("dgates", dgates, 4 * steps * streams * width)?;
    let sequences = Sequences {
        workspace,
        steps,
        examples: streams,
        inputs: width,
        outputs: 4 * width,
        first: Some(first_hidden),
        x: hidden,
        rectified: None,
        dy: dgates,
        range: 0..0,
    };
    Ok(sequences.norms().weights)
}

/// Examples of several rows each, and those of them that are a thread's share.
#[derive(Clone)]
struct Sequences<'a, T> {
    workspace: &'a Workspace,
    steps: usize,
    examples: usize,
    inputs: usize,
    outputs: usize,
    /// The inputs of the first step, where those in `x` belong to the step after their own.
    first: Option<&'a [T]>,
    x: &'a [T],
    rectified: Option<&'a [T]>,
    dy: &'a [T],
    range: std::ops::Range<usize>,
}

impl<T: Real> Sequences<'_, T> {
    fn norms(self) -> ExampleNorms {
        let work = outer_norm_work(self.steps, self.inputs, self.outputs).max(1);
        let piece = chunks::piece(self.examples, PIECE.div_ceil(work) as usize);
        chunks::sum(self.examples, piece, |range| {
            let share = Sequences {
                range,
                ..self.clone()
            };
            T::dispatch(self.workspace.isa(), share)
        })
    }

    /// Inputs of an example at a step.
    #[inline(always)]
    fn inputs_at(&self, step: usize, example: usize) -> &[T] {
        let (values, step) = match (self.first, step) {
            (Some(first), 0) => (first, 0),
            (Some(_), step) => (self.x, step - 1),
            (None, step) => (self.x, step),
        };
        &values[(step * self.examples + example) * self.inputs..][..self.inputs]
    }
}

impl<T: Real> Kernel<T> for Sequences<'_, T> {
    type Output = ExampleNorms;

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) -> ExampleNorms {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let mut x = self.workspace.take::<T>(self.steps * inputs);
        let mut dz = self.workspace.take::<T>(self.steps * outputs);
        let mut bias = self.workspace.take::<T>(outputs);
        let mut outer = OuterSum::new(self.workspace, self.steps, inputs, outputs);
        let mut sums = ExampleNorms::default();
        for example in self.range.clone() {
            let places = x.chunks_exact_mut(inputs).zip(dz.chunks_exact_mut(outputs));
            for (step, (x, dz)) in places.enumerate() {
                x.copy_from_slice(self.inputs_at(step, example));
                let at = (step * self.examples + example) * outputs;
                let dy = &self.dy[at..at + outputs];
                match self.rectified {
                    Some(y) => mask_by_output(s, dy, &y[at..at + outputs], dz),
                    None => dz.copy_from_slice(dy),
                }
            }
            bias.fill(T::ZERO);
            add_columns(s, &dz, &mut bias);
            sums += ExampleNorms {
                weights: outer.squared_norm(s, &x, &dz),
                bias: sum_of_squares(s, &bias),
            };
        }
        sums
    }
}

/// A row for every example.
fn single_rows<T: Real>(
    workspace: &Workspace,
    shape: LinearShape,
    x: &[T],
    rectified: Option<&[T]>,
    dy: &[T],
) -> ExampleNorms {
    let (inputs, outputs) = (shape.inputs(), shape.outputs());
    let height = chunks::piece(shape.rows(), chunks::FLAT.div_ceil(inputs + outputs));
    chunks::sum(shape.rows(), height, |range| {
        let [x_range, y_range] =
            [inputs, outputs].map(|width| range.start * width..range.end * width);
        let rows = ExampleRows {
            inputs,
            outputs,
            x: &x[x_range],
            dy: &dy[y_range.clone()],
            rectified: rectified.map(|y| &y[y_range]),
        };
        T::dispatch(workspace.isa(), rows)
    })
}

struct ExampleRows<'a, T> {
    inputs: usize,
    outputs: usize,
    x: &'a [T],
    dy: &'a [T],
    rectified: Option<&'a [T]>,
}

impl<T: Real> Kernel<T> for ExampleRows<'_, T> {
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
