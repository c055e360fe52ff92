//! Adversarial training with mixed batch norm, one thing after the other: what ConAdv does, without its overlap.
//!
//! Y. Liu et al., "Concurrent Adversarial Learning for Large-Batch Training" (arXiv 2106.00221), call it DisAdv:
//!
//! ```text
//! x̃ = x + ε·dir(∇_x L(w_t; x, y))
//! L̃ = α·L(w_t; x, y) + (1 − α)·L(w_t; x̃, y)
//! ```
//!
//! Their loss is the plain sum, which at α = 1/2 is twice ours: LARS, outside, does not see the factor. Batch norm's running
//! statistics of `x̃` are kept apart, and evaluation uses those of `x`.

use batchscope_core::Descriptor;

use super::{AdversarialSource, Extra, MethodKind, Part, attack};

pub(super) static DISADV: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "disadv",
        aliases: &[],
        about: "Trains on examples moved against their labels too, with mixed batch norm",
        source: "Liu et al. 2021, arXiv 2106.00221",
        parameters: &[attack::EPSILON, attack::NORM, attack::CLEAN_WEIGHT],
    },
    check: attack::check,
    part: Part::Gradient(|choice, parts| Ok(AdversarialSource::made(choice, parts, true))),
    beside: |_| Extra::NOTHING,
};
