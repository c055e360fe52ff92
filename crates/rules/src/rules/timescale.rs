//! Weight decay across batch sizes: the time scale of the weights' average, in epochs, is kept.
//!
//! X. Wang, L. Aitchison 2024 (arXiv 2405.13698) and S. Bergsma et al., "Power Lines", 2025 (arXiv 2505.13738): with
//! decoupled weight decay the weights are a moving average of updates over `1/(η·λ)` steps, of the fraction
//! `τ = B/(η·λ·D)` of a run over `D` examples. Keeping τ at another batch size means
//!
//! ```text
//! λ' = λ·(B/B₀)·(η₀/η')
//! ```
//!
//! with `η'` the rate that the other parts of the rule give: proportional to the batch size at a rate that stays, the
//! same under linear scaling.

use batchscope_core::Descriptor;

use crate::{RuleKind, RulesError, rule::Moves};

use super::{needed, ratio};

const NAME: &str = "timescale";

/// What can be chosen.
pub(crate) static TIMESCALE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: NAME,
        aliases: &[],
        about: "Weight decay that averages over as many examples at every batch size; for a rate beside it, sqrt+timescale",
        source: "Bergsma et al. 2025, arXiv 2505.13738",
        parameters: &[],
    },
    moves: &[Moves::WeightDecay],
    is_linear: false,
    limits: "derived for decoupled weight decay and measured for AdamW on language models of 100 million to 3 billion parameters; with a coupled decay it is an extrapolation",
    apply: |_, base, setting, batch_size| {
        let decay = needed(NAME, setting, "weight_decay")?;
        if decay == 0.0 {
            return Err(RulesError::NoWeightDecay);
        }
        let slower = base.setting.learning_rate / setting.learning_rate;
        setting
            .optimizer
            .set("weight_decay", decay * ratio(base, batch_size) * slower);
        Ok(())
    },
};
