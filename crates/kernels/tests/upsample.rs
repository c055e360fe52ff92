//! Bilinear upsampling against the transposed convolution it is defined by.

mod common;

use batchscope_kernels::{Real, UpsampleShape, Workspace, upsample_backward, upsample_forward};
use common::*;
use proptest::prelude::*;

/// Weight of place `k` in a kernel of `2 · factor`: a triangle, as FCN's and DRN's code fill it.
fn triangle(k: usize, factor: usize) -> f64 {
    let f = factor as f64;
    let center = (2.0 * f - 1.0) / (2.0 * f);
    1.0 - (k as f64 / f - center).abs()
}

/// The transposed convolution with stride `factor` and padding `factor / 2`.
fn naive(n: usize, [h, w, c]: [usize; 3], factor: usize, out: [usize; 2], x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; n * out[0] * out[1] * c];
    let place = |i: usize, k: usize| (i * factor + k).checked_sub(factor / 2);
    for (i, x) in x.iter().enumerate() {
        let (channel, column, row, image) = (i % c, i / c % w, i / c / w % h, i / c / w / h);
        for a in 0..2 * factor {
            for b in 0..2 * factor {
                if let (Some(r), Some(q)) = (place(row, a), place(column, b))
                    && r < out[0]
                    && q < out[1]
                {
                    y[((image * out[0] + r) * out[1] + q) * c + channel] +=
                        triangle(a, factor) * triangle(b, factor) * x;
                }
            }
        }
    }
    y
}

fn both<T: Real>(
    workspace: &Workspace,
    shape: &UpsampleShape,
    x: &[T],
    dy: &[T],
) -> (Vec<T>, Vec<T>) {
    let nan = T::from_f64(f64::NAN);
    let (mut y, mut dx) = (vec![nan; dy.len()], vec![nan; x.len()]);
    upsample_forward(workspace, shape, x, &mut y).unwrap();
    upsample_backward(workspace, shape, dy, &mut dx).unwrap();
    (y, dx)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_is_the_transposed_convolution_and_its_adjoint(
        n in 1usize..=3, h in 1usize..=4, w in 1usize..=4,
        c in prop_oneof![1usize..=5, Just(16), Just(19)],
        factor in prop_oneof![Just(2usize), Just(4), Just(8)], cut in prop::array::uniform2(0usize..8),
    ) {
        let out = [h * factor - cut[0].min(factor - 1), w * factor - cut[1].min(factor - 1)];
        let shape = UpsampleShape::new(n, [h, w, c], factor, out).unwrap();
        let x = numbers(1, shape.input_len());
        let dy = numbers(2, shape.output_len());
        let expected = naive(n, [h, w, c], factor, out, &x);
        let (y, dx) = both(&Workspace::new(), &shape, &x, &dy);
        assert_close("y", &y, &expected, 1e-12);
        let (left, right) = (dot(&y, &dy), dot(&x, &dx));
        prop_assert!((left - right).abs() < 1e-9 * (1.0 + left.abs()));
        for workspace in workspaces() {
            let (y, dx32) = both(&workspace, &shape, &single(&x), &single(&dy));
            assert_close32("y", &y, &expected, 1e-6);
            assert_close32("dx", &dx32, &dx, 1e-4);
        }
    }
}

#[test]
fn odd_factors_and_sizes_beyond_them_are_refused() {
    assert!(UpsampleShape::new(1, [2, 2, 3], 3, [6, 6]).is_err());
    assert!(UpsampleShape::new(1, [2, 2, 3], 8, [17, 16]).is_err());
    assert!(UpsampleShape::new(1, [2, 0, 3], 8, [16, 16]).is_err());
    assert!(UpsampleShape::new(usize::MAX, [2, 2, 3], 8, [16, 16]).is_err());
}
