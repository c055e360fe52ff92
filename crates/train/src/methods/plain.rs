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
        let Some(watch) = noise else {
            let sum = source.gradient(network, step)?;
            let sum = rule.agree(network, group, sum)?;
            rule.update(network, group, learning_rate, step.step)?;
            return Ok(sum);
        };
        let (sum, found) = source.measured_gradient(network, step)?;
        let sum = rule.agree(network, group, sum)?;
        match rule.is_synchronous() {
            true => noise::observe(watch.record, network, found, watch.layers, group)?,
            false => noise::undefined(
                watch.record,
                "the replicas stand at different parameters, and have no gradient in common",
            ),
        }
        rule.update(network, group, learning_rate, step.step)?;
        Ok(sum)
    }
}
