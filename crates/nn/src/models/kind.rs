//! What a model is to whoever chooses one: its descriptor, its facts and its builder.

use std::fmt;

use batchscope_core::{
    Choice, DataShape, Described, Descriptor, InputShape, Kind, Parameter, ParameterDefault, Range,
    Task, UNLABELED,
};
use burn_tensor::Tensor;

use crate::{builder::Builder, layers::ImageSize, pass::Pass};

/// A kind of model, as [`MODELS`](crate::MODELS) lists them: how it is described, what holds of it
/// and how it is built.
///
/// Its parameters are those of its own followed by the shared ones it has: [`DROPOUT`] where it
/// drops numbers, [`GHOST`] where it has batch norm, [`SMOOTHING`] always. Whether a model has batch
/// norm follows from its settings: it does if they hold a `ghost`.
pub struct ModelKind {
    /// Name, one line, source and parameters.
    pub descriptor: Descriptor,
    /// It computes without rectifiers and maxima: the gradient of its loss is continuous.
    pub is_smooth: bool,
    /// It can score every pixel of an image, for masks.
    pub labels_pixels: bool,
    /// Describes the layers to the builder, in the order of the computation.
    pub build: fn(Settings, &ModelData, &mut Builder) -> Result<Model, Unfit>,
}

impl Described for ModelKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl fmt::Debug for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.descriptor.name)
    }
}

/// Why a model cannot be built for some data, as a sentence's end: `it takes images`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// Probability of dropping a number: 0 unless said.
pub const DROPOUT: Parameter = dropout(ParameterDefault::Number(0.0));

/// Probability of dropping a number, with a default of the model's own.
pub const fn dropout(default: ParameterDefault) -> Parameter {
    Parameter {
        name: "dropout",
        about: "Probability of dropping a number in training",
        kind: Kind::Number(Range::FRACTION),
        default,
    }
}

/// Examples batch norm normalizes over, whatever the batch size: it belongs to the model. 32 is what
/// each worker of Goyal et al. 2017 normalized over, who kept it fixed for the same reason.
pub const GHOST: Parameter = ghost(DEFAULT_GHOST);

/// The default of [`GHOST`].
pub const DEFAULT_GHOST: ParameterDefault = ParameterDefault::Whole(32);

/// The same, where a switch decides whether there is batch norm.
pub const fn ghost(default: ParameterDefault) -> Parameter {
    Parameter {
        name: "ghost",
        about: "Examples that batch norm normalizes over",
        kind: Kind::Whole(1, 1 << 24),
        default,
    }
}

/// Label smoothing ε: targets are `(1 − ε)·one-hot + ε/classes`. Every model takes it.
pub const SMOOTHING: Parameter = Parameter {
    name: "smoothing",
    about: "Label smoothing, of classification and text",
    kind: Kind::Number(Range::FRACTION),
    default: ParameterDefault::Number(0.0),
};

/// Largest accepted width: far above use, small enough to be safe.
pub const MAX_WIDTH: u64 = 1 << 16;

/// Whether the model is the form for ImageNet or that for small images.
pub(super) const IMAGENET: Parameter = Parameter {
    name: "imagenet",
    about: "The form for ImageNet rather than for images of 32 × 32",
    kind: Kind::Switch,
    default: ParameterDefault::Switch(false),
};

/// A model's settings, checked against its descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a>(&'a Choice);

impl<'a> Settings<'a> {
    /// The settings of a choice that its descriptor has checked.
    pub(crate) fn new(choice: &'a Choice) -> Self {
        Self(choice)
    }

    /// A number; 0 where the setting does not apply.
    pub fn number(self, key: &str) -> f64 {
        self.0.number(key).unwrap_or(0.0)
    }

    /// A whole number; 0 where the setting does not apply.
    pub fn whole(self, key: &str) -> usize {
        self.0.whole(key).unwrap_or(0) as usize
    }

    /// A switch.
    pub fn is_on(self, key: &str) -> bool {
        self.0.is_on(key)
    }

    /// Whole numbers.
    pub fn list(self, key: &str) -> Vec<usize> {
        self.0.list(key).iter().map(|&n| n as usize).collect()
    }

    /// The probability of [`DROPOUT`].
    pub fn dropout(self) -> f64 {
        self.number(DROPOUT.name)
    }
}

/// The data a model is built for.
#[derive(Debug, Clone, Copy)]
pub struct ModelData {
    shape: DataShape,
    outputs: usize,
}

impl ModelData {
    /// Data of this shape.
    ///
    /// # Errors
    /// When no model could learn from it.
    pub(crate) fn new(shape: DataShape) -> Result<Self, Unfit> {
        let unfit = |why: &str| Err(Unfit(why.to_owned()));
        let is_text = matches!(shape.input, InputShape::Tokens { .. });
        if is_text != (shape.task == Task::NextToken) {
            return unfit("tokens go with predicting the next token, and only they do");
        }
        if let Task::Segment { classes } = shape.task
            && classes > usize::from(UNLABELED)
        {
            return Err(Unfit(format!(
                "{classes} classes of pixels are more than the {UNLABELED} that masks can tell apart"
            )));
        }
        if shape.input.is_empty() {
            return unfit("the examples hold no numbers");
        }
        let outputs = match (shape.task, shape.input) {
            (Task::Classify { classes } | Task::Segment { classes }, _) => classes,
            (Task::Regress { outputs }, _) => outputs,
            (Task::NextToken, InputShape::Tokens { vocabulary, .. }) => vocabulary,
            (Task::NextToken, _) => 0,
        };
        if outputs == 0 {
            return unfit("there is nothing to predict");
        }
        Ok(Self { shape, outputs })
    }

    /// Scores per example, pixel or token: classes, numbers to predict, or distinct tokens.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// True where every pixel has a class.
    pub fn labels_pixels(&self) -> bool {
        matches!(self.shape.task, Task::Segment { .. })
    }

    /// Scores of one example in all.
    pub(crate) fn scores(&self) -> usize {
        self.outputs
            * match (self.shape.task, self.shape.input) {
                (Task::NextToken, input) => input.len(),
                (Task::Segment { .. }, input) => input.pixels().max(1),
                _ => 1,
            }
    }

    /// Numbers of an example, of images too.
    ///
    /// # Errors
    /// When the examples are text.
    pub fn vector(&self) -> Result<usize, Unfit> {
        match self.shape.input {
            InputShape::Tokens { .. } => Err(Unfit(
                "it takes images or vectors, not text: choose lstm".to_owned(),
            )),
            input => Ok(input.len()),
        }
    }

    /// The size of the images, of at least `smallest` pixels a side.
    ///
    /// # Errors
    /// When the examples are no images, or smaller.
    pub fn image(&self, smallest: usize) -> Result<ImageSize, Unfit> {
        match self.shape.input {
            InputShape::Image {
                height,
                width,
                channels,
            } if height.min(width) >= smallest => Ok(ImageSize {
                height,
                width,
                channels,
            }),
            InputShape::Image { height, width, .. } => Err(Unfit(format!(
                "images of {height} × {width} are too small: it takes at least {smallest} × {smallest}"
            ))),
            _ => Err(Unfit(
                "it takes images: choose mlp for vectors, lstm for text".to_owned(),
            )),
        }
    }

    /// Tokens of a window and distinct tokens.
    ///
    /// # Errors
    /// When the examples are not text.
    pub fn tokens(&self) -> Result<[usize; 2], Unfit> {
        match self.shape.input {
            InputShape::Tokens {
                sequence,
                vocabulary,
            } => Ok([sequence, vocabulary]),
            _ => Err(Unfit(
                "it takes text: choose mlp or a convolutional model".to_owned(),
            )),
        }
    }
}

/// A built model of images or vectors.
pub trait ValueModel: Send {
    /// `[n, numbers of an example]` to outputs `[n, outputs]`; for segmentation `[n · pixels,
    /// classes]`, image by image.
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2>;
}

/// A built model of token windows. Its rows are in the order of time: the first token of every
/// example, then the second of every example, and so on.
pub trait TokenModel: Send {
    /// `sequence · n` tokens to scores of the next token, `[sequence · n, vocabulary]`.
    fn forward(&self, tokens: &[u32], pass: &mut Pass) -> Tensor<2>;
}

/// Any built model: handles of its parameters, and how it computes.
pub enum Model {
    /// Of images or vectors.
    Values(Box<dyn ValueModel>),
    /// Of text.
    Tokens(Box<dyn TokenModel>),
}

impl Model {
    /// A model of images or vectors.
    pub fn values(model: impl ValueModel + 'static) -> Self {
        Self::Values(Box::new(model))
    }

    /// A model of text.
    pub fn tokens(model: impl TokenModel + 'static) -> Self {
        Self::Tokens(Box::new(model))
    }
}
