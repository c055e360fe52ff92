use batchscope_core::Descriptor;
use burn_tensor::Tensor;

use crate::{
    builder::Builder,
    layers::{Conv2d, ConvNorm, Filter, ImageSize, Linear, Upsample, Window, global_average_pool},
    models::{GHOST, Model, ModelKind, SMOOTHING, ValueModel, resnet::ResidualBlock},
    pass::Pass,
};

pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "drn-d-22",
        aliases: &[],
        about: "Dilated residual network, of images or of their pixels",
        source: "Yu, Koltun and Funkhouser 2017, arXiv:1705.09914",
        parameters: &[GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: true,
    build: |_, data, builder| {
        let (input, pixels) = (data.image(1)?, data.labels_pixels());
        Ok(Model::values(Drn::new(
            builder,
            input,
            data.outputs(),
            pixels,
        )))
    },
};

/// DRN-D-22, a dilated residual network (Yu, Koltun and Funkhouser 2017): the sides shrink by eight
/// and no more; later stages dilate their kernels instead, and two convolutions without shortcuts
/// smooth what dilation leaves.
///
/// For segmentation a 1 × 1 convolution scores each place, and fixed bilinear interpolation brings
/// the scores back to every pixel; for classification the mean over the places is scored. Either
/// way a thousand classes make 16,393,752 parameters (the paper's 16.4 M); the interpolation, which
/// the authors keep as a frozen transposed convolution, is not counted.
struct Drn {
    input: ImageSize,
    stem: Vec<ConvNorm>,
    blocks: Vec<ResidualBlock>,
    /// After the blocks.
    smooth: [ConvNorm; 2],
    head: Head,
}

enum Head {
    /// Scores of every pixel.
    Pixels(Conv2d, Upsample),
    /// Scores of the image.
    Image(Linear),
}

/// Stages of two blocks: channels, stride, dilation (`drn_d_22` in github.com/fyu/drn).
const STAGES: [(usize, usize, usize); 4] = [(64, 2, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4)];

/// How much smaller the sides become.
const REDUCTION: usize = 8;

impl Drn {
    /// From images of any size to `outputs` scores, of every pixel if `pixels`.
    fn new(builder: &mut Builder, input: ImageSize, outputs: usize, pixels: bool) -> Self {
        let mut image = input;
        let mut conv = |builder: &mut Builder, name: &str, channels, filter: Filter| {
            let conv = ConvNorm::new(builder, name, image, channels, filter);
            image = conv.output();
            conv
        };
        let stem = vec![
            conv(builder, "stem.conv1", 16, Window::unit(7, 3).into()),
            conv(builder, "stem.conv2", 16, Filter::three(1, 1)),
            conv(builder, "stem.conv3", 32, Filter::three(2, 1)),
        ];
        let mut blocks = Vec::new();
        for (s, (channels, stride, dilation)) in (1..).zip(STAGES) {
            for b in 1..=2 {
                let name = format!("stage{s}.block{b}");
                let stride = if b == 1 { stride } else { 1 };
                let block = ResidualBlock::new(builder, &name, image, channels, stride, dilation);
                image = block.output();
                blocks.push(block);
            }
        }
        let smooth = [(1, 2), (2, 1)].map(|(i, dilation)| {
            let name = format!("smooth.conv{i}");
            ConvNorm::new(builder, &name, image, 512, Filter::three(1, dilation))
        });
        let head = if pixels {
            let [_, last] = &smooth;
            let point = Window::unit(1, 0);
            let scores = Conv2d::new(builder, "output", last.output(), outputs, point);
            builder.activations(scores.output.len());
            let upsample = Upsample::new(builder, "upsample", scores.output, REDUCTION, input);
            Head::Pixels(scores, upsample)
        } else {
            builder.layer("pool", [512]);
            builder.activations(512);
            Head::Image(Linear::new(builder, "output", 512, outputs))
        };
        Self {
            input,
            stem,
            blocks,
            smooth,
            head,
        }
    }
}

impl ValueModel for Drn {
    fn forward(&self, x: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.input.images(x);
        for conv in &self.stem {
            x = conv.relu(x, pass);
        }
        for block in &self.blocks {
            x = block.forward(x, pass);
        }
        for conv in &self.smooth {
            x = conv.relu(x, pass);
        }
        match &self.head {
            Head::Pixels(scores, upsample) => {
                let scores = upsample.forward(scores.linear(x, pass), pass);
                scores.flatten(0, 2)
            }
            Head::Image(linear) => linear.forward(global_average_pool(x, pass), pass),
        }
    }
}
