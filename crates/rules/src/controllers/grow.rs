//! Growing batches: where a step schedule would multiply the learning rate by a factor, the batch
//! size is divided by it instead.
//!
//! S. L. Smith, P.-J. Kindermans, C. Ying, Q. V. Le, "Don't Decay the Learning Rate, Increase the
//! Batch Size", ICLR 2018 (arXiv 1711.00489), sections 3 and 5: the noise scale `g ≈ εN/B` falls
//! alike either way, until the batch size `B` comes near `N/10`; from there on the rate `ε` decays.
//!
//! Marks count examples: a mark in epochs stands where the decaying run, at the batch size the run
//! begins with, has it, and so does a mark in steps. A phase begins with the first step at or past
//! its mark. The rate's own warm-up stays.

use batchscope_core::{
    Decay, Descriptor, Kind, Length, Parameter, ParameterDefault, Range, Schedule, StepBatch,
};

use crate::{
    Controller, ControllerKind, LearningRate, RulesError, StepSetting, controller::Course,
    learning_rate::marks, steps_in,
};

/// Grows the batch at the marks of a step schedule.
pub(crate) static GROW: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "grow",
        aliases: &[],
        about: "At the marks of a step schedule the batch size grows instead of the rate decaying",
        source: "Smith et al. 2018, arXiv 1711.00489",
        parameters: &[Parameter {
            name: "limit",
            about: "Largest batch as a share of the training set; beyond it the rate decays",
            kind: Kind::Number(Range::new(0.0, false, 1.0, true)),
            default: ParameterDefault::Number(0.1),
        }],
    },
    build: |choice, course| {
        let limit = choice.number("limit").unwrap_or(0.1);
        Ok(Box::new(Grow::new(limit, course)?))
    },
};

/// A stretch of steps at one batch size.
#[derive(Debug, Clone, PartialEq)]
struct Phase {
    /// Its first step.
    step: u64,
    /// Examples before it.
    first_draw: u64,
    batch_size: u64,
    /// What the full rate is multiplied by.
    factor: f64,
}

struct Grow {
    /// Warm-up and the full rate, without decay.
    rates: LearningRate,
    /// By their first steps; the first begins at 0.
    phases: Vec<Phase>,
}

impl Grow {
    fn new(limit: f64, course: &Course<'_>) -> Result<Self, RulesError> {
        let Course {
            schedule,
            learning_rate,
            batch_size,
            train_examples,
        } = *course;
        let Decay::Step { at, factor } = &schedule.decay else {
            return Err(RulesError::NothingToGrowAt);
        };
        let examples = train_examples.ok_or(RulesError::NoTrainingSet)?;
        let steady = Schedule {
            decay: Decay::Constant,
            ..schedule.clone()
        };
        let rates = LearningRate::new(&steady, learning_rate, batch_size, train_examples)?;
        // The decaying run is checked too: its factor and the order of its marks.
        LearningRate::new(schedule, learning_rate, batch_size, train_examples)?;
        let steps = |length: Length| steps_in(length, batch_size, train_examples);
        let most = limit * examples as f64;
        let mut phases = vec![Phase {
            step: 0,
            first_draw: 0,
            batch_size,
            factor: 1.0,
        }];
        for mark in marks(at, steps)? {
            let last = phases[phases.len() - 1].clone();
            let draw = mark.saturating_mul(batch_size);
            let passed = draw
                .saturating_sub(last.first_draw)
                .div_ceil(last.batch_size);
            let step = last.step.saturating_add(passed);
            let grown = (last.batch_size as f64 / factor).round();
            let (batch_size, factor) = match grown <= most {
                true => (grown as u64, last.factor),
                false => (last.batch_size, last.factor * factor),
            };
            let first_draw = last
                .first_draw
                .saturating_add(passed.saturating_mul(last.batch_size));
            phases.push(Phase {
                step,
                first_draw,
                batch_size,
                factor,
            });
        }
        Ok(Self { rates, phases })
    }
}

impl Controller for Grow {
    fn at(&self, step: u64) -> StepSetting {
        let next = self.phases.partition_point(|phase| phase.step <= step);
        let phase = &self.phases[next - 1];
        let drawn = (step - phase.step).saturating_mul(phase.batch_size);
        StepSetting {
            learning_rate: self.rates.at(step) * phase.factor,
            batch: StepBatch {
                step,
                first_draw: phase.first_draw.saturating_add(drawn),
                batch_size: phase.batch_size,
            },
        }
    }

    fn warm_up_steps(&self) -> u64 {
        self.rates.warm_up_steps()
    }

    fn changes_batch_size(&self) -> bool {
        let first = self.phases[0].batch_size;
        self.phases.iter().any(|phase| phase.batch_size != first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps_to_draw;

    fn grown(limit: f64, marks: &[f64], factor: f64) -> Result<Grow, RulesError> {
        let schedule = Schedule {
            decay: Decay::Step {
                at: marks.iter().map(|&e| Length::Epochs(e)).collect(),
                factor,
            },
            ..Schedule::constant()
        };
        Grow::new(
            limit,
            &Course {
                schedule: &schedule,
                learning_rate: 0.1,
                batch_size: 128,
                train_examples: Some(50_000),
            },
        )
    }

    /// Smith et al. 2018, section 5.1: batches of 128 grow by 5 at three marks; 16,000 would pass
    /// `N/10`, so the third mark divides the rate.
    #[test]
    fn the_paper_s_wide_resnet_grows_to_3200_and_then_decays() {
        let grow = grown(0.1, &[60.0, 120.0, 160.0], 0.2).unwrap();
        let phases: Vec<(u64, f64)> = grow
            .phases
            .iter()
            .map(|p| (p.batch_size, p.factor))
            .collect();
        assert_eq!(phases, [(128, 1.0), (640, 1.0), (3200, 1.0), (3200, 0.2)]);
        // 60 epochs are 23,438 steps of 128; another 60 at 640 a fifth of them.
        assert_eq!(grow.phases[1].step, 23_438);
        assert_eq!(grow.phases[2].step, 23_438 + 4688);
        assert!(grow.changes_batch_size());
        assert_eq!(grow.at(u64::MAX).learning_rate, 0.1 * 0.2);
    }

    #[test]
    fn every_example_of_the_order_is_drawn_once() {
        let grow = grown(0.5, &[0.01, 0.03, 0.05], 0.3).unwrap();
        let mut drawn = 0;
        for step in 0..60 {
            let batch = grow.at(step).batch;
            assert_eq!((batch.step, batch.first_draw), (step, drawn));
            drawn += batch.batch_size;
        }
    }

    #[test]
    fn growth_and_decay_change_at_the_same_examples() {
        let grow = grown(1.0, &[1.0, 2.0], 0.5).unwrap();
        for (phase, mark) in grow.phases[1..].iter().zip([50_000, 100_000]) {
            let before = phase.first_draw - mark;
            assert!(before < 256, "{phase:?}");
        }
    }

    #[test]
    fn epochs_of_a_growing_batch_are_passes_over_the_examples() {
        // 391 steps of 128 are the first epoch, 196 of 256 the second, and so on.
        let grow = grown(1.0, &[1.0, 2.0], 0.5).unwrap();
        let steps = |epochs: u64| steps_to_draw(&grow, epochs * 50_000);
        assert_eq!((steps(0), steps(1), steps(2)), (0, 391, 391 + 196));
        assert_eq!(steps(4), 391 + 196 + 195);
    }

    #[test]
    fn what_cannot_grow_is_refused() {
        let constant = Schedule::constant();
        let course = Course {
            schedule: &constant,
            learning_rate: 0.1,
            batch_size: 32,
            train_examples: Some(1000),
        };
        assert_eq!(
            Grow::new(0.1, &course).err(),
            Some(RulesError::NothingToGrowAt)
        );
        assert!(grown(0.1, &[1.0], 1.5).is_err());
        assert!(grown(0.1, &[2.0, 1.0], 0.5).is_err());
    }
}
