use batchscope_core::Descriptor;

use crate::models::{GHOST, Model, ModelKind, SMOOTHING, mlp::Mlp};

/// F1 of Keskar et al. 2016 (appendix B), for digits.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "f1",
        aliases: &[],
        about: "Five hidden layers of 512, each with batch norm and ReLU",
        source: "Keskar et al. 2016, arXiv:1609.04836, F1",
        parameters: &[GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |_, data, builder| {
        let inputs = data.vector()?;
        let mlp = Mlp::new(builder, inputs, &[512; 5], data.outputs(), true, 0.0);
        Ok(Model::values(mlp))
    },
};
