//! The trainer that runs somebody's program.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use batchscope_command::{CommandConfig, CommandTrainer, Devices, Names, Template, TemplateError};
use batchscope_core::{Descriptor, Direction, Metric, Quantity, Split, Target};
use batchscope_study::TargetChoice;

use super::{Opening, TrainerKind};
use crate::{
    error::CliError,
    resolve,
    settings::{MeasureArgs, OptimizerArgs, StepArgs, StudySettings, TrainerArgs},
    values::Switch,
};

/// Trials at a time.
const SLOTS: usize = 1;
/// Seconds that a program has to end once it is told to.
const GRACE: f64 = 10.0;
/// How often a program that asks for it is run again.
const RETRIES: u32 = 2;

/// Runs the program that is named after `--`.
pub(super) static COMMAND: TrainerKind = TrainerKind {
    descriptor: Descriptor {
        name: "command",
        aliases: &["program"],
        about: "Runs a program of yours for every trial",
        source: "",
        parameters: &[],
    },
    prefers: &[],
    open: |opening| Ok(Box::new(open(opening)?)),
};

fn open(opening: &Opening<'_>) -> Result<CommandTrainer, CliError> {
    let settings = opening.settings;
    let args = &settings.trainer;
    let template = template(args).map_err(|error| CliError::flag("command", error))?;
    refuse_unused(settings, &template)?;
    // A dry run has no folder of its own, and runs nothing.
    let folder = opening
        .checkpoints
        .map_or_else(std::env::temp_dir, |folder| folder.with_file_name("trials"));
    let folder = resolved(&folder).map_err(|e| CliError::file("cannot find", &folder, e))?;
    let (grace, retries) = patience(args);
    let place = |key: &str, path: &Option<String>| {
        let template = path.as_ref().map(|path| Template::new(&[path]));
        template
            .transpose()
            .map_err(|error| CliError::flag(key, error))
    };
    let trainer = CommandTrainer::new(CommandConfig {
        csv: place("report-csv", &args.report_csv)?,
        tensorboard: place("report-tensorboard", &args.report_tensorboard)?,
        names: names(settings),
        pattern: args.pattern.as_ref().map(|pattern| pattern.0.clone()),
        folder,
        grace,
        timeout: args
            .timeout
            .map(|seconds| Duration::from_secs_f64(seconds.min(1e9))),
        retries,
        sizes_only: args.sizes_only,
        devices: Devices::new(places(args, slots(settings))),
        train_examples: args.train_examples,
        directions: directions(settings),
        template,
    });
    trainer.map_err(|error| CliError::flag(error.key.into_owned(), error.why))
}

/// The folder of trials, without links: jobs and processes are known by it, whatever path a study is resumed by.
pub fn resolved(trials: &Path) -> std::io::Result<PathBuf> {
    match (
        trials.parent().map(std::fs::canonicalize),
        trials.file_name(),
    ) {
        (Some(Ok(study)), Some(name)) => Ok(study.join(name)),
        _ => std::path::absolute(trials),
    }
}

/// The program's words.
fn template(args: &TrainerArgs) -> Result<Template, TemplateError> {
    let words = Template::new(&args.command)?;
    Ok(words.reading_environment(args.reads_environment))
}

/// True where the program is told this of a trial.
pub fn takes(args: &TrainerArgs, name: &str) -> bool {
    template(args).is_ok_and(|words| words.takes(name))
}

/// The keys that are set and that no other trainer understands.
pub(super) fn settings_of(args: &TrainerArgs) -> Vec<String> {
    let keys = crate::settings::to_table(args)
        .into_iter()
        .map(|(key, _)| key);
    keys.filter(|key| key != "trainer").collect()
}

/// What trials take turns on.
fn places(args: &TrainerArgs, slots: usize) -> Vec<String> {
    match &args.devices {
        Some(devices) => devices.0.clone(),
        None => vec![String::new(); slots],
    }
}

/// Whether steps are timed by runs of their own where trials ran side by side.
pub fn times_steps(args: &TrainerArgs) -> bool {
    args.time_steps.is_none_or(|Switch(on)| on)
}

/// Trials that run at a time where no devices are named: as many as are asked for, else as many as are led.
pub fn slots(settings: &StudySettings) -> usize {
    let asked = settings.trainer.slots.and_then(|n| usize::try_from(n).ok());
    asked.or(settings.trials.jobs).unwrap_or(SLOTS)
}

/// How long a program has to end, and how often it is run again.
pub fn patience(args: &TrainerArgs) -> (Duration, u32) {
    let grace = Duration::from_secs_f64(args.grace.unwrap_or(GRACE).min(1e6));
    (grace, args.retries.unwrap_or(RETRIES))
}

/// The metrics that are looked for: the usual ones, and the target's.
fn names(settings: &StudySettings) -> Names {
    let quantities = || {
        [
            Quantity::Loss,
            Quantity::Error,
            Quantity::Accuracy,
            Quantity::Perplexity,
        ]
    };
    let splits = [Split::Train, Split::Val, Split::Test];
    let usual = splits
        .into_iter()
        .flat_map(|split| quantities().map(|quantity| Metric::new(split, quantity)));
    let mut wanted: Vec<Metric> = usual.collect();
    let target = settings
        .trials
        .target
        .as_ref()
        .map(|target| target.metric().clone());
    wanted.extend(target.filter(|metric| !wanted.contains(metric)));
    let loss = settings.branching.loss.clone();
    wanted.extend(loss.filter(|metric| !wanted.contains(metric)));
    let own = settings.trainer.metric_name.iter();
    Names {
        metrics: own
            .map(|name| (name.metric.clone(), name.name.clone()))
            .collect(),
        wanted,
    }
}

/// The direction of a target whose metric is the program's own: as the target's sign says.
fn directions(settings: &StudySettings) -> BTreeMap<Metric, Direction> {
    match &settings.trials.target {
        Some(TargetChoice::Fixed(Target {
            metric, direction, ..
        })) if *direction != metric.natural_direction() => {
            BTreeMap::from([(metric.clone(), *direction)])
        }
        _ => BTreeMap::new(),
    }
}

/// The settings without those that a program is not told and does not ask for: in its `study.toml` they would look
/// like what it trained with.
pub fn without_unused(mut settings: StudySettings) -> StudySettings {
    let args = settings.trainer.clone();
    let takes = |name: &str| takes(&args, name);
    let constants = ["momentum", "beta1", "beta2", "weight_decay"];
    let (optimizer, warm_up) = (constants.iter().any(|name| takes(name)), takes("warm_up"));
    let w = &mut settings.workload;
    if !optimizer {
        w.optimizer = OptimizerArgs::default();
    }
    w.optimizer.weight_decay_on = None;
    if !warm_up {
        w.step = StepArgs::default();
    }
    w.measure = MeasureArgs::default();
    (settings.trials.eval_refine, settings.plan.linearity_seeds) = (None, None);
    if !optimizer {
        settings.trials.token_half_life = None;
    }
    settings
}

/// Refuses settings that the program is not told, and so would do nothing.
fn refuse_unused(settings: &StudySettings, template: &Template) -> Result<(), CliError> {
    let takes = |name: &str| template.takes(name);
    let refused = |key: &str, placeholder: &str| {
        let why = format!(
            "the program is not told: pass it on, as in --{key} {{{placeholder}}}, or leave it out"
        );
        Err(CliError::flag(key, why))
    };
    let optimizer = &settings.workload.optimizer;
    let asked = resolve::optimizer(optimizer)?;
    let plain = OptimizerArgs {
        optimizer: optimizer.optimizer.clone(),
        ..OptimizerArgs::default()
    };
    let default = resolve::optimizer(&plain)?;
    for (key, value) in asked.values() {
        if default.get(key) != Some(value) && !takes(key) {
            return refused(&key.replace('_', "-"), key);
        }
    }
    if settings.plan.tune_momentum.is_some() && !takes("momentum") && !takes("beta1") {
        return refused("tune-momentum", "momentum");
    }
    if settings.workload.compute.micro_batch.is_some() && !takes("micro_batch") {
        return refused("micro-batch", "micro_batch");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `study --jobs 64 -- srun …` is 64 jobs at a time.
    #[test]
    fn as_many_run_as_are_led() {
        let mut settings = StudySettings::default();
        assert_eq!(slots(&settings), 1);
        settings.trials.jobs = Some(64);
        assert_eq!(slots(&settings), 64);
        settings.trainer.slots = Some(4);
        assert_eq!(slots(&settings), 4);
    }
}
