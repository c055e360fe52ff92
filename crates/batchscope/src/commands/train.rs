//! `batchscope train`: one configuration, from start to target or cap.

use std::sync::Mutex;

use batchscope_core::{
    Cadence, Diagnostic, Estimate, EvaluationPlan, Event, Length, Measurement, NoiseRecord,
    Outcome, Trainer, TrialPurpose, TrialRecord, TrialSpec, check_untrained,
};
use batchscope_report::format::{count, duration, exact, fixed, number};
use batchscope_rules::{Course, controller, steps_in, steps_to_draw};
use batchscope_scaling::noise::NoiseTrajectory;
use batchscope_train::SingleRun;

use super::{folded, print, print_json, width};
use crate::{
    args::TrainArgs,
    error::CliError,
    files::{CHECKPOINT, work_alone},
    lengths,
    progress::Display,
    resolve,
    settings::{RunArgs, Workload},
    signals::Signals,
    trainers::built_in,
    values::Switch,
};

/// Epochs when no length is given.
const DEFAULT_EPOCHS: f64 = 5.0;
/// Batch size when none is given: the pilot's of a study.
const DEFAULT_BATCH: u64 = 64;

/// Coverage of the noise scale's intervals.
const LEVEL: f64 = 0.95;

/// Runs the command.
pub fn run(args: TrainArgs, quiet: bool) -> Result<(), CliError> {
    let data = resolve::workload_data(&args.workload)?;
    let spec = spec(&args.workload, &args.run, data.train.len())?;
    let trainer = built_in(&args.workload, &data)?;
    trainer.check(&spec).map_err(CliError::trainer)?;
    check_untrained(&trainer, &spec).map_err(CliError::trainer)?;
    let signals = Signals::listen()?;
    let folder = args.checkpoint.as_deref();
    let checkpoint = folder.map(|folder| folder.join(CHECKPOINT));
    let _lock = folder
        .map(|folder| work_alone(folder, CHECKPOINT))
        .transpose()?;
    let single = SingleRun {
        cadence: args
            .run
            .evaluate_every
            .map_or(Cadence::Planned, Cadence::Every),
        resume: checkpoint.clone().filter(|path| path.exists()),
        checkpoint,
    };
    let display = Display::new(quiet);
    for note in &data.notes {
        display.line(&format!("note: {note}"));
    }
    if spec.controller.is_none() {
        let n = Some(data.train.len());
        for remark in lengths::remarks(&spec.schedule, spec.batch_size, n, spec.cap) {
            display.line(&format!("note: {remark}"));
        }
    }
    let last = Mutex::new(String::new());
    let record = trainer
        .train_once(&spec, &single, &signals, &mut |event| match event {
            Event::Started { step: 0 } => {}
            Event::Started { step } => display.line(&format!("resumed after step {step}")),
            Event::Step {
                step,
                loss,
                learning_rate,
            } => {
                let last = last
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let message = format!(
                    "step {step}  loss {}  rate {}  {last}",
                    fixed(loss),
                    number(learning_rate)
                );
                display.show(step as f64 / spec.cap as f64, &message);
            }
            Event::Measured(m) if !m.finer => {
                let text = measured(&m);
                display.line(&format!(
                    "step {:>7}  epoch {:>7}  {text}",
                    count(m.step),
                    number(m.examples as f64 / data.train.len() as f64)
                ));
                *last
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = text;
            }
            Event::Measured(_) | Event::Checkpointed { .. } => {}
        })
        .map_err(CliError::trainer);
    display.finish();
    let record = record?;
    if let (Outcome::Interrupted, Some(signal)) = (&record.outcome, signals.raised()) {
        let (left, resume) = match &args.checkpoint {
            Some(_) => ("the run is saved", "the same command"),
            None => (
                "the run was not saved",
                "nothing: it starts anew; with --checkpoint DIR it would be saved",
            ),
        };
        return Err(CliError::Interrupted {
            signal,
            left,
            resume: resume.to_owned(),
        });
    }
    if args.json {
        print_json(&record)?;
    }
    if let Outcome::Infeasible { why } | Outcome::Failed { why } = &record.outcome {
        return Err(CliError::failed(why));
    }
    if args.json {
        return Ok(());
    }
    let text = summary(&record) + &noise(&record, data.train.len());
    print(&folded(&text, width(), 2))
}

/// The run that was asked for, checked.
pub fn spec(w: &Workload, run: &RunArgs, train_examples: u64) -> Result<TrialSpec, CliError> {
    let batch_size = run.batch_size.unwrap_or(DEFAULT_BATCH);
    if batch_size > train_examples {
        return Err(CliError::flag(
            "batch-size",
            format!("{batch_size} is larger than the training set ({train_examples} examples)"),
        ));
    }
    let learning_rate = run.learning_rate.unwrap_or(w.optimizer.rates().usual);
    let schedule = resolve::schedule(&w.step, Length::Steps(0));
    let cap = match (run.steps, run.controller()) {
        (Some(steps), _) => steps,
        (None, None) => {
            let length = Length::Epochs(run.epochs.unwrap_or(DEFAULT_EPOCHS));
            steps_in(length, batch_size, Some(train_examples))
                .map_err(|e| CliError::flag("epochs", e))?
        }
        // An epoch is a pass over the examples, in however many steps.
        (None, Some(choice)) => {
            let course = Course {
                schedule: &schedule,
                learning_rate,
                batch_size,
                train_examples: Some(train_examples),
            };
            let led =
                controller(Some(&choice), &course).map_err(|e| CliError::flag("controller", e))?;
            let epochs = run.epochs.unwrap_or(DEFAULT_EPOCHS);
            steps_to_draw(&*led, (epochs * train_examples as f64).ceil() as u64)
        }
    };
    let examples = w
        .measure
        .eval_examples
        .unwrap_or(EvaluationPlan::default().examples);
    Ok(TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: w.compute.micro_batch,
        learning_rate,
        schedule,
        optimizer: resolve::optimizer(&w.optimizer)?,
        methods: w.step.methods(),
        controller: run.controller(),
        clip: w.optimizer.clip,
        decay: w.optimizer.weight_decay_on.unwrap_or_default(),
        study_seed: w.compute.seed.unwrap_or(0),
        seed: 0,
        cap: cap.max(1),
        target: run.target.clone(),
        evaluation: EvaluationPlan {
            examples,
            ..EvaluationPlan::default()
        },
        diagnostics: match w.measure.noise {
            Some(Switch(false)) => Vec::new(),
            _ => vec![Diagnostic::Noise],
        },
    })
}

fn measured(m: &Measurement) -> String {
    let metrics: Vec<String> = m
        .metrics
        .iter()
        .map(|(metric, value)| format!("{metric} {}", fixed(*value)))
        .collect();
    metrics.join("  ")
}

/// The noise scale along the run, if it was watched.
fn noise(record: &TrialRecord, train_examples: u64) -> String {
    let runs = [record.measurements.as_slice()];
    // A batch that grows ends at its last size.
    let of = |m: &Measurement| match &m.noise {
        Some(NoiseRecord::Measured(moments)) => Some(moments.batch_size),
        _ => None,
    };
    let last = record.measurements.iter().rev().find_map(of);
    let batch_size = last.unwrap_or(record.spec.batch_size);
    let course = NoiseTrajectory::new(batch_size, &runs, Some(train_examples), LEVEL);
    let Some(course) = course else {
        return String::new();
    };
    let why = |e: &Estimate| e.reason.clone().unwrap_or_default();
    match (course.population.value, course.course.last()) {
        (None, _) | (_, None) => {
            format!(
                "gradient noise scale: undefined: {}\n",
                why(&course.population)
            )
        }
        (Some(average), Some(last)) => format!(
            "gradient noise scale: {} examples on average over the run, {} at its end\n",
            number(average),
            last.population
        ),
    }
}

fn summary(record: &TrialRecord) -> String {
    let spec = &record.spec;
    // Between two evaluations in proportion to the steps: a controller may change the batch size.
    let examples = |step: u64| {
        let after = record.measurements.partition_point(|m| m.step < step);
        let Some(high) = record.measurements.get(after) else {
            return step * spec.batch_size;
        };
        let low = after.checked_sub(1).map(|i| &record.measurements[i]);
        let (from, seen) = low.map_or((0, 0), |m| (m.step, m.examples));
        let part = (step - from) as f64 / (high.step - from).max(1) as f64;
        seen + (part * high.examples.saturating_sub(seen) as f64).round() as u64
    };
    let end = match &record.outcome {
        Outcome::Reached {
            step,
            after,
            located,
        } => {
            let trained = located.map_or(*step, |at| at.found);
            format!(
                "reached {} in {step} steps ({} examples), by one standard error after step {after}; trained to step {trained}",
                spec.target
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                examples(*step)
            )
        }
        Outcome::NotReached { cap } => format!("target not reached within {cap} steps"),
        Outcome::Completed { step } => {
            format!("trained {step} steps ({} examples)", examples(*step))
        }
        Outcome::Diverged { step } => {
            format!("diverged at step {step}: try a lower learning rate or a warm-up")
        }
        Outcome::Infeasible { why } => format!("cannot be run: {why}"),
        Outcome::Failed { why } => format!("failed: {why}"),
        Outcome::Raced { at } => format!("stopped at step {at}"),
        Outcome::Interrupted => "interrupted".to_owned(),
    };
    let last = record.measurements.last().map(measured).unwrap_or_default();
    let micro = match record.micro_batch {
        m if m < spec.batch_size => format!(", micro-batch {m}"),
        _ => String::new(),
    };
    let mut text = format!(
        "{end}\n{last}\nbatch size {}{micro}, learning rate {}, {} of training\n",
        spec.batch_size,
        exact(spec.learning_rate),
        duration(record.seconds)
    );
    for note in &record.notes {
        text += &format!("note: {note}\n");
    }
    text
}
