use batchscope_core::Descriptor;

use crate::models::{GHOST, Model, ModelKind, SMOOTHING, resnet::Resnet};

/// ResNet-34 with the stem for small images: stages of 3, 4, 6 and 3 blocks, 64 to 512 channels.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "resnet34",
        aliases: &[],
        about: "Residual network of 34 layers with the stem for small images, 64 to 512 channels",
        source: "He et al. 2016, arXiv:1512.03385, table 1",
        parameters: &[GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |_, data, builder| {
        let (input, stages) = (data.image(1)?, [(3, 64), (4, 128), (6, 256), (3, 512)]);
        let resnet = Resnet::new(builder, input, data.outputs(), &stages);
        Ok(Model::values(resnet))
    },
};
