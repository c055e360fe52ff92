//! Random translation by whole pixels.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, Range};

use super::{Augmentation, AugmentationKind, Draws, Example};

/// What can be chosen.
pub(super) static TRANSLATE: AugmentationKind = AugmentationKind {
    descriptor: Descriptor {
        name: "translate",
        aliases: &[],
        about: "Move by whole pixels, uniform within a fraction of each side",
        source: "",
        parameters: &[Parameter {
            name: "fraction",
            about: "Largest move, as a fraction of the side",
            kind: Kind::Number(Range::new(0.0, false, 1.0, true)),
            default: ParameterDefault::Required,
        }],
    },
    build: |choice| {
        Box::new(Translate {
            fraction: choice.number("fraction").unwrap_or_default(),
        })
    },
};

#[derive(Debug)]
struct Translate {
    fraction: f64,
}

impl Augmentation for Translate {
    fn apply(&self, example: &mut Example<'_>, draws: &mut Draws<'_>) {
        let reach = |length: usize| (self.fraction * length as f64).round() as u32;
        let down = draws.within(reach(example.size.height));
        let right = draws.within(reach(example.size.width));
        example.shift(down, right);
    }
}
