use batchwise_kernels::{lstm_cell_backward, lstm_cell_forward};
use burn::{backend::Flex, tensor::Tensor};
use burn_flex::FlexTensor;

use super::{Arguments, Operation, WORKSPACE, buffer, checked, flex, values};

/// All steps of an LSTM: see [`crate::layers`]' composed form, which this equals.
pub(crate) fn lstm(
    gates: Tensor<2>,
    recurrent: Tensor<2>,
    bias: Tensor<1>,
    hidden: Tensor<2>,
    cell: Tensor<2>,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let [rows, _] = gates.dims();
    let [n, width] = hidden.dims();
    let len = n * width;
    let inputs = Arguments::new([
        gates.into_dispatch(),
        recurrent.into_dispatch(),
        bias.into_dispatch(),
    ]);
    let start = Arguments::new([hidden.into_dispatch(), cell.into_dispatch()]);
    let [first_hidden, first_cell] = start.values.each_ref().map(values);
    let [gates, recurrent, bias] = inputs.values.each_ref().map(values);
    let mut gates = gates.to_vec();
    let mut outputs = buffer(rows * width);
    // The cell states before the first step and after every step.
    let mut cells = [first_cell, &buffer(rows * width)].concat();
    for (t, gates) in gates.chunks_exact_mut(4 * len).enumerate() {
        let (past, now) = outputs.split_at_mut(t * len);
        let previous = if t == 0 {
            first_hidden
        } else {
            &past[(t - 1) * len..]
        };
        add_product(
            gates,
            Matrix::new(previous, n, width),
            Matrix::new(recurrent, width, 4 * width),
        );
        let (past, cell) = cells.split_at_mut((t + 1) * len);
        let (previous, cell, hidden) = (&past[t * len..], &mut cell[..len], &mut now[..len]);
        checked(lstm_cell_forward(
            &WORKSPACE,
            n,
            width,
            gates,
            Some(bias),
            previous,
            cell,
            hidden,
        ));
    }
    let state = |values: &[f32]| Tensor::from_primitive::<Flex>(flex(values.to_vec(), &[n, width]));
    let last = (
        state(&outputs[rows * width - len..]),
        state(&cells[rows * width..]),
    );
    let first_hidden = first_hidden.to_vec();
    let outputs = inputs.output(
        flex(outputs, &[rows, width]),
        |[_, recurrent, _], outputs| Lstm {
            n,
            width,
            gates,
            cells,
            first_hidden,
            outputs: outputs.clone(),
            recurrent,
        },
    );
    (outputs, last.0, last.1)
}

#[derive(Debug, Clone)]
struct Lstm {
    n: usize,
    width: usize,
    /// Activations of the gates of every step.
    gates: Vec<f32>,
    /// Cell states before the first and after every step.
    cells: Vec<f32>,
    /// Hidden state before the first step.
    first_hidden: Vec<f32>,
    outputs: FlexTensor,
    recurrent: FlexTensor,
}

impl Operation<3> for Lstm {
    fn gradients(self, dy: &[f32], _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Self {
            n,
            width,
            gates,
            cells,
            first_hidden,
            outputs,
            recurrent,
        } = self;
        let len = n * width;
        let steps = dy.len() / len;
        let recurrent = Matrix::new(values(&recurrent), width, 4 * width);
        let mut dgates = buffer(4 * dy.len());
        let mut dhidden = buffer(len);
        let (mut dcell, mut dprevious) = (buffer(len), buffer(len));
        for t in (0..steps).rev() {
            for (sum, dy) in dhidden.iter_mut().zip(&dy[t * len..]) {
                *sum += dy;
            }
            let at = 4 * t * len..4 * (t + 1) * len;
            let (gates, dgates) = (&gates[at.clone()], &mut dgates[at]);
            let (previous, cell) = (
                &cells[t * len..(t + 1) * len],
                &cells[(t + 1) * len..(t + 2) * len],
            );
            checked(lstm_cell_backward(
                &WORKSPACE,
                n,
                width,
                gates,
                previous,
                cell,
                &dhidden,
                Some(&dcell),
                dgates,
                &mut dprevious,
            ));
            std::mem::swap(&mut dcell, &mut dprevious);
            dhidden.fill(0.0);
            add_product(
                &mut dhidden,
                Matrix::new(dgates, n, 4 * width),
                recurrent.transposed(),
            );
        }
        // All steps at once: the hidden states before each step against its gates' gradients.
        let mut drecurrent = buffer(4 * width * width);
        let before = [&first_hidden, &values(&outputs)[..(steps - 1) * len]].concat();
        let rows = steps * n;
        let before = Matrix::new(&before, rows, width).transposed();
        add_product(
            &mut drecurrent,
            before,
            Matrix::new(&dgates, rows, 4 * width),
        );
        let mut dbias = buffer(4 * width);
        for row in dgates.chunks_exact(4 * width) {
            dbias.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
        }
        [
            Some(flex(dgates, &[rows, 4 * width])),
            Some(flex(drecurrent, &[width, 4 * width])),
            Some(flex(dbias, &[4 * width])),
        ]
    }
}

/// A matrix over a slice.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distances from row to row and from column to column.
    strides: [isize; 2],
}

impl<'a> Matrix<'a> {
    /// Row-major.
    fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(values.len() >= rows * columns, "a matrix needs its values");
        Self {
            values,
            rows,
            columns,
            strides: [columns as isize, 1],
        }
    }

    fn transposed(self) -> Self {
        let Self {
            values,
            rows,
            columns,
            strides: [row, column],
        } = self;
        Self {
            values,
            rows: columns,
            columns: rows,
            strides: [column, row],
        }
    }
}

/// `sum += a·b`, row-major.
fn add_product(sum: &mut [f32], a: Matrix, b: Matrix) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(b.rows == k && sum.len() == m * n, "matrix sizes must agree");
    // burn's own threshold: below it, threads cost more than they bring.
    let parallelism = if m * n * k < 192 * 192 * 192 {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(0)
    };
    // SAFETY: `Matrix::new` and the assertion make all three matrices lie inside their slices;
    // `sum` is borrowed uniquely, so nothing aliases what is written.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            sum.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.values.as_ptr(),
            a.strides[1],
            a.strides[0],
            b.values.as_ptr(),
            b.strides[1],
            b.strides[0],
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices_and_their_transposes() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 × 3
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 1.0]; // 3 × 2
        let mut sum = [10.0, 20.0, 30.0, 40.0];
        add_product(&mut sum, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2));
        assert_eq!(sum, [10.0 + 5.0, 20.0 + 5.0, 30.0 + 14.0, 40.0 + 11.0]);
        let mut sum = [0.0; 4];
        add_product(
            &mut sum,
            Matrix::new(&b, 3, 2).transposed(),
            Matrix::new(&a, 2, 3).transposed(),
        );
        assert_eq!(sum, [5.0, 14.0, 5.0, 11.0]);
    }
}
