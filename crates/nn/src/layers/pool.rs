use burn_tensor::{Tensor, module::max_pool2d, ops::MaxPoolOptions};

use crate::{
    builder::Builder,
    cpu,
    layers::image::{ImageSize, Window, channels_first, channels_last},
    pass::Pass,
};

/// Max-pooling of channels-last images; padding never wins.
pub struct MaxPool {
    pub(super) window: Window,
    /// Size of the output.
    pub output: ImageSize,
}

impl MaxPool {
    /// A layer over images of this size.
    pub fn new(builder: &mut Builder, name: &str, input: ImageSize, window: Window) -> Self {
        let output = window.output(input, input.channels);
        builder.layer(name, output);
        builder.activations(2 * output.len()); // maxima and their places
        Self { window, output }
    }

    /// `[n, height, width, channels]` to the maxima.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if pass.kernels() {
            cpu::max_pool(x, self.window)
        } else {
            max_pool_reference(x, self.window)
        }
    }
}

/// Maximum over each window, composed of burn's operations.
pub(crate) fn max_pool_reference(x: Tensor<4>, window: Window) -> Tensor<4> {
    let Window {
        size,
        stride,
        padding,
    } = window;
    let options = MaxPoolOptions::new([size; 2])
        .with_stride([stride; 2])
        .with_padding([padding; 2]);
    channels_last(max_pool2d(channels_first(x), options))
}

/// Mean over the pixels: `[n, height, width, channels]` to `[n, channels]`.
pub fn global_average_pool(x: Tensor<4>, pass: &Pass) -> Tensor<2> {
    if pass.kernels() {
        cpu::global_average_pool(x)
    } else {
        global_average_pool_reference(x)
    }
}

/// The same, composed of burn's operations.
pub(crate) fn global_average_pool_reference(x: Tensor<4>) -> Tensor<2> {
    let [n, height, width, channels] = x.dims();
    x.reshape([n, height * width, channels])
        .mean_dim(1)
        .reshape([n, channels])
}
