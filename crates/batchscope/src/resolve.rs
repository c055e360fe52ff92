//! From settings to meaning: the settings of a command become the types of the crates below.

use batchscope_core::{
    Choice, ChoiceError, Decay, Length, Schedule, SettingError, WarmUp, WarmUpShape,
};
use batchscope_data::{Dataset, LoadOptions, TableTask};
use batchscope_nn::{Factory, ModelSpec};
use batchscope_scaling::Endpoint;
use batchscope_study::{Branching, Comparison, Plan, RateRange, TargetChoice, Tune};

use crate::{
    error::CliError,
    settings::{
        ComputeArgs, DataArgs, ExamplesArgs, ModelArgs, OptimizerArgs, ReadArgs, StepArgs,
        StudySettings, Workload,
    },
    values::{BatchSizes, Rules, Switch, TuneWidth},
};

/// Defaults of a workload that is not told otherwise: the built-in data and a small perceptron,
/// which a laptop can study in minutes.
pub const DEFAULT_DATA: &str = "glyphs";
/// See [`DEFAULT_DATA`].
pub const DEFAULT_MODEL: &str = "mlp(128)";

/// Length of the runs of a comparison.
const DEFAULT_EPOCHS: f64 = 5.0;

/// The optimizer that was asked for.
pub fn optimizer(args: &OptimizerArgs) -> Result<Choice, CliError> {
    args.choice().map_err(|error: ChoiceError| {
        let flag = error
            .key()
            .map_or_else(|| "optimizer".to_owned(), |key| key.replace('_', "-"));
        CliError::flag(flag, error)
    })
}

/// The schedule that was asked for: a warm-up of `warm_up` and a constant rate unless told otherwise.
pub fn schedule(step: &StepArgs, warm_up: Length) -> Schedule {
    Schedule {
        warm_up: WarmUp {
            length: step.warm_up.unwrap_or(warm_up),
            shape: step.warm_up_shape.unwrap_or(WarmUpShape::Linear),
        },
        decay: step
            .schedule
            .clone()
            .map_or(Decay::Constant, |schedule| schedule.0),
        base_learning_rate: None,
    }
}

/// The study's plan: its defaults, with what was asked for laid over them, checked.
pub fn plan(settings: &StudySettings) -> Result<Plan, CliError> {
    let (w, q, t) = (
        &settings.workload,
        settings.plan.clone(),
        settings.trials.clone(),
    );
    let base = Plan::default();
    let tune = q.tune.unwrap_or(base.tune);
    let warm_up = Length::Steps(tune.warm_up_steps());
    let [low, high] = w.optimizer.rates().searched;
    let mut plan = Plan {
        batch_sizes: t.batch_sizes.map_or(base.batch_sizes, |sizes| sizes.0),
        base_batch: t.base_batch.unwrap_or(base.base_batch),
        tune,
        rules: q.rules.map_or(base.rules, |rules| rules.0),
        tune_trials: t.tune_trials.unwrap_or(base.tune_trials),
        learning_rates: q.learning_rates.unwrap_or(RateRange { low, high }),
        tune_width: q.tune_width.map_or(base.tune_width, |width| width.0),
        tune_momentum: q.tune_momentum,
        widen_factor: t.widen_factor.unwrap_or(base.widen_factor),
        max_widenings: t.max_widenings.unwrap_or(base.max_widenings),
        seeds: t.seeds.unwrap_or(base.seeds),
        study_seed: w.compute.seed.unwrap_or(base.study_seed),
        target: t.target.unwrap_or(base.target),
        optimizer: optimizer(&w.optimizer)?,
        methods: w.step.methods(),
        diagnostics: w.measure.measurements(),
        token_half_life: t.token_half_life.map_or(base.token_half_life, |on| on.0),
        schedule: schedule(&w.step, warm_up),
        clip: w.optimizer.clip,
        decay: w.optimizer.weight_decay_on.unwrap_or_default(),
        micro_batch: w.compute.micro_batch,
        evaluation: base.evaluation,
        cap_factor: q.cap_factor.unwrap_or(base.cap_factor),
        max_steps: t.max_steps,
        pilot_trials: q.pilot_trials.unwrap_or(base.pilot_trials),
        pilot_epochs: q.pilot_epochs.unwrap_or(base.pilot_epochs),
        pilot_batch: q.pilot_batch,
        linearity_seeds: q.linearity_seeds.unwrap_or(base.linearity_seeds),
        noise: w.measure.noise.map(|on| on.0),
        comparison: None,
        branching: None,
        jobs: t
            .jobs
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    let evaluation = &mut plan.evaluation;
    evaluation.first = t.eval_first.unwrap_or(evaluation.first);
    evaluation.ratio = t.eval_ratio.unwrap_or(evaluation.ratio);
    evaluation.refine = t.eval_refine.unwrap_or(evaluation.refine);
    evaluation.examples = w.measure.eval_examples.unwrap_or(evaluation.examples);
    if settings.comparison.methods.is_some() {
        compare(settings, &mut plan)?;
    }
    plan.check().map_err(from_plan)?;
    Ok(plan)
}

/// Makes a plan one that compares methods.
fn compare(settings: &StudySettings, plan: &mut Plan) -> Result<(), CliError> {
    let asked = &settings.comparison;
    let methods = asked.methods.clone().unwrap_or_default();
    let endpoint = match &settings.trials.target {
        Some(TargetChoice::Fixed(target)) => Endpoint::Steps(target.clone()),
        Some(_) => {
            let why = "must be a value that is fixed beforehand, for all methods: val-error=0.03";
            return Err(CliError::flag("target", why));
        }
        None => {
            let metric = asked.metric.clone();
            let metric = metric.unwrap_or_else(|| "val-error".parse().expect("a metric"));
            plan.target = TargetChoice::Auto {
                metric: metric.clone(),
            };
            Endpoint::Metric(metric)
        }
    };
    // A rule has the warm-up here that it has in a study of rules: without one LEGW is square-root scaling.
    let ruled = methods.0.iter().any(|method| method.rule.is_some());
    let tuned = if ruled { Tune::Base } else { Tune::Every };
    plan.schedule = schedule(
        &settings.workload.step,
        Length::Steps(tuned.warm_up_steps()),
    );
    plan.noise = Some(false);
    if asked.epochs.is_some() && asked.run_examples.is_some() {
        let why = "and epochs both say how long runs are: give one of them";
        return Err(CliError::flag("run-examples", why));
    }
    plan.comparison = Some(Comparison {
        tune_warm_up: matches!(asked.tune_warm_up, Some(Switch(true))),
        methods: methods.0,
        epochs: asked.epochs.unwrap_or(DEFAULT_EPOCHS),
        run_examples: asked.run_examples,
        endpoint,
    });
    Ok(())
}

/// How the data are to be read.
pub fn load_options(read: &ReadArgs, examples: &ExamplesArgs, seed: Option<u64>) -> LoadOptions {
    let mut options = LoadOptions {
        format: read.format,
        examples: examples.examples,
        fraction: examples.fraction,
        validation: examples.validation,
        seed: seed.unwrap_or(0),
        ..LoadOptions::default()
    };
    options.parts.train.clone_from(&read.train);
    options.parts.validation.clone_from(&read.validation_part);
    options.parts.test.clone_from(&read.test);
    options.resize = read.resize;
    options.text.level = read.text_level.unwrap_or_default();
    options.text.vocabulary = read.vocabulary.unwrap_or(options.text.vocabulary);
    options.text.sequence = read.sequence.unwrap_or(options.text.sequence);
    options.frames.context = read.context;
    options.table.label = read.label_column.clone();
    options.table.ignore = read.ignore_columns.clone().unwrap_or_default();
    options.table.header = read.header.map(|Switch(yes)| yes);
    options.table.separator = read.separator;
    options.table.inputs_array = read.inputs_array.clone();
    options.table.labels_array = read.labels_array.clone();
    if read.regression == Some(Switch(true)) {
        options.table.task = TableTask::Regress;
    }
    // The others say by themselves that they were given.
    let given = [
        ("text-level", read.text_level.is_some()),
        ("vocabulary", read.vocabulary.is_some()),
        ("sequence", read.sequence.is_some()),
        ("regression", read.regression.is_some()),
        ("ignore-columns", read.ignore_columns.is_some()),
    ];
    let given = given.into_iter().filter(|&(_, given)| given);
    options.given = given.map(|(key, _)| key).collect();
    options
}

/// The data, read.
pub fn dataset(
    data: &DataArgs,
    read: &ReadArgs,
    examples: &ExamplesArgs,
    seed: Option<u64>,
) -> Result<Dataset, CliError> {
    let options = load_options(read, examples, seed);
    let source = data.source();
    batchscope_data::open(source.as_deref().unwrap_or(DEFAULT_DATA), &options)
        .map_err(CliError::data)
}

/// The data of a workload, read.
pub fn workload_data(w: &Workload) -> Result<Dataset, CliError> {
    dataset(&w.data, &w.read, &w.examples, w.compute.seed)
}

/// The model on its device.
pub fn factory(model: &ModelArgs, compute: &ComputeArgs) -> Result<Factory, CliError> {
    let model = model.model.clone().map_or_else(default_model, Ok)?;
    Factory::new(model, compute.device.unwrap_or_default()).map_err(|e| CliError::flag("device", e))
}

/// The model when nothing is said.
pub fn default_model() -> Result<ModelSpec, CliError> {
    DEFAULT_MODEL
        .parse()
        .map_err(|e| CliError::flag("model", e))
}

/// A plan's complaint names its key, which is the flag.
pub fn from_plan(error: SettingError) -> CliError {
    CliError::flag(error.key, error.why)
}

/// The settings with every choice of the plan made, as `study.toml` keeps them: what ran can be read
/// off, and later versions with other defaults resume the same study.
pub fn resolved(settings: &StudySettings, plan: &Plan) -> StudySettings {
    if let Some(branching) = &plan.branching {
        return branches_resolved(settings.clone(), plan, branching);
    }
    let StudySettings {
        trainer,
        workload: mut w,
        trials: mut t,
        plan: mut q,
        mut comparison,
        branching,
    } = settings.clone();
    w.optimizer = w.optimizer.resolved(&plan.optimizer);
    w.optimizer.weight_decay_on = Some(plan.decay);
    w.step.warm_up = Some(plan.schedule.warm_up.length);
    w.measure.eval_examples = Some(plan.evaluation.examples);
    w.measure.noise = plan.noise.map(Switch);
    w.compute.seed = Some(plan.study_seed);
    // Whoever resumes a study may have other processes.
    w.compute.ranks = None;
    t.batch_sizes = Some(BatchSizes(plan.batch_sizes.clone()));
    t.target = Some(plan.target.clone());
    if let Some(compared) = &plan.comparison {
        comparison.epochs = compared.run_examples.is_none().then_some(compared.epochs);
        comparison.run_examples = compared.run_examples;
        comparison.tune_warm_up = compared.tune_warm_up.then_some(Switch(true));
        if let Endpoint::Metric(metric) = &compared.endpoint {
            comparison.metric = Some(metric.clone());
            t.target = None;
        }
    }
    q.tune = Some(plan.tune);
    t.base_batch = Some(plan.base_batch);
    q.rules = Some(Rules(plan.rules.clone()));
    t.tune_trials = Some(plan.tune_trials);
    q.learning_rates = Some(plan.learning_rates);
    q.tune_width = Some(TuneWidth(plan.tune_width));
    q.tune_momentum = plan.tune_momentum;
    t.widen_factor = Some(plan.widen_factor);
    t.max_widenings = Some(plan.max_widenings);
    t.seeds = Some(plan.seeds);
    q.linearity_seeds = Some(plan.linearity_seeds);
    q.cap_factor = Some(plan.cap_factor);
    q.pilot_trials = Some(plan.pilot_trials);
    q.pilot_epochs = Some(plan.pilot_epochs);
    t.eval_first = Some(plan.evaluation.first);
    t.eval_ratio = Some(plan.evaluation.ratio);
    t.eval_refine = Some(plan.evaluation.refine);
    t.token_half_life = Some(Switch(plan.token_half_life));
    let settings = StudySettings {
        trainer,
        workload: w,
        trials: t,
        plan: q,
        comparison,
        branching,
    };
    match settings.trainer.command.is_empty() {
        true => settings,
        false => crate::trainers::without_unused(settings),
    }
}

/// The same for branches, which have few settings of their own: all else is the run's.
fn branches_resolved(
    mut settings: StudySettings,
    plan: &Plan,
    branching: &Branching,
) -> StudySettings {
    let asked = &mut settings.branching;
    asked.factors = Some(BatchSizes(branching.factors.clone()));
    asked.rule = Some(branching.rule.clone());
    asked.branch_examples = Some(branching.examples);
    asked.loss = Some(branching.metric.clone());
    asked.tolerance = Some(branching.tolerance);
    settings.trials.seeds = Some(plan.seeds);
    if settings.trainer.command.is_empty() {
        settings.workload.measure.eval_examples = Some(plan.evaluation.examples);
    }
    settings
}
