//! One reader per format, each in its file and listed in [`READERS`]. What parses untrusted bytes is
//! a function of `&[u8]`, without files, so that it can be fuzzed; what finds the files stands beside
//! it.

pub mod archive;
pub mod cifar;
pub mod csv;
pub mod frames;
mod glyphs;
pub mod idx;
pub mod images;
pub(crate) mod items;
pub mod kaldi;
pub(crate) mod labels;
pub(crate) mod layout;
mod levels;
pub mod masks;
pub mod mat;
pub mod npy;
pub mod npz;
mod pickle;
mod reader;
pub(crate) mod split_names;
pub mod svhn;
mod text;

use std::str::FromStr;

use batchscope_core::{ChoiceError, Registry};

pub use crate::text::parse as text;
pub use labels::RawLabels;
pub(crate) use reader::{Content, unrecognized};
pub use reader::{Format, Reader, ReaderOptions, Reading, Source};

/// Every format that can be read, the most telling names first: the first reader that claims a
/// source reads it.
pub const READERS: Registry<dyn Reader> = Registry {
    what: "format",
    all: &[
        &glyphs::Glyphs,
        &idx::Idx,
        &cifar::Cifar(cifar::Kind::Ten),
        &cifar::Cifar(cifar::Kind::Hundred),
        &frames::Kaldi,
        &masks::Masks,
        &images::Images,
        &svhn::Svhn,
        &npz::Numpy,
        &csv::Csv,
        &text::Text,
    ],
};

impl FromStr for Format {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        READERS.find(text).map(Format::of)
    }
}
