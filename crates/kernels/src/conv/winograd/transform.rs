//! The constant matrices of F(2×2, 3×3) at work, a vector of channels at a time:
//!
//! ```text
//!      1  0 −1  0         1   0   0
//! Bᵀ = 0  1  1  0    G =  ½   ½   ½    Aᵀ = 1  1  1  0
//!      0 −1  1  0         ½  −½   ½         0  1 −1 −1
//!      0  1  0 −1         0   0   1
//! ```

use super::{PRODUCTS, Tiling, plane};
use crate::conv::layout::place;
use crate::simd::{Kernel, Real, Simd};

/// `Bᵀ d`.
#[inline(always)]
fn spread<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
    [
        s.sub(d[0], d[2]),
        s.add(d[1], d[2]),
        s.sub(d[2], d[1]),
        s.sub(d[1], d[3]),
    ]
}

/// `Aᵀ m`.
#[inline(always)]
fn gather<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
    let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    [s.add(m[0], sum), s.sub(difference, m[3])]
}

/// `A d`.
#[inline(always)]
fn scatter<S: Simd>(s: S, d: [S::V; 2]) -> [S::V; 4] {
    let [a, b] = d;
    [a, s.add(a, b), s.sub(a, b), s.sub(s.zero(), b)]
}

/// `G g`.
#[inline(always)]
fn widen<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 4] {
    let half = s.splat(S::Scalar::from_f64(0.5));
    let outer = s.add(g[0], g[2]);
    let plus = s.mul(half, s.add(outer, g[1]));
    let minus = s.mul(half, s.sub(outer, g[1]));
    [g[0], plus, minus, g[2]]
}

/// `Gᵀ m`.
#[inline(always)]
fn narrow<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 3] {
    let half = s.splat(S::Scalar::from_f64(0.5));
    let sum = s.mul(half, s.add(m[1], m[2]));
    let difference = s.mul(half, s.sub(m[1], m[2]));
    [s.add(m[0], sum), difference, s.add(sum, m[3])]
}

/// The pixel at a row and a column counted from the image's border, as an offset in elements:
/// `None` in the padding.
#[inline(always)]
fn pixel(image: [usize; 3], padding: [usize; 2], row: usize, column: usize) -> Option<usize> {
    let [height, width, channels] = image;
    let (row, column) = (
        row.wrapping_sub(padding[0]),
        column.wrapping_sub(padding[1]),
    );
    (row < height && column < width).then(|| (row * width + column) * channels)
}

/// Four input pixels, one below the other.
#[derive(Clone, Copy)]
struct PixelColumn {
    input: [usize; 3],
    padding: [usize; 2],
    /// The first pixel's row and the column, counted from the border.
    row: usize,
    column: usize,
    /// First channel of the vectors.
    channel: usize,
}

impl PixelColumn {
    /// `Bᵀ d`.
    ///
    /// # Safety
    /// `x` must be an image, and have a whole vector of channels from `channel` on.
    #[inline(always)]
    unsafe fn spread<S: Simd>(self, s: S, x: &[S::Scalar]) -> [S::V; 4] {
        let mut d = [s.zero(); 4];
        for (i, d) in d.iter_mut().enumerate() {
            if let Some(at) = pixel(self.input, self.padding, self.row + i, self.column) {
                debug_assert!(at + self.channel + S::LANES <= x.len());
                // SAFETY: `pixel` is one of the image, and it has the vector's channels.
                *d = unsafe { s.load_ptr(x.as_ptr().add(at + self.channel)) };
            }
        }
        spread(s, d)
    }
}

/// `Bᵀ d B` of a row of tiles.
pub(super) struct InputRow<'a, T> {
    pub tiling: &'a Tiling,
    pub x: &'a [T],
    /// First row of the tiles, counted from the border.
    pub row: usize,
    /// `[product][tile][channel]`.
    pub out: &'a mut [T],
    /// Elements from a product to the next.
    pub plane: usize,
    /// Number of the row's first tile.
    pub first: usize,
}

impl<T: Real> Kernel<T> for InputRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            tiling: &Tiling { input, padding, .. },
            x,
            row,
            out,
            plane,
            first,
        } = self;
        let (channels, tiles) = (input[2], self.tiling.tiles()[1]);
        assert!(x.len() == input.iter().product::<usize>() && channels.is_multiple_of(S::LANES));
        assert!(out.len() >= PRODUCTS * plane && (first + tiles) * channels <= plane);
        let column = |column, channel| PixelColumn {
            input,
            padding,
            row,
            column,
            channel,
        };
        for channel in (0..channels).step_by(S::LANES) {
            // Neighboring tiles share two columns.
            // SAFETY: `x` is an image and channels come in whole vectors, by the check above.
            let [mut a, mut b] = unsafe {
                [
                    column(0, channel).spread(s, x),
                    column(1, channel).spread(s, x),
                ]
            };
            for tile in 0..tiles {
                // SAFETY: as above.
                let [c, d] = unsafe {
                    [
                        column(2 * tile + 2, channel).spread(s, x),
                        column(2 * tile + 3, channel).spread(s, x),
                    ]
                };
                let at = (first + tile) * channels + channel;
                for i in 0..4 {
                    let v = spread(s, [a[i], b[i], c[i], d[i]]);
                    for (j, v) in v.into_iter().enumerate() {
                        // SAFETY: inside the product's plane by the check above.
                        unsafe { s.store_ptr(out.as_mut_ptr().add((4 * i + j) * plane + at), v) }
                    }
                }
                (a, b) = (c, d);
            }
        }
    }
}

/// `Aᵀ m A` of a row of tiles, with bias and rectifier.
pub(super) struct OutputRow<'a, T> {
    pub tiling: &'a Tiling,
    /// `[product][tile][channel]`.
    pub products: &'a [T],
    /// Elements from a product to the next.
    pub plane: usize,
    /// Number of the row's first tile.
    pub first: usize,
    /// First row of the tiles.
    pub row: usize,
    pub bias: Option<&'a [T]>,
    pub relu: bool,
    pub y: &'a mut [T],
}

impl<T: Real> Kernel<T> for OutputRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            tiling,
            products,
            plane,
            first,
            row,
            bias,
            relu,
            y,
        } = self;
        let (output, tiles) = (tiling.output, tiling.tiles()[1]);
        let channels = output[2];
        assert!(y.len() == output.iter().product::<usize>() && channels.is_multiple_of(S::LANES));
        assert!(products.len() >= PRODUCTS * plane && (first + tiles) * channels <= plane);
        for channel in (0..channels).step_by(S::LANES) {
            let bias = bias.map_or(s.zero(), |bias| s.load(&bias[channel..]));
            for tile in 0..tiles {
                let at = (first + tile) * channels + channel;
                let mut columns = [[s.zero(); 2]; 4];
                for (j, column) in columns.iter_mut().enumerate() {
                    let mut m = [s.zero(); 4];
                    for (i, m) in m.iter_mut().enumerate() {
                        // SAFETY: inside the product's plane by the check above.
                        *m = unsafe { s.load_ptr(products.as_ptr().add((4 * i + j) * plane + at)) };
                    }
                    *column = gather(s, m);
                }
                let [a, b, c, d] = columns;
                for i in 0..2 {
                    let pixels = gather(s, [a[i], b[i], c[i], d[i]]);
                    for (j, v) in pixels.into_iter().enumerate() {
                        if let Some(at) = pixel(output, [0, 0], row + i, 2 * tile + j) {
                            let v = s.add(v, bias);
                            let v = if relu { s.relu(v) } else { v };
                            // SAFETY: the pixel is one of the output, whose length was checked,
                            // and it has the vector's channels.
                            unsafe { s.store_ptr(y.as_mut_ptr().add(at + channel), v) }
                        }
                    }
                }
            }
        }
    }
}

/// `A dy Aᵀ` of a row of tiles.
pub(super) struct GradientRow<'a, T> {
    pub tiling: &'a Tiling,
    pub dy: &'a [T],
    /// First row of the tiles.
    pub row: usize,
    /// `[product][block of two vectors of channels][tile][channel of the block]`: panels of a
    /// matrix product.
    pub out: &'a mut [T],
    /// Tiles of a product.
    pub tiles: usize,
    /// Number of the row's first tile.
    pub first: usize,
}

impl<T: Real> Kernel<T> for GradientRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            tiling,
            dy,
            row,
            out,
            tiles,
            first,
        } = self;
        let (output, columns) = (tiling.output, tiling.tiles()[1]);
        let channels = output[2];
        let plane = plane(tiles * channels);
        assert!(dy.len() == output.iter().product::<usize>() && channels.is_multiple_of(S::LANES));
        assert!(out.len() >= PRODUCTS * plane && first + columns <= tiles);
        for channel in (0..channels).step_by(S::LANES) {
            let (start, width) = place(channel, channels, S::LANES, tiles);
            for tile in 0..columns {
                let at = start + (first + tile) * width;
                let mut d = [[s.zero(); 2]; 2];
                for (i, d) in d.iter_mut().enumerate() {
                    for (j, d) in d.iter_mut().enumerate() {
                        if let Some(at) = pixel(output, [0, 0], row + i, 2 * tile + j) {
                            // SAFETY: the pixel is one of the output, whose length was checked,
                            // and it has the vector's channels.
                            *d = unsafe { s.load_ptr(dy.as_ptr().add(at + channel)) };
                        }
                    }
                }
                let left = scatter(s, [d[0][0], d[1][0]]);
                let right = scatter(s, [d[0][1], d[1][1]]);
                for i in 0..4 {
                    for (j, v) in scatter(s, [left[i], right[i]]).into_iter().enumerate() {
                        // SAFETY: `place` puts a vector of a tile inside the product's plane,
                        // which the check above puts in the memory.
                        unsafe { s.store_ptr(out.as_mut_ptr().add((4 * i + j) * plane + at), v) }
                    }
                }
            }
        }
    }
}

/// `G g Gᵀ` of the kernels between all channels, from the order in which the definition packs
/// them: `[block of outputs][kernel row][kernel column][input][output of the block]`.
pub(in crate::conv) struct TransformedKernel<'a, T> {
    pub packed: &'a [T],
    pub inputs: usize,
    pub outputs: usize,
    /// The last kernel row comes first.
    pub rows_reversed: bool,
    /// `[product][block of outputs][input][output of the block]`: panels of a matrix product.
    pub out: &'a mut [T],
}

impl<T: Real> Kernel<T> for TransformedKernel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            packed,
            inputs,
            outputs,
            rows_reversed,
            out,
        } = self;
        let plane = plane(inputs * outputs);
        for output in (0..outputs).step_by(S::LANES) {
            let (from, width) = place(output, outputs, S::LANES, 9 * inputs);
            let (to, _) = place(output, outputs, S::LANES, inputs);
            for input in 0..inputs {
                let mut columns = [[s.zero(); 4]; 3];
                for (b, column) in columns.iter_mut().enumerate() {
                    let g = [0, 1, 2].map(|a| {
                        let a = if rows_reversed { 2 - a } else { a };
                        from + ((3 * a + b) * inputs + input) * width
                    });
                    let g = [
                        s.load(&packed[g[0]..]),
                        s.load(&packed[g[1]..]),
                        s.load(&packed[g[2]..]),
                    ];
                    *column = widen(s, g);
                }
                for i in 0..4 {
                    let row = widen(s, [columns[0][i], columns[1][i], columns[2][i]]);
                    for (j, v) in row.into_iter().enumerate() {
                        s.store(&mut out[(4 * i + j) * plane + to + input * width..], v);
                    }
                }
            }
        }
    }
}

/// `Gᵀ m G` of the sums of [`Tiling::add_products`], added to a gradient in the order in which the
/// definition packs it.
pub(in crate::conv) struct KernelGradient<'a, T> {
    /// `[product][input][output]`.
    pub sums: &'a [T],
    pub inputs: usize,
    pub outputs: usize,
    /// `[block of outputs][kernel row][kernel column][input][output of the block]`.
    pub packed: &'a mut [T],
}

impl<T: Real> Kernel<T> for KernelGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Scalar = T>>(self, s: S) {
        let Self {
            sums,
            inputs,
            outputs,
            packed,
        } = self;
        let plane = plane(inputs * outputs);
        for output in (0..outputs).step_by(S::LANES) {
            let (to, width) = place(output, outputs, S::LANES, 9 * inputs);
            for input in 0..inputs {
                let mut columns = [[s.zero(); 3]; 4];
                for (j, column) in columns.iter_mut().enumerate() {
                    let at = |i: usize| (4 * i + j) * plane + input * outputs + output;
                    let m = [
                        s.load(&sums[at(0)..]),
                        s.load(&sums[at(1)..]),
                        s.load(&sums[at(2)..]),
                        s.load(&sums[at(3)..]),
                    ];
                    *column = narrow(s, m);
                }
                for a in 0..3 {
                    let row = [columns[0][a], columns[1][a], columns[2][a], columns[3][a]];
                    for (b, v) in narrow(s, row).into_iter().enumerate() {
                        let place = &mut packed[to + ((3 * a + b) * inputs + input) * width..];
                        s.store(place, s.add(s.load(place), v));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::portable::Portable;

    /// The first lanes of vectors of equal lanes.
    fn lanes<const N: usize>(s: Portable<f64>, v: [<Portable<f64> as Simd>::V; N]) -> [f64; N] {
        v.map(|v| s.to_array(v)[0])
    }

    #[test]
    fn the_matrices_give_a_convolution_of_four_by_three() {
        let s = Portable::<f64>::new();
        let (d, g) = ([0.7, -1.3, 2.9, 0.4], [1.1, -0.6, 2.3]);
        let (spread, widened) = (
            spread(s, d.map(|x| s.splat(x))),
            widen(s, g.map(|x| s.splat(x))),
        );
        let mut products = [s.zero(); 4];
        for (i, product) in products.iter_mut().enumerate() {
            *product = s.mul(spread[i], widened[i]);
        }
        let found = lanes(s, gather(s, products));
        for (t, found) in found.into_iter().enumerate() {
            let expected: f64 = g.iter().zip(&d[t..]).map(|(g, d)| g * d).sum();
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    }

    #[test]
    fn the_way_back_is_the_transpose() {
        let s = Portable::<f64>::new();
        let splat = |x: f64| s.splat(x);
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let (m, y, g) = ([0.3, -2.1, 1.7, 0.9], [1.9, -0.8], [0.2, 1.4, -1.6]);
        let gathered = lanes(s, gather(s, m.map(splat)));
        let scattered = lanes(s, scatter(s, y.map(splat)));
        assert!((dot(&gathered, &y) - dot(&scattered, &m)).abs() < 1e-14);
        let narrowed = lanes(s, narrow(s, m.map(splat)));
        let widened = lanes(s, widen(s, g.map(splat)));
        assert!((dot(&narrowed, &g) - dot(&widened, &m)).abs() < 1e-14);
    }
}
