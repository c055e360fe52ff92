use batchscope_core::{Event, TrialRecord, TrialSpec};

use crate::Stage;

/// How far a study is. Later stages are counted as far as they can be foreseen.
#[derive(Debug, Clone, PartialEq)]
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
    /// so far it gives the time left. Before the pilot ends it is a guess, and rough.
    pub remaining_examples: f64,
}

/// Something that happened in a study.
#[derive(Debug, Clone)]
pub enum StudyEvent<'a> {
    /// A stage begins.
    Stage(&'a Stage),
    /// Something was decided: a line for the log.
    Decision(&'a str),
    /// A trial begins, or is taken up again.
    TrialStarted(&'a TrialSpec),
    /// A running trial says something. Sent for every step, from the thread that trains.
    Trial(&'a TrialSpec, &'a Event),
    /// A trial's record is stored.
    TrialFinished(&'a TrialRecord),
    /// How far the study is, after every trial.
    Progress(Progress),
}

/// Watches a study; called from several threads, must be quick, cannot change anything.
pub trait Observer: Sync {
    /// Takes an event.
    fn observe(&self, event: StudyEvent<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: StudyEvent<'_>) {}
}

/// A closure watches.
impl<F: Fn(StudyEvent<'_>) + Sync> Observer for F {
    fn observe(&self, event: StudyEvent<'_>) {
        self(event);
    }
}
