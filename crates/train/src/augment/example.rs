//! What augmentations work on: an example, and uniform draws.

use batchscope_core::{UNLABELED, order::uniform};
use rand_core::Rng;

/// Size of an image, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
}

impl Size {
    /// Values in an image.
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// True for an image without values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One image that is augmented, with its mask.
#[derive(Debug)]
pub struct Example<'a> {
    /// Its pixels, channels last.
    pub image: &'a mut [f32],
    /// A label for each pixel; empty for an image without mask.
    pub mask: &'a mut [u8],
    /// The image's size.
    pub size: Size,
    /// As long as the image, holding anything.
    pub scratch: &'a mut [f32],
    /// As long as the mask.
    pub mask_scratch: &'a mut [u8],
}

impl Example<'_> {
    /// Size of the mask: one label a pixel.
    pub fn mask_size(&self) -> Size {
        Size {
            channels: 1,
            ..self.size
        }
    }

    /// Moves image and mask by whole pixels. What comes in from outside is 0, without a label.
    pub fn shift(&mut self, down: isize, right: isize) {
        shift(self.image, self.scratch, self.size, [down, right], 0.0);
        if !self.mask.is_empty() {
            let size = self.mask_size();
            shift(self.mask, self.mask_scratch, size, [down, right], UNLABELED);
        }
    }
}

/// Moves an image or a mask by whole pixels; what comes in from outside is `outside`.
fn shift<T: Copy>(
    image: &mut [T],
    scratch: &mut [T],
    size: Size,
    [down, right]: [isize; 2],
    outside: T,
) {
    if (down, right) == (0, 0) {
        return;
    }
    let Size {
        height,
        width,
        channels,
    } = size;
    scratch.copy_from_slice(image);
    image.fill(outside);
    let kept = width.saturating_sub(right.unsigned_abs()) * channels;
    let (to, from) = (
        right.max(0) as usize * channels,
        (-right).max(0) as usize * channels,
    );
    for row in 0..height {
        let Some(source) = row.checked_add_signed(-down).filter(|&r| r < height) else {
            continue;
        };
        if kept > 0 {
            let (target, source) = (
                row * width * channels + to,
                source * width * channels + from,
            );
            image[target..target + kept].copy_from_slice(&scratch[source..source + kept]);
        }
    }
}

/// Uniform draws from an example's stream.
pub struct Draws<'a>(pub(super) &'a mut dyn Rng);

impl Draws<'_> {
    /// A whole number in `0..n`. The bias of the multiplication is below `n/2^64`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number in `-reach..=reach`.
    pub fn within(&mut self, reach: u32) -> isize {
        self.below(2 * u64::from(reach) + 1) as isize - reach as isize
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        uniform(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        height: 3,
        width: 4,
        channels: 2,
    };

    fn pixel(image: &[f32], row: usize, column: usize) -> &[f32] {
        let at = (row * SIZE.width + column) * SIZE.channels;
        &image[at..at + SIZE.channels]
    }

    #[test]
    fn a_shift_moves_pixels_and_brings_in_zeros() {
        let image: Vec<f32> = (1..=SIZE.len()).map(|v| v as f32).collect();
        let (mut moved, mut scratch) = (image.clone(), image.clone());
        shift(&mut moved, &mut scratch, SIZE, [0, 0], 0.0);
        assert_eq!(moved, image);
        shift(&mut moved, &mut scratch, SIZE, [1, -1], 0.0);
        assert_eq!(pixel(&moved, 0, 0), [0.0, 0.0]);
        assert_eq!(pixel(&moved, 1, 0), pixel(&image, 0, 1));
        assert_eq!(pixel(&moved, 2, 2), pixel(&image, 1, 3));
        assert_eq!(pixel(&moved, 1, 3), [0.0, 0.0]);
        shift(&mut moved, &mut scratch, SIZE, [7, 9], 0.0);
        assert!(moved.iter().all(|&v| v == 0.0));
    }
}
