//! The SDE rule for Adam: the rate grows with the root of the batch size, and both decays move with it.
//!
//! S. Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", NeurIPS 2022 (arXiv 2205.10287),
//! definition 5.2, and with ε in arXiv 2512.22382. At `κ` times the batch size:
//!
//! ```text
//! η' = η·√κ,   1 − β₁' = κ·(1 − β₁),   1 − β₂' = κ·(1 − β₂),   ε' = ε/√κ
//! ```
//!
//! so that both runs follow one stochastic differential equation. It exists for `κ < 1/(1 − β)` only: ten times the batch
//! at β₁ = 0.9.

use batchscope_core::Descriptor;

use crate::{RuleKind, RulesError, rule::Moves};

use super::{needed, ratio};

const NAME: &str = "sde";

/// What is left of `1 − β` when β is as good as 0.
const ROUNDING: f64 = 1e-9;

/// What can be chosen.
pub(crate) static SDE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: NAME,
        aliases: &[],
        about: "SDE rule for Adam: the rate by the root of the batch size, beta1, beta2 and epsilon with it",
        source: "Malladi et al. 2022, arXiv 2205.10287",
        parameters: &[],
    },
    moves: &[Moves::LearningRate, Moves::Betas],
    is_linear: false,
    limits: "for adam and adamw, below 1/(1 - beta1) times the base batch size; where gradients are mostly signal rather than noise, its premise fails",
    apply: |_, base, setting, batch_size| {
        let optimizer = setting.optimizer.name();
        if !matches!(optimizer, "adam" | "adamw") {
            return Err(RulesError::OtherOptimizer {
                rule: NAME,
                optimizer: optimizer.to_owned(),
                made_for: "adam and adamw",
            });
        }
        let ratio = ratio(base, batch_size);
        for key in ["beta1", "beta2"] {
            let left = 1.0 - needed(NAME, setting, key)?;
            if ratio * left >= 1.0 - ROUNDING {
                let largest = (base.batch_size as f64 * (1.0 - ROUNDING) / left).floor();
                return Err(RulesError::TooLarge {
                    rule: NAME,
                    batch_size,
                    largest: largest as u64,
                });
            }
            setting.optimizer.set(key, 1.0 - ratio * left);
        }
        let epsilon = needed(NAME, setting, "epsilon")?;
        setting.optimizer.set("epsilon", epsilon / ratio.sqrt());
        setting.learning_rate *= ratio.sqrt();
        Ok(())
    },
};
