//! `batchscope reproduce`: a published experiment, run again and compared.

mod page;
mod preset;
mod terminal;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use batchscope_core::{Batch, Control, Flow, NetworkFactory, StateTensor, Task};
use batchscope_data::{DataError, Dataset, Validation};
use batchscope_landscape::{Objective, ObjectiveError};
use batchscope_nn::{DeviceSpec, Factory, ModelSpec, ObjectiveSettings, Precision};
use batchscope_report::HowRun;
use batchscope_reproduce::{
    EXPERIMENTS, ExperimentEvent, Folder, ReproduceError, Side,
    keskar::{self, ExperimentContext, Pace, Results},
};

use self::preset::plan;
use super::{color, folded, print, print_json, width};
use crate::{
    args::ReproduceArgs, error::CliError, files::work_alone, machine, progress::Display, resolve,
    settings::ExamplesArgs, signals::Signals,
};

/// Runs the command.
pub fn run(args: &ReproduceArgs, quiet: bool) -> Result<(), CliError> {
    let Some(name) = args.name.as_deref() else {
        return print(&list());
    };
    if !EXPERIMENTS.iter().any(|e| e.name == name) {
        let names: Vec<&str> = EXPERIMENTS.iter().map(|e| e.name).collect();
        return Err(CliError::Usage(format!(
            "'{name}' is no experiment: choose {}",
            names.join(" or ")
        )));
    }
    let network = preset::network(args)?;
    let (side, length) = (side(args)?, length(args)?);
    let data = dataset(args, network)?;
    let (model, factory) = model(args, network)?;
    let plan = plan(args, network, model, &data)?;
    plan.check().map_err(failed)?;
    // A network that cannot take the data is refused before a folder is made.
    let parameters = factory
        .parameters(&data.shape)
        .map_err(|error| CliError::flag("data", preset::shown(&error.to_string())))?;

    let signals = Signals::listen()?;
    let display = Display::new(quiet);
    for note in &data.notes {
        display.line(&format!("note: {note}"));
    }
    if let (Some(paper), Task::Classify { classes }) = (preset::classes(network), data.shape.task)
        && classes != paper
    {
        display.line(&format!(
            "note: the labels are of {classes} classes, the paper's of {paper}"
        ));
    }
    let test = match &data.test {
        Some(test) => test.clone(),
        None => {
            display.line("note: the data have no test part; validation examples stand for it");
            data.validation.clone()
        }
    };
    let objective = |state: &[StateTensor], examples: u64| loss(&factory, &data, state, examples);
    let reestimate = |state: &[StateTensor], examples: u64| {
        let batches = vec![first(&data, examples)];
        let state = factory.reestimated(&data.shape, state, batches);
        state.map_err(ObjectiveError::new)
    };
    let lab = ExperimentContext {
        factory: factory.clone(),
        train: data.train.clone(),
        test,
        objective: &objective,
        reestimate: &reestimate,
    };
    let path = folder_path(args, network);
    let _lock = work_alone(&path, "results.json")?;
    let folder = Folder::create(&path).map_err(failed)?;
    display.show(0.0, "timing steps");
    let Some(pace) = Pace::measure(&plan, &lab, side, &signals).map_err(failed)? else {
        return interrupted(&signals, &path);
    };
    let most = keskar::forecast(&plan, &folder, parameters, &pace, side).map_err(failed)?;
    display.line(&format!(
        "{}, {parameters} parameters, {} training examples: small batches of {}, large ones of {}",
        preset::shown(&plan.setting.model),
        plan.setting.examples,
        plan.setting.small,
        plan.setting.large
    ));
    display.line(&format!(
        "at most {} of work is left, if every run goes to its cap of {} epochs; results in {}",
        batchscope_report::format::duration(most),
        plan.setting.epochs,
        path.display()
    ));
    if args.dry_run {
        return Ok(());
    }

    let clock = Instant::now();
    let control = SignalOrDeadline {
        signals: &signals,
        until: length.and_then(|length| clock.checked_add(length)),
    };
    let watch = Watch::new(&display);
    let ended = keskar::run(&plan, &lab, &folder, &pace, side, &control, &|happening| {
        watch.observe(happening);
    });
    display.finish();
    let unfinished = match ended {
        Ok(()) => false,
        Err(ReproduceError::Interrupted) if signals.raised().is_some() => {
            return interrupted(&signals, &path);
        }
        Err(ReproduceError::Interrupted) => true,
        Err(error) => return Err(failed(error)),
    };
    let results = keskar::results(&plan, &folder).map_err(failed)?;
    folder.write("results.json", &results).map_err(failed)?;
    let how = how(clock.elapsed().as_secs_f64());
    batchscope_report::write_document(&path, &page::document(&results), &how)
        .map_err(CliError::failed)?;
    if unfinished {
        display.line("time is up before everything is done: the same command goes on from here");
    }
    tell(args, &results, &display, &path)
}

/// What there is to reproduce.
fn list() -> String {
    let lines = EXPERIMENTS.iter().map(|experiment| {
        format!(
            "{}\n  {}\n  {}\n",
            experiment.name, experiment.about, experiment.source
        )
    });
    folded(&lines.collect::<String>(), width(), 2)
}

fn tell(
    args: &ReproduceArgs,
    results: &Results,
    display: &Display,
    path: &std::path::Path,
) -> Result<(), CliError> {
    if args.json {
        return print_json(results);
    }
    print(&terminal::summary(results, width(), color()))?;
    display.line(&format!("report: {}", path.join("report.html").display()));
    Ok(())
}

/// A library's error; the key of a setting is its flag.
fn failed(error: ReproduceError) -> CliError {
    match error {
        ReproduceError::Setting { name, why } => CliError::flag(name, why),
        error => CliError::failed(error),
    }
}

fn interrupted(signals: &Signals, path: &std::path::Path) -> Result<(), CliError> {
    Err(CliError::Interrupted {
        signal: signals.raised().unwrap_or_default(),
        left: "what is finished is stored, and runs under way are saved",
        resume: format!("the same command (its folder is {})", path.display()),
    })
}

fn folder_path(args: &ReproduceArgs, network: &str) -> PathBuf {
    let default = || PathBuf::from(format!("batchscope-keskar-2016-{network}"));
    args.dir.clone().unwrap_or_else(default)
}

/// How the cores are shared: a task to each unless told otherwise.
fn side(args: &ReproduceArgs) -> Result<Side, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match args.jobs {
        Some(0) => Err(CliError::flag("jobs", "must be at least 1")),
        jobs => {
            let jobs = jobs.unwrap_or(cores);
            Ok(Side {
                jobs,
                threads: (cores / jobs).max(1),
            })
        }
    }
}

/// How long it may take, if that is limited.
fn length(args: &ReproduceArgs) -> Result<Option<Duration>, CliError> {
    let Some(minutes) = args.minutes else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(60.0 * minutes) {
        Ok(length) if !length.is_zero() => Ok(Some(length)),
        _ => Err(CliError::flag(
            "minutes",
            format!("{minutes} is not a number above 0"),
        )),
    }
}

/// The data, cut to the number of examples asked for, or to the network's own where there are more.
fn dataset(args: &ReproduceArgs, network: &str) -> Result<Dataset, CliError> {
    let mut options = resolve::load_options(&args.read, &ExamplesArgs::default(), args.seed);
    options.examples = args.examples.or(Some(preset::of(network).examples));
    // Nothing is chosen by validation here, so all but one example may be trained on.
    options.validation = Some(Validation::Count(1));
    let source = args.data.source();
    let source = source.as_deref().unwrap_or(resolve::DEFAULT_DATA);
    match batchscope_data::open(source, &options) {
        // Fewer than the network's own number: all of them.
        Err(DataError::Setting {
            setting: "examples",
            ..
        }) if args.examples.is_none() => {
            options.examples = None;
            batchscope_data::open(source, &options)
        }
        read => read,
    }
    .map_err(CliError::data)
}

/// The model's full name, and what makes it.
fn model(args: &ReproduceArgs, network: &str) -> Result<(String, Arc<Factory>), CliError> {
    if args.ghost == Some(0) {
        return Err(CliError::flag("ghost", "must be at least 1"));
    }
    let ghost = args.ghost.unwrap_or(preset::WHOLE_BATCH);
    let spec: ModelSpec = format!("{network}(ghost={ghost})")
        .parse()
        .map_err(|e| CliError::flag("ghost", e))?;
    let factory = Factory::new(spec, DeviceSpec::default()).map_err(CliError::failed)?;
    Ok((factory.name(), Arc::new(factory)))
}

/// The first training examples of the stored order.
fn first(data: &Dataset, examples: u64) -> Batch {
    let mut batch = Batch::empty(data.shape);
    data.train.fill_in_order(0..examples, &mut batch);
    batch
}

/// The training loss about a state on the first examples, as evaluations compute it: batch norm by
/// the running statistics, no dropout.
fn loss(
    factory: &Factory,
    data: &Dataset,
    state: &[StateTensor],
    examples: u64,
) -> Result<Box<dyn Objective>, ObjectiveError> {
    let settings = ObjectiveSettings {
        precision: Precision::F32,
        ..ObjectiveSettings::default()
    };
    let objective = factory.objective(&data.shape, state, vec![first(data, examples)], settings);
    Ok(Box::new(objective.map_err(ObjectiveError::new)?))
}

fn how(seconds: f64) -> HowRun {
    HowRun {
        command: super::study::command(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("BATCHSCOPE_RUSTC").to_owned(),
        machine: machine::describe(),
        finished: machine::now(),
        seconds,
        ..HowRun::default()
    }
}

/// Stops at a signal, or when the time is up.
struct SignalOrDeadline<'a> {
    signals: &'a Signals,
    until: Option<Instant>,
}

impl Control for SignalOrDeadline<'_> {
    fn flow(&self) -> Flow {
        match self.until {
            Some(until) if Instant::now() >= until => Flow::Interrupt,
            _ => self.signals.flow(),
        }
    }
}

/// Turns what happens into a progress line and lines that stay.
struct Watch<'a> {
    display: &'a Display,
    next: Mutex<Option<Instant>>,
}

impl<'a> Watch<'a> {
    fn new(display: &'a Display) -> Self {
        Self {
            display,
            next: Mutex::default(),
        }
    }

    fn observe(&self, happening: ExperimentEvent<'_>) {
        match happening {
            ExperimentEvent::Done(task, found) => self.display.line(&format!("{task}: {found}")),
            ExperimentEvent::Fraction(fraction, message) => {
                // Told after every few steps: look at the clock only now and then.
                let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                if next.is_none_or(|next| now >= next) {
                    *next = Some(now + Duration::from_millis(200));
                    self.display.show(fraction, message);
                }
            }
        }
    }
}
