use burn_tensor::Tensor;
use rayon::prelude::*;

use crate::{cpu, pass::Pass, storage::Storage};

/// Square images of one channel, `[n, side, side]`, with every block of `block` by `block` pixels as
/// the channels of one: `[n, side / block, side / block, block²]`, the block's rows one after the
/// other.
pub(crate) fn space_to_depth(
    images: &[f32],
    side: usize,
    block: usize,
    pass: &mut Pass,
) -> Tensor<4> {
    let n = images.len() / (side * side);
    let shape = [n, side / block, side / block, block * block];
    let y = if pass.kernels() {
        cpu::constant(shape, |y| rearrange(images, side, block, y))
    } else {
        let mut y = vec![0.0; images.len()];
        rearrange(images, side, block, &mut y);
        Storage::from_host(y, &shape, pass.device()).tensor()
    };
    y.cast(pass.dtype())
}

fn rearrange(images: &[f32], side: usize, block: usize, y: &mut [f32]) {
    // Rows of blocks.
    let rows = (y.par_chunks_mut(side * block)).zip(images.par_chunks(side * block));
    rows.with_min_len(64).for_each(|(y, x)| {
        for (column, y) in y.chunks_exact_mut(block * block).enumerate() {
            for (row, y) in y.chunks_exact_mut(block).enumerate() {
                y.copy_from_slice(&x[row * side + column * block..][..block]);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::rearrange;

    #[test]
    fn blocks_become_channels() {
        let images: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let mut y = [0.0; 32];
        rearrange(&images, 4, 2, &mut y);
        let first = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
        let both = first.into_iter().chain(first.map(|i| i + 16));
        assert!(
            both.zip(y)
                .all(|(expected, found)| expected as f32 == found)
        );
    }
}
