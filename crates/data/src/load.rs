//! How a data set is opened.

use serde::{Deserialize, Serialize};

use crate::glyphs::GlyphOptions;
use crate::options::{FrameOptions, TextOptions, Validation};
use crate::parts::PartPaths;
use crate::readers::{Format, ReaderOptions};
use crate::resize::Resize;
use crate::table_options::{TableOptions, TableTask};

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
    /// Which files or folders are the parts; inferred from their names where nothing is said.
    pub parts: PartPaths,
    /// Bring images to this size; without it, images of several sizes are refused.
    pub resize: Option<Resize>,
    /// For text.
    pub text: TextOptions,
    /// For CSV tables and arrays.
    pub table: TableOptions,
    /// For frames of speech.
    pub frames: FrameOptions,
    /// For the built-in glyphs.
    pub glyphs: GlyphOptions,
    /// Keys of settings that somebody gave, though the value may be the default: a reader that does not
    /// follow one of them refuses it.
    #[serde(skip)]
    pub given: Vec<&'static str>,
}

impl LoadOptions {
    /// The settings that not every format follows and that were given or are not at their defaults, by their keys.
    pub(crate) fn particular(&self) -> Vec<&'static str> {
        let (text, usual) = (&self.text, TextOptions::default());
        let table = &self.table;
        let set = [
            ("resize", self.resize.is_some()),
            ("text-level", text.level != usual.level),
            ("vocabulary", text.vocabulary != usual.vocabulary),
            ("sequence", text.sequence != usual.sequence),
            ("context", self.frames.context.is_some()),
            ("label-column", table.label.is_some()),
            ("regression", table.task == TableTask::Regress),
            ("header", table.header.is_some()),
            ("separator", table.separator.is_some()),
            ("ignore-columns", !table.ignore.0.is_empty()),
            ("inputs-array", table.inputs_array.is_some()),
            ("labels-array", table.labels_array.is_some()),
        ];
        let set = set
            .into_iter()
            .filter(|&(key, is_set)| is_set || self.given.contains(&key));
        set.map(|(key, _)| key).collect()
    }

    /// What of it readers are told.
    pub(crate) fn of_readers(&self) -> ReaderOptions<'_> {
        ReaderOptions {
            table: &self.table,
            frames: &self.frames,
            glyphs: &self.glyphs,
            parts: &self.parts,
            resize: self.resize,
        }
    }
}
