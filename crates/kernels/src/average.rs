use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::reduce::add_columns;
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

struct Forward<'a, T> {
    image: usize,
    channels: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let factor = s.splat(T::from_f64(self.channels as f64 / self.image as f64));
        for (x, y) in self
            .x
            .chunks_exact(self.image)
            .zip(self.y.chunks_exact_mut(self.channels))
        {
            y.fill(T::ZERO);
            add_columns(s, x, y);
            for y in y.chunks_mut(S::LANES) {
                s.store(y, s.mul(s.load(y), factor));
            }
        }
    }
}

struct Backward<'a, T> {
    image: usize,
    channels: usize,
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let factor = s.splat(T::from_f64(self.channels as f64 / self.image as f64));
        for (dx, dy) in self
            .dx
            .chunks_exact_mut(self.image)
            .zip(self.dy.chunks_exact(self.channels))
        {
            let (first, rest) = dx.split_at_mut(self.channels);
            for (dx, dy) in first.chunks_mut(S::LANES).zip(dy.chunks(S::LANES)) {
                s.store(dx, s.mul(s.load(dy), factor));
            }
            rest.chunks_exact_mut(self.channels)
                .for_each(|dx| dx.copy_from_slice(first));
        }
    }
}

/// The mean over each image's pixels: `x`, `[n, pixels, channels]`, to `y`, `[n, channels]`.
///
/// # Errors
/// When a size is zero or a slice does not have its shape's length.
pub fn global_average_pool_forward<T: Real>(
    workspace: &Workspace,
    n: usize,
    pixels: usize,
    channels: usize,
    x: &[T],
    y: &mut [T],
) -> Result<(), KernelError> {
    let (image, piece) = checked(n, pixels, channels)?;
    check_length("x", x, n * image)?;
    check_length("y", y, n * channels)?;
    let shares = x.chunks(piece * image).zip(y.chunks_mut(piece * channels));
    let shares = shares.map(|(x, y)| Forward {
        image,
        channels,
        x,
        y,
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

/// The gradient `dx`, `[n, pixels, channels]`, of [`global_average_pool_forward`] from `dy`,
/// `[n, channels]`. `dx` is overwritten.
///
/// # Errors
/// When a size is zero or a slice does not have its shape's length.
pub fn global_average_pool_backward<T: Real>(
    workspace: &Workspace,
    n: usize,
    pixels: usize,
    channels: usize,
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    let (image, piece) = checked(n, pixels, channels)?;
    check_length("dx", dx, n * image)?;
    check_length("dy", dy, n * channels)?;
    let shares = dx
        .chunks_mut(piece * image)
        .zip(dy.chunks(piece * channels));
    let shares = shares.map(|(dx, dy)| Backward {
        image,
        channels,
        dy,
        dx,
    });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
    Ok(())
}

fn checked(n: usize, pixels: usize, channels: usize) -> Result<(usize, usize), KernelError> {
    if [n, pixels, channels].contains(&0) {
        return Err(KernelError::Shape(format!(
            "a size of {n} images of {pixels} pixels and {channels} channels is 0: choose at least 1"
        )));
    }
    volume(&[n, pixels, channels])?;
    let image = pixels * channels;
    Ok((image, chunks::piece(n, chunks::FLAT.div_ceil(image))))
}
