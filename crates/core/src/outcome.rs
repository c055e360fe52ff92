//! What every reader of an [`Outcome`] asks of it.

use crate::Outcome;

impl Outcome {
    /// The end in a word, as stores, tables and findings write it.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Reached { .. } => "reached",
            Outcome::NotReached { .. } => "not_reached",
            Outcome::Completed { .. } => "completed",
            Outcome::Raced { .. } => "raced",
            Outcome::Diverged { .. } => "diverged",
            Outcome::Infeasible { .. } => "infeasible",
            Outcome::Failed { .. } => "failed",
            Outcome::Interrupted => "interrupted",
        }
    }

    /// The step at which the trial ended: where its target was reached, its cap, the bound it was
    /// raced at, or where divergence was noticed. `None` where it did not run to an end.
    pub fn last_step(&self) -> Option<u64> {
        match *self {
            Outcome::Reached { step, .. }
            | Outcome::Completed { step }
            | Outcome::Diverged { step } => Some(step),
            Outcome::NotReached { cap } => Some(cap),
            Outcome::Raced { at } => Some(at),
            Outcome::Infeasible { .. } | Outcome::Failed { .. } | Outcome::Interrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored studies hold both words: the column `ended` and the `state` of the JSON.
    #[test]
    fn the_name_is_the_state_that_is_stored() {
        let why = String::new();
        let ends = [
            (Outcome::Reached { step: 5, after: 4 }, Some(5)),
            (Outcome::NotReached { cap: 6 }, Some(6)),
            (Outcome::Completed { step: 7 }, Some(7)),
            (Outcome::Raced { at: 8 }, Some(8)),
            (Outcome::Diverged { step: 9 }, Some(9)),
            (Outcome::Infeasible { why: why.clone() }, None),
            (Outcome::Failed { why }, None),
            (Outcome::Interrupted, None),
        ];
        for (outcome, last_step) in ends {
            let stored = serde_json::to_value(&outcome).unwrap();
            assert_eq!(stored["state"], outcome.name());
            assert_eq!(outcome.last_step(), last_step, "{outcome:?}");
        }
    }
}
