//! Squeeze-and-excitation: J. Hu, L. Shen & G. Sun, "Squeeze-and-Excitation Networks" (CVPR 2018,
//! arXiv 1709.01507): `s = σ(W₂·relu(W₁·z))`, where `z` is the mean of each channel over the pixels;
//! the channels are then multiplied by `s`. Both layers have biases, as in the authors' code.

use burn_tensor::{Tensor, activation::sigmoid};

use crate::{builder::Builder, layers::Linear, pass::Pass};

/// The gate of each channel from the channels' means.
pub(crate) struct SqueezeExcite {
    squeeze: Linear,
    excite: Linear,
}

impl SqueezeExcite {
    /// Parameters `NAME.squeeze` to a `ratio`-th of the channels and `NAME.excite` back.
    pub(crate) fn new(builder: &mut Builder, name: &str, channels: usize, ratio: usize) -> Self {
        let between = (channels / ratio).max(1);
        Self {
            squeeze: Linear::new(builder, &format!("{name}.squeeze"), channels, between),
            excite: Linear::new(builder, &format!("{name}.excite"), between, channels),
        }
    }

    /// Means `[n, channels]` to gates in (0, 1).
    pub(crate) fn gate(&self, means: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let hidden = self.squeeze.relu(means, pass);
        sigmoid(self.excite.forward(hidden, pass))
    }
}
