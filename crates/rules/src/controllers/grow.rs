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

use batchscope_core::{Decay, Descriptor, Kind, Parameter, ParameterDefault, Range, Schedule};

use crate::{
    ControllerKind, RulesError, controller::Course, learning_rate::marks, phases::Phases, steps_in,
};

/// Grows the batch at the marks of a step schedule.
pub(crate) static GROW: ControllerKind = ControllerKind {
    descriptor: Descriptor {
        name: "grow",
        aliases: &[],
        about: "At the marks of a step schedule the batch size grows instead of the rate decaying",
        source: "Smith et al. 2018, arXiv 1711.00489",
        parameters: &[LIMIT],
    },
    finds_rate: false,
    build: |choice, course| {
        let limit = choice.number("limit").unwrap_or(0.1);
        Ok(Box::new(grow(limit, course)?))
    },
};

/// How far batches grow.
pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "Largest batch as a share of the training set; beyond it the rate decays",
    kind: Kind::Number(Range::new(0.0, false, 1.0, true)),
    default: ParameterDefault::Number(0.1),
};

fn grow(limit: f64, course: &Course<'_>) -> Result<Phases, RulesError> {
    let (schedule, batch_size) = (course.schedule, course.batch_size);
    let Decay::Step { at, factor } = &schedule.decay else {
        return Err(RulesError::NothingToGrowAt);
    };
    let examples = course.train_examples.ok_or(RulesError::NoTrainingSet)?;
    // The decaying run is checked too: its factor and the order of its marks.
    course.rates(schedule)?;
    let steady = Schedule {
        decay: Decay::Constant,
        ..schedule.clone()
    };
    let mut phases = Phases::new(course.rates(&steady)?, batch_size);
    let most = limit * examples as f64;
    let steps = |length| steps_in(length, batch_size, course.train_examples);
    let mut asked = batch_size as f64;
    for (mark, written) in marks(at, steps)?.into_iter().zip(at) {
        let last = phases.last();
        asked /= factor;
        let grown = asked.round();
        let (batch_size, what) = match grown <= most {
            true => (grown as u64, "the batch grows"),
            false => (
                last.batch_size,
                "the rate decays, since the batch would pass its limit",
            ),
        };
        // What the batch, of whole examples, has not grown by is left to the rate.
        let grown_by = batch_size as f64 / last.batch_size as f64;
        let factor = last.factor * (factor * grown_by);
        let why = format!("the schedule's mark at {written}: {what}");
        phases.push(
            mark.saturating_mul(course.batch_size),
            batch_size,
            factor,
            why,
        );
    }
    Ok(phases)
}

#[cfg(test)]
mod tests {
    use batchscope_core::Length;

    use super::*;
    use crate::{Controller, controller::KEY, steps_to_draw};

    fn grown(limit: f64, marks: &[f64], factor: f64) -> Result<Phases, RulesError> {
        let schedule = Schedule {
            decay: Decay::Step {
                at: marks.iter().map(|&e| Length::Epochs(e)).collect(),
                factor,
            },
            ..Schedule::constant()
        };
        grow(
            limit,
            &Course {
                schedule: &schedule,
                learning_rate: 0.1,
                batch_size: 128,
                train_examples: Some(50_000),
                key: KEY,
            },
        )
    }

    /// Smith et al. 2018, section 5.1: batches of 128 grow by 5 at three marks; 16,000 would pass
    /// `N/10`, so the third mark divides the rate.
    #[test]
    fn the_paper_s_wide_resnet_grows_to_3200_and_then_decays() {
        let grow = grown(0.1, &[60.0, 120.0, 160.0], 0.2).unwrap();
        let phases: Vec<(u64, f64)> = grow
            .phases()
            .iter()
            .map(|p| (p.batch_size, p.factor))
            .collect();
        assert_eq!(phases, [(128, 1.0), (640, 1.0), (3200, 1.0), (3200, 0.2)]);
        // 60 epochs are 23,438 steps of 128; another 60 at 640 a fifth of them.
        assert_eq!(grow.phases()[1].step, 23_438);
        assert_eq!(grow.phases()[2].step, 23_438 + 4688);
        let sizes = grow.batch_sizes().unwrap();
        assert_eq!(
            (sizes.smallest, sizes.largest, sizes.divisor),
            (128, 3200, 128)
        );
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
        for (phase, mark) in grow.phases()[1..].iter().zip([50_000, 100_000]) {
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
            key: KEY,
        };
        assert_eq!(grow(0.1, &course).err(), Some(RulesError::NothingToGrowAt));
        assert!(grown(0.1, &[1.0], 1.5).is_err());
        assert!(grown(0.1, &[2.0, 1.0], 0.5).is_err());
    }
}
