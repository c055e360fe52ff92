use crate::chunks;
use crate::error::{KernelError, check_length};
use crate::simd::{Real, Simd};

/// What bounds the numbers that a fused operation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rectifier {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)` (Sandler et al. 2018).
    Relu6,
}

impl From<bool> for Rectifier {
    /// `true` is [`Rectifier::Relu`].
    fn from(relu: bool) -> Self {
        if relu { Self::Relu } else { Self::None }
    }
}

impl Rectifier {
    /// The bounded numbers; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        match self {
            Self::None => x,
            Self::Relu => s.relu(x),
            Self::Relu6 => {
                let (x, six) = (s.relu(x), s.splat(S::Scalar::from_f64(6.0)));
                s.select(s.gt(x, six), six, x)
            }
        }
    }

    /// The gradient where `y`, the operation's output, lies between its bounds, else zero.
    #[inline(always)]
    pub(crate) fn gradient<S: Simd>(self, s: S, gradient: S::V, y: S::V) -> S::V {
        let above = s.select(s.gt(y, s.zero()), gradient, s.zero());
        match self {
            Self::None => gradient,
            Self::Relu => above,
            Self::Relu6 => {
                let six = s.splat(S::Scalar::from_f64(6.0));
                s.select(s.gt(six, y), above, s.zero())
            }
        }
    }
}

/// The output of a rectified operation, for its backward pass. `Option<&[T]>` stands for the output
/// of a [`Rectifier::Relu`] where there was one.
#[derive(Debug, Clone, Copy)]
pub struct Rectified<'a, T> {
    pub(crate) rectifier: Rectifier,
    /// `None` where nothing was rectified.
    pub(crate) output: Option<&'a [T]>,
}

impl<'a, T> Rectified<'a, T> {
    /// The output of an operation with this rectifier.
    pub fn new(rectifier: Rectifier, output: &'a [T]) -> Self {
        Self {
            rectifier,
            output: (rectifier != Rectifier::None).then_some(output),
        }
    }

    /// The part that belongs to some of the output's numbers.
    #[inline(always)]
    pub(crate) fn part(self, range: std::ops::Range<usize>) -> Self {
        Self {
            output: self.output.map(|output| &output[range]),
            ..self
        }
    }

    /// The parts of pieces of so many numbers.
    pub(crate) fn pieces(self, piece: usize) -> impl Iterator<Item = Self> {
        chunks::optional(self.output, piece).map(move |output| Self { output, ..self })
    }

    pub(crate) fn check(&self, expected: usize) -> Result<(), KernelError> {
        self.output.map_or(Ok(()), |output| {
            check_length("rectified_output", output, expected)
        })
    }
}

impl<'a, T> From<Option<&'a [T]>> for Rectified<'a, T> {
    fn from(output: Option<&'a [T]>) -> Self {
        Self {
            rectifier: Rectifier::from(output.is_some()),
            output,
        }
    }
}
