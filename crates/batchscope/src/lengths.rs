//! What a run's length and its schedule do to each other, said where they do not go together.

use batchscope_core::{Decay, Length, Schedule};
use batchscope_report::format::count;
use batchscope_rules::steps_in;

/// Remarks on a schedule in a run of `steps` steps of `batch_size` examples: a warm-up that does not end,
/// marks that are never passed, a decay that ends early or never. None where they go together.
pub fn remarks(
    schedule: &Schedule,
    batch_size: u64,
    train_examples: Option<u64>,
    steps: u64,
) -> Vec<String> {
    // A length that cannot be converted is refused elsewhere.
    let in_steps = |length: Length| steps_in(length, batch_size, train_examples).unwrap_or(0);
    let mut remarks = Vec::from_iter(long_warm_up(schedule, batch_size, train_examples, steps));
    let warm_up = in_steps(schedule.warm_up.length);
    match &schedule.decay {
        Decay::Constant => {}
        Decay::Step { at, .. } => {
            let beyond = at.iter().filter(|&&mark| in_steps(mark) >= steps).count();
            if beyond > 0 {
                remarks.push(format!(
                    "{beyond} of {} marks of the schedule lie beyond the run's end (step {})",
                    at.len(),
                    count(steps)
                ));
            }
        }
        Decay::Linear { over, .. }
        | Decay::Cosine { over, .. }
        | Decay::Polynomial { over, .. } => {
            let end = warm_up.saturating_add(in_steps(*over));
            if end > steps {
                remarks.push(format!(
                    "the schedule ends at step {}, beyond the run's end (step {}): the learning rate does not come down to its floor",
                    count(end),
                    count(steps)
                ));
            } else if end < steps {
                remarks.push(format!(
                    "the schedule ends at step {} of {}: from there the learning rate stays at its floor",
                    count(end),
                    count(steps)
                ));
            }
        }
    }
    remarks
}

/// The remark on a warm-up that is longer than a run.
pub fn long_warm_up(
    schedule: &Schedule,
    batch_size: u64,
    train_examples: Option<u64>,
    steps: u64,
) -> Option<String> {
    let warm_up = steps_in(schedule.warm_up.length, batch_size, train_examples).ok()?;
    (warm_up > steps).then(|| {
        format!(
            "the warm-up ({} steps) is longer than the run ({}): the learning rate does not come to its full value",
            count(warm_up),
            count(steps)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A warm-up of 1000 steps in a run of 20 trained at 2 % of the rate, without a word.
    #[test]
    fn what_does_not_fit_the_run_is_said() {
        let said = |schedule: &Schedule| remarks(schedule, 10, Some(100), 20);
        assert!(said(&Schedule::constant()).is_empty());
        assert!(said(&Schedule::warm_up(20)).is_empty());
        let long = said(&Schedule::warm_up(1000));
        assert!(
            long[0].contains("1000") && long[0].contains("(20)"),
            "{long:?}"
        );
        let decay = |decay| {
            said(&Schedule {
                decay,
                ..Schedule::constant()
            })
        };
        let cosine = |over| decay(Decay::Cosine { over, floor: 0.0 });
        assert!(cosine(Length::Epochs(2.0)).is_empty());
        assert!(cosine(Length::Steps(5))[0].contains("step 5 of 20"));
        assert!(cosine(Length::Steps(50))[0].contains("beyond"));
        let marks = |at| decay(Decay::Step { at, factor: 0.1 });
        assert!(marks(vec![Length::Epochs(1.0)]).is_empty());
        let late = marks(vec![Length::Epochs(1.0), Length::Epochs(30.0)]);
        assert!(late[0].contains("1 of 2"), "{late:?}");
    }
}
