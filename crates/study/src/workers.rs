//! Runs the trials of one stage, several at a time.
//!
//! The calling thread owns the store: it claims a trial, hands it to a worker, and commits the
//! record when it comes back. Workers only train.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use batchscope_core::{
    Control, Event, Flow, Outcome, Trainer, TrainerError, TrialPurpose, TrialRecord, TrialSpec,
};

use crate::{
    Observer, Plan, StopToken, Store, StudyError, StudyEvent, TrialState,
    forecast::Tracker,
    planner::{coarse_end, exact_bound},
};

/// More examples than any trial trains on: what JSON and SQLite both hold exactly.
const MOST_EXAMPLES: u64 = 1 << 53;
/// How often the working process says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After this long without a heartbeat its trials are taken up by others.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Pause between looks at trials that others run.
const POLL: Duration = Duration::from_millis(500);

/// How a stage ended.
pub(crate) enum Ended {
    /// All its trials are finished.
    Complete,
    /// The stop token ended it.
    Stopped,
    /// Other processes still run some of its trials.
    Elsewhere,
}

/// The reins on one running trial.
struct Reins {
    stop: StopToken,
    /// Raised when the study cannot go on.
    abort: Arc<AtomicBool>,
    /// Race bound; `u64::MAX` is none.
    bound: AtomicU64,
}

impl Control for Reins {
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
struct Job {
    spec: TrialSpec,
    reins: Arc<Reins>,
}

/// What came of it.
type Answer = (TrialSpec, Result<TrialRecord, TrainerError>);

/// Runs the trials with these numbers that are not finished yet, in the order given.
pub(crate) fn run_stage(
    plan: &Plan,
    numbers: Vec<u64>,
    trainer: &dyn Trainer,
    store: &mut dyn Store,
    stop: &StopToken,
    observer: &dyn Observer,
    tracker: &mut Tracker,
) -> Result<Ended, StudyError> {
    let (mut race, queue) = survey(&numbers, store)?;
    let jobs = plan.jobs.clamp(1, queue.len().max(1));
    let abort = Arc::new(AtomicBool::new(false));
    let (job_sender, job_receiver) = mpsc::channel::<Job>();
    let job_receiver = Mutex::new(job_receiver);
    let (answer_sender, answers) = mpsc::channel::<Answer>();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let answer_sender = answer_sender.clone();
            let job_receiver = &job_receiver;
            scope.spawn(move || work(trainer, observer, job_receiver, &answer_sender));
        }
        drop(answer_sender);
        let mut desk = Coordinator {
            store,
            trainer,
            observer,
            tracker,
            stop,
            abort,
            failure: None,
            running: BTreeMap::new(),
            beat: Instant::now(),
        };
        let mut queue = VecDeque::from(queue);
        loop {
            while desk.running.len() < jobs && !desk.leaving() {
                let Some(spec) = queue.pop_front() else { break };
                desk.start(spec, &race, &job_sender);
            }
            if desk.running.is_empty() {
                break;
            }
            match answers.recv_timeout(HEARTBEAT) {
                Ok(answer) => desk.take(answer, &mut race),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    desk.fail(StudyError::Bug("the workers are gone".to_owned()));
                    break;
                }
            }
            desk.beat();
        }
        drop(job_sender);
        if let Some(failure) = desk.failure.take() {
            return Err(failure);
        }
        if desk.complete(&numbers)? {
            return Ok(Ended::Complete);
        }
        if stop.is_stopped() {
            return Ok(Ended::Stopped);
        }
        // Workers elsewhere have the rest: look again in a moment, and take over from the dead.
        thread::sleep(POLL);
        desk.store.recover(DEAD_AFTER)?;
        Ok(Ended::Elsewhere)
    })
}

/// What tuning trials of each batch size know of each other: (index, evaluated step at the target).
type Race = BTreeMap<u64, Vec<(u32, u64)>>;

/// The race so far, and the trials of this stage still to run.
fn survey(numbers: &[u64], store: &dyn Store) -> Result<(Race, Vec<TrialSpec>), StudyError> {
    let trials = store.trials()?;
    let mut race = Race::new();
    for trial in &trials {
        if let TrialState::Finished(record) = &trial.state {
            enter(&mut race, record);
        }
    }
    let waiting = numbers
        .iter()
        .filter_map(|&id| trials.get(id as usize))
        .filter(|t| t.state == TrialState::Waiting);
    let queue = waiting.map(|t| t.spec.clone()).collect();
    Ok((race, queue))
}

fn enter(race: &mut Race, record: &TrialRecord) {
    if let (TrialPurpose::Tune { index, .. }, Some(end)) = (record.spec.purpose, coarse_end(record))
    {
        race.entry(record.spec.batch_size)
            .or_default()
            .push((index, end));
    }
}

fn bound(race: &Race, spec: &TrialSpec) -> u64 {
    let TrialPurpose::Tune { index, .. } = spec.purpose else {
        return u64::MAX;
    };
    let known = race.get(&spec.batch_size).into_iter().flatten().copied();
    exact_bound(index, known).unwrap_or(u64::MAX)
}

/// The calling thread's side: everything that touches the store.
struct Coordinator<'a> {
    store: &'a mut dyn Store,
    trainer: &'a dyn Trainer,
    observer: &'a dyn Observer,
    tracker: &'a mut Tracker,
    stop: &'a StopToken,
    abort: Arc<AtomicBool>,
    /// The first thing that went wrong.
    failure: Option<StudyError>,
    running: BTreeMap<u64, (TrialSpec, Arc<Reins>)>,
    beat: Instant,
}

impl Coordinator<'_> {
    fn leaving(&self) -> bool {
        self.failure.is_some() || self.stop.is_stopped()
    }

    fn fail(&mut self, failure: impl Into<StudyError>) {
        self.abort.store(true, Ordering::SeqCst);
        self.failure.get_or_insert(failure.into());
    }

    fn start(&mut self, spec: TrialSpec, race: &Race, jobs: &mpsc::Sender<Job>) {
        match self.store.claim(spec.id, &worker_name()) {
            Ok(true) => {}
            // Somebody else took it.
            Ok(false) => return,
            Err(error) => return self.fail(error),
        }
        self.observer.observe(StudyEvent::TrialStarted(&spec));
        let reins = Arc::new(Reins {
            stop: self.stop.clone(),
            abort: self.abort.clone(),
            bound: AtomicU64::new(bound(race, &spec)),
        });
        self.running.insert(spec.id, (spec.clone(), reins.clone()));
        if jobs.send(Job { spec, reins }).is_err() {
            self.running.clear();
            self.fail(StudyError::Bug("the workers are gone".to_owned()));
        }
    }

    fn take(&mut self, (spec, answer): Answer, race: &mut Race) {
        self.running.remove(&spec.id);
        let record = match answer {
            Ok(record) => audit(&spec, record),
            // The disk's fault, not the trial's.
            Err(source @ TrainerError::File { .. }) => {
                if let Err(error) = self.store.release(spec.id) {
                    self.fail(error);
                }
                return self.fail(StudyError::Trainer {
                    trial: spec.id,
                    source,
                });
            }
            Err(error) => failed(&spec, error.to_string()),
        };
        if record.outcome == Outcome::Interrupted {
            if self.leaving() {
                if let Err(error) = self.store.release(spec.id) {
                    self.fail(error);
                }
                return;
            }
            let why = "the trainer stopped without being asked to".to_owned();
            return self.commit(failed(&spec, why), race);
        }
        self.commit(record, race);
    }

    fn commit(&mut self, record: TrialRecord, race: &mut Race) {
        // Tried even while leaving: what is finished is worth a try at storing it.
        if let Err(error) = self.store.finish(&record) {
            return self.fail(error);
        }
        self.trainer.forget(&record.spec);
        enter(race, &record);
        for (spec, reins) in self.running.values() {
            reins.bound.fetch_min(bound(race, spec), Ordering::Relaxed);
        }
        self.tracker.finished(&record);
        self.observer.observe(StudyEvent::TrialFinished(&record));
        self.observer
            .observe(StudyEvent::Progress(self.tracker.progress()));
    }

    fn beat(&mut self) {
        if self.beat.elapsed() >= HEARTBEAT {
            self.beat = Instant::now();
            if let Err(error) = self.store.heartbeat(&worker_name()) {
                self.fail(error);
            }
        }
    }

    fn complete(&self, numbers: &[u64]) -> Result<bool, StudyError> {
        let trials = self.store.trials()?;
        Ok(numbers.iter().all(|&id| {
            trials
                .get(id as usize)
                .is_some_and(|t| matches!(t.state, TrialState::Finished(_)))
        }))
    }
}

fn worker_name() -> String {
    format!("process {}", std::process::id())
}

/// A worker's life.
fn work(
    trainer: &dyn Trainer,
    observer: &dyn Observer,
    jobs: &Mutex<mpsc::Receiver<Job>>,
    answers: &mpsc::Sender<Answer>,
) {
    loop {
        // The lock is held only while waiting: whoever holds it takes the next job.
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_) => return,
        };
        let Ok(Job { spec, reins }) = job else { return };
        let mut report = |event: Event| observer.observe(StudyEvent::Trial(&spec, &event));
        let answer = catch_unwind(AssertUnwindSafe(|| {
            trainer.run(&spec, &*reins, &mut report)
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

fn failed(spec: &TrialSpec, why: String) -> TrialRecord {
    let micro_batch = spec.micro_batch.unwrap_or(spec.batch_size);
    TrialRecord {
        spec: spec.clone(),
        outcome: Outcome::Failed { why },
        measurements: Vec::new(),
        micro_batch,
        seconds: 0.0,
        notes: Vec::new(),
    }
}

/// A record as the study takes it: of the trial that was asked for, with an end that trial can
/// have. Trainers may be anybody's program.
fn audit(spec: &TrialSpec, record: TrialRecord) -> TrialRecord {
    let raced_alone = !matches!(spec.purpose, TrialPurpose::Tune { .. });
    let fault = match record.outcome {
        Outcome::Reached { step, after } if step == 0 || step > spec.cap || after >= step => Some(
            format!("reached in ({after}, {step}] of {} steps", spec.cap),
        ),
        Outcome::Reached { .. } if spec.target.is_none() => {
            Some("reached a target it was not given".to_owned())
        }
        Outcome::NotReached { cap } if cap != spec.cap || spec.target.is_none() => {
            Some(format!("not reached by {cap}, but the cap is {}", spec.cap))
        }
        Outcome::Completed { step } if step != spec.cap || spec.target.is_some() => {
            Some(format!("completed {step} steps of {}", spec.cap))
        }
        Outcome::Diverged { step } if step > spec.cap => {
            Some(format!("diverged at {step}, beyond the cap {}", spec.cap))
        }
        Outcome::Raced { .. } if raced_alone => Some("raced, but it ran in no race".to_owned()),
        _ => None,
    };
    let measured = &record.measurements;
    let fault = fault.or_else(|| {
        if !measured.windows(2).all(|w| w[0].step <= w[1].step) {
            Some("its measurements are out of order".to_owned())
        } else if measured
            .iter()
            .any(|m| m.step > spec.cap || m.examples > MOST_EXAMPLES)
        {
            Some("it was measured beyond its cap".to_owned())
        } else if record.micro_batch > spec.batch_size {
            Some(format!(
                "micro-batches of {} in a batch of {}",
                record.micro_batch, spec.batch_size
            ))
        } else {
            None
        }
    });
    match fault {
        Some(fault) => failed(
            spec,
            format!("the trainer's record makes no sense: {fault}"),
        ),
        None => TrialRecord {
            spec: spec.clone(),
            ..record
        },
    }
}
