//! Token half-life: Adam's second moment forgets as many examples at every batch size.
//!
//! M. Marek et al., "Small Batch Size Training for Language Models", 2025 (arXiv 2507.07101):
//! [`token_half_life_beta2`].

use batchscope_core::Descriptor;

use crate::{RuleKind, rule::Moves, token_half_life_beta2};

use super::needed;

const NAME: &str = "half_life";

/// What can be chosen.
pub(crate) static HALF_LIFE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: NAME,
        aliases: &["half-life"],
        about: "Token half-life: beta2 keeps its half-life in examples; for a rate beside it, sqrt+half_life",
        source: "Marek et al. 2025, arXiv 2507.07101",
        parameters: &[],
    },
    moves: &[Moves::Betas],
    is_linear: false,
    limits: "found for language models from batch size 1 to 1,024; towards large batches beta2 falls quickly, and the second moment becomes that of the last few gradients",
    apply: |_, base, setting, batch_size| {
        let beta2 = needed(NAME, setting, "beta2")?;
        let moved = token_half_life_beta2(beta2, base.batch_size, batch_size)?;
        // A decay of exactly 1 is none; so close to it, the next smaller number is the same.
        setting
            .optimizer
            .set("beta2", moved.min(1.0f64.next_down()));
        Ok(())
    },
};
