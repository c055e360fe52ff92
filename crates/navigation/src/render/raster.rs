//! Drawing one image.
//!
//! While it is drawn, an image holds one over the depth of each pixel, which is linear in the image, in blocks of 4 × 4
//! pixels: a vector each. Four rows of pixels take the same memory as a row of blocks, so the image is put in order in
//! place at the end.

use pulp::Simd;

use super::{
    camera::Pose,
    clusters::{LANES, Prepared},
    cull::{Visible, cull},
    setup::{Setup, set_up},
};

/// Rows and columns of a block.
const SIDE: usize = 4;
/// Blocks beside each other in the widest image.
const MOST_STRIPS: usize = 256 / SIDE;
/// Clusters that are drawn between updates of what they hide.
const CLUSTERS_BETWEEN: usize = 6;

/// A vector in memory.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([f32; LANES]);

/// Columns of a block's pixels, and rows.
const COLUMN: [f32; LANES] = [
    0., 1., 2., 3., 0., 1., 2., 3., 0., 1., 2., 3., 0., 1., 2., 3.,
];
const ROW: [f32; LANES] = [
    0., 0., 0., 0., 1., 1., 1., 1., 2., 2., 2., 2., 3., 3., 3., 3.,
];

/// Draws a scene. `visible` is memory to work with; `image` has resolution² elements.
pub(super) struct Draw<'a> {
    pub scene: &'a Prepared,
    pub pose: Pose,
    pub visible: &'a mut Vec<Visible>,
    pub image: &'a mut [f32],
}

impl pulp::WithSimd for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            scene,
            pose,
            visible,
            image,
        } = self;
        let strips = 2 * pose.half as usize / SIDE;
        cull(scene, &pose, visible);
        image.fill(1.0 / pose.limit);
        // The least of each strip of columns: what is farther is hidden there.
        let mut least = [1.0 / pose.limit; MOST_STRIPS];
        let mut setup = Setup::default();
        let mut drawn = 0;
        for &seen in visible.iter() {
            let nearest = 1.0 / seen.nearest();
            if !least[seen.strips()].iter().any(|&strip| strip < nearest) {
                continue;
            }
            let cluster = &scene.clusters[seen.cluster()];
            set_up(cluster, &pose, &mut setup);
            for lane in 0..cluster.count {
                fill(simd, &setup, lane, &pose, &least, image);
            }
            drawn += 1;
            if drawn % CLUSTERS_BETWEEN == 0 {
                update(simd, image, &mut least[..strips]);
            }
        }
        finish(image, strips, pose.limit);
    }
}

/// Raises the image to a polygon where it covers a pixel.
#[inline(always)]
fn fill<S: Simd>(
    simd: S,
    setup: &Setup,
    lane: usize,
    pose: &Pose,
    least: &[f32; MOST_STRIPS],
    image: &mut [f32],
) {
    let [x0, y0] = [setup.first[0][lane], setup.first[1][lane]].map(|x| x as usize);
    let [x1, y1] = [setup.end[0][lane], setup.end[1][lane]].map(|x| x as usize);
    if x0 >= x1 || y0 >= y1 {
        return;
    }
    let blocks = x0 / SIDE..x1.div_ceil(SIDE);
    let nearest = setup.nearest[lane];
    if !least[blocks.clone()].iter().any(|&strip| strip < nearest) {
        return;
    }
    let strips = 2 * pose.half as usize / SIDE;
    let functions: [[f32; 3]; 5] = std::array::from_fn(|k| match setup.edges.get(k) {
        Some(edge) => edge.each_ref().map(|x| x[lane]),
        None => setup.inverse.each_ref().map(|x| x[lane]),
    });
    let corner = pose.half - 0.5;
    let nearest = simd.splat_f32s(nearest);
    let zero = simd.splat_f32s(0.0);
    // The functions at the pixels of the first block of each row.
    let mut start = [Block([0.0; LANES]); 5];
    for row in y0 / SIDE..y1.div_ceil(SIDE) {
        let top = corner - (SIDE * row) as f32;
        for (start, [c, a, b]) in start.iter_mut().zip(&functions) {
            for i in 0..LANES {
                start.0[i] = a * (corner - COLUMN[i]) + (b * (top - ROW[i]) + c);
            }
        }
        let start = start.each_ref().map(|block| S::as_simd_f32s(&block.0).0);
        let line = &mut image[SIDE * SIDE * strips * row..][..SIDE * SIDE * strips];
        let line = &mut line[LANES * blocks.start..LANES * blocks.end];
        for (block, pixels) in blocks.clone().zip(line.chunks_exact_mut(LANES)) {
            let x = (SIDE * block) as f32;
            let shift = functions.map(|[_, a, _]| simd.splat_f32s(a * x));
            let (pixels, _) = S::as_mut_simd_f32s(pixels);
            for (i, pixel) in pixels.iter_mut().enumerate() {
                let at = |k: usize| simd.sub_f32s(start[k][i], shift[k]);
                let inner = simd.min_f32s(simd.min_f32s(at(0), at(1)), simd.min_f32s(at(2), at(3)));
                let covered = simd.greater_than_or_equal_f32s(inner, zero);
                let inverse = simd.min_f32s(at(4), nearest);
                let raised = simd.max_f32s(inverse, *pixel);
                *pixel = simd.select_f32s(covered, raised, *pixel);
            }
        }
    }
}

/// The least of each strip of columns.
#[inline(always)]
fn update<S: Simd>(simd: S, image: &[f32], least: &mut [f32]) {
    let strips = least.len();
    for (strip, least) in least.iter_mut().enumerate() {
        let mut low = Block([f32::INFINITY; LANES]);
        let (low, _) = S::as_mut_simd_f32s(&mut low.0);
        for line in image.chunks_exact(LANES * strips) {
            let (pixels, _) = S::as_simd_f32s(&line[LANES * strip..][..LANES]);
            for (low, &pixels) in low.iter_mut().zip(pixels) {
                *low = simd.min_f32s(*low, pixels);
            }
        }
        let low = low
            .iter()
            .fold(simd.splat_f32s(f32::INFINITY), |a, &b| simd.min_f32s(a, b));
        *least = simd.reduce_min_f32s(low);
    }
}

/// Blocks of one over the depth become rows of depths.
#[inline(always)]
fn finish(image: &mut [f32], strips: usize, limit: f32) {
    let mut blocks = [0.0; LANES * MOST_STRIPS];
    let blocks = &mut blocks[..LANES * strips];
    let farthest = 1.0 / limit;
    for line in image.chunks_exact_mut(LANES * strips) {
        for (depth, &inverse) in blocks.iter_mut().zip(&*line) {
            let near = 1.0 / inverse;
            let near = if near < limit { near } else { limit };
            *depth = if inverse > farthest { near } else { limit };
        }
        for (y, row) in line.chunks_exact_mut(SIDE * strips).enumerate() {
            for (to, from) in row.chunks_exact_mut(SIDE).zip(blocks.chunks_exact(LANES)) {
                to.copy_from_slice(&from[SIDE * y..][..SIDE]);
            }
        }
    }
}
