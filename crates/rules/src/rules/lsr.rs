//! Linear scaling rule: the rate grows with the batch size.
//!
//! 1. A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks"
//!    (arXiv 1404.5997, 2014).
//! 2. P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour"
//!    (arXiv 1706.02677, 2017), section 2.1: `η(B) = η₀·B/B₀`, with warm-up.

use batchscope_core::Descriptor;

use crate::{RuleKind, rule::Moves};

use super::ratio;

/// What can be chosen.
pub(crate) static LSR: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "lsr",
        aliases: &["linear"],
        about: "Linear scaling rule: the rate grows in proportion to the batch size",
        source: "Goyal et al. 2017, arXiv 1706.02677",
        parameters: &[],
    },
    moves: &[Moves::LearningRate],
    is_linear: true,
    limits: "with warm-up it held up to 8,192 images for ResNet-50 on ImageNet (Goyal et al. 2017); it fails past the critical batch size (Golmant et al. 2018), and its derivation does not hold for Adam and its kin (Malladi et al. 2022)",
    apply: |_, base, setting, batch_size| {
        setting.learning_rate *= ratio(base, batch_size);
        Ok(())
    },
};
