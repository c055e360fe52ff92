//! Convolution with fewer multiplications: the minimal filtering of S. Winograd, as A. Lavin and
//! S. Gray put it to 3 × 3 kernels ("Fast algorithms for convolutional neural networks", CVPR 2016,
//! F(2×2, 3×3)).
//!
//! The output is cut into tiles of 2 × 2 pixels, each seeing 4 × 4 of the input. With the constant
//! matrices of [`transform`], an input tile `d`, a kernel `g` and an output tile `y`,
//!
//! ```text
//! y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
//! ```
//!
//! takes 16 products where the definition takes 36. Summed over input channels and for all tiles
//! and output channels, each of the 16 is a matrix product. The gradient of the input is the same
//! on the gradient of the output with the kernel turned by half a turn, and that of the kernel is
//! the transpose of the formula, `Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ d B)]G`, summed over the tiles.
//!
//! Inputs are added before they are multiplied, which rounds once more and bounds the error less well;
//! but each sum is nine times shorter. On random numbers the root mean square error is 0.6 to 1.3
//! times that of the definition (32² × 16 to 8² × 256, both gradients included). In double precision,
//! which is the reference, the definition is used.

mod transform;

use super::ConvShape;
use crate::product::{Matrix, MatrixBlock, Panels, Start, multiply};
use crate::simd::{Real, Simd};
use transform::{GradientRow, InputRow, OutputRow};
pub(super) use transform::{KernelGradient, TransformedKernel};

/// Products of a tile, one for each pair of rows of the constant matrices.
pub(super) const PRODUCTS: usize = 16;
/// Tiles taken together, if the image has so many: the matrix products want rows, the cache wants
/// what one step writes still to be there for the next. With fewer tiles in an image the products
/// would read the transformed kernel, which is larger than the kernel, for little work.
const TILES: usize = 16;
/// Elements between two products' planes in memory: were they a power of two apart, the vectors of a
/// tile would all fall into one set of the cache.
const GAP: usize = 16;

/// From the start of one product's numbers to the next one's, where each has `len`.
pub(super) fn plane(len: usize) -> usize {
    len + GAP
}

/// True where the scheme computes this convolution and both its gradients faster than the
/// definition does.
pub(super) fn fits<T: Real>(shape: &ConvShape, lanes: usize) -> bool {
    let [out_height, out_width, _] = shape.output();
    // Tiles that hang over the edge compute what no one wants: a quarter must remain saved.
    let saves = |height: usize, width: usize| {
        4 * PRODUCTS * height.div_ceil(2) * width.div_ceil(2) <= 3 * 9 * height * width
    };
    T::TRADES_ROUNDING
        && shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.dilation == [1, 1]
        && shape.groups == 1
        && shape.in_channels.is_multiple_of(lanes)
        && shape.out_channels.is_multiple_of(lanes)
        && out_height.div_ceil(2) * out_width.div_ceil(2) >= TILES
        && saves(shape.height, shape.width)
        && saves(out_height, out_width)
}

/// Images seen as tiles: of the input of a convolution, and of its output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    /// Rows, columns and channels of the input.
    pub input: [usize; 3],
    /// Rows, columns and channels of the output.
    pub output: [usize; 3],
    /// Zero rows above and columns to the left of the input.
    pub padding: [usize; 2],
}

impl Tiling {
    /// Of the forward pass, and of the weights' gradient.
    pub fn forward(shape: &ConvShape) -> Self {
        Self {
            input: shape.input(),
            output: shape.output(),
            padding: shape.padding,
        }
    }

    /// Of the input's gradient, a convolution of the output's gradient.
    pub fn input_gradient(shape: &ConvShape) -> Self {
        Self {
            input: shape.output(),
            output: shape.input(),
            padding: shape.padding.map(|padding| 2 - padding),
        }
    }

    /// Tile rows, and tiles in each.
    fn tiles(&self) -> [usize; 2] {
        let [height, width, _] = self.output;
        [height.div_ceil(2), width.div_ceil(2)]
    }

    /// Tile rows taken together.
    fn rows(&self) -> usize {
        let [rows, columns] = self.tiles();
        TILES.div_ceil(columns).min(rows)
    }

    /// Elements of the memory that [`Tiling::convolve`] and [`Tiling::add_products`] work in.
    pub fn scratch(&self) -> usize {
        let tiles = self.rows() * self.tiles()[1];
        PRODUCTS * (plane(tiles * self.input[2]) + plane(tiles * self.output[2]))
    }

    /// Elements of the sums of [`Tiling::add_products`], and of a transformed kernel.
    pub fn products(&self) -> usize {
        PRODUCTS * plane(self.input[2] * self.output[2])
    }

    /// The tile rows in turn, those taken together at once: their numbers.
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let ([rows, _], step) = (self.tiles(), self.rows());
        (0..rows)
            .step_by(step)
            .map(move |first| first..rows.min(first + step))
    }

    /// `y = x ∗ kernel + bias`, rectified or not, of one image; the kernel is transformed.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the tensors of one operation
    pub fn convolve<S: Simd>(
        &self,
        s: S,
        x: &[S::Scalar],
        kernel: &[S::Scalar],
        bias: Option<&[S::Scalar]>,
        relu: bool,
        scratch: &mut [S::Scalar],
        y: &mut [S::Scalar],
    ) {
        let [inputs, outputs] = [self.input[2], self.output[2]];
        let columns = self.tiles()[1];
        for rows in self.blocks() {
            let tiles = rows.len() * columns;
            let (input, products) = scratch.split_at_mut(PRODUCTS * plane(tiles * inputs));
            self.transform_input(s, x, rows.clone(), input);
            for ((a, b), c) in input
                .chunks_exact(plane(tiles * inputs))
                .zip(kernel.chunks_exact(plane(inputs * outputs)))
                .zip(products.chunks_exact_mut(plane(tiles * outputs)))
            {
                let a = Matrix::new(&a[..tiles * inputs], tiles, inputs);
                let b = Panels::packed(b, inputs, outputs);
                let mut c = MatrixBlock::new(&mut c[..tiles * outputs], tiles, outputs);
                multiply(s, a, &b, Start::Zero, &mut c);
            }
            for (i, row) in rows.enumerate() {
                s.call(OutputRow {
                    tiling: self,
                    products,
                    plane: plane(tiles * outputs),
                    first: i * columns,
                    row: 2 * row,
                    bias,
                    relu,
                    y,
                });
            }
        }
    }

    /// `Bᵀ d B` of the tiles of some tile rows, `[product][tile][channel]`.
    #[inline(always)]
    fn transform_input<S: Simd>(
        &self,
        s: S,
        x: &[S::Scalar],
        rows: std::ops::Range<usize>,
        out: &mut [S::Scalar],
    ) {
        let columns = self.tiles()[1];
        let plane = plane(rows.len() * columns * self.input[2]);
        for (i, row) in rows.enumerate() {
            s.call(InputRow {
                tiling: self,
                x,
                row: 2 * row,
                out,
                plane,
                first: i * columns,
            });
        }
    }

    /// Adds one image's part of the weights' gradient to `sums`, `[product][input channel][output
    /// channel]`, which [`KernelGradient`] turns back.
    #[inline(always)]
    pub fn add_products<S: Simd>(
        &self,
        s: S,
        x: &[S::Scalar],
        dy: &[S::Scalar],
        scratch: &mut [S::Scalar],
        sums: &mut [S::Scalar],
    ) {
        let [inputs, outputs] = [self.input[2], self.output[2]];
        let columns = self.tiles()[1];
        for rows in self.blocks() {
            let tiles = rows.len() * columns;
            let (input, gradient) = scratch.split_at_mut(PRODUCTS * plane(tiles * inputs));
            self.transform_input(s, x, rows.clone(), input);
            for (i, row) in rows.enumerate() {
                s.call(GradientRow {
                    tiling: self,
                    dy,
                    row: 2 * row,
                    out: gradient,
                    tiles,
                    first: i * columns,
                });
            }
            for ((a, b), c) in input
                .chunks_exact(plane(tiles * inputs))
                .zip(gradient.chunks_exact(plane(tiles * outputs)))
                .zip(sums.chunks_exact_mut(plane(inputs * outputs)))
            {
                let a = Matrix::new(&a[..tiles * inputs], tiles, inputs).transposed();
                let b = Panels::packed(b, tiles, outputs);
                let mut c = MatrixBlock::new(&mut c[..inputs * outputs], inputs, outputs);
                multiply(s, a, &b, Start::Output, &mut c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;

    fn shape(image: [usize; 3], out: usize, window: Window) -> ConvShape {
        ConvShape::new(2, image, out, window).unwrap()
    }

    #[test]
    fn it_serves_dense_kernels_of_three_on_whole_vectors_and_enough_tiles() {
        let three = Window::square(3, 1, 1);
        let fits = |shape: &ConvShape| super::fits::<f32>(shape, 16);
        for (image, out) in [([32, 32, 16], 16), ([8, 8, 64], 128), ([7, 7, 512], 512)] {
            assert!(fits(&shape(image, out, three)), "{image:?} {out}");
            assert!(!super::fits::<f64>(&shape(image, out, three), 8));
        }
        for (image, out) in [([32, 32, 3], 16), ([8, 8, 64], 10), ([4, 4, 64], 64)] {
            assert!(!fits(&shape(image, out, three)), "{image:?} {out}");
        }
        let dilated = Window {
            dilation: [2, 2],
            ..three
        };
        for window in [Window::square(5, 1, 2), Window::square(3, 2, 1), dilated] {
            assert!(!fits(&shape([16, 16, 16], 16, window)), "{window:?}");
        }
        let grouped = shape([16, 16, 32], 32, three).with_groups(2).unwrap();
        assert!(!fits(&grouped));
        // A row of pixels wastes half of every tile.
        assert!(!fits(&shape([1, 64, 16], 16, three)));
    }
}
