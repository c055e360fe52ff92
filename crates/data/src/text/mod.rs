//! Text: corpora become token streams, cut into windows for truncated back-propagation.

pub(crate) mod corpus;
pub(crate) mod duplicates;
pub(crate) mod streams;
mod vocabulary;

pub(crate) use corpus::Corpus;
pub use corpus::parse;
pub(crate) use streams::TextSplit;
pub use vocabulary::{END_OF_LINE, UNKNOWN, Vocabulary, tokens};
