//! Late switching: small batches first, large ones for the rest.
//!
//! "Fast Catch-Up, Late Switching: Optimal Batch Size Scheduling via Functional Scaling Laws" (arXiv 2602.14208): on hard
//! tasks, where the signal is learned slowly, the best schedule of batch sizes keeps the small one for most of the training
//! and switches late; after the switch the loss soon catches up with that of a run at the large batch size throughout.

use batchscope_core::{Descriptor, Kind, Length, Parameter, ParameterDefault, Range};

use crate::{ControllerKind, RulesError, phases::Phases, steps_in};

/// Switches to a larger batch once.
pub(crate) static LATE_SWITCH: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "late_switch",
        aliases: &[],
        about: "From a point of the training on, the batch is larger",
        source: "arXiv 2602.14208",
        parameters: &[
            Parameter {
                name: "at",
                about: "Where, in steps of the first batch size (200) or epochs (8ep)",
                kind: Kind::Text("a length: steps (200) or epochs (8ep)"),
                default: ParameterDefault::Required,
            },
            Parameter {
                name: "growth",
                about: "How many times as large",
                kind: Kind::Number(Range::new(1.0, false, 1e6, true)),
                default: ParameterDefault::Required,
            },
            Parameter {
                name: "rate",
                about: "What the learning rate is multiplied by",
                kind: Kind::Number(Range::POSITIVE),
                default: ParameterDefault::Number(1.0),
            },
        ],
    },
    finds_rate: false,
    build: |choice, course| {
        let at = choice.text("at").unwrap_or_default();
        let length: Length = at.parse().map_err(RulesError::Length)?;
        let step = steps_in(length, course.batch_size, course.train_examples)?;
        let grown = course.batch_size as f64 * choice.number("growth").unwrap_or(1.0);
        let mut phases = Phases::new(course.rates(course.schedule)?, course.batch_size);
        phases.push(
            step.saturating_mul(course.batch_size),
            grown.round() as u64,
            choice.number("rate").unwrap_or(1.0),
            format!("the switch at {length}"),
        );
        Ok(Box::new(phases))
    },
};
