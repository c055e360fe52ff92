use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Filter, ImageSize, Linear, Window, global_average_pool},
    models::ValueModel,
    pass::Pass,
};

/// A residual network of basic blocks (He et al. 2016) for small images: a 3 × 3 stem without
/// pooling, stages of which each halves the sides and doubles the channels of the one before, mean
/// over the pixels, one linear layer.
///
/// Shortcuts that change the shape are 1 × 1 convolutions with batch norm (the paper's option B,
/// as in torchvision); with ten classes that makes 272,474 parameters for ResNet-20 (the paper's
/// option A, padding with zeros, would have 269,722) and 21,282,122 for ResNet-34.
pub(super) struct Resnet {
    input: ImageSize,
    stem: ConvNorm,
    blocks: Vec<ResidualBlock>,
    output: Linear,
}

/// `relu(conv(relu(conv(x))) + shortcut(x))`, every convolution with batch norm.
pub(super) struct ResidualBlock {
    conv1: ConvNorm,
    conv2: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Resnet {
    /// From images of any size to `outputs` scores, through stages of (blocks, channels).
    pub(super) fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        stages: &[(usize, usize)],
    ) -> Self {
        let stem = ConvNorm::new(builder, "stem", input, stages[0].1, Window::unit(3, 1));
        let mut image = stem.output();
        let mut blocks = Vec::new();
        for (s, &(depth, channels)) in (1..).zip(stages) {
            for b in 1..=depth {
                let stride = if s > 1 && b == 1 { 2 } else { 1 };
                let block = ResidualBlock::new(
                    builder,
                    &format!("stage{s}.block{b}"),
                    image,
                    channels,
                    stride,
                    1,
                );
                image = block.output();
                blocks.push(block);
            }
        }
        let output = Linear::new(builder, "output", image.channels, outputs);
        Self {
            input,
            stem,
            blocks,
            output,
        }
    }
}

impl ResidualBlock {
    /// A block whose 3 × 3 kernels have rows and columns `dilation` pixels apart; its shortcut
    /// convolves where the shape changes.
    pub(super) fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        channels: usize,
        stride: usize,
        dilation: usize,
    ) -> Self {
        let mut conv = |i: usize, image, stride| {
            let (name, filter) = (format!("{name}.conv{i}"), Filter::three(stride, dilation));
            ConvNorm::new(builder, &name, image, channels, filter)
        };
        let conv1 = conv(1, input, stride);
        let conv2 = conv(2, conv1.output(), 1);
        let shortcut = (conv2.output() != input).then(|| {
            let window = Window {
                size: 1,
                stride,
                padding: 0,
            };
            ConvNorm::new(
                builder,
                &format!("{name}.shortcut"),
                input,
                channels,
                window,
            )
        });
        Self {
            conv1,
            conv2,
            shortcut,
        }
    }

    /// Size of the output.
    pub(super) fn output(&self) -> ImageSize {
        self.conv2.output()
    }

    pub(super) fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let y = self.conv1.relu(x.clone(), pass);
        let shortcut = match &self.shortcut {
            Some(conv) => conv.linear(x, pass),
            None => x,
        };
        self.conv2.add_relu(y, shortcut, pass)
    }
}

impl ValueModel for Resnet {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.stem.relu(self.input.images(x), pass);
        for block in &self.blocks {
            x = block.forward(x, pass);
        }
        self.output.forward(global_average_pool(x, pass), pass)
    }
}
