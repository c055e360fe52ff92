use batchscope_core::{Descriptor, LossSum};

use super::{Extra, MethodKind, Part, StepContext, StepMethod};
use crate::{TrainError, noise};

pub(super) static PLAIN: MethodKind = MethodKind {
    descriptor: Descriptor {
        name: "plain",
        aliases: &[],
        about: "One gradient of the loss, one update",
        source: "",
        parameters: &[],
    },
    check: |_, _| Ok(()),
    part: Part::Step(|_| Box::new(Plain)),
    beside: |_| Extra::NOTHING,
};

/// The plain step: one gradient, one update. The noise is that of this gradient.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl StepMethod for Plain {
    fn take(&self, context: StepContext<'_>) -> Result<LossSum, TrainError> {
        let StepContext {
            network,
            source,
            rule,
            group,
            learning_rate,
            step,
            noise,
        } = context;
        let sum = match noise {
            Some(watch) => {
                let (sum, found) = source.measured_gradient(network, step)?;
                noise::observe(watch.record, network, found, watch.layers)?;
                sum
            }
            None => source.gradient(network, step)?,
        };
        rule.update(network, group, learning_rate, step.step)?;
        Ok(sum)
    }
}
