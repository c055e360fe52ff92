//! Puts the parts of a run together, for a trial of the built-in trainer.

use std::path::Path;

use batchscope_core::{
    Cadence, Choice, Driving, Examples, Group, Network, ParameterLayout, Purpose, Sampler,
    SettingError, StreamKey, TrialDriver, TrialPurpose, TrialSpec,
};
use batchscope_rules::{Controller, Course, controller};

use crate::{
    BatchStream, BuiltIn, EVALUATION_CHUNK, EvaluationSet, Evaluator, Portions, Replicas, Run,
    SourceParts, Synchronous, TrainError, UpdateRule,
    augment::Augmenter,
    changing::{check_growth, check_noise},
    checkpoint::begin_at,
    measurements::check_measurements,
    methods::{self, OwnReplicas},
    micro_batch,
    shards::{ClassSpread, Sharding, Shards},
};

impl BuiltIn {
    /// What leads a run of a spec.
    fn controller(&self, spec: &TrialSpec) -> Result<Box<dyn Controller>, TrainError> {
        let course = Course::of(spec, Some(self.config.train.len()));
        Ok(controller(spec.controller.as_ref(), &course)?)
    }

    /// A run of a spec at its beginning, as a member of a group makes it, and its micro-batch.
    pub(crate) fn set_up<'a>(
        &'a self,
        spec: &'a TrialSpec,
        cadence: Cadence,
        group: &'a dyn Group,
    ) -> Result<(Run<'a>, u64), TrainError> {
        let config = &self.config;
        let shape = config.train.shape();
        let key = spec.key(Purpose::Initialization);
        let parts = self.parts(spec, key, group)?;
        let sampler = parts.sampler(key)?;
        let controller = self.controller(spec)?;
        let mut network = config.factory.build(&shape, key)?;

        let sizes = controller.batch_sizes();
        let whole = sizes.map_or([spec.batch_size; 2], |s| [s.smallest, s.largest]);
        let [smallest, largest] = whole.map(|size| size / parts.of);
        if let Some(own) = &parts.own
            && (sizes.is_some() || controller.watches_noise())
        {
            let why = format!(
                "changes the batch size, or goes by the gradient noise, and {} has replicas with parameters of their own: leave one of them out",
                own.name
            );
            return Err(SettingError::new("controller", why).into());
        }
        let ghost = network.ghost_size(smallest);
        let model_ghost = network.ghost_size(u64::MAX);
        if let Some(sizes) = sizes {
            check_growth(
                sizes,
                sampler.as_ref(),
                config.train.len(),
                ghost,
                model_ghost,
            )?;
        }
        let within = config
            .max_memory
            .map(|bytes| self.within(bytes, &spec.methods, largest));
        let micro_batch = micro_batch::choose(
            largest,
            spec.micro_batch,
            ghost,
            within,
            config.micro_batch_ceiling,
        )?;
        let rule = self.begun(spec, network.as_mut(), group)?;
        if controller.watches_noise() {
            check_noise(network.as_ref(), [smallest, spec.batch_size], micro_batch)?;
        }
        check_measurements(spec, self)?;
        let evaluator = self.evaluator(spec, within)?;
        let recalibrates = rule.averages() && ghost.is_some();
        let driving = Driving {
            cadence,
            cost: evaluator.cost(spec.target.as_ref(), recalibrates),
            looks_at_test: evaluator.test.is_some(),
            // In steps of another batch size it says nothing of this run's.
            warm_up_steps: match sizes.is_some() || controller.watches_noise() {
                true => 0,
                false => controller.warm_up_steps(),
            },
        };
        let mut driver = TrialDriver::new(spec, driving);
        if ghost != model_ghost
            && let (Some(ghost), Some(model_ghost)) = (ghost, model_ghost)
        {
            driver.note(format!(
                "batch norm normalizes over {ghost} examples instead of {model_ghost}, since the batch is no larger"
            ));
        }

        let portions = match &parts.own {
            // Whole groups of batch norm stay together.
            None => Portions::of_member(micro_batch, ghost.unwrap_or(1), group),
            Some(_) => Portions::whole(micro_batch),
        };
        let replicas = parts.remark(rule.as_ref(), network.layout(), group, ghost.is_some());
        replicas.into_iter().for_each(|note| driver.note(note));
        let (source, method) = self.steps_of(spec, key, portions, &parts)?;
        let run = Run {
            driver,
            source,
            rule,
            method,
            network,
            controller,
            evaluator,
            checkpointer: None,
            group,
            portions,
        };
        Ok((run, micro_batch))
    }

    /// Whose examples the replicas of a run take.
    fn parts<'a>(
        &'a self,
        spec: &TrialSpec,
        key: StreamKey,
        group: &'a dyn Group,
    ) -> Result<Parts<'a>, TrainError> {
        let train = self.config.train.as_ref();
        let own = methods::own_replicas(&spec.methods);
        let of = own.as_ref().map_or(1, |own| own.replicas as u64);
        if !spec.batch_size.is_multiple_of(of) {
            let why = format!(
                "{of} replicas cannot take equal parts of a batch of {}: choose a multiple of {of}",
                spec.batch_size
            );
            return Err(SettingError::new("batch-size", why).into());
        }
        let shards = match own.as_ref().map(|own| (own.sharding, own.replicas)) {
            None => None,
            Some((Sharding::Dirichlet { alpha }, replicas)) => {
                let labels = self.class_labels()?;
                Some(Shards::by_class(labels, replicas, alpha, key)?)
            }
            Some((how, replicas)) => Some(Shards::new(train, replicas, how, key)?),
        };
        Ok(Parts {
            train,
            group,
            batch_size: spec.batch_size / of,
            of,
            spread: match (&shards, &own) {
                (Some(shards), Some(own)) if own.sharding != Sharding::Even => {
                    Some(shards.class_spread(self.class_labels()?))
                }
                _ => None,
            },
            shards,
            own,
            steps: spec.cap,
        })
    }

    /// Where the gradients of a run come from, and how its steps use them.
    fn steps_of<'a>(
        &'a self,
        spec: &TrialSpec,
        key: StreamKey,
        portions: Portions,
        parts: &Parts<'a>,
    ) -> Result<methods::Parts<'a>, TrainError> {
        let config = &self.config;
        let shape = config.train.shape();
        let augment = methods::augmentations(&config.augment, &spec.methods)?;
        let stream = || -> Result<BatchStream<'a>, TrainError> {
            let augmenter = Augmenter::new(&augment, &shape, key)?;
            let sampler = parts.sampler(key)?;
            let stream = BatchStream::new(sampler, shape, portions, augmenter, key);
            Ok(match &parts.own {
                None => stream,
                Some(_) => stream.of_member(parts.group),
            })
        };
        let parts = SourceParts {
            stream: stream()?,
            beside: &|| Ok((stream()?, config.factory.build(&shape, key)?)),
        };
        methods::assemble(&spec.methods, parts)
    }

    /// The update rule of a run at its beginning, with the network brought there too: fresh, or at a checkpoint.
    fn begun(
        &self,
        spec: &TrialSpec,
        network: &mut dyn Network,
        group: &dyn Group,
    ) -> Result<Box<dyn UpdateRule>, TrainError> {
        if let Some(rule) = methods::update_rule(spec, network.layout())? {
            return Ok(rule);
        }
        let optimizer = batchscope_optim::build(&spec.optimizer, network.layout(), spec.decay)
            .map_err(|error| TrainError::choice("optimizer", &error))?;
        let rule = Synchronous::new(optimizer, spec.clip);
        let Some(start) = &spec.start else {
            return Ok(Box::new(rule));
        };
        let path = Path::new(&start.checkpoint);
        let from = self.config.starts_from.as_ref();
        let path = from.map_or_else(|| path.to_owned(), |folder| folder.join(path));
        let names = (self.info.model.as_str(), spec.optimizer.name());
        Ok(Box::new(begin_at(
            (start, &path),
            network,
            rule,
            names,
            group,
        )?))
    }

    fn evaluator(
        &self,
        spec: &TrialSpec,
        within: Option<u64>,
    ) -> Result<Evaluator<'_>, TrainError> {
        let config = &self.config;
        let chunk = EVALUATION_CHUNK.min(within.unwrap_or(u64::MAX));
        let most = spec.evaluation.examples.max(1);
        // A branch of a run is no network that anybody is to use.
        let looks_at_test = spec.start.is_none()
            && matches!(
                spec.purpose,
                TrialPurpose::Fresh { .. } | TrialPurpose::Single
            );
        let validation = config.validation.as_ref().filter(|e| !e.is_empty());
        let test = config
            .test
            .as_ref()
            .filter(|e| looks_at_test && !e.is_empty());
        Ok(Evaluator {
            train: EvaluationSet::drawn(config.train.as_ref(), most, chunk, spec.study_seed)?,
            validation: validation.map(|e| EvaluationSet::stored(e.as_ref(), most, chunk)),
            test: test.map(|e| EvaluationSet::stored(e.as_ref(), u64::MAX, chunk)),
            shape: config.train.shape(),
        })
    }

    /// Largest micro-batch whose training step stays within `bytes`, of steps of `batch_size` examples by these methods; 0 if
    /// not even one example fits. Counts what the loop itself keeps beside the network: up to two copies of parameters and
    /// optimizer state, for checkpoints.
    pub(crate) fn within(&self, bytes: u64, methods: &[Choice], batch_size: u64) -> u64 {
        let (factory, shape) = (self.config.factory.as_ref(), self.config.train.shape());
        // Replicas on threads share what this process may take.
        let bytes = match &self.config.replicas {
            Replicas::Threads(_) => bytes / self.replicas(methods).unwrap_or(1) as u64,
            Replicas::Processes(_) => bytes,
        };
        // What replicas exchange: a message, what comes of it, and as much again on the way.
        let exchanged = match self.replicas(methods) {
            Ok(2..) => 4 * 4 * self.info.parameters,
            _ => 0,
        };
        let (networks, weights) = methods::beside(methods);
        let parameters = self.info.parameters;
        let copies = 4 * parameters.saturating_mul(2 * 3);
        // Of each network beside the run's own, the examples of two steps are kept too; the weights are copied again for a
        // checkpoint.
        let examples = batch_size.saturating_mul(2 * 4 * shape.input.len() as u64);
        let kept = (networks - 1).saturating_mul(examples);
        let kept = kept.saturating_add(weights.saturating_mul(2 * 4 * parameters));
        let kept = kept.saturating_add(exchanged);
        micro_batch::largest_within(
            factory,
            &shape,
            self.config.train.len(),
            copies,
            bytes.saturating_sub(kept) / networks,
        )
    }
}

/// Whose examples the replicas of a run take: all from one order, or each from a part of its own.
struct Parts<'a> {
    train: &'a dyn Examples,
    group: &'a dyn Group,
    /// Examples that a replica takes from its order for a step.
    batch_size: u64,
    /// Orders that there are.
    of: u64,
    own: Option<OwnReplicas>,
    shards: Option<Shards>,
    spread: Option<ClassSpread>,
    /// Steps of the run at most.
    steps: u64,
}

impl<'a> Parts<'a> {
    /// The order that this replica takes examples from.
    fn sampler(&self, key: StreamKey) -> Result<Box<dyn Sampler + 'a>, TrainError> {
        let order = key.with_purpose(Purpose::Order);
        Ok(match &self.shards {
            None => self.train.sampler(order, self.batch_size)?,
            Some(shards) => shards
                .shard(self.train, self.group.rank())
                .into_sampler(order, self.batch_size)?,
        })
    }

    /// What is to be said of several replicas.
    fn remark(
        &self,
        rule: &dyn UpdateRule,
        layout: &ParameterLayout,
        group: &dyn Group,
        batch_norm: bool,
    ) -> Vec<String> {
        if group.size() == 1 {
            return Vec::new();
        }
        // A rule that is quiet on most steps sends on average.
        let steps = self.steps.clamp(1, 1024);
        let parameters = layout.parameters() as u64;
        let replicas = group.size() as u64;
        let bytes: u64 = (0..steps)
            .map(|step| rule.bytes_sent(parameters, replicas, step))
            .sum();
        let mut notes = vec![format!(
            "{replicas} replicas, each of which sends {} bytes a step on average",
            bytes / steps / replicas
        )];
        if let Some(shards) = &self.shards {
            let left_over = match shards.left_over() {
                0 => String::new(),
                n => format!("; {n} are nobody's"),
            };
            let spread = self.spread.map_or_else(String::new, |spread| {
                format!(
                    ", of {:.1} classes on average, whose frequencies are {:.2} from those of all (total variation)",
                    spread.mean_classes, spread.mean_distance
                )
            });
            notes.push(format!(
                "each replica has {} training examples of its own{spread}{left_over}",
                shards.share()
            ));
            if batch_norm && self.spread.is_some() {
                notes.push(
                    "batch norm takes its statistics from one replica's classes alone, which can do \
                     more harm than any rule mends (Hsieh et al. 2020): compare with a network without it"
                        .to_owned(),
                );
            }
        }
        notes
    }
}
