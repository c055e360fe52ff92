use batchscope_core::{Descriptor, StepBatch};

use crate::{Controller, ControllerKind, LearningRate, StepSetting};

/// Follows the schedule of learning rates at one batch size.
pub(crate) static SCHEDULE: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "schedule",
        aliases: &[],
        about: "The learning rate follows the schedule, the batch size stays",
        source: "",
        parameters: &[],
    },
    finds_rate: false,
    build: |_, course| {
        let rates = LearningRate::new(
            course.schedule,
            course.learning_rate,
            course.batch_size,
            course.train_examples,
        )?;
        Ok(Box::new(Scheduled {
            rates,
            batch_size: course.batch_size,
        }))
    },
};

struct Scheduled {
    rates: LearningRate,
    batch_size: u64,
}

impl Controller for Scheduled {
    fn at(&self, step: u64) -> StepSetting {
        StepSetting {
            learning_rate: self.rates.at(step),
            batch: StepBatch::constant(step, self.batch_size),
        }
    }

    fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }
}
