//! What an augmentation is.

use std::fmt;

use batchscope_core::{Choice, Described, Descriptor};

use super::{Draws, Example};

/// A random change of training images, and of their masks with them.
pub trait Augmentation: fmt::Debug + Send + Sync {
    /// Pixels that it moves or blanks an image by: smaller images are refused, of which nothing
    /// might be left.
    fn reach(&self) -> u32 {
        0
    }

    /// Changes one example. However they fall, the same number of values is drawn, so that
    /// augmentations do not disturb each other's draws.
    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>);
}

/// An augmentation that can be chosen: its description, and what builds it.
pub struct AugmentationKind {
    /// Name, source and settings.
    pub descriptor: Descriptor,
    /// Makes it from settings that the descriptor has checked.
    pub build: fn(&Choice) -> Box<dyn Augmentation>,
}

impl Described for AugmentationKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// A setting in pixels, which the descriptor keeps within 32 bits.
pub(super) fn pixels(choice: &Choice, key: &str) -> u32 {
    let pixels = choice.whole(key).unwrap_or_default();
    u32::try_from(pixels).unwrap_or(u32::MAX)
}
