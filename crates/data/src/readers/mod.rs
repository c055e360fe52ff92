//! One reader per format. What parses untrusted bytes is a function of `&[u8]`, without files, so
//! that it can be fuzzed; what finds the files stands beside it.

pub mod archive;
pub mod cifar;
pub mod idx;
pub mod images;
pub(crate) mod split_names;
