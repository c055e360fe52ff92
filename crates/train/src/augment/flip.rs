//! Random mirroring, left and right.

use batchscope_core::Descriptor;

use super::{Augmentation, AugmentationKind, Draws, Example, Size};

/// What can be chosen.
pub(super) static FLIP: AugmentationKind = AugmentationKind {
    descriptor: Descriptor {
        name: "flip",
        aliases: &[],
        about: "Mirror left and right, half the time",
        source: "",
        parameters: &[],
    },
    build: |_| Box::new(Flip),
};

#[derive(Debug)]
struct Flip;

impl Augmentation for Flip {
    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>) {
        if draws.below(2) == 1 {
            flip(example.image, example.size);
            flip(example.mask, example.mask_size());
        }
    }
}

/// Mirrors left and right.
fn flip<T>(image: &mut [T], size: Size) {
    let Size {
        width, channels, ..
    } = size;
    for row in image.chunks_exact_mut((width * channels).max(1)) {
        for left in 0..width / 2 {
            let right = width - 1 - left;
            for c in 0..channels {
                row.swap(left * channels + c, right * channels + c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn flipping_twice_is_nothing(width in 1usize..9, height in 1usize..5, channels in 1usize..4) {
            let size = Size { height, width, channels };
            let image: Vec<f32> = (0..size.len()).map(|v| v as f32).collect();
            let mut flipped = image.clone();
            flip(&mut flipped, size);
            prop_assert!(width == 1 || flipped != image);
            flip(&mut flipped, size);
            prop_assert_eq!(flipped, image);
        }
    }
}
