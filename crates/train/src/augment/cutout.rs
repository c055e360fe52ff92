//! Cutout: T. DeVries, G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with
//! Cutout", 2017 (arXiv 1708.04552).
//!
//! A square about a uniformly chosen pixel is set to 0, cut at the image's border. Masks keep their
//! labels there: they are to be told from what is around.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault};

use super::kind::pixels;
use super::{Augmentation, AugmentationKind, Draws, Example, Size};

/// What can be chosen.
pub(super) static CUTOUT: AugmentationKind = AugmentationKind {
    descriptor: Descriptor {
        name: "cutout",
        aliases: &[],
        about: "Blank a square about a uniformly chosen pixel",
        source: "DeVries and Taylor 2017, arXiv 1708.04552",
        parameters: &[Parameter {
            name: "side",
            about: "Side of the square in pixels",
            kind: Kind::Whole(1, u32::MAX as u64),
            default: ParameterDefault::Required,
        }],
    },
    build: |choice| {
        Box::new(Cutout {
            side: pixels(choice, "side"),
        })
    },
};

#[derive(Debug)]
struct Cutout {
    side: u32,
}

impl Augmentation for Cutout {
    fn reach(&self) -> u32 {
        self.side
    }

    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>) {
        let size = example.size;
        let row = draws.below(size.height as u64) as usize;
        let column = draws.below(size.width as u64) as usize;
        cutout(example.image, size, row, column, self.side as usize);
    }
}

/// Sets the square of this side about a pixel to 0, cut at the image's border.
fn cutout(image: &mut [f32], size: Size, row: usize, column: usize, side: usize) {
    let Size {
        height,
        width,
        channels,
    } = size;
    let span = |center: usize, length: usize| {
        let from = center.saturating_sub(side / 2);
        let to = (center + side - side / 2).min(length);
        (from, to)
    };
    let ((top, bottom), (left, right)) = (span(row, height), span(column, width));
    for r in top..bottom {
        image[(r * width + left) * channels..(r * width + right) * channels].fill(0.0);
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

    fn image() -> Vec<f32> {
        (1..=SIZE.len()).map(|v| v as f32).collect()
    }

    fn pixel(image: &[f32], row: usize, column: usize) -> &[f32] {
        let at = (row * SIZE.width + column) * SIZE.channels;
        &image[at..at + SIZE.channels]
    }

    #[test]
    fn cutout_blanks_its_square_and_nothing_else() {
        let mut cut = image();
        cutout(&mut cut, SIZE, 0, 3, 2);
        let blank = |r: usize, c: usize| r < 1 && c >= 2;
        for r in 0..3 {
            for c in 0..4 {
                let expected = if blank(r, c) {
                    vec![0.0; 2]
                } else {
                    pixel(&image(), r, c).to_vec()
                };
                assert_eq!(pixel(&cut, r, c), expected, "{r} {c}");
            }
        }
    }
}
