//! The full graph: every member takes the mean over all. W = 11ᵀ/n, as all-reduce gives it; the spectral gap is 1.

use batchscope_core::Descriptor;

use super::{TopologyKind, matrix::Matrix};

pub(super) static FULL: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "full",
        aliases: &[],
        about: "Every member takes the mean over all members",
        source: "",
        parameters: &[],
    },
    build: |_, members| Ok(vec![Matrix::uniform(members)]),
    gap: Some(|_| 1.0),
};
