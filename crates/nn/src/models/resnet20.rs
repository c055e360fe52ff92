use batchscope_core::Descriptor;

use crate::models::{GHOST, Model, ModelKind, SMOOTHING, resnet::Resnet};

/// ResNet-20: three stages of three blocks, 16 to 64 channels.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "resnet20",
        aliases: &[],
        about: "Residual network for 32 × 32 images: 3 stages of 3 blocks, 16 to 64 channels",
        source: "He et al. 2016, arXiv:1512.03385, section 4.2",
        parameters: &[GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |_, data, builder| {
        let (input, stages) = (data.image(1)?, [(3, 16), (3, 32), (3, 64)]);
        let resnet = Resnet::new(builder, input, data.outputs(), &stages);
        Ok(Model::values(resnet))
    },
};
