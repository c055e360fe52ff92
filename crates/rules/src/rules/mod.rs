//! The rules, a file each. A new one is a file here, and a line in `RULES`.

pub(crate) mod blr;
pub(crate) mod lsr;
pub(crate) mod srsr;

use crate::{Base, Setting};

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
