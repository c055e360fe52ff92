//! The surge law: a best rate that grows up to the gradient noise scale and falls beyond.
//!
//! S. Li et al., "Surge Phenomenon in Optimal Learning Rate and Batch Size Scaling", NeurIPS 2024 (arXiv 2405.14578),
//! equation 20, for optimizers that go by signs, Adam among them:
//!
//! ```text
//! η(B) = 2·η_max / (√(B_noise/B) + √(B/B_noise))
//! ```
//!
//! with its peak `η_max` at `B = B_noise`. Far below it this is square-root scaling; far above, its inverse.

use batchscope_core::{Descriptor, Kind, Parameter, ParameterDefault, Range};

use crate::{RuleKind, RulesError, rule::Moves};

/// What can be chosen.
pub(crate) static SURGE: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "surge",
        aliases: &[],
        about: "Surge law: the rate grows with the root of the batch size up to the noise scale, and falls beyond",
        source: "Li et al. 2024, arXiv 2405.14578",
        parameters: &[Parameter {
            name: "noise_scale",
            about: "Gradient noise scale in examples; the one measured at the base batch size unless given",
            kind: Kind::Number(Range::POSITIVE),
            default: ParameterDefault::Absent,
        }],
    },
    moves: &[Moves::LearningRate],
    is_linear: false,
    limits: "derived for the sign of the gradient and shown for Adam; the noise scale grows while a network trains, and its peak with it",
    apply: |choice, base, setting, batch_size| {
        let noise_scale = choice.number("noise_scale").or(base.noise_scale);
        let noise_scale = noise_scale.ok_or(RulesError::NoNoiseScale)?;
        let law = |batch: u64| {
            let share = batch as f64 / noise_scale;
            1.0 / (share.sqrt().recip() + share.sqrt())
        };
        setting.learning_rate *= law(batch_size) / law(base.batch_size);
        Ok(())
    },
};
