//! What a Fixup block does between its convolutions, each in one pass over the images. The pieces
//! of work are whole images or stretches of fixed length, and sums over them are taken in their
//! order, so that results have the same bits on any number of threads.

use batchscope_kernels::Real;
use burn_flex::FlexTensor;
use burn_tensor::Tensor;
use rayon::prelude::*;

use super::{Arguments, Operation, buffer, flex, memory::zeros, values};
use crate::{
    layers::Gate,
    precision::{Number, in_precision},
};

/// Numbers in a piece of work.
const PIECE: usize = 16 * 1024;

/// `x + b` with one number `b`, `[1]`, for all.
pub(crate) fn shift(x: Tensor<4>, b: Tensor<1>) -> Tensor<4> {
    let dims = x.dims();
    let inputs = Arguments::new([x.into_dispatch(), b.into_dispatch()]);
    let y = in_precision!(inputs.dtype(), T => {
        let [x, b] = inputs.values.each_ref().map(values::<T>);
        let b = b[0];
        let mut y = buffer::<T>(x.len());
        let pieces = y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
        pieces.for_each(|(y, x)| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x + b;
            }
        });
        flex(y, &dims)
    });
    inputs.output(y, |_, _| Shift { dims })
}

#[derive(Debug, Clone)]
struct Shift {
    dims: [usize; 4],
}

impl Operation<2> for Shift {
    fn gradients<T: Number>(self, dy: &[T], wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let dx = wanted[0].then(|| {
            let mut dx = buffer(dy.len());
            let pieces = dx.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE));
            pieces.for_each(|(dx, dy)| dx.copy_from_slice(dy));
            flex(dx, &self.dims)
        });
        let db = wanted[1].then(|| scalar::<T>(sum(dy)));
        [dx, db]
    }
}

/// The sum of numbers, piece by piece.
fn sum<T: Number>(x: &[T]) -> f64 {
    const LANES: usize = 16;
    let of_pieces: Vec<f64> = x
        .par_chunks(PIECE)
        .map(|piece| {
            let mut lanes = [T::ZERO; LANES];
            let vectors = piece.chunks_exact(LANES);
            let rest: f64 = vectors.remainder().iter().map(|x| x.to_f64()).sum();
            for vector in vectors {
                for (lane, &x) in lanes.iter_mut().zip(vector) {
                    *lane += x;
                }
            }
            rest + lanes.iter().map(|lane| lane.to_f64()).sum::<f64>()
        })
        .collect();
    of_pieces.into_iter().sum()
}

fn scalar<T: Number>(x: f64) -> FlexTensor {
    let mut memory = buffer(1);
    memory[0] = T::from_f64(x);
    flex(memory, &[1])
}

/// `relu((x · scale + bias) · gate + shortcut)`: see [`Gate`].
pub(crate) fn gated_add_relu(x: Tensor<4>, by: Gate, shortcut: Tensor<4>) -> Tensor<4> {
    let dims = x.dims();
    let [n, height, width, channels] = dims;
    let image = height * width * channels;
    let Gate { scale, bias, gate } = by;
    let inputs = Arguments::new([
        x.into_dispatch(),
        scale.into_dispatch(),
        bias.into_dispatch(),
        gate.into_dispatch(),
        shortcut.into_dispatch(),
    ]);
    let y = in_precision!(inputs.dtype(), T => {
        let [x, scale, bias, gate, shortcut] = inputs.values.each_ref().map(values::<T>);
        let (scale, bias) = (scale[0], bias[0]);
        let mut y = buffer::<T>(n * image);
        let images = images_in_piece(image);
        let pieces = y
            .par_chunks_mut(images * image)
            .zip(x.par_chunks(images * image))
            .zip(shortcut.par_chunks(images * image))
            .zip(gate.par_chunks(images * channels));
        pieces.for_each(|(((y, x), shortcut), gate)| {
            let images = y.chunks_exact_mut(image).zip(x.chunks_exact(image));
            let images = images.zip(shortcut.chunks_exact(image)).zip(gate.chunks_exact(channels));
            for (((y, x), shortcut), gate) in images {
                let pixels = y.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
                for ((y, x), shortcut) in pixels.zip(shortcut.chunks_exact(channels)) {
                    for c in 0..channels {
                        let sum = (x[c] * scale + bias) * gate[c] + shortcut[c];
                        // Not a number stays so, for divergence to be seen.
                        y[c] = if sum < T::ZERO { T::ZERO } else { sum };
                    }
                }
            }
        });
        flex(y, &dims)
    });
    inputs.output(y, |[x, scale, bias, gate, _], y| GatedAddRelu {
        dims,
        x,
        scale,
        bias,
        gate,
        y: y.clone(),
    })
}

/// Whole images in a piece of work.
fn images_in_piece(image: usize) -> usize {
    (PIECE / image).max(1)
}

#[derive(Debug, Clone)]
struct GatedAddRelu {
    dims: [usize; 4],
    x: FlexTensor,
    scale: FlexTensor,
    bias: FlexTensor,
    gate: FlexTensor,
    y: FlexTensor,
}

impl Operation<5> for GatedAddRelu {
    /// With `g = dy · [y > 0]` and, over the pixels of an image, `P = Σ g·x` and `Q = Σ g`:
    /// `dx = g·gate·scale`, `dshortcut = g`, `dgate = scale·P + bias·Q`, `dscale = Σ gate·P` and
    /// `dbias = Σ gate·Q` over images and channels.
    fn gradients<T: Number>(self, dy: &[T], _: [bool; 5]) -> [Option<FlexTensor>; 5] {
        let [n, height, width, channels] = self.dims;
        let image = height * width * channels;
        let (x, y, gate) = (
            values::<T>(&self.x),
            values::<T>(&self.y),
            values::<T>(&self.gate),
        );
        let [scale, bias] = [&self.scale, &self.bias].map(|scalar| values::<T>(scalar)[0]);
        let (mut dx, mut dshortcut) = (buffer(n * image), buffer(n * image));
        let (mut p, mut q) = (zeros::<T>(n * channels), zeros::<T>(n * channels));
        let images = images_in_piece(image);
        let (numbers, means) = (images * image, images * channels);
        let pieces = dx
            .par_chunks_mut(numbers)
            .zip(dshortcut.par_chunks_mut(numbers))
            .zip(p.par_chunks_mut(means).zip(q.par_chunks_mut(means)))
            .zip(dy.par_chunks(numbers).zip(y.par_chunks(numbers)))
            .zip(x.par_chunks(numbers).zip(gate.par_chunks(means)));
        pieces.for_each(|((((dx, ds), (p, q)), (dy, y)), (x, gate))| {
            let mut factors = vec![T::ZERO; channels];
            let rows = p
                .chunks_exact_mut(channels)
                .zip(q.chunks_exact_mut(channels));
            for ((i, (p, q)), gate) in rows.enumerate().zip(gate.chunks_exact(channels)) {
                for (factor, &gate) in factors.iter_mut().zip(gate) {
                    *factor = gate * scale;
                }
                let pixels = (i * image..(i + 1) * image).step_by(channels);
                for pixel in pixels.map(|at| at..at + channels) {
                    let (dx, ds) = (&mut dx[pixel.clone()], &mut ds[pixel.clone()]);
                    let (dy, y, x) = (&dy[pixel.clone()], &y[pixel.clone()], &x[pixel]);
                    let (factors, p, q) = (&factors[..], &mut p[..channels], &mut q[..channels]);
                    for c in 0..channels {
                        let g = if y[c] <= T::ZERO { T::ZERO } else { dy[c] };
                        ds[c] = g;
                        dx[c] = g * factors[c];
                        p[c] += g * x[c];
                        q[c] += g;
                    }
                }
            }
        });
        let (mut dscale, mut dbias) = (0.0, 0.0);
        for ((p, q), gate) in p.iter_mut().zip(q.iter()).zip(gate) {
            dscale += gate.to_f64() * p.to_f64();
            dbias += gate.to_f64() * q.to_f64();
            *p = scale * *p + bias * *q;
        }
        [
            Some(flex(dx, &self.dims)),
            Some(scalar::<T>(dscale)),
            Some(scalar::<T>(dbias)),
            Some(flex(p, &[n, channels])),
            Some(flex(dshortcut, &self.dims)),
        ]
    }
}
