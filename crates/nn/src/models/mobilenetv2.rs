use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, Range};
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{ConvNorm, Dropout, Filter, ImageSize, Linear, Window, global_average_pool},
    models::{GHOST, Model, ModelKind, SMOOTHING, ValueModel, dropout, kind::IMAGENET},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "mobilenetv2",
        aliases: &[],
        about: "Inverted residual blocks of depthwise convolutions",
        source: "Sandler et al. 2018, arXiv:1801.04381",
        parameters: &[
            Parameter {
                name: "width",
                about: "Multiplier of all numbers of channels",
                kind: Kind::Number(Range::new(0.05, true, 8.0, true)),
                default: ParameterDefault::Number(1.0),
            },
            IMAGENET,
            dropout(ParameterDefault::If {
                switch: IMAGENET.name,
                on: &ParameterDefault::Number(0.2),
                off: &ParameterDefault::Number(0.0),
            }),
            GHOST,
            SMOOTHING,
        ],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |settings, data, builder| {
        let (input, outputs) = (data.image(1)?, data.outputs());
        let shape = MobilenetShape {
            width: settings.number("width"),
            imagenet: settings.is_on(IMAGENET.name),
        };
        let dropout = settings.dropout();
        let mobilenet = MobilenetV2::new(builder, input, outputs, shape, dropout);
        Ok(Model::values(mobilenet))
    },
};

/// MobileNetV2 (Sandler et al. 2018): inverted residual blocks of depthwise convolutions, mean over
/// the pixels, one linear layer.
///
/// For ImageNet, with 1000 classes, it has 3,504,872 parameters (torchvision's `mobilenet_v2`). The
/// form for small images has strides of 1 instead of 2 in the stem and the second stage, as in
/// github.com/kuangliu/pytorch-cifar, and the same parameters: 2,236,682 with ten classes.
struct MobilenetV2 {
    input: ImageSize,
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    output: Linear,
    dropout: Dropout,
}

/// Which MobileNetV2.
#[derive(Debug, Clone, Copy)]
struct MobilenetShape {
    /// Multiplier of all numbers of channels.
    width: f64,
    /// With the strides for ImageNet.
    imagenet: bool,
}

/// Stages of table 2: expansion, channels, blocks, stride of the first block.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The nearest multiple of 8, but at least 8 and no more than a tenth below: how the authors round
/// multiplied channels.
fn rounded(channels: f64) -> usize {
    let nearest = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (nearest as f64) < 0.9 * channels {
        nearest + 8
    } else {
        nearest
    }
}

impl MobilenetV2 {
    /// From images of any size to `outputs` scores; dropout before the last layer.
    fn new(
        builder: &mut Builder,
        input: ImageSize,
        outputs: usize,
        shape: MobilenetShape,
        dropout: f64,
    ) -> Self {
        let MobilenetShape { width, imagenet } = shape;
        let early = if imagenet { 2 } else { 1 };
        let channels = rounded(32.0 * width);
        let stem = ConvNorm::new(builder, "stem", input, channels, Filter::three(early, 1));
        let mut image = stem.output();
        let mut blocks = Vec::new();
        for (s, (expansion, channels, depth, stride)) in (1..).zip(STAGES) {
            let stride = if s == 2 { early } else { stride };
            for b in 1..=depth {
                let stride = if b == 1 { stride } else { 1 };
                let name = format!("stage{s}.block{b}");
                let channels = rounded(channels as f64 * width);
                let block =
                    InvertedResidual::new(builder, &name, image, expansion, channels, stride);
                image = block.project.output();
                blocks.push(block);
            }
        }
        // A narrow network keeps its last layer.
        let channels = rounded(1280.0 * width.max(1.0));
        let last = ConvNorm::new(builder, "last", image, channels, Window::unit(1, 0));
        builder.layer("pool", [channels]);
        builder.activations(channels);
        Self {
            input,
            stem,
            blocks,
            last,
            dropout: Dropout::new(builder, dropout, channels),
            output: Linear::new(builder, "output", channels, outputs),
        }
    }
}

/// `project(depthwise(expand(x)))`, plus `x` where the shape stays: the projection has no rectifier.
struct InvertedResidual {
    /// 1 × 1, where there is anything to expand.
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    /// 1 × 1.
    project: ConvNorm,
    shortcut: bool,
}

impl InvertedResidual {
    fn new(
        builder: &mut Builder,
        name: &str,
        input: ImageSize,
        expansion: usize,
        channels: usize,
        stride: usize,
    ) -> Self {
        let (wide, point) = (expansion * input.channels, Window::unit(1, 0));
        let expand = (expansion > 1)
            .then(|| ConvNorm::new(builder, &format!("{name}.expand"), input, wide, point));
        let image = expand.as_ref().map_or(input, ConvNorm::output);
        let filter = Filter::three(stride, 1).depthwise(wide);
        let depthwise = ConvNorm::new(builder, &format!("{name}.depthwise"), image, wide, filter);
        let image = depthwise.output();
        let project = ConvNorm::new(builder, &format!("{name}.project"), image, channels, point);
        Self {
            shortcut: project.output() == input,
            expand,
            depthwise,
            project,
        }
    }

    fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let y = match &self.expand {
            Some(expand) => expand.relu6(x.clone(), pass),
            None => x.clone(),
        };
        let y = self.depthwise.relu6(y, pass);
        if self.shortcut {
            self.project.add(y, x, pass)
        } else {
            self.project.linear(y, pass)
        }
    }
}

impl ValueModel for MobilenetV2 {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.stem.relu6(self.input.images(x), pass);
        for block in &self.blocks {
            x = block.forward(x, pass);
        }
        let x = global_average_pool(self.last.relu6(x, pass), pass);
        self.output.forward(self.dropout.forward(x, pass), pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_as_the_authors_do() {
        // torchvision's `_make_divisible` on some multiples.
        for (channels, expected) in [
            (11.2, 16), // 8 would be more than a tenth less
            (16.0, 16),
            (19.0, 24), // 16 would be more than a tenth less
            (3.0, 8),
            (33.6, 32),
            (1792.0, 1792),
        ] {
            assert_eq!(rounded(channels), expected, "{channels}");
        }
    }
}
