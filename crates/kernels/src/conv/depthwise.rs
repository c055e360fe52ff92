//! Depthwise convolution of one image: each channel has a kernel of its own, so a vector spans the
//! *channels* of a pixel and meets the same channels of every tap's weights. Weights, and their
//! gradient, are packed as `[tap][channel, filled to whole vectors]`.

use super::ConvShape;
use super::layout::padded_channels;
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::{Aligned, Workspace};

/// Length of the packed weights.
pub(crate) fn packed_len(shape: &ConvShape, lanes: usize) -> usize {
    shape.kernel[0] * shape.kernel[1] * padded_channels(shape.out_channels, lanes)
}

/// `[channel, 1, kernel height, kernel width]` to `[tap][channel]`.
pub(crate) fn pack<T: Real>(
    workspace: &Workspace,
    shape: &ConvShape,
    lanes: usize,
    weights: &[T],
) -> Aligned<T> {
    let (taps, filled) = taps_and_filled(shape, lanes);
    let mut packed = workspace.own_zeroed(packed_len(shape, lanes));
    for (channel, kernel) in weights.chunks_exact(taps).enumerate() {
        for (tap, &w) in kernel.iter().enumerate() {
            packed[tap * filled + channel] = w;
        }
    }
    packed
}

/// The inverse of [`pack`].
pub(crate) fn unpack<T: Real>(shape: &ConvShape, lanes: usize, packed: &[T], weights: &mut [T]) {
    let (taps, filled) = taps_and_filled(shape, lanes);
    for (channel, kernel) in weights.chunks_exact_mut(taps).enumerate() {
        for (tap, w) in kernel.iter_mut().enumerate() {
            *w = packed[tap * filled + channel];
        }
    }
}

fn taps_and_filled(shape: &ConvShape, lanes: usize) -> (usize, usize) {
    let taps = shape.kernel[0] * shape.kernel[1];
    (taps, padded_channels(shape.out_channels, lanes))
}

/// The kernel rows (or columns) through which a row of the target meets rows of the source: an
/// arithmetic progression in both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Taps {
    count: usize,
    /// The first one's row of the source, and the step to the next.
    at: usize,
    step: isize,
    /// The first one's row of the kernel, and the step to the next.
    k: usize,
    k_step: usize,
}

impl Taps {
    /// From pairs of kernel row and source row, which are such a progression.
    fn collect(mut pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let Some((k, at)) = pairs.next() else {
            return Self::default();
        };
        let first = Self {
            count: 1,
            at,
            k,
            ..Self::default()
        };
        let Some((next_k, next_at)) = pairs.next() else {
            return first;
        };
        Self {
            count: 2 + pairs.count(),
            step: next_at as isize - at as isize,
            k_step: next_k - k,
            ..first
        }
    }

    /// The taps of a target some way along, whose sources lie `by` further.
    fn shifted(self, by: usize) -> Self {
        Self {
            at: self.at + by,
            ..self
        }
    }

    /// The largest row of the source.
    fn last(self) -> usize {
        let end = self.step * (self.count as isize - 1);
        self.at.max(self.at.saturating_add_signed(end))
    }
}

/// A direction of the convolution: target pixels gather from source pixels.
#[derive(Clone, Copy)]
enum Direction {
    /// Output pixels from input pixels.
    Forward,
    /// The input's gradient from the output's.
    Backward,
}

impl Direction {
    /// The taps of row (`side` 0) or column (1) `at` of the target.
    #[inline]
    fn taps(self, shape: &ConvShape, side: usize, at: usize) -> Taps {
        let (stride, dilation) = (shape.stride[side], shape.dilation[side]);
        let (kernel, padding) = (shape.kernel[side], shape.padding[side]);
        let inside = [shape.height, shape.width][side];
        let outside = shape.out_extent(side);
        match self {
            Direction::Forward => Taps::collect((0..kernel).filter_map(|k| {
                let source = (at * stride + k * dilation).checked_sub(padding)?;
                (source < inside).then_some((k, source))
            })),
            Direction::Backward => Taps::collect((0..kernel).filter_map(|k| {
                let above = (at + padding).checked_sub(k * dilation)?;
                let source = above / stride;
                (above % stride == 0 && source < outside).then_some((k, source))
            })),
        }
    }
}

/// `P` target pixels a constant step of the source apart, all of their channels.
struct Tile<'a, T, const P: usize> {
    source: &'a [T],
    /// Pixels in a row of the source.
    width: usize,
    /// Numbers of the source from a target pixel's to the next one's.
    shift: usize,
    rows: Taps,
    columns: Taps,
    kernel_columns: usize,
    weights: &'a [T],
    bias: Option<&'a [T]>,
    relu: bool,
    channels: usize,
    /// Starts at the first target pixel.
    target: &'a mut [T],
    /// Numbers from a target pixel to the next.
    target_stride: usize,
}

impl<T: Real, const P: usize> Tile<'_, T, P> {
    /// The vector of channels from `first` on; `WHOLE` where all its lanes are channels.
    ///
    /// # Safety
    /// `run` has checked that every tap of every pixel lies in the source and in the weights, and
    /// every pixel in the target.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
    unsafe fn vector<S: Simd<Scalar = T>, const WHOLE: bool>(&mut self, s: S, first: usize) {
        let (channels, left) = (self.channels, self.channels - first);
        let filled = padded_channels(channels, S::LANES);
        let bias = self.bias.map_or(s.zero(), |bias| s.load(&bias[first..]));
        let mut sums = [bias; P];
        for i in 0..self.rows.count {
            let row = self
                .rows
                .at
                .wrapping_add_signed(self.rows.step * i as isize);
            let k = (self.rows.k + self.rows.k_step * i) * self.kernel_columns + self.columns.k;
            let corner = (row * self.width + self.columns.at) * channels + first;
            let step = self.columns.step * channels as isize;
            for j in 0..self.columns.count {
                // SAFETY: the caller's promise.
                unsafe {
                    let at = corner.wrapping_add_signed(step * j as isize);
                    let x = self.source.as_ptr().add(at);
                    let tap = (k + self.columns.k_step * j) * filled + first;
                    let w = s.load_ptr(self.weights.as_ptr().add(tap));
                    for p in 0..P {
                        let x = x.add(p * self.shift);
                        let x = if WHOLE {
                            s.load_ptr(x)
                        } else {
                            s.load_first(x, left)
                        };
                        sums[p] = s.fma(x, w, sums[p]);
                    }
                }
            }
        }
        for p in 0..P {
            let sum = if self.relu { s.relu(sums[p]) } else { sums[p] };
            // SAFETY: the caller's promise.
            unsafe {
                let y = self.target.as_mut_ptr().add(p * self.target_stride + first);
                if WHOLE {
                    s.store_ptr(y, sum)
                } else {
                    s.store_first(y, left, sum)
                }
            }
        }
    }
}

impl<T: Real, const P: usize> Kernel<T> for Tile<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let channels = self.channels;
        if self.rows.count > 0 && self.columns.count > 0 {
            let pixel = self.rows.last() * self.width + self.columns.last();
            assert!(pixel * channels + (P - 1) * self.shift + channels <= self.source.len());
            let last = |taps: Taps| taps.k + taps.k_step * (taps.count - 1);
            let tap = last(self.rows) * self.kernel_columns + last(self.columns);
            assert!((tap + 1) * padded_channels(channels, S::LANES) <= self.weights.len());
        }
        assert!((P - 1) * self.target_stride + channels <= self.target.len());
        let whole = channels - channels % S::LANES;
        for first in (0..whole).step_by(S::LANES) {
            // SAFETY: what it asks has been asserted; `first` and the lanes after it are channels.
            unsafe { self.vector::<S, true>(s, first) };
        }
        if whole < channels {
            // SAFETY: as above, with fewer channels than lanes left.
            unsafe { self.vector::<S, false>(s, whole) };
        }
    }
}

/// Gathers the image `target` from `source`, `[height, width]` of both given.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the tensors of one operation
fn gather<S: Simd>(
    s: S,
    shape: &ConvShape,
    direction: Direction,
    weights: &[S::Scalar],
    source: &[S::Scalar],
    bias: Option<&[S::Scalar]>,
    relu: bool,
    target: &mut [S::Scalar],
) {
    let channels = shape.out_channels;
    let (input, output) = (
        [shape.height, shape.width],
        [0, 1].map(|i| shape.out_extent(i)),
    );
    // Target columns `phases` apart read sources `by` columns apart, through the same taps.
    let (from, to, phases, by) = match direction {
        Direction::Forward => (input, output, 1, shape.stride[1]),
        Direction::Backward => (output, input, shape.stride[1], 1),
    };
    for row in 0..to[0] {
        let rows = direction.taps(shape, 0, row);
        for phase in 0..phases.min(to[1]) {
            let pixels = (to[1] - 1 - phase) / phases + 1;
            let mut pixel = 0;
            while pixel < pixels {
                let taps = |pixel: usize| direction.taps(shape, 1, phase + pixel * phases);
                let columns = taps(pixel);
                let together = |count: usize| {
                    pixel + count <= pixels
                        && taps(pixel + count - 1) == columns.shifted((count - 1) * by)
                };
                let start = (row * to[1] + phase + pixel * phases) * channels;
                let target = &mut target[start..];
                macro_rules! tile {
                    ($pixels:literal) => {{
                        s.call(Tile::<_, $pixels> {
                            source,
                            width: from[1],
                            shift: by * channels,
                            rows,
                            columns,
                            kernel_columns: shape.kernel[1],
                            weights,
                            bias,
                            relu,
                            channels,
                            target,
                            target_stride: phases * channels,
                        });
                        pixel += $pixels;
                    }};
                }
                if together(8) {
                    tile!(8)
                } else if together(4) {
                    tile!(4)
                } else if together(2) {
                    tile!(2)
                } else {
                    tile!(1)
                }
            }
        }
    }
}

/// `y = x ∗ w + bias`, rectified or not, of one image without padding.
#[inline(always)]
pub(crate) fn forward<S: Simd>(
    s: S,
    shape: &ConvShape,
    weights: &[S::Scalar],
    x: &[S::Scalar],
    bias: Option<&[S::Scalar]>,
    relu: bool,
    y: &mut [S::Scalar],
) {
    gather(s, shape, Direction::Forward, weights, x, bias, relu, y);
}

/// The gradient of the image from that of its output.
#[inline(always)]
pub(crate) fn input_gradient<S: Simd>(
    s: S,
    shape: &ConvShape,
    weights: &[S::Scalar],
    dy: &[S::Scalar],
    dx: &mut [S::Scalar],
) {
    gather(s, shape, Direction::Backward, weights, dy, None, false, dx);
}

/// `R` kernel rows by `J` kernel columns of the weights' gradient, kept in registers while the walk
/// goes over all pixels of an image.
struct GradientTile<'a, T, const R: usize, const J: usize> {
    shape: &'a ConvShape,
    /// The padded image, from the tile's first tap on.
    x: &'a [T],
    /// Numbers in a row of the padded image.
    row: usize,
    dy: &'a [T],
    /// From the tile's first tap on.
    dw: &'a mut [T],
}

impl<T: Real, const R: usize, const J: usize> GradientTile<'_, T, R, J> {
    /// The vector of channels from `first` on; `WHOLE` where all its lanes are channels.
    ///
    /// # Safety
    /// `run` has checked that every tap of every pixel lies in `x` and in `dw`, and every pixel in
    /// `dy`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
    unsafe fn vector<S: Simd<Scalar = T>, const WHOLE: bool>(&mut self, s: S, first: usize) {
        let (shape, channels) = (self.shape, self.shape.out_channels);
        let (left, filled) = (channels - first, padded_channels(channels, S::LANES));
        let [tap_row, tap_column] = [shape.dilation[0] * self.row, shape.dilation[1] * channels];
        let (next_row, next) = (shape.stride[0] * self.row, shape.stride[1] * channels);
        let [height, width] = [0, 1].map(|side| shape.out_extent(side));
        let load = |x: *const T| {
            if WHOLE {
                // SAFETY: the caller's promise; all lanes are channels.
                unsafe { s.load_ptr(x) }
            } else {
                // SAFETY: the caller's promise.
                unsafe { s.load_first(x, left) }
            }
        };
        let mut sums = [[s.zero(); J]; R];
        // SAFETY: the caller's promise; the step after the last pixel is never read.
        unsafe {
            for row in 0..height {
                let mut x = self.x.as_ptr().add(row * next_row + first);
                let mut dy = self.dy.as_ptr().add(row * width * channels + first);
                for _ in 0..width {
                    let d = load(dy);
                    for r in 0..R {
                        for j in 0..J {
                            let tap = load(x.add(r * tap_row + j * tap_column));
                            sums[r][j] = s.fma(tap, d, sums[r][j]);
                        }
                    }
                    x = x.wrapping_add(next);
                    dy = dy.wrapping_add(channels);
                }
            }
            for r in 0..R {
                for j in 0..J {
                    let dw = (r * shape.kernel[1] + j) * filled + first;
                    let dw = self.dw.as_mut_ptr().add(dw);
                    s.store_ptr(dw, s.add(s.load_ptr(dw), sums[r][j]));
                }
            }
        }
    }
}

impl<T: Real, const R: usize, const J: usize> Kernel<T> for GradientTile<'_, T, R, J> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(mut self, s: S) {
        let (shape, channels) = (self.shape, self.shape.out_channels);
        let [height, width] = [0, 1].map(|side| shape.out_extent(side));
        let last = ((height - 1) * shape.stride[0] + (R - 1) * shape.dilation[0]) * self.row
            + ((width - 1) * shape.stride[1] + (J - 1) * shape.dilation[1]) * channels;
        assert!(last + channels <= self.x.len());
        assert!(height * width * channels <= self.dy.len());
        let taps = (R - 1) * shape.kernel[1] + J;
        assert!(taps * padded_channels(channels, S::LANES) <= self.dw.len());
        let whole = channels - channels % S::LANES;
        for first in (0..whole).step_by(S::LANES) {
            // SAFETY: what it asks has been asserted; `first` and the lanes after it are channels.
            unsafe { self.vector::<S, true>(s, first) };
        }
        if whole < channels {
            // SAFETY: as above, with fewer channels than lanes left; `dw` is filled to whole vectors.
            unsafe { self.vector::<S, false>(s, whole) };
        }
    }
}

/// Adds an image's weight gradient to `dw`, in packed order; `x` is the padded image, with rows of
/// `row` numbers.
#[inline(always)]
pub(crate) fn weight_gradient<S: Simd>(
    s: S,
    shape: &ConvShape,
    x: &[S::Scalar],
    row: usize,
    dy: &[S::Scalar],
    dw: &mut [S::Scalar],
) {
    let [kernel_rows, kernel_columns] = shape.kernel;
    let filled = padded_channels(shape.out_channels, S::LANES);
    let mut a = 0;
    while a < kernel_rows {
        // Nine sums keep the multipliers busy: three rows of a narrow kernel at once.
        let rows = if kernel_rows - a >= 3 && kernel_columns <= 3 {
            3
        } else {
            1
        };
        let mut b = 0;
        while b < kernel_columns {
            let at = a * shape.dilation[0] * row + b * shape.dilation[1] * shape.out_channels;
            let (x, dw) = (&x[at..], &mut dw[(a * kernel_columns + b) * filled..]);
            macro_rules! tile {
                ($rows:literal, $columns:literal) => {{
                    s.call(GradientTile::<_, $rows, $columns> {
                        shape,
                        x,
                        row,
                        dy,
                        dw,
                    });
                    b += $columns;
                }};
            }
            match (rows, kernel_columns - b) {
                (3, 3..) => tile!(3, 3),
                (3, 2) => tile!(3, 2),
                (3, _) => tile!(3, 1),
                (_, 5..) => tile!(1, 5),
                (_, 3..) => tile!(1, 3),
                (_, 2) => tile!(1, 2),
                _ => tile!(1, 1),
            }
        }
        a += rows;
    }
}
