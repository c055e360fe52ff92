//! The rules: a file each, listed below.

mod blr;
mod lsr;
mod srsr;

use batchscope_core::Registry;

use crate::{Base, RuleKind, Setting};

/// Every rule, in the order in which they are run and drawn.
pub static RULES: Registry<RuleKind> = Registry {
    what: "learning-rate rule",
    all: &[&blr::BLR, &lsr::LSR, &srsr::SRSR],
};

/// The base setting with its learning rate times `factor`.
fn scaled(base: &Base, factor: f64) -> Setting {
    Setting {
        learning_rate: base.setting.learning_rate * factor,
        ..base.setting.clone()
    }
}

/// `B/B₀`.
fn ratio(base: &Base, batch_size: u64) -> f64 {
    batch_size as f64 / base.batch_size as f64
}
