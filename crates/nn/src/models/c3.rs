use batchscope_core::Descriptor;

use crate::models::{ModelKind, c1};

/// C3 of Keskar et al. 2016 (appendix B): C1, whose outputs are as many as the data has classes.
pub(super) const KIND: ModelKind = ModelKind {
    descriptor: Descriptor {
        name: "c3",
        about: "C1 on the hundred classes of CIFAR-100",
        source: "Keskar et al. 2016, arXiv:1609.04836, C3",
        ..c1::KIND.descriptor
    },
    ..c1::KIND
};
