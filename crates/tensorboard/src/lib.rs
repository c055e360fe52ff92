//! Event files, as TensorBoard shows them and PyTorch, TensorFlow, JAX, Lightning and Keras write them.
//!
//! An event file is a sequence of records with checksums ([`Records`]), each a protocol-buffer message. Of these
//! [`Entry`] keeps the scalars, and the settings that the HParams dashboard shows; images, graphs and histograms
//! are passed over. [`Writer`] writes both. [`Run::find`] tells which files under a folder belong to one run.
//!
//! Files are untrusted input: a record has a longest length, and nothing panics.

mod entries;
mod messages;
mod records;
mod runs;
mod writer;

pub use entries::{Entries, Entry, Setting};
pub use records::{LONGEST_RECORD, RecordError, Records};
pub use runs::{Run, is_by_epoch, is_event_file, without_epoch};
pub use writer::Writer;
