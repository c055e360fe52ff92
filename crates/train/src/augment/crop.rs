//! Random crops: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", 2016
//! (arXiv 1512.03385), section 4.2.
//!
//! The image is padded with zeros on all sides, and its own size is cut out anywhere.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault};

use super::kind::pixels;
use super::{Augmentation, AugmentationKind, Draws, Example};

/// What can be chosen.
pub(super) static CROP: AugmentationKind = AugmentationKind {
    descriptor: Descriptor {
        name: "crop",
        aliases: &[],
        about: "Pad with zeros and cut out the original size anywhere",
        source: "He et al. 2016, arXiv 1512.03385",
        parameters: &[Parameter {
            name: "padding",
            about: "Pixels of padding on every side",
            kind: Kind::Whole(1, u32::MAX as u64),
            default: ParameterDefault::Required,
        }],
    },
    build: |choice| {
        Box::new(Crop {
            padding: pixels(choice, "padding"),
        })
    },
};

#[derive(Debug)]
struct Crop {
    padding: u32,
}

impl Augmentation for Crop {
    fn reach(&self) -> u32 {
        self.padding
    }

    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>) {
        let (down, right) = (draws.within(self.padding), draws.within(self.padding));
        // The window moves; the image moves the other way.
        example.shift(-down, -right);
    }
}
