//! The convolutions of VGG-16, which three models share.

use crate::{
    builder::Builder,
    layers::{Filter, ImageSize, MaxPool, Window},
};

/// Stacks of 3 × 3 convolutions, (number, channels), each followed by [`POOL`]: configuration D of
/// Simonyan and Zisserman (2015), "VGG-16".
const STACKS: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];
/// Halves the sides.
const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};
/// The smallest side of an image that can be halved five times.
pub(super) const SMALLEST: usize = 32;

/// Convolutions of one size of image, and the pool that follows them.
pub(super) struct Stack<C> {
    /// The convolutions, at least one.
    pub convs: Vec<C>,
    /// Halves the sides.
    pub pool: MaxPool,
    /// Size of the image between the convolutions.
    pub image: ImageSize,
}

/// The stacks on images of at least [`SMALLEST`] pixels a side: `conv` makes a convolution of the
/// given name, input, channels and filter. The parameters are named `conv1.1` and so on.
pub(super) fn conv_stacks<C>(
    builder: &mut Builder,
    input: ImageSize,
    conv: impl Fn(&mut Builder, &str, ImageSize, usize, Filter) -> C,
) -> Vec<Stack<C>> {
    let mut image = input;
    let stacks = (1..).zip(STACKS).map(|(s, (number, channels))| {
        let filter = Filter::three(1, 1);
        let convs = (1..=number)
            .map(|i| {
                let conv = conv(builder, &format!("conv{s}.{i}"), image, channels, filter);
                image = filter.output(image, channels);
                conv
            })
            .collect();
        let pool = MaxPool::new(builder, &format!("pool{s}"), image, POOL);
        let between = std::mem::replace(&mut image, pool.output);
        Stack {
            convs,
            pool,
            image: between,
        }
    });
    stacks.collect()
}

/// Numbers of the image that the last stack leaves.
pub(super) fn features<C>(stacks: &[Stack<C>]) -> usize {
    stacks.last().map_or(0, |stack| stack.pool.output.len())
}
