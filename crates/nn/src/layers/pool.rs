use burn::tensor::{Tensor, module::max_pool2d, ops::MaxPoolOptions};

use crate::{
    cpu,
    layers::conv::{Window, channels_first, channels_last},
    pass::Pass,
};

/// Maximum over each window of a channels-last image; padding never wins.
pub(crate) fn max_pool(x: Tensor<4>, window: Window, pass: &Pass) -> Tensor<4> {
    if pass.kernels() {
        cpu::max_pool(x, window)
    } else {
        max_pool_composed(x, window)
    }
}

/// The same, composed of burn's operations.
pub(crate) fn max_pool_composed(x: Tensor<4>, window: Window) -> Tensor<4> {
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
pub(crate) fn global_average_pool(x: Tensor<4>, pass: &Pass) -> Tensor<2> {
    if pass.kernels() {
        cpu::global_average_pool(x)
    } else {
        global_average_pool_composed(x)
    }
}

/// The same, composed of burn's operations.
pub(crate) fn global_average_pool_composed(x: Tensor<4>) -> Tensor<2> {
    let [n, height, width, channels] = x.dims();
    x.reshape([n, height * width, channels])
        .mean_dim(1)
        .reshape([n, channels])
}
