//! Square-root scaling rule: the rate grows with the root of the batch size.
//!
//! 1. A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks"
//!    (arXiv 1404.5997, 2014), section 5.
//! 2. E. Hoffer, I. Hubara, D. Soudry, "Train longer, generalize better" (arXiv 1705.08741,
//!    2017), section 4: `η(B) = η₀·√(B/B₀)` keeps the covariance of the update.

use batchscope_core::Descriptor;

use crate::{RuleKind, rule::Moves};

use super::ratio;

/// What can be chosen.
pub(crate) static SRSR: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "srsr",
        aliases: &["sqrt"],
        about: "Square-root scaling rule: the rate grows with the root of the batch size",
        source: "Hoffer et al. 2017, arXiv 1705.08741",
        parameters: &[],
    },
    moves: &[Moves::LearningRate],
    is_linear: false,
    limits: "for Adam and its kin Malladi et al. 2022 derive it together with a change of both betas, 1 - beta' = k (1 - beta) at k times the batch size; for SGD it keeps the noise of the update, not the path of training",
    apply: |_, base, setting, batch_size| {
        setting.learning_rate *= ratio(base, batch_size).sqrt();
        Ok(())
    },
};
