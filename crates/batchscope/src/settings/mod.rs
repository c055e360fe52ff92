//! What was asked for, by subject: the flags, the settings file, and how they overlay.
//!
//! One set of names serves the command line and `study.toml`: the key of a setting is its flag
//! without the dashes. Flags win over a `--config` file, which wins over the `study.toml` of a
//! study that is being resumed, which wins over the defaults. A command flattens the subjects it
//! uses, so that no command shows a flag that it refuses. Values are read into the types that the
//! crates below use; what they mean together is `resolve`'s.

mod branching;
mod comparison;
mod data;
#[cfg(test)]
mod hostile;
mod model;
mod optimizer;
mod run;
mod step;
mod study;
mod text;
mod trainer;

use std::path::Path;

use clap::Args;
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::CliError, files::read_text};

pub use branching::BranchingArgs;
pub use comparison::ComparisonArgs;
pub use data::{DataArgs, ExamplesArgs, ReadArgs};
pub use model::{ComputeArgs, ModelArgs};
pub use optimizer::{OptimizerArgs, OptimizerSettings};
pub use run::RunArgs;
pub use step::{MeasureArgs, StepArgs};
pub use study::{PlanArgs, TrialArgs};
pub use trainer::TrainerArgs;

/// Everything that a training run needs, apart from its length: data, model, optimizer, step.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Workload {
    /// The data.
    #[command(flatten)]
    pub data: DataArgs,
    /// How they are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Which of them.
    #[command(flatten)]
    pub examples: ExamplesArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The optimizer.
    #[command(flatten)]
    pub optimizer: OptimizerArgs,
    /// How a step is made.
    #[command(flatten)]
    pub step: StepArgs,
    /// Where it is computed.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// What is measured.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// A study's settings: the contents of `study.toml`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct StudySettings {
    /// What trains.
    #[command(flatten)]
    pub trainer: TrainerArgs,
    /// Data, model, optimizer, step.
    #[command(flatten)]
    pub workload: Workload,
    /// Batch sizes, target, how many trials.
    #[command(flatten)]
    pub trials: TrialArgs,
    /// Tuning and pilot.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Of `compare`, which has flags for it.
    #[arg(skip)]
    pub comparison: ComparisonArgs,
    /// Of `branch`, which has flags for it.
    #[arg(skip)]
    pub branching: BranchingArgs,
}

impl StudySettings {
    /// The command whose settings they are.
    pub fn command(&self) -> &'static str {
        match self.comparison.methods {
            Some(_) => "compare",
            None if !self.branching.checkpoints.is_empty() => "branch",
            None => "study",
        }
    }

    /// The settings as a table of those that are set.
    pub fn to_table(&self) -> toml::Table {
        let Workload {
            data,
            read,
            examples,
            model,
            optimizer,
            step,
            compute,
            measure,
        } = &self.workload;
        [
            to_table(&self.trainer),
            to_table(data),
            to_table(read),
            to_table(examples),
            to_table(model),
            to_table(optimizer),
            to_table(&optimizer.settings),
            to_table(step),
            to_table(compute),
            to_table(measure),
            to_table(&self.trials),
            to_table(&self.plan),
            to_table(&self.comparison),
            to_table(&self.branching),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Refuses counts that a settings file cannot hold.
    ///
    /// # Errors
    /// [`CliError::Flag`].
    pub fn check_counts(&self) -> Result<(), CliError> {
        fn too_large<T: Serialize>(settings: &T) -> Option<String> {
            let json = serde_json::to_value(settings).ok()?;
            let entries = json.as_object()?.iter();
            let mut large = entries.filter(|(_, value)| {
                value
                    .as_u64()
                    .is_some_and(|count| i64::try_from(count).is_err())
            });
            large.next().map(|(key, _)| key.clone())
        }
        let w = &self.workload;
        let key = too_large(&w.read)
            .or_else(|| too_large(&w.examples))
            .or_else(|| too_large(&w.optimizer))
            .or_else(|| too_large(&w.optimizer.settings))
            .or_else(|| too_large(&w.compute))
            .or_else(|| too_large(&w.measure))
            .or_else(|| too_large(&self.trials))
            .or_else(|| too_large(&self.plan))
            .or_else(|| too_large(&self.branching));
        match key {
            None => Ok(()),
            Some(key) => Err(CliError::flag(key, "must be below 2^63")),
        }
    }

    /// Reads a table, naming the key that is unknown or of the wrong type.
    ///
    /// # Errors
    /// [`CliError::SettingsFile`].
    pub fn from_table(mut table: toml::Table, path: &Path) -> Result<Self, CliError> {
        methods_of_earlier_versions(&mut table);
        spread_trainer(&mut table);
        let settings = OptimizerSettings::keys();
        let settings = from_table(taken(&mut table, &settings), path)?;
        let optimizer = OptimizerArgs {
            settings,
            ..take(&mut table, path)?
        };
        let read = Self {
            trainer: take(&mut table, path)?,
            workload: Workload {
                data: take(&mut table, path)?,
                read: take(&mut table, path)?,
                examples: take(&mut table, path)?,
                model: take(&mut table, path)?,
                optimizer: optimizer.spread(),
                step: take::<StepArgs>(&mut table, path)?.spread(),
                compute: take(&mut table, path)?,
                measure: take(&mut table, path)?,
            },
            trials: take(&mut table, path)?,
            plan: take(&mut table, path)?,
            comparison: take(&mut table, path)?,
            branching: take(&mut table, path)?,
        };
        match table.keys().next() {
            None => Ok(read),
            Some(key) => Err(CliError::settings(path, format!("unknown key '{key}'"))),
        }
    }

    /// These settings where set, `below` elsewhere.
    ///
    /// # Errors
    /// None in practice: both sides have the right types already.
    pub fn over(mut self, mut below: Self) -> Result<Self, CliError> {
        let data_from = match &self.workload.data.data {
            Some(_) => self.workload.data.data_from.clone(),
            None => below.workload.data.data_from.clone(),
        };
        let checkpoints_from = match self.branching.checkpoints.is_empty() {
            false => self.branching.checkpoints_from.clone(),
            true => below.branching.checkpoints_from.clone(),
        };
        self.workload.optimizer = self.workload.optimizer.spread();
        self.workload.step = self.workload.step.spread();
        let optimizer = &self.workload.optimizer;
        // Another optimizer has other settings: those of the lower layer's go with it.
        if optimizer.optimizer.is_some() && optimizer.name() != below.workload.optimizer.name() {
            below.workload.optimizer.settings = OptimizerSettings::default();
        }
        let mut table = below.to_table();
        let own = self.to_table();
        // The two ways to subset exclude each other: the upper layer's choice hides the lower's.
        for (one, other) in [("examples", "fraction"), ("fraction", "examples")] {
            if own.contains_key(one) {
                table.remove(other);
            }
        }
        table.extend(own);
        let mut both = Self::from_table(table, Path::new("command line"))?;
        both.workload.data.data_from = data_from;
        both.branching.checkpoints_from = checkpoints_from;
        Ok(both)
    }

    /// Reads a settings file.
    ///
    /// # Errors
    /// When it cannot be read or holds what it should not.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        const LIMIT: u64 = 1 << 20;
        let text = read_text(path, LIMIT)?;
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| CliError::settings(path, e.to_string()))?;
        Self::from_table(table, path)
    }
}

/// Up to 0.1.0 step methods had keys of their own: `adversarial = "0.1:0.5"`.
fn methods_of_earlier_versions(table: &mut toml::Table) {
    for name in ["adversarial", "conservative"] {
        let Some(value) = table.remove(name) else {
            continue;
        };
        let settings = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let methods = match table.get("method").and_then(toml::Value::as_str) {
            Some(others) => format!("{others},{name}:{settings}"),
            None => format!("{name}:{settings}"),
        };
        table.insert("method".to_owned(), methods.into());
    }
}

/// The trainer may be a table of its own: `[trainer]` with `name` and its other keys.
fn spread_trainer(table: &mut toml::Table) {
    if !table.get("trainer").is_some_and(toml::Value::is_table) {
        return;
    }
    if let Some(toml::Value::Table(mut trainer)) = table.remove("trainer") {
        let name = trainer.remove("name");
        table.extend(trainer);
        table.extend(name.map(|name| ("trainer".to_owned(), name)));
    }
}

/// The keys of a subject: its flags, old spellings included.
fn keys<T: Args>() -> Vec<String> {
    let command = T::augment_args(clap::Command::new("keys"));
    let names = command.get_arguments().flat_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long().into_iter().chain(aliases)
    });
    // Words without a flag, the program of a study, have their name for a key.
    let words = command
        .get_arguments()
        .filter(|argument| argument.is_positional());
    let words = words.map(|argument| argument.get_id().as_str());
    names.chain(words).map(str::to_owned).collect()
}

/// The entries with these keys, removed from the table.
fn taken(table: &mut toml::Table, keys: &[String]) -> toml::Table {
    let entries = keys.iter().filter_map(|key| table.remove_entry(key));
    entries.collect()
}

/// A subject's settings, removed from the table.
fn take<T: Args + DeserializeOwned>(table: &mut toml::Table, path: &Path) -> Result<T, CliError> {
    from_table(taken(table, &keys::<T>()), path)
}

/// A subject's settings that are set, by their keys.
pub fn to_table<T: Serialize>(settings: &T) -> toml::Table {
    toml::Table::try_from(settings).expect("settings are plain scalars")
}

fn from_table<T: DeserializeOwned>(table: toml::Table, path: &Path) -> Result<T, CliError> {
    table
        .try_into()
        .map_err(|e: toml::de::Error| CliError::settings(path, e.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> StudySettings {
        StudySettings::from_table(text.parse().unwrap(), Path::new("test.toml")).unwrap()
    }

    #[test]
    fn upper_layers_win_key_by_key() {
        let below = settings("data = 'mnist'\nseeds = 3\nfraction = 0.5");
        let above = settings("seeds = 5\nexamples = 100");
        let both = above.over(below).unwrap();
        assert_eq!(both, settings("data = 'mnist'\nseeds = 5\nexamples = 100"));
    }

    #[test]
    fn another_optimizer_leaves_the_settings_of_the_lower_one() {
        let below = settings("optimizer = 'sgd'\nmomentum = 0.9\nseeds = 3");
        let above = settings("optimizer = 'adam'\nbeta1 = 0.8");
        let both = above.over(below.clone()).unwrap();
        assert_eq!(both, settings("optimizer = 'adam'\nbeta1 = 0.8\nseeds = 3"));
        assert_eq!(
            settings("optimizer = 'sgd'").over(below.clone()).unwrap(),
            below
        );
        // Settings in the name's parentheses are settings like others.
        let above = settings("optimizer = 'sgd(momentum=0.5)'");
        let both = above.over(below).unwrap();
        assert_eq!(
            both,
            settings("optimizer = 'sgd'\nmomentum = 0.5\nseeds = 3")
        );
    }

    #[test]
    fn old_spellings_are_read() {
        assert_eq!(
            settings("optimiser = 'adam'\nnoise = 'on'"),
            settings("optimizer = 'adam'\nnoise = true")
        );
        assert_eq!(
            settings("adversarial = '0.2:0.7'\nconservative = 0.01"),
            settings("method = 'adversarial(0.2,0.7), conservative(0.01)'")
        );
    }

    /// The settings of every published study, as the version that ran it wrote them.
    #[test]
    fn settings_of_earlier_versions_are_read() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
        let files = results.read_dir().unwrap().filter_map(|entry| {
            let file = entry.unwrap().path().join("study.toml");
            file.is_file().then_some(file)
        });
        let read = files.map(|file| {
            let settings = StudySettings::read(&file).unwrap();
            crate::resolve::plan(&settings).unwrap();
        });
        assert!(read.count() >= 7);
    }

    #[test]
    fn the_start_of_a_path_goes_with_the_layer_that_names_the_data() {
        let named = |data: &str, from: Option<&Path>| {
            let mut settings = settings(&format!("data = '{data}'"));
            settings.workload.data.data_from = from.map(Path::to_owned);
            settings
        };
        let place = Path::new("/somewhere");
        let below = named("table.csv", Some(place));
        let kept = StudySettings::default().over(below.clone()).unwrap();
        assert_eq!(kept.workload.data.data_from.as_deref(), Some(place));
        let other = named("other.csv", None).over(below).unwrap();
        assert_eq!(other.workload.data.data_from, None);
    }

    #[test]
    fn unknown_keys_are_named() {
        let error =
            StudySettings::from_table("batchsize = 3".parse().unwrap(), Path::new("s.toml"))
                .unwrap_err();
        assert!(
            error.to_string().contains("batchsize") && error.to_string().contains("s.toml"),
            "{error}"
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let all = settings(
            "data = 'x'\nformat = 'csv'\ntext-level = 'char'\nvalidation = '10%'\naugment = 'flip'\n\
             model = 'lenet'\ndevice = 'cpu'\noptimizer = 'adam(epsilon=1e-6)'\nclip = 1\n\
             method = 'adversarial(0.1,0.7),conservative(0.01)'\nwarm-up = 20\nschedule = 'step:0.1@3ep'\n\
             warm-up-shape = 'gradual'\nmax-memory = '4G'\nbatch-sizes = '8..64'\ntarget = 'auto'\n\
             tune = 'base'\nrules = 'lsr,srsr'\nlearning-rates = '0.1..1'\ntune-width = 'full'\njobs = 2",
        );
        let again = StudySettings::from_table(all.to_table(), Path::new("again.toml")).unwrap();
        assert_eq!(all, again);
        assert_eq!(all.to_table(), again.to_table());
    }

    #[test]
    fn every_flag_is_a_key() {
        // A flag whose key differs would silently drop out of study.toml.
        let fits = |key: &str| {
            [
                "1",
                "'x'",
                "1.5",
                "true",
                "'8'",
                "'0.1..1'",
                "'val-error=1'",
            ]
            .iter()
            .any(|value| {
                let table: toml::Table = format!("{key} = {value}").parse().unwrap();
                let read = StudySettings::from_table(table, Path::new("t"));
                // Read, or refused for its value and not as unknown.
                read.map_or_else(|e| !e.to_string().contains("unknown key"), |_| true)
            })
        };
        for key in keys::<StudySettings>() {
            assert!(fits(&key), "{key}");
        }
        assert!(!fits("batchsize"));
    }
}
