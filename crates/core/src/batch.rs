use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

use crate::StreamKey;

/// Shape of one example's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum InputShape {
    /// An image, stored channels last: `height × width × channels`.
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// 1 for gray, 3 for RGB.
        channels: usize,
    },
    /// A flat vector.
    Vector {
        /// Its length.
        features: usize,
    },
    /// A window of tokens.
    Tokens {
        /// Tokens in a window (the length of truncated back-propagation).
        sequence: usize,
        /// Number of distinct tokens.
        vocabulary: usize,
    },
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Task {
    /// One of `classes`; cross-entropy.
    Classify {
        /// Number of classes.
        classes: usize,
    },
    /// `outputs` real values; squared error, summed over outputs, averaged over examples.
    Regress {
        /// Values per example.
        outputs: usize,
    },
    /// The next token at every place of the window; cross-entropy, averaged over tokens.
    NextToken,
    /// One of `classes` for every pixel of an image; cross-entropy, averaged over the labeled
    /// pixels. The gradient of a step is divided by all of its pixels, labeled or not: their
    /// number is known before the masks are seen, so that micro-batches and replicas add up.
    Segment {
        /// Number of classes, at most 255.
        classes: usize,
    },
}

/// Shape of a data set's examples: all a model needs to know to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataShape {
    /// Input of one example.
    pub input: InputShape,
    /// What is predicted from it.
    pub task: Task,
}

impl fmt::Display for InputShape {
    /// `28×28×1`, `360 features` or `35 tokens`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputShape::Image {
                height,
                width,
                channels,
            } => write!(f, "{height}×{width}×{channels}"),
            InputShape::Vector { features } => write!(f, "{features} features"),
            InputShape::Tokens { sequence, .. } => write!(f, "{sequence} tokens"),
        }
    }
}

impl InputShape {
    /// Numbers (pixels, features, tokens) in one example.
    pub fn len(&self) -> usize {
        match *self {
            InputShape::Image {
                height,
                width,
                channels,
            } => height * width * channels,
            InputShape::Vector { features } => features,
            InputShape::Tokens { sequence, .. } => sequence,
        }
    }

    /// Pixels of an image; 0 for other inputs.
    pub fn pixels(&self) -> usize {
        match *self {
            InputShape::Image { height, width, .. } => height * width,
            _ => 0,
        }
    }

    /// True for a shape without numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Inputs of a micro-batch of `n` examples, contiguous, example by example.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// Images (`[n, height, width, channels]`) or vectors (`[n, features]`), normalized.
    Values(Vec<f32>),
    /// Token windows, `[n, sequence]`.
    Tokens(Vec<u32>),
}

/// What the micro-batch should have predicted.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// A class for each example, `[n]`.
    Classes(Vec<u32>),
    /// Real values, `[n, outputs]`.
    Values(Vec<f32>),
    /// The token after each input token, `[n, sequence]`.
    Tokens(Vec<u32>),
    /// A class for each pixel, `[n, height, width]`; [`UNLABELED`] pixels count for nothing.
    Pixels(Vec<u8>),
}

/// The label of pixels that are left out of losses and metrics.
pub const UNLABELED: u8 = 255;

/// A micro-batch on the host: the unit a network takes forward and backward at once.
///
/// Buffers are reused from step to step: samplers clear and refill them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Shape of one example.
    pub shape: DataShape,
    /// Number of examples, `n`.
    pub len: usize,
    /// The inputs.
    pub inputs: Inputs,
    /// The labels.
    pub labels: Labels,
    /// Position of the first example within its *step* (0 for the first micro-batch). For text
    /// this numbers the stream whose hidden state the example continues.
    pub first_position: u64,
    /// Position of the first example within the *run* (`step · batch_size + first_position`):
    /// keys augmentation and dropout.
    pub first_draw: u64,
    /// True when text streams start afresh, so that hidden states must be zeroed first.
    pub fresh_streams: bool,
    /// Key of the network's own noise (dropout); `None` in evaluation.
    pub noise: Option<StreamKey>,
}

impl Batch {
    /// An empty batch for examples of this shape.
    pub fn empty(shape: DataShape) -> Self {
        let inputs = match shape.input {
            InputShape::Tokens { .. } => Inputs::Tokens(Vec::new()),
            _ => Inputs::Values(Vec::new()),
        };
        let labels = match shape.task {
            Task::Classify { .. } => Labels::Classes(Vec::new()),
            Task::Regress { .. } => Labels::Values(Vec::new()),
            Task::NextToken => Labels::Tokens(Vec::new()),
            Task::Segment { .. } => Labels::Pixels(Vec::new()),
        };
        Self {
            shape,
            len: 0,
            inputs,
            labels,
            first_position: 0,
            first_draw: 0,
            fresh_streams: true,
            noise: None,
        }
    }

    /// The weight of the batch in a mean: examples, tokens for text, labeled pixels for masks.
    pub fn weight(&self) -> f64 {
        match &self.labels {
            Labels::Tokens(tokens) => tokens.len() as f64,
            Labels::Pixels(pixels) => pixels.iter().filter(|&&p| p != UNLABELED).count() as f64,
            _ => self.len as f64,
        }
    }

    /// Empties the batch for examples of this shape, keeping its buffers where they fit.
    fn restart(&mut self, shape: DataShape) {
        if self.shape != shape {
            *self = Self::empty(shape);
        }
        match &mut self.inputs {
            Inputs::Values(values) => values.clear(),
            Inputs::Tokens(tokens) => tokens.clear(),
        }
        match &mut self.labels {
            Labels::Classes(classes) => classes.clear(),
            Labels::Values(values) => values.clear(),
            Labels::Tokens(tokens) => tokens.clear(),
            Labels::Pixels(pixels) => pixels.clear(),
        }
        (self.len, self.first_position, self.first_draw) = (0, 0, 0);
        (self.fresh_streams, self.noise) = (true, None);
    }

    /// Appends the examples of a batch of the same shape.
    fn append(&mut self, other: &Self) {
        match (&mut self.inputs, &other.inputs) {
            (Inputs::Values(to), Inputs::Values(from)) => to.extend_from_slice(from),
            (Inputs::Tokens(to), Inputs::Tokens(from)) => to.extend_from_slice(from),
            _ => unreachable!("a shape has one kind of input"),
        }
        match (&mut self.labels, &other.labels) {
            (Labels::Classes(to), Labels::Classes(from)) => to.extend_from_slice(from),
            (Labels::Values(to), Labels::Values(from)) => to.extend_from_slice(from),
            (Labels::Tokens(to), Labels::Tokens(from)) => to.extend_from_slice(from),
            (Labels::Pixels(to), Labels::Pixels(from)) => to.extend_from_slice(from),
            _ => unreachable!("a task has one kind of label"),
        }
        self.len += other.len;
    }
}

/// A split of a data set, shared by all trials: the trait between the readers and the loop.
pub trait Examples: Send + Sync {
    /// Shape of the examples.
    fn shape(&self) -> DataShape;

    /// Examples in one epoch, `N`.
    fn len(&self) -> u64;

    /// True for a split without examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The endless training order of a trial: depends only on the key (purpose `Order`) and, for
    /// text, whose streams are cut to measure, on the batch size.
    ///
    /// # Errors
    /// When `batch_size` is zero or larger than the split.
    fn sampler(
        &self,
        key: StreamKey,
        batch_size: u64,
    ) -> Result<Box<dyn Sampler + '_>, ExamplesError>;

    /// Examples `range` in their stored order, for evaluation; ends at `len`.
    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch);

    /// The examples with these numbers in the stored order, each as [`Examples::fill_in_order`] gives
    /// it, in the order of `indices`. A number may come more than once, and is below `len`.
    ///
    /// A set that finds any of its examples at once overrides this; by default each stretch of
    /// consecutive numbers is filled and copied.
    ///
    /// # Panics
    /// A set may panic at a number that it does not have.
    fn fill_these(&self, indices: &[u64], batch: &mut Batch) {
        let shape = self.shape();
        batch.restart(shape);
        let mut stretch = Batch::empty(shape);
        for run in indices.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            self.fill_in_order(run[0]..run[0] + run.len() as u64, &mut stretch);
            batch.append(&stretch);
        }
    }
}

/// Which examples of a run's endless order an optimizer step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBatch {
    /// The step's number, from 0.
    pub step: u64,
    /// Examples that the steps before it took: where in the order it begins.
    pub first_draw: u64,
    /// Examples it takes, over all devices.
    pub batch_size: u64,
}

impl StepBatch {
    /// A step of a run whose steps all take `batch_size` examples.
    pub fn constant(step: u64, batch_size: u64) -> Self {
        Self {
            step,
            first_draw: step.saturating_mul(batch_size),
            batch_size,
        }
    }
}

/// Produces the micro-batches of a trial. Random access: any step in any order gives the same.
///
/// For independent examples, a step holds the positions `first_draw..first_draw + batch_size` of the
/// concatenated epoch permutations, so windows may straddle epochs.
pub trait Sampler: Send {
    /// Fills `batch` with `positions` (within `0..step.batch_size`) of a step.
    fn fill(&mut self, step: StepBatch, positions: Range<u64>, batch: &mut Batch);

    /// The only batch size whose steps it can give, where the order depends on it, as that of text
    /// in streams does.
    fn only_batch_size(&self) -> Option<u64> {
        None
    }
}

/// Why a sampler could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExamplesError {
    /// More examples per step than there are.
    #[error(
        "batch size {batch_size} is larger than the training set ({examples} examples): choose a smaller batch size or more examples"
    )]
    BatchTooLarge {
        /// What was asked for.
        batch_size: u64,
        /// What there is.
        examples: u64,
    },
    /// No examples per step.
    #[error("a batch size of 0 trains nothing: choose at least 1")]
    BatchOfZero,
}

impl ExamplesError {
    /// Refuses the two ways in which a batch size cannot be had.
    ///
    /// # Errors
    /// When it is zero, or more than there are examples.
    pub fn check_batch_size(batch_size: u64, examples: u64) -> Result<(), Self> {
        match batch_size {
            0 => Err(Self::BatchOfZero),
            b if b > examples => Err(Self::BatchTooLarge {
                batch_size,
                examples,
            }),
            _ => Ok(()),
        }
    }
}
