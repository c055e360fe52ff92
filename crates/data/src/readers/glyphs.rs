//! The built-in characters.

use batchscope_core::{Described, Descriptor};

use super::reader::{Reader, ReaderOptions, Reading, Source};
use crate::error::DataError;
use crate::glyphs::glyphs;

/// What makes them.
#[derive(Debug)]
pub struct Glyphs;

const GLYPHS: Descriptor = Descriptor {
    name: "glyphs",
    aliases: &[],
    about: "the built-in characters: 28x28 gray, 10 classes, made in a second",
    source: "",
    parameters: &[],
};

impl Described for Glyphs {
    fn descriptor(&self) -> &Descriptor {
        &GLYPHS
    }
}

impl Reader for Glyphs {
    fn is_built_in(&self) -> bool {
        true
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        match source {
            Source::BuiltIn => Ok(Reading::arrays(Vec::new(), glyphs(options.glyphs)?)),
            other => Err(other.unrecognized(self)),
        }
    }
}
