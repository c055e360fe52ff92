use std::marker::PhantomData;

/// A rectangle of a row-major matrix that one thread writes: the others may write beside it in the
/// same rows, which a slice could not say.
pub(crate) struct MatrixBlock<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    /// Elements from a row to the next.
    stride: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a block is the only way to its elements while it lives, like a mutable slice.
unsafe impl<T: Send> Send for MatrixBlock<'_, T> {}

impl<'a, T> MatrixBlock<'a, T> {
    /// The whole of a matrix.
    pub(crate) fn new(values: &'a mut [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix has its elements");
        Self {
            start: values.as_mut_ptr(),
            rows,
            columns,
            stride: columns,
            life: PhantomData,
        }
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The first element, and the distance from a row to the next.
    pub(crate) fn pointer(&mut self) -> (*mut T, usize) {
        (self.start, self.stride)
    }

    /// A row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows);
        // SAFETY: the row's elements are this block's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// A row, and the one before it where there is one.
    pub(crate) fn row_and_before(&mut self, row: usize) -> (Option<&[T]>, &mut [T]) {
        assert!(row < self.rows && self.columns <= self.stride);
        let before = (row > 0).then(|| {
            // SAFETY: the elements of the row before are this block's, and not those of the row
            // below, since no row is longer than the way to the next.
            unsafe {
                std::slice::from_raw_parts(self.start.add((row - 1) * self.stride), self.columns)
            }
        });
        (before, self.row(row))
    }

    /// The rectangle from `row` and `column` on, of this size at most, wherever they lie.
    fn corner(&self, row: usize, column: usize, size: [usize; 2]) -> Self {
        let (row, column) = (row.min(self.rows), column.min(self.columns));
        Self {
            // An empty rectangle is never read, so its start may lie anywhere.
            start: self.start.wrapping_add(row * self.stride + column),
            rows: size[0].min(self.rows - row),
            columns: size[1].min(self.columns - column),
            stride: self.stride,
            life: PhantomData,
        }
    }

    /// The columns `from..to`, while this block waits.
    pub(crate) fn part(&mut self, from: usize, to: usize) -> MatrixBlock<'_, T> {
        self.corner(0, from, [self.rows, to - from])
    }

    /// The rows from `row` on, while this block waits.
    pub(crate) fn below(&mut self, row: usize) -> MatrixBlock<'_, T> {
        self.corner(row, 0, [self.rows, self.columns])
    }

    /// Cut into parts of `width` columns, the last with what is left.
    pub(crate) fn columns(self, width: usize) -> impl Iterator<Item = MatrixBlock<'a, T>> {
        (0..self.columns)
            .step_by(width)
            .map(move |from| self.corner(0, from, [self.rows, width]))
    }

    /// Cut into parts of `height` rows, the last with what is left.
    pub(crate) fn rows(self, height: usize) -> impl Iterator<Item = MatrixBlock<'a, T>> {
        (0..self.rows)
            .step_by(height)
            .map(move |from| self.corner(from, 0, [height, self.columns]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_matrix_once() {
        let mut values = [0; 35];
        for parts in [true, false] {
            let block = MatrixBlock::new(&mut values, 5, 7);
            let parts: Vec<_> = if parts {
                block.columns(3).collect()
            } else {
                block.rows(2).collect()
            };
            for mut part in parts {
                for row in 0..part.size()[0] {
                    part.row(row).iter_mut().for_each(|x| *x += 1);
                }
            }
        }
        assert_eq!(values, [2; 35]);
    }
}
