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

    /// Steps at which the target was crossed, not rounded where that was estimated.
    pub fn crossing(&self) -> Option<f64> {
        match *self {
            Outcome::Reached { step, located, .. } => {
                Some(located.map_or(step as f64, |at| at.crossing))
            }
            _ => None,
        }
    }

    /// True for a target reached by a version up to 0.1.0: its step is where the smoothed metric first
    /// met it, later than today's crossing.
    pub fn is_by_smoothing(&self) -> bool {
        matches!(self, Outcome::Reached { located: None, .. })
    }

    /// The step at which training ended: where its target was found reached, its cap, the bound it
    /// was raced at, or where divergence was noticed. `None` where it did not run to an end.
    pub fn last_step(&self) -> Option<u64> {
        match *self {
            Outcome::Reached { step, located, .. } => Some(located.map_or(step, |at| at.found)),
            Outcome::Completed { step } | Outcome::Diverged { step } => Some(step),
            Outcome::NotReached { cap } => Some(cap),
            Outcome::Raced { at } => Some(at),
            Outcome::Infeasible { .. } | Outcome::Failed { .. } | Outcome::Interrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Located;

    fn reached(located: Option<Located>) -> Outcome {
        Outcome::Reached {
            step: 5,
            after: 4,
            located,
        }
    }

    /// Studies of the first versions hold a step and a bracket alone.
    #[test]
    fn an_end_without_an_estimate_is_read_and_written_as_it_was() {
        let stored = r#"{"state":"reached","step":5,"after":4}"#;
        let read: Outcome = serde_json::from_str(stored).unwrap();
        assert_eq!(read, reached(None));
        assert_eq!(read.crossing(), Some(5.0));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    }

    /// Stored studies hold both words: the column `ended` and the `state` of the JSON.
    #[test]
    fn the_name_is_the_state_that_is_stored() {
        let why = String::new();
        let ends = [
            (reached(None), Some(5)),
            (
                reached(Some(Located {
                    crossing: 4.5,
                    found: 6,
                    rounding: 0.0,
                })),
                Some(6),
            ),
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
