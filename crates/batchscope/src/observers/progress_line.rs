use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use batchscope_core::Event;
use batchscope_study::{Observer, Progress, StudyEvent};

use crate::progress::Display;

/// Pause between two looks at the steps of running trials.
const PAUSE: Duration = Duration::from_millis(200);

/// Shows how far a study is, and its decisions.
pub struct ProgressLine<'a> {
    display: &'a Display,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: String,
    /// Running trials: batch size and steps done.
    running: BTreeMap<u64, (u64, u64)>,
    progress: Option<Progress>,
    next_show: Option<Instant>,
}

impl<'a> ProgressLine<'a> {
    /// On a display.
    pub fn new(display: &'a Display) -> Self {
        Self {
            display,
            state: Mutex::default(),
        }
    }
}

impl Observer for ProgressLine<'_> {
    fn observe(&self, event: &StudyEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            StudyEvent::Stage { stage } => state.stage = stage.to_string(),
            StudyEvent::Decision { decision } => self.display.line(decision),
            StudyEvent::TrialStarted { spec } => {
                state.running.insert(spec.id, (spec.batch_size, 0));
            }
            StudyEvent::Trial {
                trial,
                event: Event::Step { step, .. },
            } => {
                // Told of every step: most are left out.
                let now = Instant::now();
                if state.next_show.is_some_and(|next| now < next) {
                    return;
                }
                state.next_show = Some(now + PAUSE);
                if let Some((_, done)) = state.running.get_mut(trial) {
                    *done = *step;
                }
                state.show(self.display);
            }
            StudyEvent::Trial { .. } => {}
            StudyEvent::TrialFinished { record } => {
                state.running.remove(&record.spec.id);
            }
            StudyEvent::Progress { progress } => {
                state.progress = Some(progress.clone());
                state.show(self.display);
            }
        }
    }
}

impl State {
    fn show(&self, display: &Display) {
        let running = self.running.values();
        let underway: f64 = running
            .clone()
            .map(|(batch, step)| (batch * step) as f64)
            .sum();
        let (done, all, done_trials, total_trials) =
            self.progress.as_ref().map_or((0.0, 0.0, 0, 0), |p| {
                let all = p.done_examples + p.remaining_examples;
                (p.done_examples, all, p.done_trials, p.total_trials)
            });
        let fraction = if all > 0.0 {
            ((done + underway) / all).min(0.99)
        } else {
            0.0
        };
        let trials: Vec<String> = running
            .map(|(batch, step)| format!("batch {batch} step {step}"))
            .collect();
        let message = format!(
            "{}: trial {done_trials} of {total_trials}; {}",
            self.stage,
            trials.join(", ")
        );
        display.show(fraction, &message);
    }
}
