//! Independent examples as a reader finds them: images and vectors with a class, real values or a
//! mask each.

use batchscope_core::{InputShape, Task};

use crate::windows::Windows;

/// Inputs of many examples, example by example: images as bytes where the source has bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum InputRows {
    /// Gray values or RGB of 0..=255, channels last.
    Bytes(Vec<u8>),
    /// Real values; every one finite.
    Floats(Vec<f32>),
    /// Overlapping windows of frames; every value finite.
    Windows(Box<Windows>),
    /// Real values far from zero, as distances from an offset; every one finite.
    Shifted(Box<Shifted>),
}

/// Real values without an offset that single precision could not hold beside them. The values mean
/// `offset + value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Shifted {
    /// Row-major distances from the offsets.
    pub values: Vec<f32>,
    /// One offset for each feature or channel; the same in all parts of a source.
    pub offsets: Vec<f64>,
}

impl InputRows {
    /// Numbers of all examples.
    pub fn len(&self) -> usize {
        match self {
            InputRows::Bytes(values) => values.len(),
            InputRows::Floats(values) => values.len(),
            InputRows::Windows(windows) => windows.len() * windows.window(),
            InputRows::Shifted(shifted) => shifted.values.len(),
        }
    }

    /// True without numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the examples should be answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// The class of each example.
    Classes(Vec<u32>),
    /// The real values of each example, example by example; every one finite.
    Values(Vec<f32>),
    /// The class of each pixel of each example, example by example.
    Masks(Vec<u8>),
}

/// Examples as a reader found them, before splitting.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayPart {
    /// The inputs.
    pub inputs: InputRows,
    /// The answers.
    pub answers: Answers,
}

/// What a whole source holds: parts of independent examples.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrays {
    /// Shape of one input.
    pub input: InputShape,
    /// What is predicted.
    pub task: Task,
    /// The training part, from which validation may be held out.
    pub train: ArrayPart,
    /// The source's own validation part.
    pub validation: Option<ArrayPart>,
    /// The source's test part.
    pub test: Option<ArrayPart>,
    /// Class names, by class number; empty for regression.
    pub classes: Vec<String>,
    /// What a reader of results should know.
    pub notes: Vec<String>,
}

impl Arrays {
    /// Examples in a part.
    pub(crate) fn count(&self, part: &ArrayPart) -> usize {
        part.inputs.len() / self.input.len().max(1)
    }
}
