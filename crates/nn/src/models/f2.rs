use batchscope_core::Descriptor;

use crate::models::{GHOST, Model, ModelKind, SMOOTHING, Unfit, mlp::Mlp};

/// F2 of Keskar et al. 2016 (appendix B), for windows of frames of speech.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "f2",
        aliases: &[],
        about: "Seven hidden layers of 512, each with batch norm and ReLU, for 360 numbers of speech",
        source: "Keskar et al. 2016, arXiv:1609.04836, F2",
        parameters: &[GHOST, SMOOTHING],
    },
    is_smooth: false,
    labels_pixels: false,
    build: |_, data, builder| {
        let inputs = data.vector()?;
        if inputs != INPUTS {
            return Err(Unfit(format!(
                "it takes {INPUTS} numbers, and an example has {inputs}: give frames of 24 numbers \
                 with a context of 7 on either side, or frames of 40 with a context of 4"
            )));
        }
        let mlp = Mlp::new(builder, inputs, &[512; 7], data.outputs(), true, 0.0);
        Ok(Model::values(mlp))
    },
};

/// Numbers of an example: windows of 15 frames of 24, or of 9 of 40.
const INPUTS: usize = 360;
