//! Maximum and average pooling, channels last.

use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// Marks an output of a rectified pool that no input reaches: its gradient goes nowhere.
pub(crate) const NOWHERE: u8 = 255;

/// The checked shape of a maximum pool: windows `kernel` every `stride`, over images
/// `[height, width, channels]`. Padding counts as minus infinity; a last, incomplete window is
/// left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolShape {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl PoolShape {
    /// Windows of `kernel` rows and columns, each `stride` after the last, with `padding` rows
    /// and columns on either side. At most 254 places in a window (the place of the maximum is
    /// kept in a byte), and padding at most half a kernel (every window sees the image).
    ///
    /// # Errors
    /// When a size is zero or out of these limits.
    pub fn new(
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<Self, KernelError> {
        let places = kernel[0].saturating_mul(kernel[1]);
        if places == 0 || places >= usize::from(NOWHERE) || stride.contains(&0) {
            return Err(KernelError::Shape(format!(
                "pool windows {kernel:?} every {stride:?}: choose 1 to 254 places and strides of at least 1"
            )));
        }
        if (0..2).any(|side| padding[side] > kernel[side] / 2) {
            return Err(KernelError::Shape(format!(
                "pool padding {padding:?} is more than half the window {kernel:?}"
            )));
        }
        Ok(Self {
            kernel,
            stride,
            padding,
        })
    }

    /// `[rows, columns]` of the pooled image.
    ///
    /// # Errors
    /// When the padded image is smaller than a window.
    pub fn output(&self, height: usize, width: usize) -> Result<[usize; 2], KernelError> {
        let extent = |side: usize, size: usize| {
            let room = size
                .saturating_add(2 * self.padding[side])
                .checked_sub(self.kernel[side]);
            room.filter(|_| size > 0)
                .map(|room| room / self.stride[side] + 1)
                .ok_or_else(|| {
                    KernelError::Shape(format!(
                        "a pool window {:?} is larger than the image {height}×{width}",
                        self.kernel
                    ))
                })
        };
        Ok([extent(0, height)?, extent(1, width)?])
    }
}

/// A whole number in every lane.
#[inline(always)]
fn whole<S: Simd>(s: S, number: usize) -> S::V {
    s.splat(S::Scalar::from_f64(number as f64))
}

/// A pool over images of a known size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImagePool {
    pool: PoolShape,
    height: usize,
    width: usize,
    channels: usize,
    out: [usize; 2],
}

impl ImagePool {
    pub fn new(
        pool: &PoolShape,
        [height, width, channels]: [usize; 3],
    ) -> Result<Self, KernelError> {
        let out = pool.output(height, width)?;
        Ok(Self {
            pool: *pool,
            height,
            width,
            channels,
            out,
        })
    }

    pub fn input_image(&self) -> usize {
        self.height * self.width * self.channels
    }

    pub fn output_image(&self) -> usize {
        self.out[0] * self.out[1] * self.channels
    }

    /// The rows (`side` 0) or columns of the window at `at` that lie inside the image, as
    /// (place in the window, place in the image) of the first, and their number.
    #[inline(always)]
    fn inside(&self, side: usize, at: usize) -> (usize, usize, usize) {
        let start = at * self.pool.stride[side];
        let skipped = self.pool.padding[side].saturating_sub(start);
        let first = start + skipped - self.pool.padding[side];
        let count = (self.pool.kernel[side] - skipped).min([self.height, self.width][side] - first);
        (skipped, first, count)
    }

    /// True where the windows tile the image: each input lies in exactly one.
    fn tiles(&self) -> bool {
        let Self {
            pool:
                PoolShape {
                    kernel,
                    stride,
                    padding,
                },
            height,
            width,
            ..
        } = *self;
        kernel == stride && padding == [0, 0] && height % kernel[0] == 0 && width % kernel[1] == 0
    }

    /// The maximum of each window and its place (row-major within the window); the first of
    /// equals; NaN beats all numbers. With `relu`, outputs not above zero become zero and their
    /// place [`NOWHERE`].
    #[inline(always)]
    pub fn forward<S: Simd>(
        &self,
        s: S,
        x: &[S::Scalar],
        relu: bool,
        y: &mut [S::Scalar],
        places: &mut [u8],
    ) {
        let (channels, window_columns) = (self.channels, self.pool.kernel[1]);
        let nowhere = whole(s, usize::from(NOWHERE));
        let mut outputs = y
            .chunks_exact_mut(channels)
            .zip(places.chunks_exact_mut(channels));
        for out_row in 0..self.out[0] {
            let (top_place, top, rows) = self.inside(0, out_row);
            for (out_column, (y, places)) in outputs.by_ref().take(self.out[1]).enumerate() {
                let (left_place, left, columns) = self.inside(1, out_column);
                let corner = (top * self.width + left) * channels;
                let place = top_place * window_columns + left_place;
                for first in (0..channels).step_by(S::LANES) {
                    let end = (first + S::LANES).min(channels);
                    let mut best = s.load(&x[corner + first..corner + end]);
                    let mut best_place = whole(s, place);
                    for r in 0..rows {
                        for c in 0..columns {
                            let pixel = corner + (r * self.width + c) * channels;
                            let value = s.load(&x[pixel + first..pixel + end]);
                            let wins = s.gt_or_nan(value, best);
                            best = s.select(wins, value, best);
                            best_place = s.select(
                                wins,
                                whole(s, place + r * window_columns + c),
                                best_place,
                            );
                        }
                    }
                    if relu {
                        let passes = s.gt_or_nan(best, s.zero());
                        best = s.select(passes, best, s.zero());
                        best_place = s.select(passes, best_place, nowhere);
                    }
                    s.store(&mut y[first..end], best);
                    s.store_bytes(&mut places[first..end], best_place);
                }
            }
        }
    }

    /// The gradient of the input: each output's gradient added at its maximum's place.
    #[inline(always)]
    pub fn backward<S: Simd>(&self, s: S, dy: &[S::Scalar], places: &[u8], dx: &mut [S::Scalar]) {
        let (channels, window_columns) = (self.channels, self.pool.kernel[1]);
        let tiles = self.tiles();
        if !tiles {
            dx.fill(S::Scalar::ZERO);
        }
        let mut outputs = dy.chunks_exact(channels).zip(places.chunks_exact(channels));
        for out_row in 0..self.out[0] {
            let (top_place, top, rows) = self.inside(0, out_row);
            for (out_column, (dy, places)) in outputs.by_ref().take(self.out[1]).enumerate() {
                let (left_place, left, columns) = self.inside(1, out_column);
                let corner = (top * self.width + left) * channels;
                let place = top_place * window_columns + left_place;
                for first in (0..channels).step_by(S::LANES) {
                    let end = (first + S::LANES).min(channels);
                    let gradient = s.load(&dy[first..end]);
                    let chosen = s.load_bytes(&places[first..end]);
                    for r in 0..rows {
                        for c in 0..columns {
                            let here = s.eq(chosen, whole(s, place + r * window_columns + c));
                            let share = s.select(here, gradient, s.zero());
                            let pixel = corner + (r * self.width + c) * channels;
                            let dx = &mut dx[pixel + first..pixel + end];
                            s.store(
                                dx,
                                if tiles {
                                    share
                                } else {
                                    s.add(s.load(dx), share)
                                },
                            );
                        }
                    }
                }
            }
        }
    }
}

struct Forward<'a, T: Real> {
    pool: ImagePool,
    x: &'a [T],
    y: &'a mut [T],
    places: &'a mut [u8],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let out = self.pool.output_image();
        let outputs = self
            .y
            .chunks_exact_mut(out)
            .zip(self.places.chunks_exact_mut(out));
        for (x, (y, places)) in self.x.chunks_exact(self.pool.input_image()).zip(outputs) {
            self.pool.forward(s, x, false, y, places);
        }
    }
}

struct Backward<'a, T: Real> {
    pool: ImagePool,
    dy: &'a [T],
    places: &'a [u8],
    dx: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let out = self.pool.output_image();
        let outputs = self.dy.chunks_exact(out).zip(self.places.chunks_exact(out));
        for (dx, (dy, places)) in self
            .dx
            .chunks_exact_mut(self.pool.input_image())
            .zip(outputs)
        {
            self.pool.backward(s, dy, places, dx);
        }
    }
}

/// The maximum over each window of `x`, `[n, height, width, channels]`, into `y`,
/// `[n, out_height, out_width, channels]`, and its place in the window (row-major) into `places`
/// (as long as `y`), for [`max_pool_backward`]. The first of equals wins; NaN beats all numbers.
///
/// # Errors
/// When the shape describes no pool or a slice does not have its length.
pub fn max_pool_forward<T: Real>(
    workspace: &Workspace,
    pool: &PoolShape,
    n: usize,
    image: [usize; 3],
    x: &[T],
    y: &mut [T],
    places: &mut [u8],
) -> Result<(), KernelError> {
    let (pool, piece) = checked(pool, n, image)?;
    check_length("x", x, n * pool.input_image())?;
    check_length("y", y, n * pool.output_image())?;
    check_length("places", places, y.len())?;
    let shares = x
        .chunks(piece * pool.input_image())
        .zip(y.chunks_mut(piece * pool.output_image()))
        .zip(places.chunks_mut(piece * pool.output_image()))
        .map(|((x, y), places)| Forward { pool, x, y, places });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// The gradient `dx`, `[n, height, width, channels]`, of [`max_pool_forward`] from the gradient
/// `dy` of its output and the `places` it wrote. `dx` is overwritten.
///
/// # Errors
/// When the shape describes no pool or a slice does not have its length.
pub fn max_pool_backward<T: Real>(
    workspace: &Workspace,
    pool: &PoolShape,
    n: usize,
    image: [usize; 3],
    dy: &[T],
    places: &[u8],
    dx: &mut [T],
) -> Result<(), KernelError> {
    let (pool, piece) = checked(pool, n, image)?;
    check_length("dx", dx, n * pool.input_image())?;
    check_length("dy", dy, n * pool.output_image())?;
    check_length("places", places, dy.len())?;
    let shares = dx
        .chunks_mut(piece * pool.input_image())
        .zip(dy.chunks(piece * pool.output_image()))
        .zip(places.chunks(piece * pool.output_image()))
        .map(|((dx, dy), places)| Backward {
            pool,
            dy,
            places,
            dx,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

fn checked(
    pool: &PoolShape,
    n: usize,
    image: [usize; 3],
) -> Result<(ImagePool, usize), KernelError> {
    if n == 0 || image.contains(&0) {
        return Err(KernelError::Shape(format!(
            "a size of {n} images {image:?} is 0: choose at least 1"
        )));
    }
    volume(&[n, image[0], image[1], image[2]])?;
    let pool = ImagePool::new(pool, image)?;
    volume(&[n, pool.output_image()])?;
    Ok((
        pool,
        chunks::piece(n, (chunks::FLAT / pool.input_image()).min(n.div_ceil(4))),
    ))
}
