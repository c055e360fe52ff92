use batchscope_core::{Event, TrialRecord, TrialSpec};
use serde::{Deserialize, Serialize};

use crate::Stage;

/// How far a study is. Later stages are counted as far as they can be foreseen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage running.
    pub stage: Stage,
    /// Trials finished.
    pub done_trials: u64,
    /// Trials in all, as known so far (widenings come on top).
    pub total_trials: u64,
    /// Examples trained on by finished trials.
    pub done_examples: f64,
    /// Examples (steps × batch size) that the rest is expected to train on; divided by the speed
    /// so far it gives the time left. Before the pilot ends it is a rough guess.
    pub remaining_examples: f64,
}

/// Something that happened in a study. Owned and plain data, so that it can be kept or sent: in JSON
/// one object, whose `kind` is the variant's name in snake case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StudyEvent {
    /// A stage begins.
    Stage {
        /// The stage.
        stage: Stage,
    },
    /// Something was decided.
    Decision {
        /// A sentence for people.
        decision: String,
    },
    /// A trial begins, or is resumed.
    TrialStarted {
        /// What is to be run.
        spec: Box<TrialSpec>,
    },
    /// A running trial reports. Sent for every step, from the thread that trains.
    Trial {
        /// The trial's number.
        trial: u64,
        /// What its trainer reports.
        event: Event,
    },
    /// A trial's record is stored.
    TrialFinished {
        /// The record, as the trainer gave it.
        record: Box<TrialRecord>,
    },
    /// How far the study is, after every trial.
    Progress {
        /// How far.
        progress: Progress,
    },
}

/// Watches a study; called from several threads, must be quick, cannot change anything.
pub trait Observer: Sync {
    /// Takes an event.
    fn observe(&self, event: &StudyEvent);
}

/// A closure as an observer.
impl<F: Fn(&StudyEvent) + Sync> Observer for F {
    fn observe(&self, event: &StudyEvent) {
        self(event);
    }
}

/// Tells every observer of an event, in their order.
pub(crate) fn tell(observers: &[&dyn Observer], event: StudyEvent) {
    for observer in observers {
        observer.observe(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_that_reads_back() {
        let stage = Stage::new("tuning").labeled("tuning (widening 1)");
        let events = [
            StudyEvent::Stage {
                stage: stage.clone(),
            },
            StudyEvent::Decision {
                decision: "d".to_owned(),
            },
            StudyEvent::Trial {
                trial: 7,
                event: Event::Step {
                    step: 3,
                    loss: 0.5,
                    learning_rate: 0.1,
                },
            },
            StudyEvent::Progress {
                progress: Progress {
                    stage,
                    done_trials: 1,
                    total_trials: 2,
                    done_examples: 3.0,
                    remaining_examples: 4.0,
                },
            },
        ];
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            let read: StudyEvent = serde_json::from_str(&text).unwrap();
            assert_eq!(read, event, "{text}");
        }
        let step = StudyEvent::Trial {
            trial: 7,
            event: Event::Checkpointed { step: 3 },
        };
        assert_eq!(
            serde_json::to_string(&step).unwrap(),
            r#"{"kind":"trial","trial":7,"event":{"kind":"checkpointed","step":3}}"#
        );
    }
}
