//! `batchscope train`: one configuration, from start to target or cap.

use std::sync::Mutex;

use batchscope_core::{
    Cadence, Choice, Decision, Diagnostic, EvaluationPlan, Event, Length, Measurement, NoiseRecord,
    Outcome, Trainer, TrialPurpose, TrialRecord, TrialSpec, check_untrained,
};
use batchscope_report::format::{count, duration, exact, fixed, number};
use batchscope_rules::{Course, controller, finds_rate, length_of_run, read_rows, steps_in};
use batchscope_scaling::noise::NoiseTrajectory;
use batchscope_train::SingleRun;

use super::{folded, print, print_json, width};
use crate::{
    args::TrainArgs,
    error::CliError,
    files::{CHECKPOINT, work_alone},
    lengths,
    progress::Display,
    resolve, schedule_table,
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
    let mut spec = spec(&args.workload, &args.run, data.train.len())?;
    let writes = args.write_schedule.as_ref();
    spec.diagnostics
        .extend(writes.map(|_| Diagnostic::named(Diagnostic::SCHEDULE)));
    spec.diagnostics
        .extend(args.l1.then_some(Diagnostic::named(Diagnostic::SIGN_NOISE)));
    spec.diagnostics
        .extend(args.workload.measure.measurements());
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
        keep: args.keep.clone(),
    };
    if let Some(step) = args.keep.iter().find(|&&step| step > spec.cap) {
        let why = format!("step {step} is beyond the run's {} steps", spec.cap);
        return Err(CliError::flag("keep", why));
    }
    let display = Display::new(quiet);
    for note in &data.notes {
        display.line(&format!("note: {note}"));
    }
    for remark in remarks(&spec, data.train.len()) {
        display.line(&format!("note: {remark}"));
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
            Event::Decided(decision) => display.line(&format!("from step {}", decided(&decision))),
            Event::Measured(_) | Event::Checkpointed { .. } => {}
        })
        .map_err(CliError::trainer);
    display.finish();
    let record = record?;
    if let (Outcome::Interrupted, Some(signal)) = (&record.outcome, signals.raised()) {
        return Err(CliError::run_interrupted(signal, args.checkpoint.is_some()));
    }
    for step in &args.keep {
        let file = folder.map(|folder| batchscope_train::kept(&folder.join(CHECKPOINT), *step));
        if file.is_some_and(|file| !file.exists()) {
            display.line(&format!(
                "note: no checkpoint of step {step} was kept: the run was past it already, or ended before"
            ));
        }
    }
    if let Some(path) = &args.write_schedule {
        schedule_table::write(path, &record.schedule)?;
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
    let text = summary(&record) + &noise(&record, Some(data.train.len()), "examples");
    print(&folded(&text, width(), 2))
}

/// The run that was asked for, checked.
pub fn spec(w: &Workload, run: &RunArgs, train_examples: u64) -> Result<TrialSpec, CliError> {
    let controller = run.controller();
    let (batch_size, learning_rate) = begun_with(w, run, controller.as_ref())?;
    if batch_size > train_examples {
        return Err(CliError::flag(
            "batch-size",
            format!("{batch_size} is larger than the training set ({train_examples} examples)"),
        ));
    }
    let examples = w
        .measure
        .eval_examples
        .unwrap_or(EvaluationPlan::default().examples);
    let mut spec = TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: w.compute.micro_batch,
        learning_rate,
        schedule: resolve::schedule(&w.step, Length::Steps(0)),
        optimizer: resolve::optimizer(&w.optimizer)?,
        methods: w.step.methods(),
        controller,
        clip: w.optimizer.clip,
        decay: w.optimizer.weight_decay_on.unwrap_or_default(),
        study_seed: w.compute.seed.unwrap_or(0),
        seed: 0,
        cap: 1,
        max_examples: None,
        start: None,
        target: run.target.clone(),
        evaluation: EvaluationPlan {
            examples,
            ..EvaluationPlan::default()
        },
        diagnostics: match w.measure.noise {
            Some(Switch(false)) => Vec::new(),
            _ => vec![Diagnostic::named(Diagnostic::NOISE)],
        },
    };
    set_length(&mut spec, run, train_examples)?;
    Ok(spec)
}

/// The batch size and the full learning rate. A controller may find the rate itself, and a table says both.
fn begun_with(
    w: &Workload,
    run: &RunArgs,
    controller: Option<&Choice>,
) -> Result<(u64, f64), CliError> {
    let batch_size = run.batch_size.unwrap_or(DEFAULT_BATCH);
    let Some(choice) = controller.filter(|choice| finds_rate(choice)) else {
        let usual = || w.optimizer.rates().usual;
        return Ok((batch_size, run.learning_rate.unwrap_or_else(usual)));
    };
    if run.learning_rate.is_some() {
        let why = format!(
            "has no effect: {} sets the rate of every step",
            choice.name()
        );
        return Err(CliError::flag("learning-rate", why));
    }
    let Some(rows) = choice.text("rows") else {
        return Ok((batch_size, choice.number("max").unwrap_or(1.0)));
    };
    let rows = read_rows(rows).map_err(|e| CliError::flag("controller", e))?;
    let highest = rows.iter().map(|row| row.learning_rate).fold(0.0, f64::max);
    if highest == 0.0 {
        let why = "the table's learning rates are all 0: nothing would be learned";
        return Err(CliError::flag("controller", why));
    }
    Ok((run.batch_size.unwrap_or(rows[0].batch_size), highest))
}

/// Sets the steps that a run has at most: those asked for, or those that pass through the examples so many times.
fn set_length(spec: &mut TrialSpec, run: &RunArgs, train_examples: u64) -> Result<(), CliError> {
    let epochs = run.epochs.unwrap_or(DEFAULT_EPOCHS);
    let steps = match (run.steps, &spec.controller) {
        (Some(steps), _) => steps,
        (None, None) => steps_in(
            Length::Epochs(epochs),
            spec.batch_size,
            Some(train_examples),
        )
        .map_err(|e| CliError::flag("epochs", e))?,
        // An epoch is a pass over the examples, in however many steps.
        (None, Some(choice)) => {
            let course = Course::of(spec, Some(train_examples));
            let led =
                controller(Some(choice), &course).map_err(|e| CliError::flag("controller", e))?;
            let examples = (epochs * train_examples as f64).ceil() as u64;
            let (steps, max_examples) = length_of_run(&*led, examples);
            spec.max_examples = max_examples;
            steps
        }
    };
    spec.cap = steps.max(1);
    Ok(())
}

/// Where the run's length and its schedule do not go together. AdaScale passes through its schedule at its own pace.
fn remarks(spec: &TrialSpec, train_examples: u64) -> Vec<String> {
    let steps = match &spec.controller {
        None => spec.cap,
        Some(choice) if choice.name() == "adascale" => return Vec::new(),
        Some(choice) => {
            let course = Course::of(spec, Some(train_examples));
            let drawn = || {
                Some(
                    controller(Some(choice), &course)
                        .ok()?
                        .at(spec.cap)
                        .batch
                        .first_draw,
                )
            };
            let Some(examples) = spec.max_examples.or_else(drawn) else {
                return Vec::new();
            };
            examples / spec.batch_size
        }
    };
    lengths::remarks(&spec.schedule, spec.batch_size, Some(train_examples), steps)
}

/// What was decided: `640: batch 64, rate 0.1 (the schedule's mark at 2ep: the batch grows)`.
fn decided(decision: &Decision) -> String {
    format!(
        "{}: batch {}, rate {} ({})",
        count(decision.step),
        count(decision.batch_size),
        number(decision.learning_rate),
        decision.why
    )
}

/// The metrics of an evaluation.
pub fn measured(m: &Measurement) -> String {
    let metrics: Vec<String> = m
        .metrics
        .iter()
        .map(|(metric, value)| format!("{metric} {}", fixed(*value)))
        .collect();
    metrics.join("  ")
}

/// The noise scale along the run, if it was watched, in units of what a batch counts.
pub(super) fn noise(record: &TrialRecord, train_examples: Option<u64>, units: &str) -> String {
    let runs = [record.measurements.as_slice()];
    // A batch that grows ends at its last size.
    let of = |m: &Measurement| match &m.noise {
        Some(NoiseRecord::Measured(moments)) => Some(moments.batch_size),
        _ => None,
    };
    let last = record.measurements.iter().rev().find_map(of);
    let batch_size = last.unwrap_or(record.spec.batch_size);
    let course = NoiseTrajectory::new(batch_size, &runs, train_examples, LEVEL);
    let Some(course) = course else {
        return String::new();
    };
    let average = &course.population;
    if average.value.is_none() {
        let why = average.reason.as_deref().unwrap_or_default();
        return format!("gradient noise scale: undefined: {why}\n");
    }
    let over = match batch_size == record.spec.batch_size {
        true => "the run".to_owned(),
        false => format!("the steps of {batch_size}"),
    };
    let end = match course.course.last() {
        Some(last) => format!(", {} at its end", last.population),
        None => String::new(),
    };
    format!("gradient noise scale: {average} {units} on average over {over}{end}\n")
}

fn summary(record: &TrialRecord) -> String {
    let spec = &record.spec;
    let examples = |step: u64| record.examples_at(step).round() as u64;
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
    let rate = match &spec.controller {
        Some(choice) if finds_rate(choice) => format!("by {}", choice.name()),
        _ => exact(spec.learning_rate),
    };
    let mut text = format!(
        "{end}\n{last}\nbatch size {}{micro}, learning rate {rate}, {} of training\n",
        spec.batch_size,
        duration(record.seconds)
    );
    for decision in &record.decisions {
        text += &format!("from step {}\n", decided(decision));
    }
    for note in &record.notes {
        text += &format!("note: {note}\n");
    }
    text
}
