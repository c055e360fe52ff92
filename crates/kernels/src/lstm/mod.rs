//! Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber
//! & Cummins 2000): the pointwise part of one step, and whole sequences.

mod cell;
mod resets;
mod sequence;

pub use sequence::{LstmGradients, LstmShape, lstm_backward, lstm_forward};
