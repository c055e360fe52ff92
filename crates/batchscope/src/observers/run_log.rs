use batchscope_core::TrialRecord;
use batchscope_report::format::{duration, number};
use batchscope_study::{Observer, StudyEvent};

use crate::folder::Log;

/// Writes a study's stages, decisions and trials to its log.
pub struct RunLog<'a>(pub &'a Log);

impl Observer for RunLog<'_> {
    fn observe(&self, event: &StudyEvent) {
        match event {
            StudyEvent::Stage { stage } => self.0.line(&format!("stage: {stage}")),
            StudyEvent::Decision { decision } => self.0.line(&format!("decided: {decision}")),
            StudyEvent::TrialStarted { spec } => self.0.line(&format!(
                "trial {} started: batch size {}, learning rate {}, cap {}",
                spec.id,
                spec.batch_size,
                number(spec.learning_rate),
                spec.cap
            )),
            StudyEvent::TrialFinished { record } => self.0.line(&finished(record)),
            StudyEvent::Trial { .. } | StudyEvent::Progress { .. } => {}
        }
    }
}

fn finished(record: &TrialRecord) -> String {
    let steps = record
        .steps()
        .map(|s| format!(" in {s} steps"))
        .unwrap_or_default();
    format!(
        "trial {} {}{steps}, {} of training",
        record.spec.id,
        record.outcome.name(),
        duration(record.seconds)
    )
}
