//! Linear layers.

use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::product::{Matrix, Product, Start};
use crate::reduce::{add_columns, add_partials, mask_by_output};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// The shape of a linear layer on a batch: input `[rows, inputs]`, weights `[inputs, outputs]` or
/// turned round, output `[rows, outputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearShape {
    rows: usize,
    inputs: usize,
    outputs: usize,
    turned: bool,
}

impl LinearShape {
    /// A layer of `inputs` to `outputs` numbers on `rows` examples.
    ///
    /// # Errors
    /// When a size is zero or a buffer could not exist.
    pub fn new(rows: usize, inputs: usize, outputs: usize) -> Result<Self, KernelError> {
        if rows == 0 || inputs == 0 || outputs == 0 {
            return Err(KernelError::Shape(format!(
                "a linear layer of {inputs} to {outputs} numbers on {rows} examples: choose at least 1 of each"
            )));
        }
        volume(&[rows, inputs])?;
        volume(&[rows, outputs])?;
        volume(&[inputs, outputs])?;
        Ok(Self {
            rows,
            inputs,
            outputs,
            turned: false,
        })
    }

    /// The same with weights `[outputs, inputs]`, as an embedding table has them that also scores
    /// (Press and Wolf 2017).
    pub fn with_turned_weights(self) -> Self {
        Self {
            turned: true,
            ..self
        }
    }

    /// The weights as `[inputs, outputs]`.
    fn matrix<T>(self, weights: &[T]) -> Matrix<'_, T> {
        if self.turned {
            Matrix::new(weights, self.outputs, self.inputs).transposed()
        } else {
            Matrix::new(weights, self.inputs, self.outputs)
        }
    }

    /// Examples.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Numbers each example has.
    pub fn inputs(self) -> usize {
        self.inputs
    }

    /// Numbers the layer makes of them.
    pub fn outputs(self) -> usize {
        self.outputs
    }
}

/// Where [`linear_backward`] writes; all is overwritten.
#[derive(Debug)]
pub struct LinearGradients<'a, T> {
    /// Of the input, `[rows, inputs]`; `None` for a first layer.
    pub dx: Option<&'a mut [T]>,
    /// Of the weights, in their shape.
    pub dw: Option<&'a mut [T]>,
    /// Of the bias, `[outputs]`.
    pub db: Option<&'a mut [T]>,
}

/// `y = x·W + b`, rectified (`max(·, 0)`) if wanted.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn linear_forward<T: Real>(
    workspace: &Workspace,
    shape: LinearShape,
    x: &[T],
    weights: &[T],
    bias: Option<&[T]>,
    relu: bool,
    y: &mut [T],
) -> Result<(), KernelError> {
    let LinearShape {
        rows,
        inputs,
        outputs,
        ..
    } = shape;
    check_length("x", x, rows * inputs)?;
    check_length("weights", weights, inputs * outputs)?;
    if let Some(bias) = bias {
        check_length("bias", bias, outputs)?;
    }
    check_length("y", y, rows * outputs)?;
    Product {
        start: bias.map_or(Start::Zero, Start::Bias),
        relu,
        ..Product::new(Matrix::new(x, rows, inputs), shape.matrix(weights))
    }
    .compute(workspace, y);
    Ok(())
}

/// The gradients of [`linear_forward`], from that of its output, `dy`, `[rows, outputs]`:
/// `dx = dz·Wᵀ`, `dW = xᵀ·dz`, `db = Σ dz` over the rows, with `dz = dy` where the output is
/// positive and 0 elsewhere if the layer rectifies (`rectified` is then its output), else
/// `dz = dy`.
///
/// # Errors
/// When a slice does not have its shape's length.
#[allow(clippy::too_many_arguments)] // the tensors of one operation
pub fn linear_backward<T: Real>(
    workspace: &Workspace,
    shape: LinearShape,
    x: &[T],
    weights: &[T],
    rectified: Option<&[T]>,
    dy: &[T],
    gradients: LinearGradients<'_, T>,
) -> Result<(), KernelError> {
    let LinearShape {
        rows,
        inputs,
        outputs,
        ..
    } = shape;
    let LinearGradients { dx, dw, db } = gradients;
    check_length("x", x, rows * inputs)?;
    check_length("weights", weights, inputs * outputs)?;
    check_length("dy", dy, rows * outputs)?;
    if let Some(rectified) = rectified {
        check_length("rectified", rectified, rows * outputs)?;
    }
    if let Some(dx) = &dx {
        check_length("dx", dx, rows * inputs)?;
    }
    if let Some(dw) = &dw {
        check_length("dw", dw, inputs * outputs)?;
    }
    if let Some(db) = &db {
        check_length("db", db, outputs)?;
    }

    let mut masked = rectified.map(|_| workspace.take::<T>(dy.len()));
    if masked.is_some() || db.is_some() {
        let height = chunks::piece(rows, chunks::FLAT.div_ceil(outputs));
        let piece = height * outputs;
        let parts = rows.div_ceil(height);
        let mut sums = workspace.take_zeroed::<T>(if db.is_some() { parts * outputs } else { 0 });
        let shares = dy
            .chunks(piece)
            .zip(chunks::optional(rectified, piece))
            .zip(chunks::optional_mut(masked.as_deref_mut(), piece))
            .zip(chunks::optional_mut(
                db.is_some().then_some(&mut *sums),
                outputs,
            ))
            .map(|(((dy, rectified), masked), sums)| Outputs {
                dy,
                rectified: rectified.zip(masked),
                sums,
            });
        chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
        if let Some(db) = db {
            add_partials(&mut sums, outputs);
            db.copy_from_slice(&sums[..outputs]);
        }
    }
    let dz = masked.as_deref().unwrap_or(dy);
    let dz = Matrix::new(dz, rows, outputs);
    if let Some(dw) = dw {
        let x = Matrix::new(x, rows, inputs);
        let product = if shape.turned {
            Product::new(dz.transposed(), x)
        } else {
            Product::new(x.transposed(), dz)
        };
        product.compute(workspace, dw);
    }
    if let Some(dx) = dx {
        Product::new(dz, shape.matrix(weights).transposed()).compute(workspace, dx);
    }
    Ok(())
}

/// Some rows of the output's gradient on their way through the rectifier and to the bias.
struct Outputs<'a, T> {
    dy: &'a [T],
    /// The output, and where the gradient before the rectifier goes.
    rectified: Option<(&'a [T], &'a mut [T])>,
    sums: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for Outputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let dz = match self.rectified {
            Some((rectified, masked)) => {
                mask_by_output(s, self.dy, rectified, masked);
                masked
            }
            None => self.dy,
        };
        if let Some(sums) = self.sums {
            add_columns(s, dz, sums);
        }
    }
}
