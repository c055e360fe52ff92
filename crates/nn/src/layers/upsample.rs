use burn_tensor::{Tensor, module::conv_transpose2d, ops::ConvTransposeOptions};

use crate::{
    builder::Builder,
    cpu,
    layers::image::{ImageSize, channels_first, channels_last},
    pass::Pass,
    storage::Storage,
};

/// Bilinear interpolation to `factor` times the sides: the transposed convolution with a fixed
/// triangular kernel of `2 · factor` that fully convolutional networks end with (Long et al. 2015).
pub struct Upsample {
    factor: usize,
    /// Size of the output, at most `factor` times the input's; the rest is cut off.
    output: ImageSize,
}

impl Upsample {
    /// A layer that brings images of size `input` to the sides of `like`.
    pub fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        factor: usize,
        like: ImageSize,
    ) -> Self {
        let output = ImageSize {
            channels: input.channels,
            ..like
        };
        builder.layer(name, output);
        builder.activations(output.len());
        builder.composed(2 * output.len()); // in both layouts
        Self { factor, output }
    }

    /// `[n, height, width, channels]` to the larger images.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let upsample = if pass.kernels() {
            cpu::upsample
        } else {
            upsample_reference
        };
        upsample(x, self.factor, [self.output.height, self.output.width])
    }
}

/// The same, composed of burn's operations.
pub(crate) fn upsample_reference(
    x: Tensor<4>,
    factor: usize,
    [height, width]: [usize; 2],
) -> Tensor<4> {
    let [.., channels] = x.dims();
    let f = factor as f32;
    let triangle: Vec<f32> = (0..2 * factor)
        .map(|k| 1.0 - ((k as f32 + 0.5) / f - 1.0).abs())
        .collect();
    let kernel: Vec<f32> = triangle
        .iter()
        .flat_map(|down| triangle.iter().map(move |right| down * right))
        .collect();
    let (shape, device) = (
        [channels, 1, 2 * factor, 2 * factor],
        x.device().without_autodiff(),
    );
    let weight: Tensor<4> = Storage::from_host(kernel.repeat(channels), &shape, &device).tensor();
    let weight = weight.cast(x.dtype());
    let options = ConvTransposeOptions::new([factor; 2], [factor / 2; 2], [0; 2], [1; 2], channels);
    let y = channels_last(conv_transpose2d(channels_first(x), weight, None, options));
    y.narrow(1, 0, height).narrow(2, 0, width)
}
