//! The controllers: a file each, listed below.

mod grow;
mod schedule;

use batchscope_core::Registry;

use crate::ControllerKind;

/// Every controller there is; the first is what leads a run when nothing is said.
pub static CONTROLLERS: Registry<ControllerKind> = Registry {
    what: "controller",
    all: &[&schedule::SCHEDULE, &grow::GROW],
};
