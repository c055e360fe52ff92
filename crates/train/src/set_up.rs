//! Puts the parts of a run together, for a trial of the built-in trainer.

use std::path::Path;

use batchscope_core::{
    Cadence, Choice, Driving, Network, Purpose, StreamKey, TrialDriver, TrialPurpose, TrialSpec,
};
use batchscope_rules::{Controller, Course, controller};

use crate::{
    BatchStream, BuiltIn, EVALUATION_CHUNK, EvaluationSet, Evaluator, Portions, Run, SourceParts,
    Synchronous, TrainError, UpdateRule,
    augment::Augmenter,
    changing::{check_growth, check_noise},
    checkpoint::begin_at,
    measurements::check_measurements,
    methods, micro_batch,
};

impl BuiltIn {
    /// What leads a run of a spec.
    fn controller(&self, spec: &TrialSpec) -> Result<Box<dyn Controller>, TrainError> {
        let course = Course::of(spec, Some(self.config.train.len()));
        Ok(controller(spec.controller.as_ref(), &course)?)
    }

    /// A run of a spec at its beginning, and its micro-batch.
    pub(crate) fn set_up<'a>(
        &'a self,
        spec: &'a TrialSpec,
        cadence: Cadence,
    ) -> Result<(Run<'a>, u64), TrainError> {
        let config = &self.config;
        let shape = config.train.shape();
        let key = StreamKey {
            study_seed: spec.study_seed,
            trial: spec.seed,
            purpose: Purpose::Initialization,
        };
        let sampler = config
            .train
            .sampler(key.with_purpose(Purpose::Order), spec.batch_size)?;
        let controller = self.controller(spec)?;
        let mut network = config.factory.build(&shape, key)?;

        let sizes = controller.batch_sizes();
        let [smallest, largest] = sizes.map_or([spec.batch_size; 2], |s| [s.smallest, s.largest]);
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
        let rule = self.begun(spec, network.as_mut())?;
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

        let (source, method) = self.steps_of(spec, key, micro_batch)?;
        let run = Run {
            driver,
            source,
            rule: Box::new(rule),
            method,
            network,
            controller,
            evaluator,
            checkpointer: None,
        };
        Ok((run, micro_batch))
    }

    /// Where the gradients of a run come from, and how its steps use them.
    fn steps_of<'a>(
        &'a self,
        spec: &TrialSpec,
        key: StreamKey,
        micro_batch: u64,
    ) -> Result<methods::Parts<'a>, TrainError> {
        let config = &self.config;
        let shape = config.train.shape();
        let augment = methods::augmentations(&config.augment, &spec.methods)?;
        let stream = || -> Result<BatchStream<'a>, TrainError> {
            let order = key.with_purpose(Purpose::Order);
            let sampler = config.train.sampler(order, spec.batch_size)?;
            let augmenter = Augmenter::new(&augment, &shape, key)?;
            let portions = Portions::whole(micro_batch);
            Ok(BatchStream::new(sampler, shape, portions, augmenter, key))
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
    ) -> Result<Synchronous, TrainError> {
        let optimizer = batchscope_optim::build(&spec.optimizer, network.layout(), spec.decay)
            .map_err(|error| TrainError::choice("optimizer", &error))?;
        let rule = Synchronous::new(optimizer, spec.clip);
        let Some(start) = &spec.start else {
            return Ok(rule);
        };
        let path = Path::new(&start.checkpoint);
        let from = self.config.starts_from.as_ref();
        let path = from.map_or_else(|| path.to_owned(), |folder| folder.join(path));
        let names = (self.info.model.as_str(), spec.optimizer.name());
        begin_at((start, &path), network, rule, names)
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
        let (networks, weights) = methods::beside(methods);
        let parameters = self.info.parameters;
        let copies = 4 * parameters.saturating_mul(2 * 3);
        // Of each network beside the run's own, the examples of two steps are kept too; the weights are copied again for a
        // checkpoint.
        let examples = batch_size.saturating_mul(2 * 4 * shape.input.len() as u64);
        let kept = (networks - 1).saturating_mul(examples);
        let kept = kept.saturating_add(weights.saturating_mul(2 * 4 * parameters));
        micro_batch::largest_within(
            factory,
            &shape,
            self.config.train.len(),
            copies,
            bytes.saturating_sub(kept) / networks,
        )
    }
}
