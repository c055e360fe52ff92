//! The gradient of the weights: a tile of it stays in registers while the walk goes over all
//! pixels of an image.

use super::row::{Run, block_vectors};
use crate::simd::{Kernel, Real, Simd};

/// An image and its output's gradient, and how to walk over them together.
pub(crate) struct Walk<'a, T> {
    /// The padded image, from the group's first channel.
    pub x: &'a [T],
    /// Elements from an output pixel's input to the next one's, and from an output row's.
    pub x_stride: usize,
    pub x_row: usize,
    /// Elements from a kernel row's input to the next one's.
    pub kernel_row: usize,
    pub kernel_rows: usize,
    /// Weight rows of a kernel row.
    pub row_depth: usize,
    /// The output's gradient, from the group's first channel; channels come in whole vectors.
    pub dy: &'a [T],
    pub dy_stride: usize,
    /// Rows and columns of the output.
    pub out: [usize; 2],
}

/// `R` kernel rows by `J` neighboring weight rows by `N` vectors of output channels.
struct Tile<'a, T, const R: usize, const J: usize, const N: usize> {
    walk: &'a Walk<'a, T>,
    /// Input and weight row of the tile's corner.
    x: *const T,
    dy: *const T,
    dw: *mut T,
    /// Elements from a weight row to the next in `dw`.
    width: usize,
}

impl<T: Real, const R: usize, const J: usize, const N: usize> Kernel<T> for Tile<'_, T, R, J, N> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Walk {
            x_stride,
            x_row,
            kernel_row,
            row_depth,
            dy_stride,
            out: [height, width],
            ..
        } = *self.walk;
        let mut sums = [[[s.zero(); N]; J]; R];
        // SAFETY: `accumulate_weights` checked that the tile's weight rows lie in `dw`, that the
        // last pixel's last number lies in `x`, and the last pixel's vectors in `dy`.
        unsafe {
            for r in 0..R {
                for j in 0..J {
                    for v in 0..N {
                        sums[r][j][v] = s
                            .load_ptr(self.dw.add((r * row_depth + j) * self.width + v * S::LANES));
                    }
                }
            }
            for row in 0..height {
                let mut xp = self.x.add(row * x_row);
                let mut dp = self.dy.add(row * width * dy_stride);
                for _ in 0..width {
                    let mut d = [s.zero(); N];
                    for v in 0..N {
                        d[v] = s.load_ptr(dp.add(v * S::LANES));
                    }
                    for r in 0..R {
                        for j in 0..J {
                            let b = s.splat(*xp.add(r * kernel_row + j));
                            for v in 0..N {
                                sums[r][j][v] = s.fma(b, d[v], sums[r][j][v]);
                            }
                        }
                    }
                    // The step after the last pixel may leave the buffers; it is never read.
                    xp = xp.wrapping_add(x_stride);
                    dp = dp.wrapping_add(dy_stride);
                }
            }
            for r in 0..R {
                for j in 0..J {
                    for v in 0..N {
                        s.store_ptr(
                            self.dw.add((r * row_depth + j) * self.width + v * S::LANES),
                            sums[r][j][v],
                        );
                    }
                }
            }
        }
    }
}

/// Adds an image's weight gradient of one group to `dw`, in packed order; `channels` is the
/// group's, filled to whole vectors.
#[inline(always)]
pub(crate) fn accumulate_weights<S: Simd>(
    s: S,
    walk: &Walk<'_, S::Scalar>,
    runs: &[Run],
    channels: usize,
    dw: &mut [S::Scalar],
) {
    let depth = walk.kernel_rows * walk.row_depth;
    let [height, width] = walk.out;
    let last = (height - 1) * walk.x_row
        + (width - 1) * walk.x_stride
        + (walk.kernel_rows - 1) * walk.kernel_row;
    assert!(
        runs.iter()
            .all(|run| last + run.x + run.len <= walk.x.len() && run.k + run.len <= walk.row_depth)
    );
    assert!((height * width - 1) * walk.dy_stride + channels <= walk.dy.len());
    assert!(dw.len() >= depth * channels);

    let vectors = channels / S::LANES;
    let mut vector = 0;
    while vector < vectors {
        let block = block_vectors(vectors - vector);
        let first = vector * S::LANES;
        for run in runs {
            let mut row = 0;
            while row < walk.kernel_rows {
                let rows = walk.kernel_rows - row;
                // Short runs (few input channels) leave registers idle: take several kernel rows.
                let at_once = if S::REGISTERS >= 32 {
                    if run.len <= 5 && rows >= 5 {
                        5
                    } else if run.len <= 9 && rows >= 3 {
                        3
                    } else {
                        1
                    }
                } else if run.len <= 4 && rows >= 3 {
                    3
                } else {
                    1
                };
                // Tiles over several rows are one vector wide.
                let (wide, parts) = if at_once == 1 { (block, 1) } else { (1, block) };
                for part in 0..parts {
                    let mut at = 0;
                    while at < run.len {
                        let left = run.len - at;
                        let k = row * walk.row_depth + run.k + at;
                        let x = walk.x[row * walk.kernel_row + run.x + at..].as_ptr();
                        let dy = walk.dy[first + part * S::LANES..].as_ptr();
                        let dw = dw[first * depth + k * block * S::LANES + part * S::LANES..]
                            .as_mut_ptr();
                        let width = block * S::LANES;
                        macro_rules! tile {
                            ($rows:literal, $weights:literal, $vectors:literal) => {{
                                s.call(Tile::<_, $rows, $weights, $vectors> {
                                    walk,
                                    x,
                                    dy,
                                    dw,
                                    width,
                                });
                                at += $weights;
                            }};
                        }
                        if S::REGISTERS >= 32 {
                            match (at_once, wide, left) {
                                (5, _, 5..) => tile!(5, 5, 1),
                                (5, _, 2..) => tile!(5, 2, 1),
                                (5, _, _) => tile!(5, 1, 1),
                                (3, _, 9..) => tile!(3, 9, 1),
                                (3, _, 3..) => tile!(3, 3, 1),
                                (3, _, _) => tile!(3, 1, 1),
                                (_, 2, 12..) if left % 12 == 0 || left % 8 != 0 => tile!(1, 12, 2),
                                (_, 2, 8..) => tile!(1, 8, 2),
                                (_, 2, 4..) => tile!(1, 4, 2),
                                (_, 2, _) => tile!(1, 1, 2),
                                (_, _, 24..) if left % 24 == 0 => tile!(1, 24, 1),
                                (_, _, 16..) => tile!(1, 16, 1),
                                (_, _, 8..) => tile!(1, 8, 1),
                                (_, _, 4..) => tile!(1, 4, 1),
                                _ => tile!(1, 1, 1),
                            }
                        } else {
                            match (at_once, wide, left) {
                                (3, _, 4..) => tile!(3, 4, 1),
                                (3, _, 3..) => tile!(3, 3, 1),
                                (3, _, 2..) => tile!(3, 2, 1),
                                (3, _, _) => tile!(3, 1, 1),
                                (_, 2, 6..) => tile!(1, 6, 2),
                                (_, 2, 4..) => tile!(1, 4, 2),
                                (_, 2, 2..) => tile!(1, 2, 2),
                                (_, 2, _) => tile!(1, 1, 2),
                                (_, _, 12..) => tile!(1, 12, 1),
                                (_, _, 8..) => tile!(1, 8, 1),
                                (_, _, 4..) => tile!(1, 4, 1),
                                (_, _, 2..) => tile!(1, 2, 1),
                                _ => tile!(1, 1, 1),
                            }
                        }
                    }
                }
                row += at_once;
            }
        }
        vector += block;
    }
}
