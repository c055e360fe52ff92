//! Maximum pool and mean over pixels, alone.

mod common;

use batchscope_kernels::{
    PoolShape, Workspace, global_average_pool_backward, global_average_pool_forward,
    max_pool_backward, max_pool_forward,
};
use common::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_maximum_and_its_gradient_match_naive_loops(
        n in 1usize..=3, sides in prop::array::uniform2((1usize..=4, 1usize..=5, 0usize..=1, 0usize..=6)),
        c in prop_oneof![1usize..=6, Just(16), Just(19)],
    ) {
        let padding = sides.map(|(kernel, _, padding, _)| padding.min(kernel / 2));
        let (kernel, stride) = (sides.map(|side| side.0), sides.map(|side| side.1));
        let [h, w] = [0, 1].map(|i| (kernel[i] - 2 * padding[i]).max(1) + sides[i].3);
        let pool = PoolShape::new(kernel, stride, padding).unwrap();
        let [oh, ow] = pool.output(h, w).unwrap();
        let x = double(&single(&numbers(1, n * h * w * c)));
        let dy = double(&single(&numbers(2, n * oh * ow * c)));
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        for i in 0..y.len() {
            let (channel, column, row, image) = (i % c, i / c % ow, i / c / ow % oh, i / c / ow / oh);
            let mut best: Option<usize> = None;
            for (a, b) in (0..kernel[0]).flat_map(|a| (0..kernel[1]).map(move |b| (a, b))) {
                let r = (row * stride[0] + a).wrapping_sub(padding[0]);
                let q = (column * stride[1] + b).wrapping_sub(padding[1]);
                let at = ((image * h + r % h) * w + q % w) * c + channel;
                if r < h && q < w && best.is_none_or(|best| x[at] > x[best]) {
                    best = Some(at);
                }
            }
            y[i] = x[best.unwrap()];
            dx[best.unwrap()] += dy[i];
        }
        let (x32, dy32) = (single(&x), single(&dy));
        for workspace in workspaces() {
            let (mut fy, mut places, mut fx) = (vec![f32::NAN; y.len()], vec![9; y.len()], vec![f32::NAN; x.len()]);
            max_pool_forward(&workspace, &pool, n, [h, w, c], &x32, &mut fy, &mut places).unwrap();
            max_pool_backward(&workspace, &pool, n, [h, w, c], &dy32, &places, &mut fx).unwrap();
            assert_close32("y", &fy, &y, 0.0);
            assert_close32("dx", &fx, &dx, 1e-6);
        }
        let (mut fy, mut places, mut fx) = (vec![f64::NAN; y.len()], vec![9; y.len()], vec![f64::NAN; x.len()]);
        let workspace = Workspace::new();
        max_pool_forward(&workspace, &pool, n, [h, w, c], &x, &mut fy, &mut places).unwrap();
        max_pool_backward(&workspace, &pool, n, [h, w, c], &dy, &places, &mut fx).unwrap();
        prop_assert_eq!(fy, y);
        assert_close("dx", &fx, &dx, 1e-14);
    }

    #[test]
    fn the_mean_and_its_gradient(n in 1usize..=4, pixels in 1usize..=20, c in prop_oneof![1usize..=20, Just(64)]) {
        let (x, dy) = (numbers(1, n * pixels * c), numbers(2, n * c));
        let mut y = vec![0.0; n * c];
        (0..x.len()).for_each(|i| y[i / (pixels * c) * c + i % c] += x[i] / pixels as f64);
        let dx: Vec<f64> = (0..x.len()).map(|i| dy[i / (pixels * c) * c + i % c] / pixels as f64).collect();
        for workspace in workspaces() {
            let (mut fy, mut fx) = (vec![f32::NAN; y.len()], vec![f32::NAN; x.len()]);
            global_average_pool_forward(&workspace, n, pixels, c, &single(&x), &mut fy).unwrap();
            global_average_pool_backward(&workspace, n, pixels, c, &single(&dy), &mut fx).unwrap();
            assert_close32("y", &fy, &y, 1e-6);
            assert_close32("dx", &fx, &dx, 1e-6);
        }
    }
}

#[test]
fn the_first_of_equals_wins_and_nan_is_seen() {
    let pool = PoolShape::new([2, 2], [2, 2], [0, 0]).unwrap();
    for workspace in workspaces() {
        let (mut y, mut places) = ([0.0f32; 2], [9; 2]);
        let x = [3.0, 1.0, 3.0, 3.0, 2.0, f32::NAN, 5.0, 1.0];
        max_pool_forward(&workspace, &pool, 2, [2, 2, 1], &x, &mut y, &mut places).unwrap();
        assert!(y[0] == 3.0 && y[1].is_nan());
        assert_eq!(places, [0, 1]);
    }
}
