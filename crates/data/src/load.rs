//! How a data set is opened.

use serde::{Deserialize, Serialize};

use crate::glyphs::GlyphOptions;
use crate::options::{FrameOptions, TableOptions, TextOptions, Validation};
use crate::readers::{Format, ReaderOptions};

/// How a source is read, split and cut to size. The default reads everything and holds out a tenth
/// of the training part for validation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// The source's format; found out from its files where `None`.
    pub format: Option<Format>,
    /// Use this many training examples (text: windows) of those left after validation was held out.
    pub examples: Option<u64>,
    /// Use this fraction of the training examples, in (0, 1].
    pub fraction: Option<f64>,
    /// What to hold out for validation where the source has no validation part; `None` is a tenth,
    /// at most 10,000 examples.
    pub validation: Option<Validation>,
    /// Seed of splits and subsets.
    pub seed: u64,
    /// For text.
    pub text: TextOptions,
    /// For CSV tables and arrays.
    pub table: TableOptions,
    /// For frames of speech.
    pub frames: FrameOptions,
    /// For the built-in glyphs.
    pub glyphs: GlyphOptions,
}

impl LoadOptions {
    /// What of it readers are told.
    pub(crate) fn of_readers(&self) -> ReaderOptions<'_> {
        ReaderOptions {
            table: &self.table,
            frames: &self.frames,
            glyphs: &self.glyphs,
        }
    }
}
