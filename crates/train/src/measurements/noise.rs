//! Gradient noise along training, taken down by the loop ([`crate::noise`]).

use batchscope_core::{Descriptor, Diagnostic};

use super::{Made, MeasurementKind, any};

pub(super) static NOISE: MeasurementKind = MeasurementKind {
    descriptor: Descriptor {
        name: Diagnostic::NOISE,
        aliases: &[],
        about: "Gradient noise, from the gradients of the steps themselves",
        source: "McCandlish et al. 2018, arXiv 1812.06162",
        parameters: &[],
    },
    check: any,
    made: Made::Along,
};
