//! A row of output pixels: the inner loops of the forward pass and of the input's gradient.

use crate::simd::{Kernel, Real, Simd};

/// A run of input numbers, contiguous beside the pixel, with the weight rows that meet them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Offset from the pixel's first number in the kernel row, in elements.
    pub x: usize,
    /// First weight row within the kernel row.
    pub k: usize,
    /// Numbers in the run, and weight rows.
    pub len: usize,
}

/// The kernel rows an output row sees: `count` of them, an arithmetic progression in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelRows {
    pub count: usize,
    /// Offset of the first in the input, in elements.
    pub x: usize,
    /// Step from one to the next in the input.
    pub x_step: isize,
    /// The first in weight rows.
    pub k: usize,
    /// Step from one to the next in weight rows.
    pub k_step: usize,
}

/// Everything about a row but its position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowConv<'a, T> {
    pub runs: &'a [Run],
    /// Packed weights of a group: blocks of [`block_vectors`] vectors of output channels, each
    /// `[weight rows][channels of the block]`.
    pub weights: &'a [T],
    /// Weight rows in all.
    pub depth: usize,
    /// Output channels of the group.
    pub channels: usize,
    /// Elements from a pixel to the next in the input and in the output.
    pub x_stride: usize,
    pub y_stride: usize,
    /// Output pixels in the row.
    pub pixels: usize,
    pub relu: bool,
}

/// Vectors in the block of output channels that starts with `left` vectors to go.
pub(crate) fn block_vectors(left: usize) -> usize {
    if left >= 2 { 2 } else { 1 }
}

/// `P` pixels by `N` vectors of output channels, accumulated in registers.
struct Tile<'a, T, const P: usize, const N: usize> {
    x: *const T,
    y: *mut T,
    weights: *const T,
    bias: Option<&'a [T]>,
    /// Channels to store, at most `N · LANES`.
    channels: usize,
    rows: KernelRows,
    conv: &'a RowConv<'a, T>,
}

impl<T: Real, const P: usize, const N: usize> Kernel<T> for Tile<'_, T, P, N> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let mut sums = [[s.zero(); N]; P];
        if let Some(bias) = self.bias {
            for v in 0..N {
                let b = s.load(&bias[(v * S::LANES).min(bias.len())..]);
                for row in &mut sums {
                    row[v] = b;
                }
            }
        }
        let x_stride = self.conv.x_stride;
        let mut row = self.x;
        let mut k = self.rows.k;
        for _ in 0..self.rows.count {
            for run in self.conv.runs {
                // SAFETY: `convolve_row` checked that the last pixel's runs end inside the input
                // and the weight rows inside the block, for every row of `rows`.
                unsafe {
                    let mut xp = row.add(run.x);
                    let mut wp = self.weights.add((k + run.k) * N * S::LANES);
                    for _ in 0..run.len {
                        let mut w = [s.zero(); N];
                        for v in 0..N {
                            w[v] = s.load_ptr(wp.add(v * S::LANES));
                        }
                        for p in 0..P {
                            let b = s.splat(*xp.add(p * x_stride));
                            for v in 0..N {
                                sums[p][v] = s.fma(b, w[v], sums[p][v]);
                            }
                        }
                        xp = xp.add(1);
                        wp = wp.add(N * S::LANES);
                    }
                }
            }
            row = row.wrapping_offset(self.rows.x_step);
            k += self.rows.k_step;
        }
        for (p, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let sum = if self.conv.relu { s.relu(sum) } else { sum };
                let left = self.channels - v * S::LANES;
                // SAFETY: `convolve_row` checked that the tile's pixels end inside the output; a
                // block has more than `v · LANES` channels, and no more than `left` are stored.
                unsafe {
                    let y = self.y.add(p * self.conv.y_stride + v * S::LANES);
                    if left >= S::LANES {
                        s.store_ptr(y, sum)
                    } else {
                        s.store_first(y, left, sum)
                    }
                }
            }
        }
    }
}

/// Computes a row of output pixels: `y[p][channel] = bias + Σ x·w`, and its rectification.
///
/// `y` starts at the row's first pixel and channel. All offsets are checked here, once a row, so
/// that the tiles need not.
#[inline(always)]
pub(crate) fn convolve_row<S: Simd>(
    s: S,
    conv: &RowConv<'_, S::Scalar>,
    x: &[S::Scalar],
    rows: KernelRows,
    bias: Option<&[S::Scalar]>,
    y: &mut [S::Scalar],
) {
    if conv.pixels == 0 {
        return;
    }
    let vectors = conv.channels.div_ceil(S::LANES);
    assert!((conv.pixels - 1) * conv.y_stride + conv.channels <= y.len());
    assert!(conv.weights.len() >= conv.depth * vectors * S::LANES);
    if rows.count > 0 {
        let last = rows.x as isize + rows.x_step * (rows.count as isize - 1);
        let reach = rows.x.max(last as usize) + (conv.pixels - 1) * conv.x_stride;
        let last_k = rows.k + rows.k_step * (rows.count - 1);
        assert!(last >= 0);
        assert!(conv.runs.iter().all(
            |run| reach + run.x + run.len <= x.len() && last_k + run.k + run.len <= conv.depth
        ));
    }
    let mut vector = 0;
    while vector < vectors {
        let block = block_vectors(vectors - vector);
        let first = vector * S::LANES;
        let weights = &conv.weights[first * conv.depth..];
        let bias = bias.map(|bias| &bias[first..]);
        let channels = (conv.channels - first).min(block * S::LANES);
        let mut pixel = 0;
        while pixel < conv.pixels {
            let left = conv.pixels - pixel;
            let x = x.as_ptr().wrapping_add(rows.x + pixel * conv.x_stride);
            let y = y[pixel * conv.y_stride + first..].as_mut_ptr();
            macro_rules! tile {
                ($pixels:literal, $vectors:literal) => {{
                    s.call(Tile::<_, $pixels, $vectors> {
                        x,
                        y,
                        weights: weights.as_ptr(),
                        bias,
                        channels,
                        rows,
                        conv,
                    });
                    pixel += $pixels;
                }};
            }
            // Accumulators, weight vectors and a broadcast must fit the registers.
            if S::REGISTERS >= 32 {
                match (block, left) {
                    (2, 8..) => tile!(8, 2),
                    (2, 6..) => tile!(6, 2),
                    (2, 4..) => tile!(4, 2),
                    (2, 2..) => tile!(2, 2),
                    (2, _) => tile!(1, 2),
                    (_, 16..) => tile!(16, 1),
                    (_, 12..) => tile!(12, 1),
                    (_, 8..) => tile!(8, 1),
                    (_, 4..) => tile!(4, 1),
                    (_, 2..) => tile!(2, 1),
                    _ => tile!(1, 1),
                }
            } else {
                match (block, left) {
                    (2, 6..) => tile!(6, 2),
                    (2, 4..) => tile!(4, 2),
                    (2, 2..) => tile!(2, 2),
                    (2, _) => tile!(1, 2),
                    (_, 12..) => tile!(12, 1),
                    (_, 8..) => tile!(8, 1),
                    (_, 4..) => tile!(4, 1),
                    (_, 2..) => tile!(2, 1),
                    _ => tile!(1, 1),
                }
            }
        }
        vector += block;
    }
}
