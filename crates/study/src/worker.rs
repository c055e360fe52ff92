//! A worker: a thread that runs one trial after another.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

use batchscope_core::{Control, Event, Flow, Trainer, TrainerError, TrialRecord, TrialSpec};

use crate::{Observer, StopToken, StudyEvent, observer::tell};

/// Controls one running trial.
pub(crate) struct TrialControl {
    stop: StopToken,
    /// Raised when the study cannot go on.
    abort: Arc<AtomicBool>,
    /// Race bound; `u64::MAX` is none.
    bound: AtomicU64,
}

impl TrialControl {
    /// Of a trial that ends at `bound`, or when the study stops or fails.
    pub fn new(stop: &StopToken, abort: &Arc<AtomicBool>, bound: Option<u64>) -> Self {
        Self {
            stop: stop.clone(),
            abort: abort.clone(),
            bound: AtomicU64::new(bound.unwrap_or(u64::MAX)),
        }
    }

    /// Lowers the race bound; a higher one changes nothing.
    pub fn lower_bound(&self, bound: Option<u64>) {
        self.bound
            .fetch_min(bound.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Control for TrialControl {
    fn flow(&self) -> Flow {
        if self.stop.is_stopped() || self.abort.load(Ordering::Relaxed) {
            Flow::Interrupt
        } else {
            Flow::Continue
        }
    }

    fn race_bound(&self) -> Option<u64> {
        match self.bound.load(Ordering::Relaxed) {
            u64::MAX => None,
            bound => Some(bound),
        }
    }
}

/// A trial handed to a worker.
pub(crate) struct Job {
    pub spec: TrialSpec,
    pub control: Arc<TrialControl>,
}

/// What came of it.
pub(crate) type Answer = (TrialSpec, Result<TrialRecord, TrainerError>);

/// Runs jobs until there are no more. A trainer that panics fails its trial only.
pub(crate) fn work(
    trainer: &dyn Trainer,
    observers: &[&dyn Observer],
    jobs: &Mutex<mpsc::Receiver<Job>>,
    answers: &mpsc::Sender<Answer>,
) {
    loop {
        // The lock is held only while waiting: whoever holds it takes the next job.
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_) => return,
        };
        let Ok(Job { spec, control }) = job else {
            return;
        };
        let trial = spec.id;
        let mut report = |event: Event| tell(observers, StudyEvent::Trial { trial, event });
        let answer = catch_unwind(AssertUnwindSafe(|| {
            trainer.run(&spec, &*control, &mut report)
        }));
        let answer = answer.unwrap_or_else(|panic| {
            Err(TrainerError::Bug(format!(
                "the trainer panicked: {}",
                message(&*panic)
            )))
        });
        if answers.send((spec, answer)).is_err() {
            return;
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
