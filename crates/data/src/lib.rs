//! Data sets: readers, checks, splits, and batching with a reproducible order.
//!
//! [`open`] reads a source (the built-in `glyphs`, or a path) into a [`Dataset`]: three splits that
//! implement [`batchscope_core::Examples`]. [`check`] reads it through and reports what is in it,
//! [`fetch`] downloads the well-known sets, [`list`] names them.
//!
//! ```
//! use batchscope_core::{Batch, Purpose, StepBatch, StreamKey};
//! use batchscope_data::{GlyphOptions, LoadOptions, open};
//! let options = LoadOptions { glyphs: GlyphOptions { train: 200, test: 20, seed: 0 }, ..LoadOptions::default() };
//! let data = open("glyphs", &options)?;
//! assert_eq!((data.train.len(), data.validation.len()), (180, 20));
//! let key = StreamKey { study_seed: 1, trial: 0, purpose: Purpose::Order };
//! let mut sampler = data.train.sampler(key, 64)?;
//! let mut batch = Batch::empty(data.shape);
//! sampler.fill(StepBatch::constant(0, 64), 0..64, &mut batch);
//! assert_eq!(batch.len, 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the splits promise:
//!
//! * *Training order.* The endless order of a trial is one permutation per epoch, a function of the
//!   trial's key and the epoch. Any step can be asked for at any time.
//! * *Stored order.* The rows of every split lie in a seeded random order, so that the first
//!   thousand examples are a fair sample whatever the order of the files.
//! * *Subsets* (`examples`, `fraction`) are seeded and nested: a smaller one lies within a larger.
//! * *Normalization* is measured on the training split alone, after it was cut to size.
//! * *Files are untrusted.* No file makes a reader panic, loop, or take more memory than its length
//!   justifies (and never more than [`MAX_DECODED_BYTES`] an array).

mod array_split;
mod arrays;
mod catalog;
mod check;
mod dataset;
mod duplicates;
mod error;
mod fetch;
mod fingerprint;
mod glyphs;
mod inferred;
mod left_out;
mod limits;
mod listing;
mod load;
mod normalize;
mod options;
mod parts;
mod paths;
mod precision;
pub mod readers;
mod resize;
mod source;
mod split;
mod table_options;
pub mod text;
mod windows;

pub use arrays::{Answers, ArrayPart, Arrays, InputRows, Shifted};
pub use catalog::{Known, RemoteFile, list};
pub use check::{CheckReport, FileReport, SplitReport, check};
pub use dataset::{Dataset, open};
pub use error::DataError;
pub use fetch::{FetchOptions, Progress, download, fetch};
pub use glyphs::{GlyphOptions, glyphs};
pub use limits::MAX_DECODED_BYTES;
pub use listing::Listing;
pub use load::LoadOptions;
pub use options::{FrameOptions, TextLevel, TextOptions, Validation};
pub use parts::PartPaths;
pub use readers::{Format, READERS, Reader, ReaderOptions, Reading, Source};
pub use resize::Resize;
pub use source::is_built_in;
pub use table_options::{ColumnList, Separator, TableOptions, TableTask};
pub use windows::Windows;
