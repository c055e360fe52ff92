//! Base learning rate: the rate found at the base batch size, kept.
//!
//! N. Golmant et al., "On the Computational Inefficiency of Large Batch Sizes for Stochastic
//! Gradient Descent" (arXiv 1811.12941, 2018), section 3: `η(B) = η₀`.

use batchscope_core::Descriptor;

use crate::{RuleKind, rule::Moves};

/// What can be chosen.
pub(crate) static BLR: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "blr",
        aliases: &["none"],
        about: "Base learning rate: the rate stays as it is",
        source: "Golmant et al. 2018, arXiv 1811.12941",
        parameters: &[],
    },
    moves: &[Moves::LearningRate],
    is_linear: false,
    limits: "leaves speed unused where the best rate grows with the batch size; Golmant et al. 2018 found it ahead of the other two above 2048, mostly on CIFAR-10",
    apply: |_, _, _, _| Ok(()),
};
