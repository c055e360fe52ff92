//! What the test files share: data, tolerances, thread pools and naive reference loops in f64.
#![allow(dead_code)] // each test file uses its part

use batchscope_kernels::{ConvShape, Isa, Window, Workspace};
use proptest::prelude::*;

/// Numbers that look random, in −1..1, from a seed (SplitMix64).
pub fn numbers(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

pub fn single(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

pub fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// A workspace for each instruction set of this machine.
pub fn workspaces() -> Vec<Workspace> {
    Isa::available()
        .into_iter()
        .map(Workspace::with_isa)
        .collect()
}

/// Runs `f` with a number of rayon threads.
pub fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(f)
}

/// Asserts that all of `found` lie within `tolerance · (1 + |expected|)`.
#[track_caller]
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * (1.0 + e.abs()),
            "{what}[{i}]: {f}, expected {e}"
        );
    }
}

/// As [`assert_close`], for single precision.
#[track_caller]
pub fn assert_close32(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_close(what, &double(found), expected, tolerance);
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The derivative of `f` at `x` along each coordinate, by central differences.
pub fn central_differences(x: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + step;
            let above = f(&x);
            x[i] = at - step;
            let below = f(&x);
            x[i] = at;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// A convolution's shape beside the settings that `ConvShape` keeps to itself.
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    pub n: usize,
    pub image: [usize; 3],
    pub out: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Conv {
    pub fn shape(&self) -> ConvShape {
        let &Self {
            kernel,
            stride,
            padding,
            dilation,
            ..
        } = self;
        ConvShape::new(
            self.n,
            self.image,
            self.out,
            Window {
                kernel,
                stride,
                padding,
                dilation,
            },
        )
        .and_then(|shape| shape.with_groups(self.groups))
        .unwrap()
    }

    /// Calls `f(input index, weight index, output index)` for every product of the convolution.
    pub fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [h, w, c] = self.image;
        let [kh, kw] = self.kernel;
        let [oh, ow, o] = self.shape().output();
        let (cg, og) = (c / self.groups, o / self.groups);
        for n in 0..self.n {
            for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                for (a, b) in (0..kh).flat_map(|a| (0..kw).map(move |b| (a, b))) {
                    let iy =
                        (y * self.stride[0] + a * self.dilation[0]).wrapping_sub(self.padding[0]);
                    let ix =
                        (x * self.stride[1] + b * self.dilation[1]).wrapping_sub(self.padding[1]);
                    if iy >= h || ix >= w {
                        continue;
                    }
                    for out in 0..o {
                        for k in 0..cg {
                            let input = ((n * h + iy) * w + ix) * c + out / og * cg + k;
                            let weight = ((out * cg + k) * kh + a) * kw + b;
                            f(input, weight, ((n * oh + y) * ow + x) * o + out);
                        }
                    }
                }
            }
        }
    }

    pub fn forward(&self, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
        let mut y: Vec<f64> = (0..self.shape().output_len())
            .map(|i| bias[i % self.out])
            .collect();
        self.products(|i, k, o| y[o] += x[i] * w[k]);
        y
    }

    /// `(dx, dw, db)`.
    pub fn backward(&self, x: &[f64], w: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut dx, mut dw, mut db) =
            (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; self.out]);
        self.products(|i, k, o| {
            dx[i] += dy[o] * w[k];
            dw[k] += dy[o] * x[i];
        });
        dy.iter()
            .enumerate()
            .for_each(|(o, dy)| db[o % self.out] += dy);
        (dx, dw, db)
    }
}

/// How far sums of products may lie from the exact ones, in units of the arithmetic's epsilon, from
/// how many products each sum has and the sum of their squares. Rounding is a random walk: `n`
/// products of root mean square `r`, added one after another, end about `0.2 · n · r` away (one
/// standard deviation), and less in any other order. The worst of the sums is allowed twenty of
/// those; a product too many or too few is far outside.
pub fn rounding(products: &[f64], squares: &[f64]) -> f64 {
    let worst = (products.iter().zip(squares)).fold(0.0, |worst: f64, (n, q)| worst.max(n * q));
    4.0 * (1.0 + worst.sqrt())
}

/// Sizes chosen so that channel tails, tiles of every width, strides beyond the kernel, kernels as
/// large as the image and single pixels all occur.
pub fn convolutions() -> impl Strategy<Value = Conv> {
    let side = || (1usize..=5, 1usize..=4, 1usize..=2, 0usize..=4, 0usize..=20);
    let channels = || {
        prop_oneof![
            1usize..=5,
            Just(8),
            Just(13),
            Just(16),
            Just(20),
            Just(33),
            Just(64)
        ]
    };
    (
        1usize..=5,
        side(),
        side(),
        channels(),
        channels(),
        1usize..=3,
    )
        .prop_map(|(n, rows, columns, c, o, groups)| {
            let fit = |(kernel, stride, dilation, padding, extra): (
                usize,
                usize,
                usize,
                usize,
                usize,
            )| {
                let reach = (kernel - 1) * dilation;
                let padding = padding.min(reach);
                (
                    (reach + 1).saturating_sub(2 * padding).max(1) + extra,
                    kernel,
                    stride,
                    dilation,
                    padding,
                )
            };
            let (h, kh, sh, dh, ph) = fit(rows);
            let (w, kw, sw, dw, pw) = fit(columns);
            let c = if groups > 1 {
                c.div_ceil(4) * groups
            } else {
                c
            };
            let o = if groups > 1 {
                o.div_ceil(3) * groups
            } else {
                o
            };
            Conv {
                n,
                image: [h, w, c],
                out: o,
                kernel: [kh, kw],
                stride: [sh, sw],
                padding: [ph, pw],
                dilation: [dh, dw],
                groups,
            }
        })
}

/// Dense 3 × 3 kernels over whole vectors of channels, with every padding and with sizes that leave
/// half a tile over: what is computed with fewer multiplications.
pub fn dense() -> impl Strategy<Value = Conv> {
    let side = || (0usize..=2, 0usize..=14);
    let channels = || prop_oneof![4 => Just(16usize), 2 => Just(32), 1 => Just(48), 1 => Just(64)];
    (1usize..=5, side(), side(), channels(), channels()).prop_map(|(n, rows, columns, c, out)| {
        let size = |(padding, extra): (usize, usize)| (3usize - padding).max(1) + extra;
        Conv {
            n,
            image: [size(rows), size(columns), c],
            out,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [rows.0, columns.0],
            dilation: [1, 1],
            groups: 1,
        }
    })
}
