//! LEGW: linear-epoch gradual warm-up.
//!
//! Y. You et al., "Large-Batch Training for LSTM and Beyond", SC 2019 (arXiv 1901.08256), section 3: at `κ` times the
//! batch size, `η(B) = η₀·√κ` and `κ` times the *epochs* of warm-up, hence as many *steps*. A warm-up given in steps
//! stays as it is.

use batchscope_core::{Descriptor, Length};

use crate::{RuleKind, rule::Moves};

use super::ratio;

/// What can be chosen.
pub(crate) static LEGW: RuleKind = RuleKind {
    descriptor: Descriptor {
        name: "legw",
        aliases: &[],
        about: "LEGW: the rate grows with the root of the batch size, the warm-up keeps its steps",
        source: "You et al. 2019, arXiv 1901.08256",
        parameters: &[],
    },
    moves: &[Moves::LearningRate, Moves::WarmUp],
    is_linear: false,
    limits: "its authors scaled LSTMs to 64 times the batch and ResNet-50 to 32,768 with it, after tuning the warm-up at the base batch size; without a warm-up it is square-root scaling",
    apply: |_, base, setting, batch_size| {
        let ratio = ratio(base, batch_size);
        setting.learning_rate *= ratio.sqrt();
        if let Length::Epochs(epochs) = &mut setting.schedule.warm_up.length {
            *epochs *= ratio;
        }
        Ok(())
    },
};
