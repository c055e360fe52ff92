//! The side that tries: a process that may die of it. It reads requests from standard input, a line each, and answers on
//! standard output, a line each, until its input ends.

use std::{
    io::{BufRead, Write},
    os::unix::process::CommandExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use batchscope_core::{
    Control, Diagnostic, EvaluationPlan, Event, Flow, Length, Outcome, Trainer, TrialPurpose,
    TrialRecord, TrialSpec,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{
    args::MemoryArgs,
    error::CliError,
    machine, resolve,
    settings::StudySettings,
    signals::Signals,
    trainers::{Trainers, takes},
    values::Bytes,
};

/// What is known before anything is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The model, or the program.
    pub model: String,
    /// The data.
    pub data: String,
    /// Where it computes.
    pub device: String,
    /// Training examples, where they are known.
    pub train_examples: Option<u64>,
    /// Micro-batches of a larger batch are multiples of this.
    pub multiple: u64,
    /// Larger batches can be cut into micro-batches.
    pub accumulates: bool,
    /// The largest micro-batch by counting, where that is known.
    pub counted: Option<u64>,
    /// A program of somebody's trains.
    pub is_a_program: bool,
    /// What was taken for granted.
    pub notes: Vec<String>,
}

/// A size to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Examples of a step.
    pub batch_size: u64,
    /// Examples at a time.
    pub micro_batch: u64,
    /// Save a checkpoint too, where the trainer does.
    pub saves: bool,
}

impl Request {
    /// Steps of so many examples in one pass.
    pub fn whole(size: u64) -> Self {
        Self {
            batch_size: size,
            micro_batch: size,
            saves: false,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Whole steps were made, evaluated or saved.
    Ran {
        /// Seconds of single steps, the first two left out, of a program the first; of none where they are not reported
        /// one by one.
        seconds: Vec<f64>,
        /// The most memory that was resident, in bytes, where that is known.
        peak: Option<u64>,
    },
    /// Memory ran out.
    DoesNotFit {
        /// As it was told.
        why: String,
    },
    /// It failed for another reason.
    Failed {
        /// As it was told.
        why: String,
    },
}

/// Steps that a size is tried with at least; of a program, which takes a while to start, more.
const STEPS: u64 = 5;
const STEPS_OF_A_PROGRAM: u64 = 10;
/// A program's steps are told apart by when it reports them: of fewer than so many, or within so many seconds in all, nothing
/// is known of their time.
const TOLD_APART: (usize, f64) = (5, 0.05);
/// So many quick steps are timed at most.
const MOST_STEPS: f64 = 200.0;
/// Examples that are evaluated: as many as go through at a time, so that they take the memory of any evaluation.
const EVALUATED: u64 = batchscope_train::EVALUATION_CHUNK;

/// The limit of this process's address space, if it has one.
pub fn address_space() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Limits the address space, and begins this process again under the limit: memory that was reserved before would not be
/// counted against it.
fn limit_to(bytes: u64) -> Result<(), CliError> {
    if address_space() == Some(bytes) {
        return Ok(());
    }
    let failed =
        |error: std::io::Error| CliError::failed(format!("memory cannot be limited: {error}"));
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::As, limit).map_err(|error| failed(error.into()))?;
    let own = std::env::current_exe().map_err(failed)?;
    let words = std::env::args_os().skip(1);
    Err(failed(std::process::Command::new(own).args(words).exec()))
}

/// Answers requests until there are no more.
pub fn serve(args: &MemoryArgs, folder: &Path, trainers: &Trainers) -> Result<(), CliError> {
    // The kernel takes this process before any other when memory runs out after all.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    if let Some(Bytes(within)) = args.within {
        limit_to(within)?;
    }
    // Whoever asks may be killed: nobody would read the answer.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let signals = Signals::listen()?;
    let settings = args.settings();
    let checkpoints = folder.join("checkpoints");
    let trainer = trainers.open(&settings, Some(&checkpoints))?;
    let info = trainer.info();
    let first = spec(&settings, Request::whole(1), info.own_settings)?;
    trainer.check(&first).map_err(CliError::trainer)?;
    // A note on logs would name a folder that is gone in the end.
    let notes = trainer.notes().into_iter();
    let place = folder.display().to_string();
    answer(&Hello {
        model: info.model,
        data: info.data,
        device: info.device,
        train_examples: info.train_examples,
        multiple: trainer.micro_batch_multiple(),
        accumulates: !info.own_settings || takes(&settings.trainer, "micro_batch"),
        counted: (args.counted).and_then(|bytes| trainer.micro_batch_within(&first, bytes.0)),
        is_a_program: info.own_settings,
        notes: notes.filter(|note| !note.contains(&place)).collect(),
    })?;
    for (id, line) in std::io::stdin().lock().lines().enumerate() {
        let Ok(line) = line else { break };
        let request: Request = serde_json::from_str(&line).map_err(CliError::failed)?;
        let mut spec = spec(&settings, request, info.own_settings)?;
        spec.id = 2 * id as u64;
        let saves = request.saves;
        answer(&tried(trainer.as_ref(), spec, saves, args.budget, &signals))?;
        if signals.raised().is_some() {
            break;
        }
    }
    Ok(())
}

fn answer<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(CliError::failed)?;
    let mut out = std::io::stdout().lock();
    // A library may have printed half a line.
    write!(out, "\n{text}\n")
        .and_then(|()| out.flush())
        .map_err(CliError::failed)
}

/// A few steps at a rate so low that none diverges.
fn spec(
    settings: &StudySettings,
    request: Request,
    is_a_program: bool,
) -> Result<TrialSpec, CliError> {
    let w = &settings.workload;
    Ok(TrialSpec {
        id: 0,
        purpose: TrialPurpose::Tune { index: 0, round: 0 },
        curves: Vec::new(),
        batch_size: request.batch_size,
        micro_batch: Some(request.micro_batch),
        learning_rate: 1e-6,
        schedule: resolve::schedule(&w.step, Length::Steps(0)),
        optimizer: resolve::optimizer(&w.optimizer)?,
        methods: w.step.methods(),
        controller: None,
        clip: w.optimizer.clip,
        decay: w.optimizer.weight_decay_on.unwrap_or_default(),
        study_seed: w.compute.seed.unwrap_or(0),
        seed: 0,
        cap: if is_a_program {
            STEPS_OF_A_PROGRAM
        } else {
            STEPS
        },
        max_examples: None,
        start: None,
        target: None,
        evaluation: EvaluationPlan {
            examples: EVALUATED,
            ..EvaluationPlan::default()
        },
        // As in any run: examples whose gradients are told apart take more.
        diagnostics: match is_a_program {
            true => Vec::new(),
            false => vec![Diagnostic::named(Diagnostic::NOISE)],
        },
    })
}

/// Runs a size, and where its steps are quick once more for their time.
fn tried(
    trainer: &dyn Trainer,
    spec: TrialSpec,
    saves: bool,
    budget: f64,
    signals: &Signals,
) -> Answer {
    // What earlier sizes took says nothing of this one.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let info = trainer.info();
    let mut answer = run(trainer, &spec, saves, signals);
    if let Answer::Ran { seconds, peak } = &mut answer {
        let (fewest, shortest) = TOLD_APART;
        let whole: f64 = seconds.iter().sum();
        if info.own_settings && (seconds.len() < fewest || whole < shortest) {
            seconds.clear();
        }
        let quickest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        if !saves && !seconds.is_empty() && quickest < budget / 4.0 && info.capabilities.times_steps
        {
            let steps = (budget / quickest).min(MOST_STEPS) as u64;
            let longer = TrialSpec {
                id: spec.id + 1,
                cap: spec.cap + steps,
                ..spec.clone()
            };
            match run(trainer, &longer, false, signals) {
                Answer::Ran { seconds: more, .. } => *seconds = more,
                other => return other,
            }
        }
        let resident = || machine::kibibytes("/proc/self/status", "VmHWM");
        *peak = if info.own_settings { None } else { resident() };
    }
    answer
}

/// Asks for a stop once so many steps are done.
struct Stop<'a> {
    signals: &'a Signals,
    done: AtomicBool,
}

impl Control for Stop<'_> {
    fn flow(&self) -> Flow {
        match self.done.load(Relaxed) {
            true => Flow::Interrupt,
            false => self.signals.flow(),
        }
    }
}

fn run(trainer: &dyn Trainer, spec: &TrialSpec, saves: bool, signals: &Signals) -> Answer {
    // The only evaluation is that of the end; a run that is to be saved is interrupted instead.
    let spec = TrialSpec {
        evaluation: EvaluationPlan {
            first: spec.cap,
            ..spec.evaluation
        },
        cap: if saves { spec.cap + 1 } else { spec.cap },
        ..spec.clone()
    };
    let stop = Stop {
        signals,
        done: AtomicBool::new(false),
    };
    let steps: Mutex<Vec<(u64, Instant)>> = Mutex::new(Vec::new());
    let record = trainer.run(&spec, &stop, &mut |event| {
        if let Event::Step { step, .. } = event {
            let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
            steps.push((step, Instant::now()));
            stop.done.store(saves && step >= spec.cap - 1, Relaxed);
        }
    });
    trainer.forget(&spec);
    let steps = steps.into_inner().unwrap_or_else(PoisonError::into_inner);
    // In the second step too memory is touched for the first time: it took twice as long at a size that was new.
    // How a program begins is not known.
    let cold = usize::from(!trainer.info().own_settings);
    let pairs = steps
        .windows(2)
        .skip(cold)
        .filter(|pair| pair[1].0 > pair[0].0);
    let seconds = pairs.map(|pair| {
        let apart = pair[1].1.duration_since(pair[0].1).as_secs_f64();
        apart / (pair[1].0 - pair[0].0) as f64
    });
    match record {
        Ok(record) if steps.is_empty() => match judged(&record, &spec, saves, Vec::new()) {
            Answer::Ran { .. } => Answer::Failed {
                why: "it made no step".to_owned(),
            },
            other => other,
        },
        Ok(record) => judged(&record, &spec, saves, seconds.collect()),
        Err(error) => Answer::Failed {
            why: error.to_string(),
        },
    }
}

fn judged(record: &TrialRecord, spec: &TrialSpec, saves: bool, seconds: Vec<f64>) -> Answer {
    match &record.outcome {
        Outcome::Infeasible { why } => Answer::DoesNotFit { why: why.clone() },
        Outcome::Failed { why } if batchscope_command::out_of_memory(why).is_some() => {
            Answer::DoesNotFit { why: why.clone() }
        }
        Outcome::Failed { why } => Answer::Failed { why: why.clone() },
        Outcome::Interrupted if !saves => Answer::Failed {
            why: "it was interrupted".to_owned(),
        },
        Outcome::Diverged { step } => Answer::Failed {
            why: format!("it diverged by step {step}"),
        },
        _ if Some(record.micro_batch) != spec.micro_batch => Answer::Failed {
            why: format!(
                "micro-batches of {} were used where {} were asked for",
                record.micro_batch,
                spec.micro_batch.unwrap_or(0)
            ),
        },
        _ => Answer::Ran {
            seconds,
            peak: None,
        },
    }
}
