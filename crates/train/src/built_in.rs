//! The built-in trainer: networks of this workspace on data of this workspace.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use batchscope_core::{
    Cadence, Capabilities, Control, Event, Examples, Metric, NetworkFactory, Outcome, Purpose,
    SettingError, Solo, Split, StepTiming, StreamKey, Trainer, TrainerError, TrainerInfo,
    TrialRecord, TrialSpec,
};

use crate::{
    Checkpointer, Identity, MICRO_BATCH_CEILING, Run, TrainError,
    augment::{AugmentSpec, Augmenter},
    check_methods,
    evaluate::quantities,
    measurements::check_measurements,
    methods,
    pools::{Pools, start_threads},
    timing, train_loop,
};

/// What the built-in trainer trains, and with what.
#[derive(Clone)]
pub struct BuiltInConfig {
    /// Makes the networks.
    pub factory: Arc<dyn NetworkFactory>,
    /// The training examples.
    pub train: Arc<dyn Examples>,
    /// The validation examples, if any.
    pub validation: Option<Arc<dyn Examples>>,
    /// The test examples, if any: looked at once, at the end of `Fresh` and `Single` trials.
    pub test: Option<Arc<dyn Examples>>,
    /// The data with their settings, for records.
    pub data: String,
    /// What was taken for granted of the data, a sentence each.
    pub notes: Vec<String>,
    /// The folder that relative paths of checkpoints which trials begin at start from; `None` is the working directory.
    pub starts_from: Option<PathBuf>,
    /// What is done to training images.
    pub augment: AugmentSpec,
    /// Where unfinished trials are saved; `None` saves none.
    pub checkpoint_dir: Option<PathBuf>,
    /// Time between checkpoints of a running trial.
    pub checkpoint_every: Duration,
    /// Bytes one trial may take.
    pub max_memory: Option<u64>,
    /// Examples per forward pass at most, where a trial does not say.
    pub micro_batch_ceiling: u64,
}

impl BuiltInConfig {
    /// A model on data, with the defaults for everything else: no augmentation, no checkpoints (one
    /// a minute once a folder is set), no memory limit, and micro-batches of at most
    /// [`MICRO_BATCH_CEILING`](crate::MICRO_BATCH_CEILING) examples.
    pub fn new(
        factory: Arc<dyn NetworkFactory>,
        data: impl Into<String>,
        train: Arc<dyn Examples>,
        validation: Option<Arc<dyn Examples>>,
        test: Option<Arc<dyn Examples>>,
    ) -> Self {
        Self {
            factory,
            train,
            validation,
            test,
            data: data.into(),
            notes: Vec::new(),
            starts_from: None,
            augment: AugmentSpec::default(),
            checkpoint_dir: None,
            checkpoint_every: Duration::from_secs(60),
            max_memory: None,
            micro_batch_ceiling: MICRO_BATCH_CEILING,
        }
    }
}

/// A single run outside any study.
#[derive(Debug, Clone, Default)]
pub struct SingleRun {
    /// When to evaluate.
    pub cadence: Cadence,
    /// The checkpoint to take up; its cap may be another. An unusable one is an error.
    pub resume: Option<PathBuf>,
    /// Where to save the run: at intervals, when interrupted, and at its end.
    pub checkpoint: Option<PathBuf>,
    /// Steps after which it is saved beside that once more, for good: `step-100.safetensors`.
    pub keep: Vec<u64>,
}

/// The built-in [`Trainer`].
pub struct BuiltIn {
    pub(crate) config: BuiltInConfig,
    pub(crate) info: TrainerInfo,
    /// Size of the model's batch-norm groups, if it has batch norm.
    ghost: Option<u64>,
    pools: Pools,
}

/// Where a run is taken up from and saved to.
enum Saving<'a> {
    /// A trial of a study: its own file, taken up if it is there and sound.
    Trial(Option<PathBuf>),
    /// A single run.
    Single(&'a SingleRun),
}

impl BuiltIn {
    /// A trainer for a model and data.
    ///
    /// # Errors
    /// When the model cannot take the data, or the data cannot be augmented so.
    pub fn new(config: BuiltInConfig) -> Result<Self, TrainError> {
        start_threads()?;
        let shape = config.train.shape();
        let key = StreamKey {
            study_seed: 0,
            trial: 0,
            purpose: Purpose::Initialization,
        };
        Augmenter::new(&config.augment, &shape, key)?;
        let splits = [
            Some(Split::Train),
            config.validation.is_some().then_some(Split::Val),
        ];
        let metrics = splits.into_iter().flatten().flat_map(|split| {
            quantities(&shape)
                .iter()
                .map(move |quantity| Metric::new(split, quantity.clone()))
        });
        let network = config.factory.build(&shape, key)?;
        let info = TrainerInfo {
            trainer: concat!("batchscope ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: config.factory.name(),
            data: match config.augment.is_empty() {
                true => config.data.clone(),
                false => format!("{}, augmented by {}", config.data, config.augment),
            },
            device: config.factory.device(),
            train_examples: Some(config.train.len()),
            parameters: network.layout().parameters() as u64,
            metrics: metrics.collect(),
            own_settings: false,
            directions: BTreeMap::new(),
            capabilities: Capabilities::all(),
        };
        Ok(Self {
            config,
            info,
            ghost: network.ghost_size(u64::MAX),
            pools: Pools::default(),
        })
    }

    /// What it trains, and with what.
    pub fn config(&self) -> &BuiltInConfig {
        &self.config
    }

    /// Examples that batch norm normalizes over at this batch size, as [`batchscope_core::Network::ghost_size`] has it.
    pub(crate) fn ghost_size(&self, batch_size: u64) -> Option<u64> {
        self.ghost.map(|ghost| ghost.min(batch_size).max(1))
    }

    /// Where its trials run.
    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Runs one configuration outside any study. An interrupted run is saved; its record holds
    /// what was measured so far.
    ///
    /// # Errors
    /// When the run cannot be set up, resumed or saved.
    pub fn train_once(
        &self,
        spec: &TrialSpec,
        single: &SingleRun,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        self.run_saving(spec, &Saving::Single(single), control, events)
    }

    fn run_saving(
        &self,
        spec: &TrialSpec,
        saving: &Saving<'_>,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        Ok(self
            .pools
            .run(|| self.run_here(spec, saving, control, events))??)
    }

    fn run_here(
        &self,
        spec: &TrialSpec,
        saving: &Saving<'_>,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainError> {
        self.check_target(spec)?;
        let cadence = match saving {
            Saving::Trial(_) => Cadence::Planned,
            Saving::Single(single) => single.cadence,
        };
        let (mut run, micro_batch) = match self.set_up(spec, cadence) {
            Ok(run) => run,
            Err(TrainError::Infeasible(why)) => {
                return Ok(not_run(spec, Outcome::Infeasible { why }));
            }
            Err(TrainError::Examples(error)) => {
                return Ok(not_run(
                    spec,
                    Outcome::Infeasible {
                        why: error.to_string(),
                    },
                ));
            }
            Err(error) => return Err(error),
        };
        self.resume(&mut run, saving, micro_batch)?;

        let ended = train_loop(&mut run, &Solo, control, events);
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(error @ (TrainError::File { .. } | TrainError::Bug(_))) => return Err(error),
            Err(error) => Outcome::Failed {
                why: error.to_string(),
            },
        };
        let ended = matches!(
            outcome,
            Outcome::Reached { .. }
                | Outcome::Diverged { .. }
                | Outcome::NotReached { .. }
                | Outcome::Completed { .. }
        );
        if matches!(saving, Saving::Single(_)) && ended {
            run.save(events)?;
        }
        Ok(run.driver.record(outcome, micro_batch))
    }

    /// Refuses targets that no evaluation could meet.
    fn check_target(&self, spec: &TrialSpec) -> Result<(), TrainError> {
        let Some(target) = &spec.target else {
            return Ok(());
        };
        if self.info.metrics.contains(&target.metric) {
            return Ok(());
        }
        let names: Vec<String> = self.info.metrics.iter().map(Metric::to_string).collect();
        Err(SettingError::new(
            "target",
            format!(
                "{target} watches a metric that is not measured here: choose one of {}",
                names.join(", ")
            ),
        )
        .into())
    }

    /// Resumes the run if there is something to resume, and sets up its saving.
    fn resume(
        &self,
        run: &mut Run<'_>,
        saving: &Saving<'_>,
        micro_batch: u64,
    ) -> Result<(), TrainError> {
        let identity = self.identity(run, micro_batch);
        let mut keep = Vec::new();
        let path = match saving {
            Saving::Trial(path) => {
                if let Some(path) = path.as_deref().filter(|path| path.exists())
                    && let Err(error) = run.resume(path, &identity, false)
                {
                    run.driver.note(format!("started again: {error}"));
                }
                path.as_ref()
            }
            Saving::Single(single) => {
                if let Some(path) = &single.resume {
                    run.resume(path, &identity, true)?;
                }
                keep.clone_from(&single.keep);
                single.checkpoint.as_ref()
            }
        };
        let every = self.config.checkpoint_every;
        run.checkpointer =
            path.map(|path| Checkpointer::new(path.clone(), every, identity).keeping(keep));
        Ok(())
    }

    fn identity(&self, run: &Run<'_>, micro_batch: u64) -> Identity {
        Identity {
            spec: run.driver.spec().clone(),
            model: self.info.model.clone(),
            data: self.info.data.clone(),
            micro_batch,
            cadence: run.driver.driving().cadence,
        }
    }

    /// A run of a spec before its first step, and the identity that its checkpoints carry. It is
    /// for programs that stop a run and look at its network between calls of
    /// [`train_loop`](crate::train_loop()). It runs in the caller's threads.
    ///
    /// # Errors
    /// When the run cannot be set up.
    pub fn begin<'a>(
        &'a self,
        spec: &'a TrialSpec,
        cadence: Cadence,
    ) -> Result<(Run<'a>, Identity), TrainError> {
        self.check_target(spec)?;
        let (run, micro_batch) = self.set_up(spec, cadence)?;
        let identity = self.identity(&run, micro_batch);
        Ok((run, identity))
    }

    fn checkpoint_path(&self, spec: &TrialSpec) -> Option<PathBuf> {
        let folder: &Path = self.config.checkpoint_dir.as_deref()?;
        Some(folder.join(format!("trial-{}.safetensors", spec.id)))
    }
}

/// The record of a trial that could not be run.
fn not_run(spec: &TrialSpec, outcome: Outcome) -> TrialRecord {
    TrialRecord {
        spec: spec.clone(),
        outcome,
        measurements: Vec::new(),
        micro_batch: 0,
        seconds: 0.0,
        decisions: Vec::new(),
        schedule: Vec::new(),
        notes: Vec::new(),
    }
}

impl Trainer for BuiltIn {
    fn info(&self) -> TrainerInfo {
        self.info.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.config.notes.clone()
    }

    fn check(&self, spec: &TrialSpec) -> Result<(), TrainerError> {
        spec.check()?;
        self.check_target(spec)?;
        check_methods(&spec.methods, &self.config.train.shape())?;
        methods::augmentations(&self.config.augment, &spec.methods)?;
        check_measurements(spec, self)?;
        if spec.controller.is_some() || spec.start.is_some() {
            // Whether the data and the network can follow shows when the run is set up.
            self.set_up(spec, Cadence::Planned)?;
        }
        if let Some(bytes) = self.config.max_memory
            && self.within(bytes, &spec.methods, spec.batch_size) == 0
        {
            return Err(SettingError::new(
                "max-memory",
                "not even one example fits: allow more memory, or choose a smaller model",
            )
            .into());
        }
        Ok(())
    }

    fn untrained(&self, spec: &TrialSpec, metric: &Metric) -> Result<Option<f64>, TrainerError> {
        let measured = self.pools.run(|| {
            let (mut run, _) = self.set_up(spec, Cadence::Planned)?;
            let mut metrics = BTreeMap::new();
            let network = run.network.as_mut();
            run.evaluator.measure(metric.split, network, &mut metrics)?;
            Ok(metrics.remove(metric))
        })?;
        match measured {
            Err(TrainError::Infeasible(_) | TrainError::Examples(_)) => Ok(None),
            measured => Ok(measured?),
        }
    }

    fn limit_threads(&self, each: Option<usize>) {
        self.pools.resize(each);
    }

    fn run(
        &self,
        spec: &TrialSpec,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        self.run_saving(
            spec,
            &Saving::Trial(self.checkpoint_path(spec)),
            control,
            events,
        )
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
        let budget = Duration::try_from_secs_f64(budget).unwrap_or_default();
        let timing = self.pools.run(|| {
            let (mut run, micro_batch) = self.set_up(spec, Cadence::Planned)?;
            timing::time_steps(&mut run, micro_batch, budget, control)
        })??;
        Ok(timing)
    }

    fn micro_batch_multiple(&self) -> u64 {
        self.ghost.unwrap_or(1)
    }

    fn micro_batch_within(&self, spec: &TrialSpec, bytes: u64) -> Option<u64> {
        Some(self.within(bytes, &spec.methods, spec.batch_size))
    }
}
