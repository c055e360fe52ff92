//! What branches begin from: the checkpoints, and the run they are of.

use std::path::Path;

use batchscope_command::Template;
use batchscope_core::{Choice, Schedule, ScheduleRow, Start, Trainer, TrialSpec};
use batchscope_rules::write_rows;
use batchscope_study::{BranchStart, Plan};
use batchscope_train::{Identity, StoredRun};

use super::plan::planned;
use crate::{
    commands::landscape, error::CliError, files::CHECKPOINT, folder::StudyFolder,
    settings::StudySettings, trainers::Trainers,
};

/// A trainer and a plan, ready to run.
pub(super) struct Opened {
    /// The settings, with the run's own in their places.
    pub settings: StudySettings,
    /// What trains.
    pub trainer: Box<dyn Trainer>,
    /// What is to be done.
    pub plan: Plan,
    /// What was taken for granted, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the checkpoints and opens the trainer.
///
/// # Errors
/// When checkpoints cannot be read or are of several runs, or a setting is missing or makes no sense.
pub(super) fn open(
    settings: StudySettings,
    trainers: &Trainers,
    folder: &StudyFolder,
) -> Result<Opened, CliError> {
    match settings.trainer.command.is_empty() {
        true => built_in(settings, trainers, folder),
        false => program(settings, trainers, folder),
    }
}

/// From checkpoints of the built-in trainer, which hold their run.
fn built_in(
    mut settings: StudySettings,
    trainers: &Trainers,
    folder: &StudyFolder,
) -> Result<Opened, CliError> {
    let asked = &settings.branching;
    let of_program = [
        ("batch-size", asked.batch_size.is_some()),
        ("learning-rate", asked.learning_rate.is_some()),
        ("at-steps", !asked.at_steps.is_empty()),
        ("counts-anew", asked.counts_anew),
    ];
    if let Some((key, _)) = of_program.iter().find(|(_, is_set)| *is_set) {
        let why = "is for checkpoints of a program, named after --: those of `batchscope train` say it themselves";
        return Err(CliError::flag(*key, why));
    }
    let mut runs = asked
        .checkpoints
        .iter()
        .map(|path| Ok((path.clone(), landscape::read(&asked.place(path))?)))
        .collect::<Result<Vec<(String, StoredRun)>, CliError>>()?;
    runs.sort_by_key(|(_, run)| run.step);
    let identity = of_one_run(&runs)?;
    let spec = &identity.spec;
    let model = identity.model.parse().map_err(CliError::failed)?;
    settings.workload.model.model = Some(model);
    settings.workload.compute.seed = Some(spec.study_seed);
    let trainer = trainers.open(&settings, Some(&folder.checkpoints()))?;
    let info = trainer.info();
    let mut notes = Vec::new();
    if info.data != identity.data {
        let differ = format!(
            "the run was trained on other data, or on them read in another way ({}); these are: {}",
            identity.data, info.data
        );
        match settings.branching.other_data {
            true => notes.push(differ),
            false => {
                let why = format!("{differ}: name its data, or add --other-data");
                return Err(CliError::flag("data", why));
            }
        }
    }
    let starts = runs
        .iter()
        .map(|(path, run)| {
            let is_folder = settings.branching.place(path).is_dir();
            start((path, is_folder), run, info.train_examples)
        })
        .collect::<Result<Vec<BranchStart>, CliError>>()?;
    let plan = Plan {
        optimizer: spec.optimizer.clone(),
        methods: spec.methods.clone(),
        clip: spec.clip,
        decay: spec.decay,
        study_seed: spec.study_seed,
        ..Plan::default()
    };
    let run = Some(Box::new(spec.clone()));
    let begins = (starts, run, info.train_examples);
    let mut plan = planned(plan, &settings, begins, &mut notes)?;
    if let Some(branching) = &mut plan.branching {
        branching.fixed_batch = fixed_batch(spec, &*trainer);
    }
    Ok(Opened {
        settings,
        trainer,
        plan,
        notes,
    })
}

/// The run that all checkpoints are of.
fn of_one_run(runs: &[(String, StoredRun)]) -> Result<&Identity, CliError> {
    let (first, run) = &runs[0];
    let essence = |identity: &Identity| {
        let mut identity = identity.clone();
        // A run may have been made longer on the way, or evaluated otherwise.
        (identity.spec.cap, identity.spec.max_examples) = (0, None);
        identity.spec.target = None;
        identity.cadence = batchscope_core::Cadence::default();
        identity
    };
    for (path, other) in &runs[1..] {
        if essence(&other.identity) != essence(&run.identity) {
            let why = format!("are not of one run: {path} is of another than {first}");
            return Err(CliError::flag("checkpoints", why));
        }
    }
    // The last says how long the run was meant to be.
    Ok(&runs[runs.len() - 1].1.identity)
}

/// Why a run like this one cannot change its batch size on the way, where it cannot.
fn fixed_batch(spec: &TrialSpec, trainer: &dyn Trainer) -> Option<String> {
    let sizes = [(0, spec.batch_size), (1, spec.batch_size.saturating_mul(2))];
    let rows = sizes.map(|(step, batch_size)| ScheduleRow {
        step,
        batch_size,
        learning_rate: spec.learning_rate,
    });
    let rows = write_rows(&rows);
    let grown = TrialSpec {
        controller: Some(Choice::new("table", [("rows", rows.as_str().into())])),
        schedule: Schedule::constant(),
        target: None,
        ..spec.clone()
    };
    trainer.check(&grown).err().map(|error| error.to_string())
}

/// Batch size and learning rate at a checkpoint.
fn start(
    (path, is_folder): (&str, bool),
    run: &StoredRun,
    train_examples: Option<u64>,
) -> Result<BranchStart, CliError> {
    let setting = run
        .setting(run.step, train_examples)
        .map_err(CliError::failed)?;
    let checkpoint = match is_folder {
        true => Path::new(path).join(CHECKPOINT).display().to_string(),
        false => path.to_owned(),
    };
    Ok(BranchStart {
        start: Start {
            checkpoint,
            checksum: Some(run.checksum.clone()),
            step: run.step,
            counts_anew: false,
        },
        examples: Some(setting.batch.first_draw),
        batch_size: setting.batch.batch_size,
        learning_rate: setting.learning_rate,
    })
}

/// From checkpoints of a program, which only the program can read.
fn program(
    settings: StudySettings,
    trainers: &Trainers,
    folder: &StudyFolder,
) -> Result<Opened, CliError> {
    let asked = &settings.branching;
    let missing = |key: &'static str, why: &str| CliError::flag(key, why);
    let batch_size = asked.batch_size.ok_or_else(|| {
        missing(
            "batch-size",
            "is missing: the batch size of the program's run, which branches multiply",
        )
    })?;
    let learning_rate = asked.learning_rate.ok_or_else(|| {
        missing(
            "learning-rate",
            "is missing: the learning rate of the program's run at the checkpoints",
        )
    })?;
    if asked.rule.is_none() {
        return Err(missing(
            "rule",
            "is missing: how the learning rate follows the batch size with the program's optimizer; lsr for SGD, srsr for Adam and its kin",
        ));
    }
    let (steps, checkpoints) = (&asked.at_steps, &asked.checkpoints);
    if steps.len() != checkpoints.len() || !steps.windows(2).all(|w| w[0] < w[1]) {
        let why = format!(
            "must say, increasing, how many steps each of the {} checkpoints had made",
            checkpoints.len()
        );
        return Err(missing("at-steps", &why));
    }
    let template = Template::new(&settings.trainer.command)
        .map_err(|error| CliError::flag("command", error))?;
    let of_run = ["momentum", "beta1", "beta2", "weight_decay"];
    if let Some(name) = of_run.iter().find(|name| template.uses(name)) {
        let why = format!(
            "is told {{{name}}}, which only its own run knows: write the run's value in its place"
        );
        return Err(missing("command", &why));
    }
    let starts = checkpoints
        .iter()
        .zip(steps)
        .map(|(checkpoint, &step)| BranchStart {
            start: Start {
                checkpoint: checkpoint.clone(),
                checksum: None,
                step,
                counts_anew: asked.counts_anew,
            },
            examples: Some(step.saturating_mul(batch_size)),
            batch_size,
            learning_rate,
        });
    let starts = starts.collect();
    let trainer = trainers.open(&settings, Some(&folder.checkpoints()))?;
    let plan = Plan {
        // A program has an optimizer of its own: a rule may move nothing but the rate.
        optimizer: Choice::new("sgd", std::iter::empty::<(String, _)>()),
        noise: Some(false),
        ..Plan::default()
    };
    let mut notes = Vec::new();
    let begins = (starts, None, trainer.info().train_examples);
    let plan = planned(plan, &settings, begins, &mut notes)?;
    Ok(Opened {
        settings,
        trainer,
        plan,
        notes,
    })
}
