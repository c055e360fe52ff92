//! From settings to meaning: every flag is checked here, once, and becomes a room's own type.

use std::{path::PathBuf, sync::Arc};

use batchscope_core::{
    Decay, Length, OptimizerSpec, Quantity, Schedule, Target, WarmUp, WarmUpShape,
};
use batchscope_data::{Dataset, LoadOptions, TableTask, TextLevel};
use batchscope_nn::{DeviceSpec, Factory, ModelSpec};
use batchscope_study::{Plan, PlanError, TargetChoice};
use batchscope_train::{Adversarial, BuiltIn, BuiltInConfig, Conservative};

use crate::{
    error::CliError,
    settings::{StudyQuestion, StudySettings, Workload},
    values,
};

/// Defaults of a workload that is not told otherwise: the built-in data and a small perceptron,
/// which a laptop can study in minutes.
pub const DEFAULT_DATA: &str = "glyphs";
/// See [`DEFAULT_DATA`].
pub const DEFAULT_MODEL: &str = "mlp(128)";
/// The momentum most people train with.
pub const DEFAULT_MOMENTUM: f64 = 0.9;

/// The optimizer that was asked for. Constants that do not belong to it are refused, not ignored.
pub fn optimizer(w: &Workload) -> Result<OptimizerSpec, CliError> {
    let fraction = |flag: &'static str, value: Option<f64>, default: f64| match value {
        Some(x) if !(0.0..1.0).contains(&x) => {
            Err(CliError::flag(flag, format!("{x} is not in [0, 1)")))
        }
        value => Ok(value.unwrap_or(default)),
    };
    let positive = |flag: &'static str, value: Option<f64>, default: f64, least: f64| match value {
        Some(x) if !(x.is_finite() && x >= least) => Err(CliError::flag(
            flag,
            format!("{x} is not a number of at least {least}"),
        )),
        value => Ok(value.unwrap_or(default)),
    };
    let name = w.optimizer.as_deref().unwrap_or("sgd");
    let foreign: &[(&'static str, bool)] = match name {
        "sgd" => &[
            ("beta1", w.beta1.is_some()),
            ("beta2", w.beta2.is_some()),
            ("epsilon", w.epsilon.is_some()),
        ],
        "adam" | "adamw" => &[
            ("momentum", w.momentum.is_some()),
            ("nesterov", w.nesterov.is_some()),
        ],
        other => {
            return Err(CliError::flag(
                "optimizer",
                format!("'{other}' is not an optimizer: choose sgd, adam or adamw"),
            ));
        }
    };
    if let Some((flag, _)) = foreign.iter().find(|(_, given)| *given) {
        return Err(CliError::flag(flag, format!("{name} has no such constant")));
    }
    let weight_decay = positive("weight-decay", w.weight_decay, 0.0, 0.0)?;
    if name == "sgd" {
        return Ok(OptimizerSpec::Sgd {
            momentum: fraction("momentum", w.momentum, DEFAULT_MOMENTUM)?,
            nesterov: w.nesterov.unwrap_or(false),
            weight_decay,
        });
    }
    let (beta1, beta2) = (
        fraction("beta1", w.beta1, 0.9)?,
        fraction("beta2", w.beta2, 0.999)?,
    );
    let epsilon = positive("epsilon", w.epsilon, 1e-8, f64::MIN_POSITIVE)?;
    Ok(match name {
        "adam" => OptimizerSpec::Adam {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        },
        _ => OptimizerSpec::Adamw {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        },
    })
}

/// The schedule that was asked for: a warm-up of `warm_up` and a constant rate unless told otherwise.
pub fn schedule(w: &Workload, warm_up: Length) -> Result<Schedule, CliError> {
    let length = match &w.warm_up {
        None => warm_up,
        Some(text) => values::length(text).map_err(|why| CliError::flag("warm-up", why))?,
    };
    let shape = match w.warm_up_shape.as_deref() {
        None | Some("linear") => WarmUpShape::Linear,
        Some("gradual") => WarmUpShape::Gradual,
        Some(other) => {
            return Err(CliError::flag(
                "warm-up-shape",
                format!("'{other}' is not a shape: choose linear or gradual"),
            ));
        }
    };
    let decay = match &w.schedule {
        None => Decay::Constant,
        Some(text) => values::decay(text).map_err(|why| CliError::flag("schedule", why))?,
    };
    Ok(Schedule {
        warm_up: WarmUp { length, shape },
        decay,
        base_learning_rate: None,
    })
}

/// Bytes a training step may take, if limited.
pub fn max_memory(w: &Workload) -> Result<Option<u64>, CliError> {
    let bytes = w
        .max_memory
        .as_deref()
        .map(values::bytes)
        .transpose()
        .map_err(|why| CliError::flag("max-memory", why))?;
    Ok(bytes.map(|b| b as u64))
}

/// Whether gradient noise is to be watched, if that was said.
pub fn noise(w: &Workload) -> Result<Option<bool>, CliError> {
    match w.noise.as_deref() {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(other) => Err(CliError::flag(
            "noise",
            format!("'{other}' is neither on nor off"),
        )),
    }
}

/// The study's plan: its defaults, with what was asked for laid over them, checked.
pub fn plan(w: &Workload, q: &StudyQuestion) -> Result<Plan, CliError> {
    let mut plan = Plan {
        optimizer: optimizer(w)?,
        clip: w.clip,
        micro_batch: w.micro_batch,
        noise: noise(w)?,
        ..Plan::default()
    };
    plan.schedule = schedule(w, plan.schedule.warm_up.length)?;
    if let Some(sizes) = &q.batch_sizes {
        plan.batch_sizes = batchscope_study::parse_batch_sizes(sizes).map_err(from_plan)?;
    }
    if let Some(target) = &q.target {
        plan.target = target.parse().map_err(from_plan)?;
        if let TargetChoice::Fixed(target) = &plan.target {
            check_target(target)?;
        }
    }
    if let Some(tune) = &q.tune {
        plan.tune = tune.parse().map_err(from_plan)?;
    }
    if let Some(rules) = &q.rules {
        let parsed = rules
            .split(',')
            .map(|rule| rule.trim().parse().map_err(|e| CliError::flag("rules", e)));
        plan.rules = parsed.collect::<Result<_, _>>()?;
    }
    if let Some(rates) = &q.learning_rates {
        plan.learning_rates = rates.parse().map_err(from_plan)?;
    }
    match q.tune_width.as_deref() {
        None => {}
        Some("full") => plan.tune_width = None,
        Some(ratio) => {
            let wrong = || {
                CliError::flag(
                    "tune-width",
                    format!("'{ratio}' is neither a ratio above 1 nor 'full'"),
                )
            };
            plan.tune_width = Some(ratio.parse().map_err(|_| wrong())?);
        }
    }
    at_least_zero("price-per-hour", q.price_per_hour)?;
    at_least_zero("watts", q.watts)?;
    plan.max_steps = q.max_steps;
    plan.base_batch = q.base_batch.unwrap_or(plan.base_batch);
    plan.tune_trials = q.tune_trials.unwrap_or(plan.tune_trials);
    plan.seeds = q.seeds.unwrap_or(plan.seeds);
    plan.study_seed = w.seed.unwrap_or(plan.study_seed);
    plan.token_half_life = q.token_half_life.unwrap_or(plan.token_half_life);
    plan.cap_factor = q.cap_factor.unwrap_or(plan.cap_factor);
    plan.pilot_epochs = q.pilot_epochs.unwrap_or(plan.pilot_epochs);
    plan.evaluation.ratio = q.eval_ratio.unwrap_or(plan.evaluation.ratio);
    plan.evaluation.examples = w.eval_examples.unwrap_or(plan.evaluation.examples);
    plan.jobs = match q.jobs {
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    plan.check().map_err(from_plan)?;
    Ok(plan)
}

/// Refuses a negative amount.
pub fn at_least_zero(flag: &'static str, value: Option<f64>) -> Result<(), CliError> {
    match value {
        Some(x) if !(x.is_finite() && x >= 0.0) => Err(CliError::flag(
            flag,
            format!("{x} is not a number of at least 0"),
        )),
        _ => Ok(()),
    }
}

/// Refuses a target that no training of ours can be on either side of.
pub fn check_target(target: &Target) -> Result<(), CliError> {
    let value = target.value;
    let why = match target.metric.quantity {
        Quantity::Error | Quantity::Accuracy | Quantity::MeanIou
            if !(0.0..=1.0).contains(&value) =>
        {
            format!("{target}: a fraction from 0 to 1 is meant: 3 % is 0.03")
        }
        Quantity::Loss if value < 0.0 => format!("{target}: a loss is never below 0"),
        Quantity::Perplexity if value < 1.0 => format!("{target}: a perplexity is never below 1"),
        _ => return Ok(()),
    };
    Err(CliError::flag("target", why))
}

/// How the data are to be read.
pub fn load_options(w: &Workload) -> Result<LoadOptions, CliError> {
    let mut options = LoadOptions {
        examples: w.examples,
        fraction: w.fraction,
        seed: w.seed.unwrap_or(0),
        ..LoadOptions::default()
    };
    if let Some(format) = &w.format {
        options.format = Some(format.parse().map_err(|e| CliError::flag("format", e))?);
    }
    if let Some(validation) = &w.validation {
        options.validation = Some(
            validation
                .parse()
                .map_err(|e| CliError::flag("validation", e))?,
        );
    }
    options.text.level = match w.text_level.as_deref() {
        None | Some("word") => TextLevel::Word,
        Some("char" | "character") => TextLevel::Character,
        Some(other) => {
            return Err(CliError::flag(
                "text-level",
                format!("'{other}' is not a level: choose word or char"),
            ));
        }
    };
    options.text.vocabulary = w.vocabulary.unwrap_or(options.text.vocabulary);
    options.text.sequence = w.sequence.unwrap_or(options.text.sequence);
    options.frames.context = w.context;
    options.table.label = w.label_column.clone();
    if w.regression == Some(true) {
        options.table.task = TableTask::Regress;
    }
    Ok(options)
}

/// The data, read.
pub fn dataset(w: &Workload) -> Result<Dataset, CliError> {
    let options = load_options(w)?;
    let source = w.data_source();
    batchscope_data::open(source.as_deref().unwrap_or(DEFAULT_DATA), &options)
        .map_err(CliError::data)
}

/// The workload's model on its device.
pub fn factory(w: &Workload) -> Result<Factory, CliError> {
    let model = w.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let model: ModelSpec = model.parse().map_err(|e| CliError::flag("model", e))?;
    let device = match &w.device {
        None => DeviceSpec::default(),
        Some(device) => device.parse().map_err(|e| CliError::flag("device", e))?,
    };
    Factory::new(model, device).map_err(|e| CliError::flag("device", e))
}

/// The built-in trainer of a workload: `threads` for each trial (`None`: the process's pool), and
/// where unfinished trials are saved.
pub fn trainer(
    w: &Workload,
    data: &Dataset,
    threads: Option<usize>,
    checkpoints: Option<PathBuf>,
) -> Result<BuiltIn, CliError> {
    let mut config = BuiltInConfig::new(
        Arc::new(factory(w)?),
        data.description.clone(),
        data.train.clone(),
        Some(data.validation.clone()),
        data.test.clone(),
    );
    if let Some(list) = &w.augment {
        config.augment = list.parse().map_err(|e| CliError::flag("augment", e))?;
    }
    if let Some(text) = &w.adversarial {
        let settings: Adversarial = text.parse().map_err(|e| CliError::flag("adversarial", e))?;
        config.adversarial = Some(settings);
    }
    if let Some(text) = &w.conservative {
        let settings: Conservative = text
            .parse()
            .map_err(|e| CliError::flag("conservative", e))?;
        config.conservative = Some(settings);
    }
    config.threads_per_trial = threads;
    config.checkpoint_dir = checkpoints;
    config.max_memory = max_memory(w)?;
    BuiltIn::new(config).map_err(CliError::failed)
}

/// A plan's complaint names its key, which is the flag.
pub fn from_plan(error: PlanError) -> CliError {
    CliError::flag(error.key, error.why)
}

/// The settings with every choice made, as `study.toml` keeps them: what ran can be read off, and
/// later versions with other defaults resume the same study.
pub fn resolved(settings: &StudySettings, plan: &Plan) -> StudySettings {
    let StudySettings {
        workload: mut w,
        question: mut q,
    } = settings.clone();
    w.data.get_or_insert_with(|| DEFAULT_DATA.to_owned());
    w.model.get_or_insert_with(|| DEFAULT_MODEL.to_owned());
    w.optimizer.get_or_insert_with(|| "sgd".to_owned());
    match plan.optimizer {
        OptimizerSpec::Sgd {
            momentum,
            nesterov,
            weight_decay,
        } => {
            (w.momentum, w.nesterov, w.weight_decay) =
                (Some(momentum), Some(nesterov), Some(weight_decay));
        }
        OptimizerSpec::Adam {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        }
        | OptimizerSpec::Adamw {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => {
            (w.beta1, w.beta2, w.epsilon, w.weight_decay) =
                (Some(beta1), Some(beta2), Some(epsilon), Some(weight_decay));
        }
    }
    w.warm_up
        .get_or_insert_with(|| match plan.schedule.warm_up.length {
            Length::Steps(steps) => steps.to_string(),
            Length::Epochs(epochs) => format!("{epochs}ep"),
        });
    w.eval_examples = Some(plan.evaluation.examples);
    w.seed = Some(plan.study_seed);
    w.noise = plan
        .noise
        .map(|on| if on { "on" } else { "off" }.to_owned());
    let sizes: Vec<String> = plan.batch_sizes.iter().map(u64::to_string).collect();
    q.batch_sizes = Some(sizes.join(","));
    q.target = Some(plan.target.to_string());
    q.tune = Some(plan.tune.to_string());
    q.base_batch = Some(plan.base_batch);
    let rules: Vec<&str> = plan.rules.iter().map(|rule| rule.name()).collect();
    q.rules = Some(rules.join(","));
    q.tune_trials = Some(plan.tune_trials);
    q.learning_rates = Some(format!(
        "{}..{}",
        plan.learning_rates.low, plan.learning_rates.high
    ));
    q.tune_width = Some(
        plan.tune_width
            .map_or_else(|| "full".to_owned(), |ratio| ratio.to_string()),
    );
    q.seeds = Some(plan.seeds);
    q.cap_factor = Some(plan.cap_factor);
    q.pilot_epochs = Some(plan.pilot_epochs);
    q.eval_ratio = Some(plan.evaluation.ratio);
    q.token_half_life = Some(plan.token_half_life);
    StudySettings {
        workload: w,
        question: q,
    }
}
