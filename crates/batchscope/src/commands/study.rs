//! `batchscope study`: plan, run, analyze, report.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use batchscope_core::{Trainer, TrainerError, TrialPurpose, TrialSpec};
use batchscope_scaling::{AnalysisOptions, Findings};
use batchscope_study::{
    Observer, Plan, SqliteStore, StopToken, StoreError, StudyResult, refuse_met_target,
};

use super::{color, print, print_json, width};
use crate::{
    args::StudyArgs,
    error::CliError,
    folder::{Log, RunFacts, StudyFolder},
    jobs::{self, Parallelism},
    lengths, machine,
    observers::{ProgressLine, RunLog, SavedSettings},
    processes,
    progress::Display,
    resolve,
    settings::StudySettings,
    signals::Signals,
    timing::{self, Shown},
    trainers::{self, Trainers},
};

/// Runs the command.
pub fn run(args: StudyArgs, trainers: &Trainers, quiet: bool) -> Result<(), CliError> {
    let settings =
        StudyFolder(args.dir.clone()).settings_under(args.settings, args.config.as_deref())?;
    super::refuse_other("study", &settings)?;
    let settings = super::with_preferred(trainers, settings, quiet)?;
    let plan = resolve::plan(&settings)?;
    let folder = StudyFolder(args.dir.clone());
    let trainer = trainers.open(&settings, Some(&folder.checkpoints()))?;
    check(&plan, &*trainer)?;
    if args.dry_run {
        refuse_met_target(&plan, &*trainer).map_err(CliError::study)?;
        return super::dry_run::run(&settings, &plan, &*trainer, &args.dir, quiet);
    }
    let ran = run_trials(settings, plan, &*trainer, trainers, &args.dir, quiet)?;
    let (log, display) = (&ran.log, &ran.display);
    log.line("stage: timing");
    let shown = Shown {
        display,
        started: ran.clock,
    };
    let may_run = trainers::times_steps(&ran.settings.trainer);
    let timings = timing::time(
        &*trainer,
        &ran.result,
        (&ran.facts.timings, may_run),
        &shown,
        &ran.signals,
    )?;
    ran.stopped("every trial is stored; the timing of steps and the report are left")?;
    let facts = RunFacts {
        timings,
        ..ran.facts.clone()
    };
    ran.folder.write_facts(&facts)?;
    log.line("stage: report");
    display.show(1.0, "writing the report");
    let findings = findings(&ran.folder, &ran.result, &facts)?;
    write(&ran.folder, &ran.result, &findings, &facts)?;
    ran.finished(&findings.verdict)?;
    show(&findings, Some(&args.dir), args.json, display)
}

/// Refuses a plan that this trainer cannot follow.
pub fn check(plan: &Plan, trainer: &dyn Trainer) -> Result<(), CliError> {
    plan.check_against(&trainer.info())
        .map_err(resolve::from_plan)?;
    let rate = plan.learning_rates.low;
    let of_size = |batch_size: u64| TrialSpec {
        diagnostics: plan.diagnostics.clone(),
        ..plan.trial(TrialPurpose::Single, batch_size, rate)
    };
    trainer
        .check(&of_size(plan.base_batch))
        .map_err(CliError::trainer)?;
    for &batch_size in &plan.batch_sizes {
        trainer
            .check(&of_size(batch_size))
            .map_err(|error| match error {
                TrainerError::Setting(error) if error.key == "batch-size" => {
                    CliError::flag("batch-sizes", error.why)
                }
                error => CliError::trainer(error),
            })?;
    }
    Ok(())
}

/// What is there once every trial of a plan has run.
pub struct Ran {
    /// The study's folder.
    pub folder: StudyFolder,
    /// How it ran.
    pub facts: RunFacts,
    /// What was found.
    pub result: StudyResult,
    /// The settings, every choice of the trainer made.
    pub settings: StudySettings,
    /// Where progress is shown.
    pub display: Display,
    /// Where it is kept.
    pub log: Log,
    /// When it began.
    pub clock: Instant,
    signals: Signals,
    resume: String,
}

impl Ran {
    /// Ends the command once its report is written.
    pub fn finished(&self, verdict: &str) -> Result<(), CliError> {
        self.display.finish();
        let path = self.folder.database();
        if !path.exists() {
            return Err(CliError::study(StoreError::Gone { path }));
        }
        self.log.line(&format!("finished: {verdict}"));
        // A signal while the report was written: that was too short a time to stop in.
        self.stopped("every trial is stored and the report is written; nothing is left")
    }

    /// Ends the command where a signal came; `left` says what is done and what is not.
    pub fn stopped(&self, left: &'static str) -> Result<(), CliError> {
        let Some(signal) = self.signals.raised() else {
            return Ok(());
        };
        self.display.finish();
        self.log.line(&format!("interrupted; {left}"));
        Err(CliError::Interrupted {
            signal,
            left,
            resume: self.resume.clone(),
        })
    }
}

/// Runs the trials of a checked plan in a folder, those that are not stored there.
pub fn run_trials(
    settings: StudySettings,
    plan: Plan,
    trainer: &dyn Trainer,
    trainers: &Trainers,
    dir: &Path,
    quiet: bool,
) -> Result<Ran, CliError> {
    let resume = resume_command(settings.command(), dir);
    let signals = Signals::listen()?;
    let folder = StudyFolder::create(dir)?;
    // Found out now rather than after hours of training.
    folder.facts()?;
    let side_by_side = side_by_side(&settings, &plan, trainer, &signals);
    let plan = Plan {
        jobs: side_by_side.jobs,
        ..plan
    };
    trainer.limit_threads(Some(side_by_side.threads));
    let mut store = SqliteStore::open(folder.database()).map_err(CliError::study)?;
    folder.sweep();
    // Nobody else runs trials here now: what runs was left behind by a process that was killed.
    if let Ok(trials) = trainers::resolved(&folder.trials()) {
        batchscope_command::end_orphans(&trials, &settings.trainer.command);
    }
    let display = Display::new(quiet);
    let log = folder.log()?;
    show_notes(&plan, trainer, &display);
    let started = machine::now();
    log.line(&format!(
        "batchscope {} started: {}",
        env!("CARGO_PKG_VERSION"),
        command()
    ));
    log.line(&side_by_side.to_string());
    let clock = Instant::now();
    let stop = StopToken::from(signals.flag());
    let settings = trainers.resolved(&settings)?;
    let saved = SavedSettings::new(&folder, &settings, &plan, &log);
    let (line, run_log) = (ProgressLine::new(&display), RunLog(&log));
    let observers: [&dyn Observer; 3] = [&saved, &line, &run_log];
    let result = batchscope_study::run(&plan, trainer, &mut store, &stop, &observers);
    let result = result.map_err(|e| {
        display.finish();
        log.line(&format!("ended: {e}"));
        CliError::study(e)
    })?;
    let seconds = clock.elapsed().as_secs_f64();
    let facts = facts(&folder, &settings, trainer, &result, started, seconds)?;
    folder.write_facts(&facts)?;
    let interrupted = result.interrupted;
    let ran = Ran {
        folder,
        facts,
        result,
        settings,
        display,
        log,
        clock,
        signals,
        resume,
    };
    if interrupted {
        ran.stopped(
            "finished trials are stored; the others, their timing and the report are left",
        )?;
    }
    Ok(ran)
}

/// How many trials run at a time, and on how many threads each.
fn side_by_side(
    settings: &StudySettings,
    plan: &Plan,
    trainer: &dyn Trainer,
    signals: &Signals,
) -> Parallelism {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if processes::are_several() {
        // All of them make the steps of one trial, each on the threads that it has.
        return Parallelism::fixed(1, batchscope_train::threads());
    }
    match settings.trials.jobs.or_else(|| trainer.side_by_side()) {
        Some(jobs) => Parallelism::fixed(jobs, cores),
        None => jobs::choose(plan, cores, signals, trainer),
    }
}

/// What whoever reads the results should know beforehand.
fn show_notes(plan: &Plan, trainer: &dyn Trainer, display: &Display) {
    for note in trainer.notes() {
        display.line(&format!("note: {note}"));
    }
    if let Some(most) = plan.max_steps {
        let examples = trainer.info().train_examples;
        for &batch_size in &plan.batch_sizes {
            if let Some(remark) = lengths::long_warm_up(&plan.schedule, batch_size, examples, most)
            {
                display.line(&format!("note: batch size {batch_size}: {remark}"));
            }
        }
    }
}

/// Prints the findings: as JSON, or in words with the place of the report, where one was written.
pub fn show(
    findings: &Findings,
    dir: Option<&Path>,
    json: bool,
    display: &Display,
) -> Result<(), CliError> {
    if json {
        return print_json(findings);
    }
    print(&batchscope_report::terminal_summary(
        findings,
        width(),
        color(),
    ))?;
    if let Some(dir) = dir {
        display.line(&format!("report: {}", dir.join("report.html").display()));
    }
    Ok(())
}

/// Analyzes a finished study and writes its report.
pub fn write(
    folder: &StudyFolder,
    result: &StudyResult,
    findings: &Findings,
    facts: &RunFacts,
) -> Result<(), CliError> {
    batchscope_report::write(&folder.0, findings, &result.records, &facts.how)
        .map_err(CliError::failed)?;
    Ok(())
}

/// The findings of a finished study in words, with advice where steps were timed.
pub fn findings(
    folder: &StudyFolder,
    result: &StudyResult,
    facts: &RunFacts,
) -> Result<Findings, CliError> {
    let other = match (&result.plan.comparison, &result.plan.branching) {
        (Some(_), _) => Some("a comparison of methods"),
        (_, Some(_)) => Some("branches of a run"),
        (None, None) => None,
    };
    if let Some(other) = other {
        return Err(CliError::Failed(format!(
            "{} holds {other}: `batchscope report` tells what was found",
            folder.0.display()
        )));
    }
    let summary = result.summary.clone().ok_or_else(|| {
        CliError::Failed(format!(
            "the study in {} has no target yet: run it to its end first",
            folder.0.display()
        ))
    })?;
    let parameters = summary.parameters;
    let mut findings = batchscope_scaling::analyze(
        summary,
        result.tuning.clone(),
        &result.records,
        &AnalysisOptions::default(),
    );
    let curve = super::advise::default_curve(&findings).filter(|_| !facts.timings.is_empty());
    // A study in which nothing reached the target has findings, but nothing to recommend.
    findings.advice = curve.and_then(|curve| {
        let assumptions = super::advise::assumptions(facts.price_per_hour, facts.watts);
        batchscope_scaling::advise(
            &findings,
            &curve,
            &facts.timings,
            &assumptions,
            parameters,
            super::advise::devices_of(parameters, super::advise::MAX_DEVICES),
        )
        .ok()
    });
    let command = resume_command("study", &folder.0);
    batchscope_report::put_into_words(&mut findings, |batch_sizes| {
        let list: Vec<String> = batch_sizes.iter().map(u64::to_string).collect();
        format!("{command} --batch-sizes {}", list.join(","))
    });
    Ok(findings)
}

/// How the study ran, added to what earlier runs of it left.
fn facts(
    folder: &StudyFolder,
    settings: &StudySettings,
    trainer: &dyn Trainer,
    result: &StudyResult,
    started: String,
    seconds: f64,
) -> Result<RunFacts, CliError> {
    let mut facts = folder.facts()?;
    let how = &mut facts.how;
    how.command = command();
    how.version = env!("CARGO_PKG_VERSION").to_owned();
    how.rustc = env!("BATCHSCOPE_RUSTC").to_owned();
    how.machine = machine::describe();
    if how.started.is_empty() {
        how.started = started;
    }
    how.finished = machine::now();
    how.seconds += seconds;
    how.decisions = result.decisions.clone();
    how.notes = trainer.notes();
    how.settings_toml = folder.write_settings(&resolve::resolved(settings, &result.plan))?;
    facts.price_per_hour = settings.plan.price_per_hour;
    facts.watts = settings.plan.watts;
    Ok(facts)
}

/// The program's name, without its folder.
pub fn program() -> String {
    let first = std::env::args_os().next().map(PathBuf::from);
    let name = first.as_deref().and_then(Path::file_stem);
    name.map_or_else(
        || env!("CARGO_PKG_NAME").to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The command line as typed, without the program's folder.
pub fn command() -> String {
    let mut words = vec![program()];
    // A word that is no UTF-8, such as a folder's name, is shown as well as it can be.
    let arguments = std::env::args_os().skip(1);
    words.extend(arguments.map(|word| word.to_string_lossy().into_owned()));
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

/// The command, `study` or `compare`, that resumes what a folder holds.
pub fn resume_command(command: &str, folder: &Path) -> String {
    format!("{} {command} --dir {}", program(), quote_path(folder))
}

/// A path as a shell reads it back: [`quote`], and bash's `$'…'` for bytes that are no text.
pub fn quote_path(path: &Path) -> String {
    if path.as_os_str().as_encoded_bytes().starts_with(b"-") {
        return quote_path(&Path::new(".").join(path));
    }
    if let Some(text) = path.to_str() {
        return quote(text);
    }
    let shown = path.as_os_str().as_encoded_bytes().iter().map(|&byte| {
        let c = char::from(byte);
        match c.is_ascii_graphic() && !"'\\".contains(c) {
            true => c.to_string(),
            false => format!("\\x{byte:02x}"),
        }
    });
    format!("$'{}'", shown.collect::<String>())
}

/// A word as a shell reads it back; control characters, which would break a line, as bash's `$'…'`.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.contains(char::is_control) {
        let shown = word.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        });
        return format!("$'{}'", shown.collect::<String>());
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The plan as run, for messages that need the sizes.
pub fn describe_plan(plan: &Plan) -> String {
    let sizes: Vec<String> = plan.batch_sizes.iter().map(u64::to_string).collect();
    format!(
        "batch sizes {}; target {}; {} fresh seeds",
        sizes.join(", "),
        plan.target,
        plan.seeds
    )
}
