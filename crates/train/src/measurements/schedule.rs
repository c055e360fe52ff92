//! The learning rate and the batch size of every step where either changes, taken down by the driver.

use batchscope_core::{Descriptor, Diagnostic};

use super::{Made, MeasurementKind, any};

pub(super) static SCHEDULE: MeasurementKind = MeasurementKind {
    descriptor: Descriptor {
        name: Diagnostic::SCHEDULE,
        aliases: &[],
        about: "The learning rate and the batch size of every step where either changes",
        source: "",
        parameters: &[],
    },
    check: any,
    made: Made::Along,
};
