use batchscope_core::Descriptor;

use crate::models::{ModelKind, c2};

/// C4 of Keskar et al. 2016 (appendix B): C2, whose outputs are as many as the data has classes.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "c4",
        about: "C2 on the hundred classes of CIFAR-100",
        source: "Keskar et al. 2016, arXiv:1609.04836, C4",
        ..c2::KIND.descriptor
    },
    ..c2::KIND
};
