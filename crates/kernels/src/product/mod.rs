//! Matrix products, the arithmetic of linear and recurrent layers.
//!
//! One micro-kernel computes a tile of `C = A·B` in registers: an element of `A` is broadcast
//! against vectors of a row of `B`. `A` may lie in memory either way round, since its elements are
//! read one at a time. `B` is packed into panels as wide as a tile, which also turns it round where
//! it lies by columns; where few rows of `A` would share a panel, it is read where it is.
//!
//! A piece of the work walks over blocks of [`DEPTH`] of the summed index, whose packed panels stay
//! in the second-level cache, and over the tile rows of `A`, which stay in the first. Every element
//! of `C` is summed over the index from first to last, so neither the pieces nor the threads change
//! a bit of it.

mod block;
mod pack;
mod tile;

pub(crate) use block::MatrixBlock;
pub(crate) use pack::Panels;

use crate::chunks;
use crate::simd::{Isa, Kernel, Real, Simd};
use crate::workspace::{Scratch, Workspace};
use pack::pack;
use tile::{Settings, tile_row};

/// Summed indices of a block: a panel of so many rows and two vectors is 32 KiB.
const DEPTH: usize = 256;
/// Columns whose panels are packed together: 256 KiB with [`DEPTH`] rows.
const COLUMNS: usize = 256;
/// With no more rows of `A`, packing `B` costs more than it brings.
const FEW_ROWS: usize = 12;
/// Multiply-adds below which a second thread costs more than it brings.
const SMALL: usize = 1 << 18;

/// A matrix over a slice: element `(i, j)` is at `i·strides[0] + j·strides[1]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// Row-major; `values` has exactly its elements.
    pub(crate) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix has its elements");
        Self {
            values,
            rows,
            columns,
            strides: [columns, 1],
        }
    }

    /// Rows become columns; nothing moves.
    pub(crate) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            strides: [column, row],
        }
    }

    /// The rows `from..to`, all columns.
    fn rows(self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.rows);
        Self {
            // An empty matrix may start past the end of its values.
            values: &self.values[(from * self.strides[0]).min(self.values.len())..],
            rows: to - from,
            ..self
        }
    }

    /// The columns `from..to`, all rows.
    fn columns(self, from: usize, to: usize) -> Self {
        self.transposed().rows(from, to).transposed()
    }
}

/// What the sums of a product start from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// Zero.
    Zero,
    /// A number for each column.
    Bias(&'a [T]),
    /// What the output holds.
    Output,
}

impl<T> Start<'_, T> {
    fn columns(self, from: usize, to: usize) -> Self {
        match self {
            Start::Bias(bias) => Start::Bias(&bias[from..to]),
            start => start,
        }
    }
}

/// `C = start + A·B`, rectified if wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a, T> {
    /// `[m, k]`.
    pub a: Matrix<'a, T>,
    /// `[k, n]`.
    pub b: Matrix<'a, T>,
    /// What is added.
    pub start: Start<'a, T>,
    /// `max(·, 0)` of the result.
    pub relu: bool,
}

impl<'a, T: Real> Product<'a, T> {
    /// `A·B`.
    pub(crate) fn new(a: Matrix<'a, T>, b: Matrix<'a, T>) -> Self {
        Self {
            a,
            b,
            start: Start::Zero,
            relu: false,
        }
    }

    /// Writes the product to `c`, row-major, on the threads of the current pool.
    pub(crate) fn compute(self, workspace: &Workspace, c: &mut [T]) {
        self.compute_from(SMALL, workspace, c);
    }

    /// The same, on one thread where there are fewer than `small` multiply-adds.
    pub(crate) fn compute_from(self, small: usize, workspace: &Workspace, c: &mut [T]) {
        let Self { a, b, .. } = self;
        let (m, n) = (a.rows, b.columns);
        let c = MatrixBlock::new(c, m, n);
        let threads = rayon::current_num_threads();
        if threads == 1 || m * n * a.columns < small {
            T::dispatch(workspace.isa(), self.piece(workspace, c));
            return;
        }
        // A few pieces for each thread even out their paces. Columns are cut rather than rows
        // where there are enough, for each piece packs its columns of `B`.
        let pieces = (2 * threads).min(chunks::MOST);
        let width = n.div_ceil(pieces).next_multiple_of(32);
        if width >= 64 || m < n {
            let shares = c.columns(width).enumerate().map(|(i, c)| {
                self.columns(i * width, n.min((i + 1) * width))
                    .piece(workspace, c)
            });
            chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
        } else {
            let height = m.div_ceil(pieces).next_multiple_of(8);
            let shares = c.rows(height).enumerate().map(|(i, c)| {
                self.rows(i * height, m.min((i + 1) * height))
                    .piece(workspace, c)
            });
            chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
        }
    }

    fn rows(self, from: usize, to: usize) -> Self {
        Self {
            a: self.a.rows(from, to),
            ..self
        }
    }

    fn columns(self, from: usize, to: usize) -> Self {
        Self {
            b: self.b.columns(from, to),
            start: self.start.columns(from, to),
            ..self
        }
    }

    /// The whole product as one piece of work, for a caller that has cut its own.
    pub(crate) fn piece<'b>(self, workspace: &'b Workspace, c: MatrixBlock<'b, T>) -> Piece<'b, T>
    where
        'a: 'b,
    {
        Piece {
            product: self,
            workspace,
            c,
        }
    }
}

/// A product that one thread computes.
pub(crate) struct Piece<'a, T> {
    product: Product<'a, T>,
    workspace: &'a Workspace,
    c: MatrixBlock<'a, T>,
}

impl<T: Real> Kernel<T> for Piece<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            product,
            workspace,
            mut c,
        } = self;
        let n = product.b.columns;
        assert!(c.size() == [product.a.rows, n] && product.a.columns == product.b.rows);
        for from in (0..n).step_by(COLUMNS) {
            let to = n.min(from + COLUMNS);
            block_of_columns(s, product.columns(from, to), workspace, c.part(from, to));
        }
    }
}

/// A product of at most [`COLUMNS`] columns.
#[inline(always)]
fn block_of_columns<S: Simd>(
    s: S,
    product: Product<'_, S::Scalar>,
    workspace: &Workspace,
    mut c: MatrixBlock<'_, S::Scalar>,
) {
    let Product { a, b, start, relu } = product;
    let (n, k) = (b.columns, a.columns);
    let in_place = a.rows <= FEW_ROWS && b.strides[1] == 1 && n.is_multiple_of(2 * S::LANES);
    let padded = n.next_multiple_of(S::LANES);
    let mut memory = (!in_place).then(|| workspace.take::<S::Scalar>(padded * k.min(DEPTH)));
    for [from, to] in depths(k) {
        let rows = b.rows(from, to);
        let panels = match &mut memory {
            Some(memory) => pack(s, rows, memory),
            None => Panels::in_place(rows.values, rows.rows, rows.columns, rows.strides[0]),
        };
        let settings = Settings {
            start: if from == 0 { start } else { Start::Output },
            relu: relu && to == k,
        };
        block_of_depth(s, a.columns(from, to), &panels, settings, &mut c);
    }
}

/// The blocks of a summed index of `k` values. A product over nothing is its start: one empty
/// block writes it.
fn depths(k: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..k.max(1))
        .step_by(DEPTH)
        .map(move |from| [from, k.min(from + DEPTH)])
}

/// The part of a product that one set of panels brings.
#[inline(always)]
fn block_of_depth<S: Simd>(
    s: S,
    a: Matrix<'_, S::Scalar>,
    panels: &Panels<'_, S::Scalar>,
    settings: Settings<'_, S::Scalar>,
    c: &mut MatrixBlock<'_, S::Scalar>,
) {
    let mut row = 0;
    while row < a.rows {
        row += tile_row(s, a.rows(row, a.rows), panels, settings, c.below(row));
    }
}

/// `c = start + a·B`, one piece of work, inside a kernel whose caller has written the panels.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    s: S,
    a: Matrix<'_, S::Scalar>,
    panels: &Panels<'_, S::Scalar>,
    start: Start<'_, S::Scalar>,
    c: &mut MatrixBlock<'_, S::Scalar>,
) {
    block_of_depth(s, a, panels, Settings { start, relu: false }, c);
}

/// A right factor packed once for many products.
pub(crate) struct Packed<'w, T: Real> {
    /// Blocks of [`COLUMNS`] columns one after the other, in each those of [`DEPTH`] rows.
    memory: Scratch<'w, T>,
    rows: usize,
    columns: usize,
    isa: Isa,
}

impl<'w, T: Real> Packed<'w, T> {
    /// Packs a matrix for the workspace's instruction set.
    pub(crate) fn new(workspace: &'w Workspace, b: Matrix<'_, T>) -> Self {
        let isa = workspace.isa();
        let padded = b.columns.next_multiple_of(T::lanes(isa));
        let mut memory = workspace.take(padded * b.rows);
        let (rows, columns) = (b.rows, b.columns);
        T::dispatch(
            isa,
            PackAll {
                b,
                memory: &mut memory,
            },
        );
        Self {
            memory,
            rows,
            columns,
            isa,
        }
    }

    /// `c = start + a·B`, one piece of work, inside a kernel.
    #[inline(always)]
    pub(crate) fn product<S: Simd<Scalar = T>>(
        &self,
        s: S,
        a: Matrix<'_, T>,
        start: Start<'_, T>,
        mut c: MatrixBlock<'_, T>,
    ) {
        let k = self.rows;
        assert!(T::lanes(self.isa) == S::LANES && a.columns == k);
        assert!(c.size() == [a.rows, self.columns]);
        for first in (0..self.columns).step_by(COLUMNS) {
            let last = self.columns.min(first + COLUMNS);
            let padded = (last - first).next_multiple_of(S::LANES);
            for [from, to] in depths(k) {
                let memory = &self.memory[first * k + from * padded..][..(to - from) * padded];
                let panels = Panels::packed(memory, to - from, last - first);
                let settings = Settings {
                    start: if from == 0 {
                        start.columns(first, last)
                    } else {
                        Start::Output
                    },
                    relu: false,
                };
                block_of_depth(
                    s,
                    a.columns(from, to),
                    &panels,
                    settings,
                    &mut c.part(first, last),
                );
            }
        }
    }
}

struct PackAll<'a, T> {
    b: Matrix<'a, T>,
    memory: &'a mut [T],
}

impl<T: Real> Kernel<T> for PackAll<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self { b, memory } = self;
        for first in (0..b.columns).step_by(COLUMNS) {
            let last = b.columns.min(first + COLUMNS);
            let padded = (last - first).next_multiple_of(S::LANES);
            for [from, to] in depths(b.rows) {
                let memory = &mut memory[first * b.rows + from * padded..];
                pack(s, b.columns(first, last).rows(from, to), memory);
            }
        }
    }
}

#[cfg(test)]
mod tests;
