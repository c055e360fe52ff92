//! The built-in trainer: networks of this workspace on data of this workspace.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use batchscope_core::{
    Cadence, Capabilities, Control, Event, Examples, Group, GroupError, Metric, NetworkFactory,
    Outcome, Purpose, SettingError, Solo, Split, StepTiming, StreamKey, Trainer, TrainerError,
    TrainerInfo, TrialRecord, TrialSpec,
};
use serde::{Deserialize, Serialize};

use crate::{
    Checkpointer, Identity, MICRO_BATCH_CEILING, Replicas, Run, TrainError,
    augment::{AugmentSpec, Augmenter},
    check_methods,
    evaluate::quantities,
    measurements::check_measurements,
    methods,
    pools::{Pools, start_threads},
    replicas::{Job, is_ours_alone},
    shards::{ShardError, class_labels},
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
    /// Who makes the steps of a run together, where its methods do not say.
    pub replicas: Replicas,
}

impl BuiltInConfig {
    /// A model on data, with the defaults for everything else: no augmentation, no checkpoints (one
    /// a minute once a folder is set), no memory limit, micro-batches of at most
    /// [`MICRO_BATCH_CEILING`](crate::MICRO_BATCH_CEILING) examples, and one replica.
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
            replicas: Replicas::Threads(1),
        }
    }
}

/// A single run outside any study.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// The class of every training example, once it has been asked for.
    labels: OnceLock<Result<Vec<u32>, ShardError>>,
}

/// Where a run is taken up from and saved to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Saving {
    /// A trial of a study: its own file, taken up if it is there and sound.
    Trial(Option<PathBuf>),
    /// A single run.
    Single(SingleRun),
}

impl BuiltIn {
    /// A trainer for a model and data.
    ///
    /// # Errors
    /// When the model cannot take the data, or the data cannot be augmented so.
    pub fn new(config: BuiltInConfig) -> Result<Self, TrainError> {
        start_threads(1)?;
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
            labels: OnceLock::new(),
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

    /// The class of every training example.
    pub(crate) fn class_labels(&self) -> Result<&[u32], TrainError> {
        let labels = (self.labels).get_or_init(|| class_labels(self.config.train.as_ref()));
        Ok(labels.as_ref().map_err(Clone::clone)?)
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
        self.run_saving(spec, Saving::Single(single.clone()), control, events)
    }

    fn run_saving(
        &self,
        spec: &TrialSpec,
        saving: Saving,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainerError> {
        let job = Job::Run {
            spec: Box::new(spec.clone()),
            saving: saving.clone(),
        };
        let replicas = self.replicas(&spec.methods)?;
        Ok(self.together(replicas, &job, |group| {
            self.run_here(spec, &saving, group, control, events)
        })?)
    }

    /// This member's part of a run; the record of member 0 is the run's.
    pub(crate) fn run_here(
        &self,
        spec: &TrialSpec,
        saving: &Saving,
        group: &dyn Group,
        control: &dyn Control,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<TrialRecord, TrainError> {
        self.info.check_target(spec)?;
        let cadence = match saving {
            Saving::Trial(_) => Cadence::Planned,
            Saving::Single(single) => single.cadence,
        };
        let (mut run, micro_batch) = match begun_by_all(self.set_up(spec, cadence, group), group) {
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

        let ended = train_loop(&mut run, control, events);
        if let Err(error) = &ended
            && is_ours_alone(error)
        {
            group.abandon(&format!("replica {}: {error}", group.rank()));
        }
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

    /// Resumes the run if there is something to resume, and sets up its saving.
    fn resume(
        &self,
        run: &mut Run<'_>,
        saving: &Saving,
        micro_batch: u64,
    ) -> Result<(), TrainError> {
        let identity = self.identity(run, micro_batch);
        let mut keep = Vec::new();
        let path = match saving {
            Saving::Trial(path) => {
                if let Some(path) = path.as_deref()
                    && is_there(path, run.group)?
                {
                    match run.resume(path, &identity, false) {
                        Err(error @ TrainError::Group(_)) => return Err(error),
                        Err(error) => run.driver.note(format!("started again: {error}")),
                        Ok(()) => {}
                    }
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
        self.info.check_target(spec)?;
        let (run, micro_batch) = self.set_up(spec, cadence, &Solo)?;
        let identity = self.identity(&run, micro_batch);
        Ok((run, identity))
    }

    /// This member's part of timing a trial's steps for about `budget` seconds.
    pub(crate) fn time_here(
        &self,
        spec: &TrialSpec,
        budget: f64,
        group: &dyn Group,
        control: &dyn Control,
    ) -> Result<Option<StepTiming>, TrainError> {
        let budget = Duration::try_from_secs_f64(budget).unwrap_or(Duration::MAX);
        let set_up = self.set_up(spec, Cadence::Planned, group);
        let (mut run, micro_batch) = begun_by_all(set_up, group)?;
        timing::time_steps(&mut run, micro_batch, budget, control)
    }

    fn checkpoint_path(&self, spec: &TrialSpec) -> Option<PathBuf> {
        let folder: &Path = self.config.checkpoint_dir.as_deref()?;
        Some(folder.join(format!("trial-{}.safetensors", spec.id)))
    }
}

/// What has begun, where it has on every member of a group or on none. A member that fails where others do not leaves them:
/// something is other than there.
fn begun_by_all<T>(begun: Result<T, TrainError>, group: &dyn Group) -> Result<T, TrainError> {
    if group.size() == 1 || matches!(begun, Err(TrainError::Group(_))) {
        return begun;
    }
    let all = group.all_gather(&[f64::from(u8::from(begun.is_ok()))])?;
    match (all.iter().position(|&ok| ok == 0.0), &begun) {
        (Some(rank), Ok(_)) => {
            let why = format!("replica {rank} could not begin, where this one could");
            Err(GroupError::Lost(why).into())
        }
        (Some(_), Err(error)) if all.contains(&1.0) => {
            group.abandon(&error.to_string());
            begun
        }
        _ => begun,
    }
}

/// True where member 0 of a group finds a file.
fn is_there(path: &Path, group: &dyn Group) -> Result<bool, TrainError> {
    let mut there = [u64::from(path.exists())];
    group.broadcast(&mut there, 0)?;
    Ok(there[0] != 0)
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
        self.info.check_target(spec)?;
        check_methods(&spec.methods, &self.config.train.shape())?;
        methods::augmentations(&self.config.augment, &spec.methods)?;
        check_measurements(spec, self)?;
        self.replicas(&spec.methods)?;
        let has_own_replicas = methods::own_replicas(&spec.methods).is_some();
        if spec.controller.is_some() || spec.start.is_some() || has_own_replicas {
            // Whether the data and the network can follow shows when the run is set up.
            self.set_up(spec, Cadence::Planned, &Solo)?;
        }
        if let Some(bytes) = self.config.max_memory
            && self.within(bytes, &spec.methods, spec.batch_size) == 0
        {
            return Err(SettingError::new(
                "max-memory",
                "not even one example fits: allow more memory, or choose a smaller model or fewer replicas",
            )
            .into());
        }
        Ok(())
    }

    fn untrained(&self, spec: &TrialSpec, metric: &Metric) -> Result<Option<f64>, TrainerError> {
        let measured = self.pools.run(|| {
            let (mut run, _) = self.set_up(spec, Cadence::Planned, &Solo)?;
            let mut metrics = BTreeMap::new();
            let network = run.network.as_mut();
            (run.evaluator).measure(metric.split, network, &Solo, &mut metrics)?;
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
        let saving = Saving::Trial(self.checkpoint_path(spec));
        self.run_saving(spec, saving, control, events)
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
        let job = Job::Time {
            spec: Box::new(spec.clone()),
        };
        let replicas = self.replicas(&spec.methods)?;
        Ok(self.together(replicas, &job, |group| {
            self.time_here(spec, budget, group, control)
        })?)
    }

    fn micro_batch_multiple(&self) -> u64 {
        self.ghost.unwrap_or(1)
    }

    fn micro_batch_within(&self, spec: &TrialSpec, bytes: u64) -> Option<u64> {
        Some(self.within(bytes, &spec.methods, spec.batch_size))
    }
}
