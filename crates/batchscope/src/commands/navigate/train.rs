//! `batchscope navigate train`.

use std::sync::Mutex;

use batchscope_core::{
    Cadence, Decay, Diagnostic, EvaluationPlan, Event, Length, Measurement, Metric, NoiseRecord,
    Outcome, Schedule, Split, Trainer, TrialPurpose, TrialRecord, TrialSpec, WarmUp, WarmUpShape,
    check_untrained,
};
use batchscope_navigation::{
    NavigationSettings, NavigationTrainer, SUCCESS, SingleNavigation, metric,
    published_learning_rate,
};
use batchscope_optim::OPTIMIZERS;
use batchscope_report::format::{count, duration, fixed, number, percent};

use super::workload;
use crate::{
    args::NavigateTrain,
    commands::{
        folded, print, print_json,
        train::{measured, noise},
        width,
    },
    error::CliError,
    files::{CHECKPOINT, work_alone},
    progress::Display,
    resolve,
    signals::Signals,
    values::Switch,
};

/// Frames of an update when nothing is said.
const BATCH_SIZE: u64 = 512;
/// Frames of a run when nothing is said.
const FRAMES: u64 = 200_000;
/// The optimizer when nothing is said: as published, but for Lamb's ratio of weights to update.
const OPTIMIZER: &str = "adamw(weight_decay=0.01)";
/// Largest norm of a gradient when nothing is said, as published.
const CLIP: f64 = 1.0;
/// Coverage of intervals.
const LEVEL: f64 = 0.95;

/// Runs the command.
pub fn run(args: &NavigateTrain, quiet: bool) -> Result<(), CliError> {
    let (settings, written) = workload(args.workload.as_deref())?;
    let spec = spec(args, &settings)?;
    let trainer = NavigationTrainer::new(settings, written, None).map_err(CliError::trainer)?;
    trainer.check(&spec).map_err(CliError::trainer)?;
    check_untrained(&trainer, &spec).map_err(CliError::trainer)?;
    let signals = Signals::listen()?;
    let checkpoint = args
        .checkpoint
        .as_deref()
        .map(|folder| folder.join(CHECKPOINT));
    let _lock = (args.checkpoint.as_deref())
        .map(|folder| work_alone(folder, CHECKPOINT))
        .transpose()?;
    let single = SingleNavigation {
        cadence: args.evaluate_every.map_or(Cadence::Planned, Cadence::Every),
        resume: checkpoint.clone().filter(|path| path.exists()),
        checkpoint,
    };
    let display = Display::new(quiet);
    for note in notes(args, &spec, &trainer) {
        display.line(&format!("note: {note}"));
    }
    let record = trained(&trainer, &spec, &single, &signals, &display);
    display.finish();
    let record = record?;
    if let (Outcome::Interrupted, Some(signal)) = (&record.outcome, signals.raised()) {
        return Err(CliError::run_interrupted(signal, args.checkpoint.is_some()));
    }
    if args.json {
        return print_json(&record);
    }
    print(&folded(&summary(&record, trainer.settings()), width(), 2))
}

fn trained(
    trainer: &NavigationTrainer,
    spec: &TrialSpec,
    single: &SingleNavigation,
    signals: &Signals,
    display: &Display,
) -> Result<TrialRecord, CliError> {
    let last = Mutex::new(String::new());
    let locked = || {
        last.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let mut seen = |event| match event {
        Event::Started { step } if step > 0 => {
            display.line(&format!("resumed after update {}", count(step)));
        }
        Event::Step {
            step,
            loss,
            learning_rate,
        } => {
            let message = format!(
                "update {step}  loss {}  rate {}  {}",
                fixed(loss),
                number(learning_rate),
                locked()
            );
            display.show(step as f64 / spec.cap as f64, &message);
        }
        Event::Measured(m) if !m.finer => {
            let text = measured(&m);
            let (step, frames) = (count(m.step), count(m.examples));
            display.line(&format!("update {step:>7}  frames {frames:>10}  {text}"));
            *locked() = text;
        }
        _ => {}
    };
    (trainer.train_once(spec, single, signals, &mut seen)).map_err(CliError::trainer)
}

/// The run that was asked for.
fn spec(args: &NavigateTrain, settings: &NavigationSettings) -> Result<TrialSpec, CliError> {
    let batch_size = args.batch_size.unwrap_or(BATCH_SIZE);
    let steps = match (args.steps, args.frames) {
        (Some(steps), _) => steps,
        // To the end of a rollout, from where a longer run can go on.
        (None, frames) => {
            let steps = frames.unwrap_or(FRAMES).div_ceil(batch_size);
            steps.next_multiple_of(settings.ppo.mini_batches as u64)
        }
    };
    let mut optimizer = args.optimizer.clone();
    if optimizer.optimizer.is_none() {
        let published = OPTIMIZER.parse().map_err(CliError::failed)?;
        optimizer.optimizer = Some(published);
    }
    let learning_rate = args
        .learning_rate
        .unwrap_or_else(|| published_learning_rate(batch_size));
    let noise = !matches!(args.noise, Some(Switch(false)));
    Ok(TrialSpec {
        id: 0,
        purpose: TrialPurpose::Single,
        curves: Vec::new(),
        batch_size,
        micro_batch: args.micro_batch,
        learning_rate,
        schedule: schedule(args, steps, learning_rate),
        optimizer: resolve::optimizer(&optimizer)?,
        methods: Vec::new(),
        controller: None,
        clip: Some(args.optimizer.clip.unwrap_or(CLIP)),
        decay: args.optimizer.weight_decay_on.unwrap_or_default(),
        start: None,
        study_seed: args.seed,
        seed: 0,
        cap: steps,
        max_examples: None,
        target: args.target.clone(),
        evaluation: EvaluationPlan {
            examples: settings.episodes,
            ..EvaluationPlan::default()
        },
        diagnostics: noise
            .then(|| Diagnostic::named(Diagnostic::NOISE))
            .into_iter()
            .collect(),
    })
}

/// As asked; where nothing is, the published one: from half of the rate over a hundredth of the run, then along a cosine down to
/// a hundredth of it.
fn schedule(args: &NavigateTrain, steps: u64, learning_rate: f64) -> Schedule {
    let is_published = args.schedule.is_none() && args.warm_up.is_none();
    let length = match args.warm_up {
        Some(length) => length,
        None if is_published => Length::Steps(steps / 100),
        None => Length::Steps(0),
    };
    let decay = match &args.schedule {
        Some(asked) => asked.0.clone(),
        None => Decay::Cosine {
            // There are no epochs: a length in them is refused when the schedule is checked.
            over: Length::Steps(steps.saturating_sub(length.in_steps(1, 1)).max(1)),
            floor: 0.01,
        },
    };
    Schedule {
        warm_up: WarmUp {
            length,
            shape: if is_published {
                WarmUpShape::Gradual
            } else {
                WarmUpShape::Linear
            },
        },
        decay,
        base_learning_rate: is_published.then_some(0.5 * learning_rate),
    }
}

/// What was taken for granted.
fn notes(args: &NavigateTrain, spec: &TrialSpec, trainer: &NavigationTrainer) -> Vec<String> {
    let settings = trainer.settings();
    let environments = settings.environments(spec.batch_size).unwrap_or_default();
    let mut notes = vec![format!(
        "{}; {environments} environments, updates of {} frames, {} updates",
        settings.data(),
        count(spec.batch_size),
        count(spec.cap)
    )];
    if args.learning_rate.is_none() {
        notes.push(format!(
            "learning rate {}, as Shacklett et al. 2021 scale it with the batch size",
            number(spec.learning_rate)
        ));
    }
    if args.optimizer.optimizer.is_none()
        && let Ok((kind, _)) = OPTIMIZERS.check(&spec.optimizer)
    {
        notes.push(format!(
            "optimizer {}",
            kind.descriptor.shortest(&spec.optimizer)
        ));
    }
    notes
}

fn summary(record: &TrialRecord, settings: &NavigationSettings) -> String {
    let spec = &record.spec;
    let frames = |step: u64| count(step * spec.batch_size);
    let end = match &record.outcome {
        Outcome::Reached { step, .. } => {
            let target = spec
                .target
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            format!(
                "reached {target} in {} updates ({} frames)",
                count(*step),
                frames(*step)
            )
        }
        Outcome::NotReached { cap } => {
            format!(
                "target not reached within {} updates ({} frames)",
                count(*cap),
                frames(*cap)
            )
        }
        Outcome::Completed { step } => {
            format!(
                "trained {} updates ({} frames)",
                count(*step),
                frames(*step)
            )
        }
        Outcome::Diverged { step } => {
            format!("diverged at update {step}: try a lower learning rate or a warm-up")
        }
        other => format!("ended: {}", other.name()),
    };
    let last = record.measurements.last();
    let mut text = format!("{end}\n");
    if let Some(last) = last {
        text += &format!("{}\n", measured(last));
        text += &interval(last, settings);
    }
    let rate = frames_a_second(record);
    text += &format!(
        "batch size {}, micro-batch {}, learning rate {}, {} of training ({rate} frames/s)\n",
        spec.batch_size,
        record.micro_batch,
        number(spec.learning_rate),
        duration(record.seconds)
    );
    // What was never measured is not told to be undefined: few watch it here.
    let is_measured = |m: &Measurement| matches!(m.noise, Some(NoiseRecord::Measured(_)));
    if record.measurements.iter().any(is_measured) {
        text += &noise(record, None, "frames");
    }
    for note in &record.notes {
        text += &format!("note: {note}\n");
    }
    text
}

fn frames_a_second(record: &TrialRecord) -> String {
    let frames = record.measurements.last().map_or(0, |last| last.examples);
    match record.seconds > 0.0 {
        true => count((frames as f64 / record.seconds) as u64),
        false => "no".to_owned(),
    }
}

/// The success rate in test scenes with its interval.
fn interval(last: &Measurement, settings: &NavigationSettings) -> String {
    let success: Metric = metric(Split::Test, SUCCESS);
    let Some(&rate) = last.metrics.get(&success) else {
        return String::new();
    };
    let episodes = settings.episodes;
    let successes = (rate * episodes as f64).round() as u64;
    let found = batchscope_core::statistics::proportion(successes, episodes, LEVEL);
    let end = |end: Option<f64>| end.map(percent).unwrap_or_default();
    format!(
        "success in scenes not seen: {} ({}-{}, {} interval over {episodes} episodes of this agent, in {} scenes)\n",
        percent(rate),
        end(found.low),
        end(found.high),
        percent(LEVEL),
        settings.held_out
    )
}
