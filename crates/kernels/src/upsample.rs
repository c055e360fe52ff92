//! Bilinear upsampling by an even factor, channels last: the fixed transposed convolution that
//! fully convolutional networks end with (Long, Shelhamer & Darrell 2015, section 3.3).

use crate::chunks;
use crate::error::{KernelError, check_length, volume};
use crate::simd::{Kernel, Real, Simd};
use crate::workspace::Workspace;

/// The checked shape of an upsampling: `n` images `[height, width, channels]` grow by `factor`, of
/// which the first `out` rows and columns are kept.
///
/// With factor `f`, output `o` lies between the inputs `i − 1` and `i = ⌊(o + f/2) / f⌋`, whose
/// weights are `1 − a` and `a = (2k + 1) / 2f` with `k = (o + f/2) mod f`: a transposed convolution
/// of kernel `2f`, stride `f` and padding `f/2`. Inputs outside the image count as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpsampleShape {
    n: usize,
    input: [usize; 2],
    channels: usize,
    factor: usize,
    out: [usize; 2],
}

impl UpsampleShape {
    /// For images `[height, width, channels]`.
    ///
    /// # Errors
    /// When a size is zero, the factor is odd, `out` is more than `factor` times the image, or a
    /// buffer could not exist.
    pub fn new(
        n: usize,
        image: [usize; 3],
        factor: usize,
        out: [usize; 2],
    ) -> Result<Self, KernelError> {
        let [height, width, channels] = image;
        if n == 0 || factor == 0 || image.contains(&0) || out.contains(&0) {
            return Err(KernelError::Shape(format!(
                "a size of {n} images {image:?} upsampled by {factor} to {out:?} is 0: choose at least 1"
            )));
        }
        if !factor.is_multiple_of(2) {
            return Err(KernelError::Shape(format!(
                "upsampling by the odd factor {factor}: choose an even one"
            )));
        }
        volume(&[n, height, width, channels, factor])?;
        volume(&[n, out[0], out[1], channels])?;
        if out[0] > volume(&[height, factor])? || out[1] > volume(&[width, factor])? {
            return Err(KernelError::Shape(format!(
                "{height}×{width} upsampled by {factor} is less than {out:?}"
            )));
        }
        Ok(Self {
            n,
            input: [height, width],
            channels,
            factor,
            out,
        })
    }

    /// Elements of the input, `n · height · width · channels`.
    pub fn input_len(&self) -> usize {
        self.n * self.input_image()
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.n * self.output_image()
    }

    fn input_image(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn output_image(&self) -> usize {
        self.out[0] * self.out[1] * self.channels
    }

    /// The inputs that output row (`side` 0) or column `at` mixes, with their weights; those
    /// outside the image have no place.
    #[inline(always)]
    fn mixed(&self, side: usize, at: usize) -> [(Option<usize>, f64); 2] {
        let shifted = at + self.factor / 2;
        let (next, k) = (shifted / self.factor, shifted % self.factor);
        let weight = (2 * k + 1) as f64 / (2 * self.factor) as f64;
        let inside = |place: usize| (place < self.input[side]).then_some(place);
        [
            (next.checked_sub(1).and_then(inside), 1.0 - weight),
            (inside(next), weight),
        ]
    }
}

/// `to += weight · from`.
#[inline(always)]
fn add_scaled<S: Simd>(s: S, weight: f64, from: &[S::Scalar], to: &mut [S::Scalar]) {
    let weight = s.splat(S::Scalar::from_f64(weight));
    for (from, to) in from.chunks(S::LANES).zip(to.chunks_mut(S::LANES)) {
        s.store(to, s.fma(weight, s.load(from), s.load(to)));
    }
}

/// A thread's share of the images, in either direction.
struct Share<'a, T> {
    shape: UpsampleShape,
    backward: bool,
    from: &'a [T],
    to: &'a mut [T],
}

impl<T: Real> Kernel<T> for Share<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let (shape, c) = (self.shape, self.shape.channels);
        let (from, to) = if self.backward {
            (shape.output_image(), shape.input_image())
        } else {
            (shape.input_image(), shape.output_image())
        };
        self.to.fill(T::ZERO);
        let images = self
            .from
            .chunks_exact(from)
            .zip(self.to.chunks_exact_mut(to));
        for (from, to) in images {
            for row in 0..shape.out[0] {
                let rows = shape.mixed(0, row);
                for column in 0..shape.out[1] {
                    let output = row * shape.out[1] + column;
                    let columns = shape.mixed(1, column);
                    for (r, down) in rows {
                        for (column, right) in columns {
                            let (Some(r), Some(column)) = (r, column) else {
                                continue;
                            };
                            let input = r * shape.input[1] + column;
                            let (source, target) = if self.backward {
                                (output, input)
                            } else {
                                (input, output)
                            };
                            add_scaled(
                                s,
                                down * right,
                                &from[source * c..(source + 1) * c],
                                &mut to[target * c..(target + 1) * c],
                            );
                        }
                    }
                }
            }
        }
    }
}

fn run<T: Real>(
    workspace: &Workspace,
    shape: &UpsampleShape,
    backward: bool,
    from: &[T],
    to: &mut [T],
) {
    let piece = chunks::piece(shape.n, 1);
    let (from_image, to_image) = (from.len() / shape.n, to.len() / shape.n);
    let shares = from
        .chunks(piece * from_image)
        .zip(to.chunks_mut(piece * to_image))
        .map(|(from, to)| Share {
            shape: *shape,
            backward,
            from,
            to,
        });
    chunks::for_each(shares, |share| T::dispatch(workspace.isa(), share));
}

/// Upsamples `x`, `[n, height, width, channels]`, into `y`, `[n, out rows, out columns, channels]`.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn upsample_forward<T: Real>(
    workspace: &Workspace,
    shape: &UpsampleShape,
    x: &[T],
    y: &mut [T],
) -> Result<(), KernelError> {
    check_length("x", x, shape.input_len())?;
    check_length("y", y, shape.output_len())?;
    run(workspace, shape, false, x, y);
    Ok(())
}

/// The gradient `dx` of [`upsample_forward`] from the gradient `dy` of its output. `dx` is
/// overwritten.
///
/// # Errors
/// When a slice does not have its shape's length.
pub fn upsample_backward<T: Real>(
    workspace: &Workspace,
    shape: &UpsampleShape,
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    check_length("dy", dy, shape.output_len())?;
    check_length("dx", dx, shape.input_len())?;
    run(workspace, shape, true, dy, dx);
    Ok(())
}
