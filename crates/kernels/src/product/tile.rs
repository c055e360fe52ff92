use super::{Matrix, MatrixBlock, Start, pack::Panels};
use crate::simd::{Kernel, Real, Simd};

/// How a tile begins and ends.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a, T> {
    pub start: Start<'a, T>,
    pub relu: bool,
}

/// `P` rows of `A` by `N` vectors of `B`.
struct Tile<'a, T, const P: usize, const N: usize> {
    a: *const T,
    /// Elements of `A` from a row to the next, and from a column to the next.
    a_strides: [usize; 2],
    b: *const T,
    b_stride: usize,
    depth: usize,
    c: *mut T,
    c_stride: usize,
    /// Columns to write, at most `N · LANES`.
    columns: usize,
    settings: Settings<'a, T>,
}

impl<T: Real, const P: usize, const N: usize> Kernel<T> for Tile<'_, T, P, N> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let [a_row, a_column] = self.a_strides;
        let whole = self.columns == N * S::LANES;
        let mut sums = [[s.zero(); N]; P];
        match self.settings.start {
            Start::Zero => {}
            Start::Bias(bias) => {
                for v in 0..N {
                    let b = s.load(&bias[(v * S::LANES).min(bias.len())..]);
                    for row in &mut sums {
                        row[v] = b;
                    }
                }
            }
            Start::Output => {
                for p in 0..P {
                    for v in 0..N {
                        // SAFETY: `tile_row` checked that the tile lies in the output; no more
                        // than its columns are read.
                        sums[p][v] = unsafe {
                            let c = self.c.add(p * self.c_stride + v * S::LANES);
                            if whole {
                                s.load_ptr(c)
                            } else {
                                s.load_first(c, S::LANES.min(self.columns - v * S::LANES))
                            }
                        };
                    }
                }
            }
        }
        let (mut a, mut b) = (self.a, self.b);
        for _ in 0..self.depth {
            // SAFETY: `tile_row` checked that `A` has the tile's rows and `depth` columns, and
            // took `B` from a panel of `depth` rows.
            unsafe {
                let mut w = [s.zero(); N];
                for v in 0..N {
                    w[v] = s.load_ptr(b.add(v * S::LANES));
                }
                for p in 0..P {
                    let x = s.splat(*a.add(p * a_row));
                    for v in 0..N {
                        sums[p][v] = s.fma(x, w[v], sums[p][v]);
                    }
                }
            }
            // The step after the last may leave the buffers; it is never read.
            a = a.wrapping_add(a_column);
            b = b.wrapping_add(self.b_stride);
        }
        for p in 0..P {
            for v in 0..N {
                let sum = if self.settings.relu {
                    s.relu(sums[p][v])
                } else {
                    sums[p][v]
                };
                // SAFETY: as for reading the output.
                unsafe {
                    let c = self.c.add(p * self.c_stride + v * S::LANES);
                    if whole {
                        s.store_ptr(c, sum)
                    } else {
                        s.store_first(c, S::LANES.min(self.columns - v * S::LANES), sum)
                    }
                }
            }
        }
    }
}

/// Computes the first rows of `a · panels`, as many as a tile takes, to the first rows of `c`;
/// returns how many.
#[inline(always)]
pub(super) fn tile_row<S: Simd>(
    s: S,
    a: Matrix<'_, S::Scalar>,
    panels: &Panels<'_, S::Scalar>,
    settings: Settings<'_, S::Scalar>,
    mut c: MatrixBlock<'_, S::Scalar>,
) -> usize {
    let [rows, columns] = c.size();
    let depth = panels.depth;
    assert!(rows == a.rows && rows > 0 && columns == panels.columns && depth == a.columns);
    assert!(depth == 0 || (rows - 1) * a.strides[0] + (depth - 1) * a.strides[1] < a.values.len());
    let (c, c_stride) = c.pointer();
    macro_rules! tiles {
        ($rows:literal) => {{
            let mut column = 0;
            while column < columns {
                let left = columns - column;
                let c = c.wrapping_add(column);
                let settings = Settings {
                    start: settings.start.columns(column, columns),
                    ..settings
                };
                macro_rules! tile {
                    ($vectors:literal) => {{
                        let (b, b_stride) = panels.panel(column, $vectors, S::LANES);
                        s.call(Tile::<_, $rows, $vectors> {
                            a: a.values.as_ptr(),
                            a_strides: a.strides,
                            b,
                            b_stride,
                            depth,
                            c,
                            c_stride,
                            columns: left.min($vectors * S::LANES),
                            settings,
                        });
                        column += $vectors * S::LANES;
                    }};
                }
                if left > S::LANES { tile!(2) } else { tile!(1) }
            }
            return $rows;
        }};
    }
    // Sums, two vectors of `B` and a broadcast must fit the registers.
    if S::REGISTERS >= 32 {
        match rows {
            12.. => tiles!(12),
            8.. => tiles!(8),
            4.. => tiles!(4),
            2.. => tiles!(2),
            _ => tiles!(1),
        }
    } else {
        match rows {
            6.. => tiles!(6),
            4.. => tiles!(4),
            2.. => tiles!(2),
            _ => tiles!(1),
        }
    }
}
