use super::Matrix;
use crate::simd::Simd;

/// `B` as the tiles read it: panels of two vectors (the last may be one), one after the other, or
/// the matrix itself.
pub(crate) struct Panels<'a, T> {
    values: &'a [T],
    /// Rows of a panel: the summed index.
    pub depth: usize,
    /// Columns, of which the last panel may hold fewer than it has room for.
    pub columns: usize,
    /// Elements from a row to the next; `None` where panels are packed.
    stride: Option<usize>,
}

impl<'a, T> Panels<'a, T> {
    /// The matrix itself; its columns fill whole panels.
    pub(super) fn in_place(values: &'a [T], depth: usize, columns: usize, stride: usize) -> Self {
        assert!(depth == 0 || (depth - 1) * stride + columns <= values.len());
        Self {
            values,
            depth,
            columns,
            stride: Some(stride),
        }
    }

    /// What [`pack`] has written, or another: `[panel][row][column of the panel]`.
    pub(crate) fn packed(values: &'a [T], depth: usize, columns: usize) -> Self {
        Self {
            values,
            depth,
            columns,
            stride: None,
        }
    }

    /// Start of the panel whose first column is `column`, `vectors` vectors of `lanes` wide, and
    /// the distance from a row of it to the next: `depth` rows of it may be read.
    pub(super) fn panel(&self, column: usize, vectors: usize, lanes: usize) -> (*const T, usize) {
        let (start, stride) = match self.stride {
            Some(stride) => (column, stride),
            None => (column * self.depth, vectors * lanes),
        };
        let reach = match self.depth {
            0 => 0,
            depth => start + (depth - 1) * stride + vectors * lanes,
        };
        assert!(reach <= self.values.len());
        (self.values.as_ptr().wrapping_add(start), stride)
    }
}

/// Packs `b` into `memory`; columns that fill up the last vector are zeros.
#[inline(always)]
pub(super) fn pack<'a, S: Simd>(
    s: S,
    b: Matrix<'_, S::Scalar>,
    memory: &'a mut [S::Scalar],
) -> Panels<'a, S::Scalar> {
    let (depth, columns) = (b.rows, b.columns);
    let padded = columns.next_multiple_of(S::LANES);
    let memory = &mut memory[..padded * depth];
    for first in (0..padded).step_by(2 * S::LANES) {
        let width = (2 * S::LANES).min(padded - first);
        let panel = &mut memory[first * depth..][..width * depth];
        let held = width.min(columns - first);
        if b.strides[1] == 1 {
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                let from = &b.values[k * b.strides[0] + first..][..held];
                for (v, row) in row.chunks_exact_mut(S::LANES).enumerate() {
                    // The lanes after the end are loaded as zeros.
                    s.store(row, s.load(&from[(v * S::LANES).min(held)..]));
                }
            }
        } else {
            turn(s, b, first, held, width, panel);
        }
    }
    Panels::packed(memory, depth, columns)
}

/// Packs the columns `first..first + held` of a matrix that lies by columns: square blocks are
/// turned round in registers, the rest element by element.
#[inline(always)]
fn turn<S: Simd>(
    s: S,
    b: Matrix<'_, S::Scalar>,
    first: usize,
    held: usize,
    width: usize,
    panel: &mut [S::Scalar],
) {
    let [row, column] = b.strides;
    let depth = b.rows;
    let square = S::LANES;
    // Whole squares: these many columns and rows.
    let whole = [
        held / square * square,
        if row == 1 { depth / square * square } else { 0 },
    ];
    for j in (0..whole[0]).step_by(square) {
        for k in (0..whole[1]).step_by(square) {
            let from = &b.values[(first + j) * column + k..];
            let to = &mut panel[k * width + j..];
            assert!(from.len() >= (square - 1) * column + square);
            assert!(to.len() >= (square - 1) * width + square);
            // SAFETY: just checked, for `square` runs of `square` elements on both sides.
            unsafe { s.transpose(from.as_ptr(), column, to.as_mut_ptr(), width) }
        }
    }
    for (k, out) in panel.chunks_exact_mut(width).enumerate() {
        let done = if k < whole[1] { whole[0] } else { 0 };
        for (j, out) in out.iter_mut().enumerate().skip(done) {
            *out = if j < held {
                b.values[k * row + (first + j) * column]
            } else {
                S::Scalar::default()
            };
        }
    }
}
