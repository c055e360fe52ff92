//! Runs the trials of one stage, several at a time.
//!
//! The calling thread owns the store: it claims a trial, hands it to a worker, and commits the
//! record when it comes back. Workers only train.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use batchscope_core::{Outcome, Trainer, TrainerError, TrialRecord, TrialSpec};

use crate::{
    Observer, Planner, Queue, StopToken, StudyError, StudyEvent,
    audit::{audit, failed},
    forecast::Tracker,
    known::Known,
    observer::tell,
    worker::{Answer, Job, TrialControl, work},
};

/// How often a process tells the queue that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After this long without a heartbeat the trials of a process are put back to waiting.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(60);
/// Pause between looks at trials that other processes run.
const POLL: Duration = Duration::from_millis(500);

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All its trials are finished.
    Complete,
    /// The stop token ended it.
    Stopped,
    /// Other processes still run some of its trials.
    Elsewhere,
}

/// What running a stage takes.
pub(crate) struct StageRun<'a> {
    pub planner: &'a dyn Planner,
    pub trainer: &'a dyn Trainer,
    /// Trials run side by side.
    pub jobs: usize,
    pub store: &'a mut dyn Queue,
    pub known: &'a mut Known,
    pub stop: &'a StopToken,
    pub observers: &'a [&'a dyn Observer],
    pub tracker: &'a mut Tracker,
}

/// Runs those of the trials with these numbers that wait, in the order given.
pub(crate) fn run_stage(run: StageRun<'_>, numbers: &[u64]) -> Result<Ended, StudyError> {
    run.known.refresh(run.store)?;
    let mut queue = VecDeque::from(run.known.waiting(numbers));
    let jobs = run.jobs.clamp(1, queue.len().max(1));
    let (trainer, observers) = (run.trainer, run.observers);
    let (job_sender, job_receiver) = mpsc::channel::<Job>();
    let job_receiver = Mutex::new(job_receiver);
    let (answer_sender, answers) = mpsc::channel::<Answer>();
    let mut coordinator = Coordinator {
        run,
        abort: Arc::default(),
        failure: None,
        running: BTreeMap::new(),
        last_heartbeat: Instant::now(),
    };
    thread::scope(|scope| {
        let mut workers = 0;
        for _ in 0..jobs {
            let answer_sender = answer_sender.clone();
            let job_receiver = &job_receiver;
            let worker = move || work(trainer, observers, job_receiver, &answer_sender);
            match thread::Builder::new().spawn_scoped(scope, worker) {
                Ok(_) => workers += 1,
                // Fewer workers do the same work.
                Err(error) if workers == 0 => coordinator.fail(StudyError::Threads(error)),
                Err(_) => break,
            }
        }
        drop(answer_sender);
        let jobs = jobs.min(workers);
        loop {
            while coordinator.running.len() < jobs && !coordinator.is_leaving() {
                let Some(spec) = queue.pop_front() else { break };
                coordinator.start(spec, &job_sender);
            }
            if coordinator.running.is_empty() {
                break;
            }
            match answers.recv_timeout(HEARTBEAT) {
                Ok(answer) => coordinator.take(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    coordinator.fail(StudyError::Bug("the workers are gone".to_owned()));
                    break;
                }
            }
            coordinator.heartbeat();
        }
        // Without jobs to come the workers end.
        drop(job_sender);
    });
    coordinator.end(numbers)
}

/// The calling thread's side: everything that touches the store.
struct Coordinator<'a> {
    run: StageRun<'a>,
    abort: Arc<AtomicBool>,
    /// The first thing that went wrong.
    failure: Option<StudyError>,
    running: BTreeMap<u64, (TrialSpec, Arc<TrialControl>)>,
    last_heartbeat: Instant,
}

impl Coordinator<'_> {
    /// True once no trial is to be started any more.
    fn is_leaving(&self) -> bool {
        self.failure.is_some() || self.run.stop.is_stopped()
    }

    fn fail(&mut self, failure: impl Into<StudyError>) {
        self.abort.store(true, Ordering::SeqCst);
        self.failure.get_or_insert(failure.into());
    }

    fn tell(&self, event: StudyEvent) {
        tell(self.run.observers, event);
    }

    /// The bound of a trial as known now.
    fn race_bound(&self, spec: &TrialSpec) -> Option<u64> {
        self.run.planner.race_bound(spec, self.run.known.finished())
    }

    fn start(&mut self, spec: TrialSpec, jobs: &mpsc::Sender<Job>) {
        match self.run.store.claim(spec.id, &worker_name()) {
            Ok(true) => {}
            Ok(false) => return, // another process was quicker
            Err(error) => return self.fail(error),
        }
        let bound = self.race_bound(&spec);
        let control = Arc::new(TrialControl::new(self.run.stop, &self.abort, bound));
        self.tell(StudyEvent::TrialStarted {
            spec: Box::new(spec.clone()),
        });
        self.running
            .insert(spec.id, (spec.clone(), control.clone()));
        if jobs.send(Job { spec, control }).is_err() {
            self.running.clear();
            self.fail(StudyError::Bug("the workers are gone".to_owned()));
        }
    }

    fn take(&mut self, (spec, answer): Answer) {
        self.running.remove(&spec.id);
        let record = match answer {
            Ok(record) => audit(&spec, record, self.run.trainer.info().own_settings),
            // The disk's fault, not the trial's.
            Err(source @ TrainerError::File { .. }) => {
                self.release(spec.id);
                return self.fail(StudyError::Trainer {
                    trial: spec.id,
                    source,
                });
            }
            Err(error) => failed(&spec, error.to_string()),
        };
        if record.outcome == Outcome::Interrupted {
            if self.is_leaving() {
                return self.release(spec.id);
            }
            let why = "the trainer stopped without being asked to".to_owned();
            return self.commit(failed(&spec, why));
        }
        self.commit(record);
    }

    fn release(&mut self, id: u64) {
        if let Err(error) = self.run.store.release(id) {
            self.fail(error);
        }
    }

    fn commit(&mut self, record: TrialRecord) {
        // Tried even while leaving: what is finished is worth a try at storing it.
        if let Err(error) = self.run.store.finish(&record) {
            return self.fail(error);
        }
        self.run.trainer.forget(&record.spec);
        self.run.known.finish(record.clone());
        for (spec, control) in self.running.values() {
            control.lower_bound(self.race_bound(spec));
        }
        self.run.tracker.finished(&record);
        self.tell(StudyEvent::TrialFinished {
            record: Box::new(record),
        });
        self.tell(StudyEvent::Progress {
            progress: self.run.tracker.progress(),
        });
    }

    fn heartbeat(&mut self) {
        if self.last_heartbeat.elapsed() >= HEARTBEAT {
            self.last_heartbeat = Instant::now();
            if let Err(error) = self.run.store.heartbeat(&worker_name()) {
                self.fail(error);
            }
        }
    }

    /// How the stage ended, once its workers have.
    fn end(self, numbers: &[u64]) -> Result<Ended, StudyError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let StageRun {
            store, known, stop, ..
        } = self.run;
        known.refresh(store)?;
        if known.are_finished(numbers) {
            return Ok(Ended::Complete);
        }
        if stop.is_stopped() {
            return Ok(Ended::Stopped);
        }
        // Other processes have the rest: look again in a moment, and take over from dead ones.
        thread::sleep(POLL);
        store.recover(DEAD_AFTER)?;
        Ok(Ended::Elsewhere)
    }
}

/// The name under which this process claims trials.
fn worker_name() -> String {
    format!("process {}", std::process::id())
}
