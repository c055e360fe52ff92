//! What trains: the built-in trainer, and those that a program of somebody's own adds
//! ([`crate::main_with`]).

mod built_in;
mod navigation;
mod program;

pub use built_in::{built_in, opened_from};
#[cfg(test)]
pub use program::slots;
pub use program::{patience, resolved, takes, times_steps, without_unused};

use std::path::Path;

use batchscope_core::{Choice, ChoiceError, Described, Descriptor, Registry, Trainer};

use crate::{error::CliError, processes, settings::StudySettings};

/// A trainer that can be chosen, by `--trainer NAME` or `trainer = "NAME"` in `study.toml`.
pub struct TrainerKind {
    /// Name, source and parameters.
    pub descriptor: Descriptor,
    /// Settings of `study.toml` that hold where nothing else is said: `("optimizer", "adam")`. They are told.
    pub prefers: &'static [(&'static str, &'static str)],
    /// Opens it, once for a command.
    pub open: fn(&Opening<'_>) -> Result<Box<dyn Trainer>, CliError>,
}

impl Described for TrainerKind {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// What a trainer is opened with.
pub struct Opening<'a> {
    /// Its parameters, which its descriptor has checked.
    pub choice: &'a Choice,
    /// The folder where unfinished trials may be saved, to be resumed. It need not exist; without one
    /// nothing is to be saved.
    pub checkpoints: Option<&'a Path>,
    /// All settings, of which each trainer of this crate takes its own.
    pub(crate) settings: &'a StudySettings,
}

/// Every trainer of this program.
pub struct Trainers(Registry<TrainerKind>);

impl Trainers {
    /// The built-in trainer, and others.
    pub fn with(own: &[&'static TrainerKind]) -> Self {
        let mut all = vec![&built_in::BUILT_IN, &program::COMMAND, &navigation::KIND];
        all.extend(own);
        // Once for the life of a program.
        Self(Registry {
            what: "trainer",
            all: Vec::leak(all),
        })
    }

    /// The trainer that a study's settings choose, opened.
    ///
    /// # Errors
    /// When there is no such trainer, a setting is not for it, or it cannot be opened.
    pub fn open(
        &self,
        settings: &StudySettings,
        checkpoints: Option<&Path>,
    ) -> Result<Box<dyn Trainer>, CliError> {
        let (kind, choice) = self.chosen(settings)?;
        if processes::are_several() && !is_built_in(kind) {
            return Err(CliError::Usage(format!(
                "several processes were started, and {} trains here, not the built-in trainer: start one",
                kind.descriptor.name
            )));
        }
        (kind.open)(&Opening {
            choice: &choice,
            checkpoints,
            settings,
        })
    }

    /// The settings with those that the trainer prefers where nothing is said, and what it was that it preferred.
    ///
    /// # Errors
    /// When there is no such trainer.
    pub fn preferred(
        &self,
        settings: StudySettings,
    ) -> Result<(StudySettings, Option<String>), CliError> {
        let (kind, _) = self.chosen(&settings)?;
        let mut table = settings.to_table();
        // Methods that are compared name their optimizers.
        let is_named = settings.comparison.methods.is_some();
        let is_said = |key: &str| table.contains_key(key) || (key == "optimizer" && is_named);
        let preferred = kind.prefers.iter().filter(|(key, _)| !is_said(key));
        let preferred: Vec<_> = preferred.collect();
        if preferred.is_empty() {
            return Ok((settings, None));
        }
        let mut words = Vec::new();
        for (key, value) in preferred {
            let read = value.parse().unwrap_or_else(|_| (*value).into());
            table.insert((*key).to_owned(), read);
            words.push(format!("{key} {value}"));
        }
        let name = kind.descriptor.name;
        let note = format!(
            "{name} prefers {} where nothing else is said",
            words.join(", ")
        );
        let settings = StudySettings::from_table(table, Path::new(name))?;
        Ok((settings, Some(note)))
    }

    /// The settings with every choice made that the trainer leaves to batchscope.
    ///
    /// # Errors
    /// As [`Trainers::open`], short of opening.
    pub fn resolved(&self, settings: &StudySettings) -> Result<StudySettings, CliError> {
        let (kind, choice) = self.chosen(settings)?;
        let mut settings = settings.clone();
        if is_built_in(kind) {
            built_in::resolve(&mut settings.workload)?;
        } else {
            settings.trainer.trainer = Some(kind.descriptor.shortest(&choice));
        }
        Ok(settings)
    }

    fn chosen(&self, settings: &StudySettings) -> Result<(&'static TrainerKind, Choice), CliError> {
        let args = &settings.trainer;
        let implied = match args.command.is_empty() {
            true => built_in::BUILT_IN.descriptor.name,
            false => program::COMMAND.descriptor.name,
        };
        let name = args.trainer.as_deref().unwrap_or(implied);
        let wrong = |error: ChoiceError| CliError::flag("trainer", error);
        let (kind, choice) = self.0.read(name).map_err(wrong)?;
        if !std::ptr::eq(kind, &program::COMMAND)
            && let Some(key) = program::settings_of(args).into_iter().next()
        {
            let why = format!(
                "is for a program of yours, named after --, and {} trains here",
                kind.descriptor.name
            );
            return Err(CliError::flag(key, why));
        }
        if !is_built_in(kind)
            && let Some(key) = built_in::settings_of(&settings.workload).into_iter().next()
        {
            let name = kind.descriptor.name;
            let why = format!("is for the built-in trainer, and {name} trains here: leave it out");
            return Err(CliError::flag(key, why));
        }
        Ok((kind, choice))
    }
}

fn is_built_in(kind: &TrainerKind) -> bool {
    std::ptr::eq(kind, &built_in::BUILT_IN)
}
