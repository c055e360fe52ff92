//! The workload as a [`Trainer`]: a step is an update, a batch the frames of one.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use batchscope_core::{
    Cadence, Capabilities, Control, Diagnostic, Direction, Driving, EvaluationCost, Event, Flow,
    Metric, Outcome, Purpose, SettingError, Split, StepTiming, StreamKey, Trainer, TrainerError,
    TrainerInfo, TrialDriver, TrialPurpose, TrialRecord, TrialSpec, setting::require,
};
use batchscope_nn::{DeviceSpec, PolicyNetwork};

use crate::{
    NavigationError,
    checkpoint::Identity,
    evaluation::FRAMES_OF_AN_EPISODE,
    run::NavigationRun,
    session::{SPL, SUCCESS, Session, metric},
    settings::NavigationSettings,
    tally::RETURN,
    world::World,
};

/// Frames that pass through the network together, where nothing else is said.
pub const MICRO_BATCH: u64 = 1024;

/// Trains policies of one workload.
pub struct NavigationTrainer {
    settings: NavigationSettings,
    /// The settings as they are written: part of a checkpoint's identity.
    workload: String,
    world: World,
    parameters: u64,
    /// Where unfinished trials are saved; `None` saves none.
    checkpoints: Option<PathBuf>,
    /// Threads of a trial; `None` are all.
    threads: Mutex<Option<usize>>,
}

/// A single run outside any study.
#[derive(Debug, Clone, Default)]
pub struct SingleNavigation {
    /// When to evaluate.
    pub cadence: Cadence,
    /// The checkpoint to take up; its cap may be another.
    pub resume: Option<PathBuf>,
    /// Where to save the run: at intervals, when interrupted, and at its end.
    pub checkpoint: Option<PathBuf>,
}

impl NavigationTrainer {
    /// A trainer of a workload; `workload` is how it is written.
    ///
    /// # Errors
    /// When the scenes cannot be drawn or the network cannot be made.
    pub fn new(
        settings: NavigationSettings,
        workload: String,
        checkpoints: Option<PathBuf>,
    ) -> Result<Self, NavigationError> {
        Ok(Self {
            parameters: parameters(&settings)?,
            world: World::new(&settings)?,
            settings,
            workload,
            checkpoints,
            threads: Mutex::new(None),
        })
    }

    /// What is trained on what.
    pub fn settings(&self) -> &NavigationSettings {
        &self.settings
    }

    /// Runs one configuration outside any study. An interrupted run is saved; its record holds what was measured so far.
    ///
    /// # Errors
    /// When the run cannot be set up, resumed or saved.
    pub fn train_once(
        &self,
        spec: &TrialSpec,
        single: &SingleNavigation,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        self.check(spec)?;
        Ok(self.in_threads(|| self.run_single(spec, single, control, events))??)
    }

    fn run_single(
        &self,
        spec: &TrialSpec,
        single: &SingleNavigation,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, NavigationError> {
        let mut run = self.set_up(spec, single.cadence)?;
        if let Some(path) = &single.resume {
            run.resume(path, true)?;
        }
        run.save_to.clone_from(&single.checkpoint);
        let outcome = run.train(control, events)?;
        if !matches!(outcome, Outcome::Interrupted) {
            // Within a rollout too: to be looked at, not to be resumed.
            run.save(events)?;
        }
        Ok(run.driver.record(outcome, run.identity.micro_batch))
    }

    fn run_trial(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, NavigationError> {
        let mut run = self.set_up(spec, Cadence::Planned)?;
        run.save_to = self.checkpoint_path(spec);
        if let Some(path) = run.save_to.clone().filter(|path| path.exists())
            && let Err(error) = run.resume(&path, false)
        {
            // What a damaged file has left half taken over begins anew.
            run = self.set_up(spec, Cadence::Planned)?;
            run.save_to = Some(path);
            run.driver.note(format!("started again: {error}"));
        }
        let outcome = run.train(control, events)?;
        Ok(run.driver.record(outcome, run.identity.micro_batch))
    }

    fn set_up<'a>(
        &'a self,
        spec: &'a TrialSpec,
        cadence: Cadence,
    ) -> Result<NavigationRun<'a>, NavigationError> {
        let micro_batch = self.micro_batch(spec);
        let session = Session::new(&self.settings, &self.world, spec, micro_batch)?;
        let episodes = self.settings.episodes.min(spec.evaluation.examples);
        let looks_at_test = matches!(
            spec.purpose,
            TrialPurpose::Single | TrialPurpose::Fresh { .. }
        );
        let is_val = |metric: &Metric| metric.split == Split::Val;
        let whole = episodes * FRAMES_OF_AN_EPISODE;
        let watches_val = spec
            .target
            .as_ref()
            .is_none_or(|target| is_val(&target.metric));
        let driving = Driving {
            cadence,
            cost: EvaluationCost {
                target: if watches_val { whole } else { 0 },
                whole,
            },
            looks_at_test,
            warm_up_steps: session.warm_up_steps(),
        };
        Ok(NavigationRun {
            driver: TrialDriver::new(spec, driving),
            session,
            identity: Identity {
                spec: spec.clone(),
                workload: self.workload.clone(),
                micro_batch,
                cadence,
            },
            save_to: None,
            saved: Instant::now(),
        })
    }

    /// Frames in a pass: whole windows.
    fn micro_batch(&self, spec: &TrialSpec) -> u64 {
        let steps = self.settings.ppo.steps as u64;
        let most = spec.micro_batch.unwrap_or(MICRO_BATCH).min(spec.batch_size);
        (most / steps).max(1) * steps
    }

    fn checkpoint_path(&self, spec: &TrialSpec) -> Option<PathBuf> {
        let folder: &Path = self.checkpoints.as_deref()?;
        Some(folder.join(format!("trial-{}.safetensors", spec.id)))
    }

    /// Computes in a pool of the threads that a trial is given.
    fn in_threads<T: Send>(&self, compute: impl FnOnce() -> T + Send) -> Result<T, TrainerError> {
        let threads = *self
            .threads
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(threads) = threads else {
            return Ok(compute());
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| {
            TrainerError::Refused(format!("no threads can be started to compute in: {error}"))
        })?;
        Ok(pool.install(compute))
    }
}

/// Parameters of the network.
fn parameters(settings: &NavigationSettings) -> Result<u64, NavigationError> {
    let key = StreamKey {
        study_seed: 0,
        trial: 0,
        purpose: Purpose::Initialization,
    };
    let network = PolicyNetwork::new(settings.policy, key, DeviceSpec::Cpu)?;
    Ok(network.layout().parameters() as u64)
}

/// What can be watched. Those of training are of the episodes since the evaluation before.
fn metrics() -> [Metric; 5] {
    [
        metric(Split::Val, SUCCESS),
        metric(Split::Val, SPL),
        metric(Split::Train, SUCCESS),
        metric(Split::Train, SPL),
        metric(Split::Train, RETURN),
    ]
}

impl Trainer for NavigationTrainer {
    fn info(&self) -> TrainerInfo {
        TrainerInfo {
            trainer: concat!("batchscope navigation ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: self.settings.model(),
            data: self.settings.data(),
            device: "cpu (flex)".to_owned(),
            // Every frame is new.
            train_examples: None,
            parameters: self.parameters,
            metrics: metrics().to_vec(),
            directions: metrics().map(|metric| (metric, Direction::Higher)).into(),
            capabilities: Capabilities {
                exact_resume: true,
                deterministic: true,
                measures_noise: true,
                times_steps: true,
                has_epochs: false,
            },
            own_settings: false,
        }
    }

    fn notes(&self) -> Vec<String> {
        let ppo = &self.settings.ppo;
        vec![
            format!(
                "An example is a frame. N environments act for T = {} steps, and each of the {} mini-batches of their frames is one \
                 update: N is the batch size times {} over {}.",
                ppo.steps, ppo.mini_batches, ppo.mini_batches, ppo.steps
            ),
            format!(
                "Success and SPL are those of at most {} episodes in scenes that are not trained in; actions are drawn as in training.",
                self.settings.episodes
            ),
        ]
    }

    fn check(&self, spec: &TrialSpec) -> Result<(), TrainerError> {
        spec.check()?;
        self.info().check_target(spec)?;
        if let Some(target) = &spec.target {
            let metric = &target.metric;
            let why = format!("{metric} is better higher: write {metric}={}", target.value);
            require(target.direction == Direction::Higher, "target", &why)?;
        }
        self.settings.environments(spec.batch_size)?;
        let refuse = |key: &'static str, what: &str| -> Result<(), TrainerError> {
            Err(SettingError::new(key, format!("navigation has no {what}: leave it out")).into())
        };
        if spec.start.is_some() {
            return Err(TrainerError::Refused(
                "navigation cannot begin at a checkpoint of another run".to_owned(),
            ));
        }
        if !spec.methods.is_empty() {
            return refuse("method", "step methods");
        }
        if spec.controller.is_some() {
            return refuse("controller", "controllers");
        }
        let known = [Diagnostic::NOISE, Diagnostic::SCHEDULE];
        if let Some(other) = spec
            .diagnostics
            .iter()
            .find(|own| !known.contains(&own.name()))
        {
            return refuse("diagnostics", &format!("measurement {}", other.name()));
        }
        batchscope_rules::LearningRate::new(
            &spec.schedule,
            spec.learning_rate,
            spec.batch_size,
            None,
        )
        .map_err(NavigationError::from)?;
        if let Some(micro_batch) = spec.micro_batch {
            let steps = self.settings.ppo.steps as u64;
            let holds = micro_batch.is_multiple_of(steps);
            let why = format!(
                "must be a multiple of the horizon, {steps}: an environment's frames pass together"
            );
            require(holds, "micro-batch", &why)?;
        }
        Ok(())
    }

    fn untrained(&self, spec: &TrialSpec, metric: &Metric) -> Result<Option<f64>, TrainerError> {
        if metric.split != Split::Val {
            return Ok(None);
        }
        let measured = self.in_threads(|| -> Result<_, NavigationError> {
            let mut session =
                Session::new(&self.settings, &self.world, spec, self.micro_batch(spec))?;
            let mut found = session.evaluate(batchscope_core::Evaluate::Only(Split::Val), 0)?;
            Ok(found.metrics.remove(metric))
        })?;
        Ok(measured?)
    }

    fn limit_threads(&self, each: Option<usize>) {
        *self
            .threads
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = each;
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        self.check(spec)?;
        Ok(self.in_threads(|| self.run_trial(spec, control, events))??)
    }

    fn forget(&self, spec: &TrialSpec) {
        if let Some(path) = self.checkpoint_path(spec) {
            // Most trials end before their first checkpoint: nothing there is nothing wrong.
            let _ = std::fs::remove_file(path);
        }
    }

    fn time(
        &self,
        spec: &TrialSpec,
        budget: f64,
        control: &dyn Control,
    ) -> Result<Option<StepTiming>, TrainerError> {
        self.check(spec)?;
        let timed = self.in_threads(|| self.time_here(spec, budget, control))?;
        Ok(timed?)
    }

    fn micro_batch_multiple(&self) -> u64 {
        self.settings.ppo.steps as u64
    }
}

impl NavigationTrainer {
    /// Times updates, each with its share of the rollout before it.
    fn time_here(
        &self,
        spec: &TrialSpec,
        budget: f64,
        control: &dyn Control,
    ) -> Result<Option<StepTiming>, NavigationError> {
        /// Rollouts timed at least.
        const LEAST: usize = 3;
        let mut session = Session::new(&self.settings, &self.world, spec, self.micro_batch(spec))?;
        let mini_batches = self.settings.ppo.mini_batches as u64;
        let begun = Instant::now();
        let mut seconds = Vec::new();
        for rollout in 0.. {
            let clock = Instant::now();
            for index in 0..mini_batches {
                session.take_step(rollout * mini_batches + index, &mut None)?;
                if control.flow() == Flow::Interrupt {
                    return Ok(None);
                }
            }
            // The first warms caches up.
            if rollout > 0 {
                seconds.push(clock.elapsed().as_secs_f64() / mini_batches as f64);
            }
            if seconds.len() >= LEAST && begun.elapsed().as_secs_f64() >= budget {
                break;
            }
        }
        Ok(StepTiming::of(
            spec.batch_size,
            self.micro_batch(spec),
            seconds,
        ))
    }
}
