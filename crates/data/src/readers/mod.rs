//! One reader per format. What parses untrusted bytes is a function of `&[u8]`, without files, so
//! that it can be fuzzed; what finds the files stands beside it.

pub mod archive;
pub mod cifar;
pub mod csv;
pub mod frames;
pub mod idx;
pub mod images;
pub mod kaldi;
pub(crate) mod labels;
pub mod masks;
pub mod mat;
pub mod npy;
pub mod npz;
pub(crate) mod split_names;
pub mod svhn;

pub use crate::text::parse as text;
pub use labels::RawLabels;
