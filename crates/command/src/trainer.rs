//! Trials as runs of a program.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use batchscope_core::{
    Capabilities, Control, Decay, Direction, Driving, Event, Flow, Metric, Outcome, Progress,
    SettingError, Start, Trainer, TrainerError, TrainerInfo, TrialDriver, TrialRecord, TrialSpec,
};

use crate::{
    Child, Devices, Exit, Names, PLACEHOLDERS, Slot, Template,
    ends::{failed, remark, said_no_step, shortened},
    exit::out_of_memory,
    files::Files,
    slurm,
    sources::{EventFiles, Events, GrownCsv, Pattern, Source},
    trial::{Ended, Remarks, Run},
};

/// How programs are run.
#[derive(Debug)]
pub struct CommandConfig {
    /// The program's words.
    pub template: Template,
    /// What its reports mean.
    pub names: Names,
    /// How lines of its standard output are read; `None` finds objects and `name=value`.
    pub pattern: Option<Pattern>,
    /// A CSV file that it adds rows to, with placeholders; relative to the folder it runs in.
    pub csv: Option<Template>,
    /// A folder into which it writes TensorBoard's event files, with placeholders; relative likewise.
    pub tensorboard: Option<Template>,
    /// Folder of the trials: logs, events, checkpoints.
    pub folder: PathBuf,
    /// How long a program has to end once it is told to.
    pub grace: Duration,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// How often a run that ended without a result through no fault of its settings is tried again.
    pub retries: u32,
    /// Only sizes are tried: nothing is tuned, and a program whose memory runs out is not run again with smaller micro-batches.
    pub sizes_only: bool,
    /// What trials take turns on.
    pub devices: Devices,
    /// Training examples, where known: what an epoch is.
    pub train_examples: Option<u64>,
    /// Directions of metrics that have none by nature.
    pub directions: BTreeMap<Metric, Direction>,
}

/// Runs somebody's program for each trial.
#[derive(Debug)]
pub struct CommandTrainer {
    config: CommandConfig,
    /// Largest micro-batch that is known to fit, by batch size.
    fits: Mutex<BTreeMap<u64, u64>>,
}

impl CommandTrainer {
    /// A trainer of a program, whose trials have their folders in `config.folder`.
    ///
    /// # Errors
    /// When the program is not told the batch size, or its reports are in a file that trials share.
    pub fn new(config: CommandConfig) -> Result<Self, SettingError> {
        if !config.template.takes("batch_size") {
            return Err(SettingError::new(
                "command",
                crate::TemplateError::NoBatchSize.to_string(),
            ));
        }
        slurm::check(&config.template.words())?;
        let reports = [
            ("report-csv", &config.csv, "{checkpoint_dir}/log.csv"),
            (
                "report-tensorboard",
                &config.tensorboard,
                "{checkpoint_dir}",
            ),
        ];
        for (key, place, example) in reports {
            if place
                .as_ref()
                .is_some_and(|place| !place.uses("checkpoint_dir"))
            {
                let why = format!(
                    "must lie in the trial's own folder, as in {example}: what several trials write would be read as each one's"
                );
                return Err(SettingError::new(key, why));
            }
        }
        Ok(Self {
            config,
            fits: Mutex::new(BTreeMap::new()),
        })
    }

    /// How it runs programs.
    pub fn config(&self) -> &CommandConfig {
        &self.config
    }

    /// Finds out whether there is such a program, before a study is made of its absence.
    fn find_program(&self) -> Result<(), SettingError> {
        let words = self.config.template.fill(&BTreeMap::new());
        // A name that is filled in is known only then.
        let Some(name) = words
            .first()
            .filter(|_| self.config.template.begins_with_text())
        else {
            return Ok(());
        };
        let is_there = |path: &Path| path.is_file();
        let found = match Path::new(name).components().count() {
            1 if !name.contains('/') => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|folder| is_there(&folder.join(name)))
            }
            _ => is_there(Path::new(name)),
        };
        match found {
            true => Ok(()),
            false => Err(no_program(name)),
        }
    }

    fn takes(&self, placeholder: &str) -> bool {
        self.config.template.takes(placeholder)
    }

    fn files(&self, spec: &TrialSpec) -> Files {
        let mut name = format!(
            "b{}-lr{}-s{}",
            spec.batch_size, spec.learning_rate, spec.seed
        );
        if let Some(start) = &spec.start {
            name = format!("{}-{name}", folder_of(start));
        }
        Files {
            folder: self.config.folder.join(name),
        }
    }

    /// The micro-batch to begin with.
    fn micro_batch(&self, spec: &TrialSpec) -> u64 {
        let asked = spec
            .micro_batch
            .unwrap_or(spec.batch_size)
            .min(spec.batch_size);
        let fits = self.fits.lock().unwrap_or_else(PoisonError::into_inner);
        // What did not fit a larger batch size's pass fits no better here.
        let known = fits.get(&spec.batch_size).or_else(|| fits.values().min());
        known.map_or(asked, |fits| asked.min(*fits))
    }

    fn settings(
        &self,
        spec: &TrialSpec,
        (slot, micro_batch): (&Slot<'_>, u64),
        files: &Files,
        resumed: bool,
    ) -> BTreeMap<&'static str, String> {
        // What a program's own run was made with is not known: those words are left out.
        let constant = |name: &str| match (spec.optimizer.number(name), &spec.start) {
            (None, Some(_)) => String::new(),
            (value, _) => value.unwrap_or(0.0).to_string(),
        };
        let beta1 = if spec.optimizer.number("beta1").is_some() {
            "beta1"
        } else {
            "momentum"
        };
        let warm_up = spec.schedule.warm_up.length;
        let checkpoint = files.checkpoint().display().to_string();
        let value = |name: &str| match name {
            "batch_size" => spec.batch_size.to_string(),
            "micro_batch" => micro_batch.to_string(),
            "learning_rate" => spec.learning_rate.to_string(),
            "warm_up" => warm_up
                .in_steps(spec.batch_size, self.config.train_examples.unwrap_or(0))
                .to_string(),
            "momentum" => constant("momentum"),
            "beta1" => constant(beta1),
            "beta2" => constant("beta2"),
            "weight_decay" => constant("weight_decay"),
            "seed" => seed(spec).to_string(),
            "max_steps" => before(spec).saturating_add(spec.cap).to_string(),
            "device" => slot.name().to_owned(),
            "checkpoint_dir" => checkpoint.clone(),
            "resume_from" if resumed => checkpoint.clone(),
            "resume_from" => {
                let start = spec.start.as_ref();
                start.map_or_else(String::new, |start| start.checkpoint.clone())
            }
            _ => String::new(),
        };
        PLACEHOLDERS
            .iter()
            .map(|p| (p.name, value(p.name)))
            .collect()
    }

    /// Runs the program once.
    fn attempt(
        &self,
        (slot, micro_batch): (&Slot<'_>, u64),
        files: &Files,
        driver: &mut TrialDriver<'_>,
        (control, events): (&dyn Control, &mut (dyn FnMut(Event) + Send)),
    ) -> Result<(Ended, Remarks), TrainerError> {
        let config = &self.config;
        let spec = driver.spec();
        let resumed = driver.step() > 0;
        let settings = self.settings(spec, (slot, micro_batch), files, resumed);
        let words = config.template.fill(&settings);
        let mut environment: Vec<(String, String)> = settings
            .iter()
            .map(|(name, value)| (format!("BATCHSCOPE_{}", name.to_uppercase()), value.clone()))
            .collect();
        let place = |path: PathBuf| path.display().to_string();
        environment.push(("BATCHSCOPE_EVENTS".to_owned(), place(files.events())));
        environment.push(("BATCHSCOPE_STOP_FILE".to_owned(), place(files.stop())));
        environment.push(("BATCHSCOPE_TRIAL".to_owned(), spec.id.to_string()));
        // Python holds back what it prints into a pipe.
        environment.push(("PYTHONUNBUFFERED".to_owned(), "1".to_owned()));
        environment.extend(slot.environment());
        // What an earlier run of this trial reported is not this run's.
        for stale in [files.events(), files.stop()] {
            let _ = fs::remove_file(stale);
        }
        let mut sources: Vec<Box<dyn Source>> = vec![Box::new(Events::new(&files.events()))];
        if let Some(csv) = &config.csv {
            let path = csv.fill(&settings).concat();
            let mut rows = GrownCsv::new(Path::new(&path));
            // Rows of earlier sessions were reported then.
            let _ = rows.poll(&mut |_| {});
            sources.push(Box::new(rows));
        }
        if let Some(folder) = &config.tensorboard {
            let target = spec.target.as_ref().map(|target| &target.metric);
            let folder = folder.fill(&settings).concat();
            let mut files = EventFiles::new(Path::new(&folder), &config.names, target);
            files.skip();
            sources.push(Box::new(files));
        }
        let (log, log_begins) = files.open_log(&words)?;
        let started = Child::start(
            &words,
            &environment,
            None,
            log,
            &files.folder.display().to_string(),
        );
        let (mut child, output) = started.map_err(|error| cannot_start(&words, &error))?;
        let run = Run {
            names: &config.names,
            pattern: config.pattern.as_ref(),
            sources,
            grace: config.grace,
            timeout: config.timeout,
            stop_file: files.stop(),
            log_begins,
            log: files.log(),
            save: &|driver| files.save(driver),
            batch_size: spec.batch_size,
            train_examples: config.train_examples,
            seconds_before: driver.progress().seconds,
            steps_before: before(spec),
            resumed,
        };
        let led = run.lead(&mut child, output, driver, (control, events));
        led.map_err(|e| TrainerError::Refused(format!("the program cannot be watched: {e}")))
    }

    /// Takes up an interrupted trial where its program can, and makes its folder of checkpoints.
    fn resume(&self, files: &Files, driver: &mut TrialDriver<'_>) -> Result<(), TrainerError> {
        let checkpoint = files.checkpoint().display().to_string();
        let settings = BTreeMap::from([("checkpoint_dir", checkpoint)]);
        let csv = self
            .config
            .csv
            .as_ref()
            .map(|csv| csv.fill(&settings).concat());
        let has_checkpoint = files.has_checkpoint(csv.as_deref().map(Path::new));
        match self.takes("resume_from") && has_checkpoint {
            true => {
                if let Some(progress) = files.saved(driver.spec()) {
                    driver.resume(progress);
                }
            }
            false => files.clear(),
        }
        files.prepare()
    }

    /// The end of a trial for which there is too little memory.
    fn no_memory(&self, words: &str) -> Outcome {
        let line = out_of_memory(words).unwrap_or("exit code 4");
        let remedy = match self.takes("micro_batch") {
            true => "",
            false => "; a program that takes {micro_batch} is given smaller ones",
        };
        Outcome::Infeasible {
            why: format!("memory ran out ({}){remedy}", shortened(line)),
        }
    }

    /// A smaller micro-batch after memory ran out; `None` where there is none, or the program takes none.
    fn smaller(&self, spec: &TrialSpec, micro_batch: u64) -> Option<u64> {
        let smaller = micro_batch / 2;
        if smaller == 0 || self.config.sizes_only || !self.takes("micro_batch") {
            return None;
        }
        let mut fits = self.fits.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fits.entry(spec.batch_size).or_insert(smaller);
        *known = smaller.min(*known);
        Some(*known)
    }
}

/// Steps that the checkpoint had made which a trial begins from: a program goes on counting.
fn before(spec: &TrialSpec) -> u64 {
    let start = spec.start.as_ref().filter(|start| !start.counts_anew);
    start.map_or(0, |start| start.step)
}

/// A name for the folders of the trials that begin from a checkpoint.
fn folder_of(start: &Start) -> String {
    // FNV-1a: the same on every machine.
    let hash = start
        .checkpoint
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("from{:08x}", hash >> 32)
}

/// The trial from its beginning, with what was remarked on it.
fn begin_again(driver: &mut TrialDriver<'_>) {
    let notes = driver.progress().notes.clone();
    driver.resume(Progress {
        notes,
        ..Progress::default()
    });
}

/// The trial's seed in 31 bits, which every library takes.
fn seed(spec: &TrialSpec) -> u64 {
    // SplitMix64's finalizer (Steele et al. 2014): every bit of both seeds counts.
    let mut x = spec.seed ^ spec.study_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) & 0x7fff_ffff
}

fn cannot_start(words: &[String], error: &io::Error) -> TrainerError {
    let program = words.first().map_or("", String::as_str);
    match error.kind() {
        io::ErrorKind::NotFound => no_program(program).into(),
        _ => SettingError::new("command", format!("{program} cannot be started: {error}")).into(),
    }
}

fn no_program(name: &str) -> SettingError {
    let why = format!("there is no program '{name}': name one that is on the PATH, or its path");
    SettingError::new("command", why)
}

impl Trainer for CommandTrainer {
    fn info(&self) -> TrainerInfo {
        let config = &self.config;
        TrainerInfo {
            trainer: concat!("program by batchscope ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: config.template.program(),
            data: "the program's own".to_owned(),
            device: "the program's own".to_owned(),
            train_examples: config.train_examples,
            parameters: 0,
            metrics: Vec::new(),
            directions: config.directions.clone(),
            // A program promises nothing: it is run, and what it reports is taken.
            capabilities: Capabilities {
                has_epochs: config.train_examples.is_some(),
                ..Capabilities::default()
            },
            own_settings: true,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "each trial runs: {}; its log is kept in {}",
            self.config.template.program(),
            self.config.folder.display()
        )];
        if !self.takes("seed") {
            notes.push("the program is not given a seed ({seed}): its runs differ only as it makes them differ itself".to_owned());
        }
        if !self.takes("max_steps") {
            notes.push(
                "the program does not know how long it may train ({max_steps}): it is told to stop"
                    .to_owned(),
            );
        }
        notes
    }

    fn check(&self, spec: &TrialSpec) -> Result<(), TrainerError> {
        spec.check()?;
        self.find_program()?;
        if !self.config.sizes_only && !self.takes("learning_rate") {
            let why = "the program is not given the learning rate, which is tuned at every batch size: pass it, as in --lr {learning_rate}";
            return Err(SettingError::new("command", why).into());
        }
        if spec.start.is_some() && !self.takes("resume_from") {
            let why = "the program is not told which checkpoint to go on from: pass it, as in --resume {resume_from}";
            return Err(SettingError::new("command", why).into());
        }
        let refused = |key: &'static str| {
            let why = "is a setting of the built-in trainer's step, and the program makes its own: leave it out";
            Err(SettingError::new(key, why).into())
        };
        if !spec.schedule.warm_up.length.is_zero() && !self.takes("warm_up") {
            let why = "the program is not told of a warm-up: pass it on, as in --warm-up {warm_up}, or give --warm-up 0";
            return Err(SettingError::new("warm-up", why).into());
        }
        if spec.schedule.decay != Decay::Constant {
            return refused("schedule");
        }
        if spec.clip.is_some() {
            return refused("clip");
        }
        if !spec.methods.is_empty() {
            return refused("method");
        }
        if !spec.diagnostics.is_empty() {
            return refused("noise");
        }
        Ok(())
    }

    fn side_by_side(&self) -> Option<usize> {
        Some(self.config.devices.count())
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let files = self.files(spec);
        files.prepare()?;
        let warm_up = spec.schedule.warm_up.length;
        let examples = self.config.train_examples.unwrap_or(0);
        let mut driver = TrialDriver::new(
            spec,
            Driving {
                warm_up_steps: warm_up.in_steps(spec.batch_size, examples),
                ..Driving::default()
            },
        );
        self.resume(&files, &mut driver)?;
        driver.start(events);
        let mut micro_batch = self.micro_batch(spec);
        let Some(slot) = self.config.devices.take(control) else {
            return Ok(driver.record(Outcome::Interrupted, micro_batch));
        };
        let mut tries = 0;
        let outcome = loop {
            let place = (&slot, micro_batch);
            let (ended, remarks) =
                self.attempt(place, &files, &mut driver, (control, &mut *events))?;
            remark(&mut driver, &remarks);
            let (exit, words) = match ended {
                Ended::Trial(outcome) => break outcome,
                Ended::Interrupted => {
                    files.save(&driver);
                    let step = driver.step();
                    events(Event::Checkpointed { step });
                    break Outcome::Interrupted;
                }
                Ended::TimedOut => {
                    let most = self.config.timeout.unwrap_or_default().as_secs();
                    break Outcome::Failed {
                        why: format!("it took more than {most} seconds"),
                    };
                }
                Ended::Program(exit, words) => (exit, words),
            };
            match exit {
                Exit::OutOfMemory => match self.smaller(spec, micro_batch) {
                    Some(smaller) => {
                        driver.note(format!(
                            "memory ran out at micro-batches of {micro_batch}: {smaller} were used"
                        ));
                        micro_batch = smaller;
                        files.clear();
                        files.prepare()?;
                        begin_again(&mut driver);
                    }
                    None => break self.no_memory(&words),
                },
                Exit::TryAgain(_) if control.flow() == Flow::Interrupt => {
                    files.save(&driver);
                    break Outcome::Interrupted;
                }
                Exit::TryAgain(why) if tries < self.config.retries => {
                    tries += 1;
                    driver.note(format!(
                        "{why}, and it was run again ({tries} of {})",
                        self.config.retries
                    ));
                    files.save(&driver);
                    begin_again(&mut driver);
                    self.resume(&files, &mut driver)?;
                }
                Exit::Done => break said_no_step(driver.ended_by_itself(), &remarks),
                Exit::Diverged => {
                    break Outcome::Diverged {
                        step: driver.step().min(spec.cap),
                    };
                }
                Exit::TryAgain(why) => {
                    let ended = format!("{why}, the last of {} times", tries + 1);
                    break failed(&ended, &words, &files.log());
                }
                Exit::Failed(code) => {
                    let ended = format!("the program ended with exit code {code}");
                    break failed(&ended, &words, &files.log());
                }
            }
        };
        Ok(driver.record(outcome, micro_batch))
    }

    fn forget(&self, spec: &TrialSpec) {
        self.files(spec).forget();
    }
}
