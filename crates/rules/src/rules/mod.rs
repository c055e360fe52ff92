//! The rules: a file each, listed below.

pub(crate) mod blr;
mod half_life;
mod legw;
pub(crate) mod lsr;
mod sde;
pub(crate) mod srsr;
mod surge;
mod timescale;

use batchscope_core::Registry;

use crate::{Base, RuleKind, RulesError, Setting};

/// Every rule, in the order in which they are run and drawn, and in which the parts of one rule are
/// applied: the weight decay, which goes by the learning rate, comes last.
pub static RULES: Registry<RuleKind> = Registry {
    what: "learning-rate rule",
    all: &[
        &blr::BLR,
        &lsr::LSR,
        &srsr::SRSR,
        &legw::LEGW,
        &surge::SURGE,
        &sde::SDE,
        &half_life::HALF_LIFE,
        &timescale::TIMESCALE,
    ],
};

/// `κ = B/B₀`.
fn ratio(base: &Base, batch_size: u64) -> f64 {
    batch_size as f64 / base.batch_size as f64
}

/// A setting of the optimizer that a rule cannot do without.
fn needed(rule: &'static str, setting: &Setting, key: &'static str) -> Result<f64, RulesError> {
    setting
        .optimizer
        .number(key)
        .ok_or_else(|| RulesError::OptimizerLacks {
            rule,
            optimizer: setting.optimizer.name().to_owned(),
            key,
        })
}
