//! The controllers: a file each, listed below.

mod adascale;
mod autowu;
mod cabs;
mod grow;
mod late_switch;
mod schedule;
mod seesaw;
mod table;

use batchscope_core::Registry;

pub use table::{check_rows, read_rows, write_rows};

use crate::ControllerKind;

/// Every controller there is; the first is what leads a run when nothing is said.
pub static CONTROLLERS: Registry<ControllerKind> = Registry {
    what: "controller",
    all: &[
        &schedule::SCHEDULE,
        &grow::GROW,
        &seesaw::SEESAW,
        &late_switch::LATE_SWITCH,
        &cabs::CABS,
        &adascale::ADASCALE,
        &autowu::AUTOWU,
        &table::TABLE,
    ],
};
