//! What was asked for: the flags, the settings file, and how they overlay.
//!
//! One set of names serves the command line and `study.toml`: the key of a setting is its flag
//! without the dashes. Flags win over a `--config` file, which wins over the `study.toml` of a
//! study that is being resumed, which wins over the defaults. Nothing here is checked beyond its
//! type: meaning is given in `resolve`.

use std::path::{Path, PathBuf};

use batchscope_data::Format;
use clap::Args;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{error::CliError, files::read_text};

/// The data, the model and how a step is made: shared by `study`, `train` and `advise`.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Workload {
    /// Data to train on: `glyphs` (built in), or a file or folder (IDX, CIFAR, images, images with masks, .mat, text, .npz, CSV) [default: glyphs]
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The folder that a relative `data` starts from, or the working directory: not a setting, but
    /// where the setting was made.
    #[arg(skip)]
    #[serde(skip)]
    pub data_from: Option<PathBuf>,
    /// Read the data as this format instead of detecting it
    #[arg(long, value_name = "FORMAT", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Use this many training examples (a seeded subset; smaller ones lie inside larger ones)
    #[arg(
        long,
        value_name = "N",
        help_heading = "Data",
        conflicts_with = "fraction"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Use this fraction of the training examples, in (0, 1]
    #[arg(long, value_name = "F", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Hold this many training examples (5000) or this fraction of them (0.1) out for validation (default: a tenth, at most 10000)
    #[arg(long, value_name = "N|F", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
    /// Text: read words or characters [default: word]
    #[arg(long, value_name = "word|char", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_level: Option<String>,
    /// Text: keep this many different tokens, the rest becomes `<unk>` [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<u32>,
    /// Text: tokens per window of truncated back-propagation [default: 35]
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
    /// Speech: frames on either side of each (default: as many as make 360 inputs, else 5)
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Tables: name of the label column (default: the last)
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// Tables and arrays: predict a number by squared error instead of a class
    #[arg(long, help_heading = "Data", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regression: Option<bool>,
    /// Augment training images: crop:4,flip,rotate:10,translate:0.2,cutout:8
    #[arg(long, value_name = "LIST", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<String>,
    /// Train on adversarial examples too (fast gradient sign): the step of every input value, or that and the weight of the clean loss [0.1:0.5]
    #[arg(long, value_name = "EPSILON", help_heading = "Data", num_args = 0..=1, default_missing_value = "0.1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<String>,

    /// Model with its settings: softmax, mlp(512,512), f1, f2, lenet(dropout=0.2), c1, c2, c3, c4, alexnet, vgg16, mobilenetv2(width=0.5), resnet20(ghost=32), resnet34, drn-d-22 (classes or masks), lstm(width=200,tied), row-lstm(width=128); all take smoothing=S [default: mlp(128)]
    #[arg(long, value_name = "MODEL", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Compute on cpu, cuda, cuda:1, ... or wgpu [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Model")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,

    /// Optimizer: sgd, adam or adamw [default: sgd]
    #[arg(
        long,
        alias = "optimiser",
        value_name = "NAME",
        help_heading = "Optimizer"
    )]
    #[serde(alias = "optimiser", skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<String>,
    /// Momentum of sgd, in [0, 1) [default: 0.9]
    #[arg(long, value_name = "M", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov's form of momentum
    #[arg(long, help_heading = "Optimizer", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Weight decay (coupled for sgd and adam, decoupled for adamw) [default: 0]
    #[arg(long, value_name = "W", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// First-moment decay of adam and adamw [default: 0.9]
    #[arg(long, value_name = "B", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Second-moment decay of adam and adamw [default: 0.999]
    #[arg(long, value_name = "B", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// Added to the root of adam's second moment [default: 1e-8]
    #[arg(long, value_name = "E", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Clip the mean gradient to this norm
    #[arg(long, value_name = "NORM", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Conservative steps, each a proximal problem on its batch: the weight of the squared distance, or that and the updates of a step [0.001:3]
    #[arg(long, value_name = "LAMBDA", help_heading = "Optimizer", num_args = 0..=1, default_missing_value = "0.001")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conservative: Option<String>,
    /// Warm-up length: steps (`200`) or epochs (`2ep`) (default: 10 steps in a study, none in train)
    #[arg(long, value_name = "LENGTH", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<String>,
    /// Warm-up from zero (linear) or from the base batch size's rate (gradual) [default: linear]
    #[arg(long, value_name = "linear|gradual", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up_shape: Option<String>,
    /// After warm-up: constant, step:FACTOR@30ep@60ep, linear:LENGTH, cosine:LENGTH, poly:POWER:LENGTH [default: constant]
    #[arg(long, value_name = "SCHEDULE", help_heading = "Optimizer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,

    /// Examples per forward pass at most; larger batches accumulate, exactly
    #[arg(long, value_name = "N", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u64>,
    /// Keep a training step within this much memory: 512M, 4G
    #[arg(long, value_name = "BYTES", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<String>,
    /// Evaluate on at most this many examples of each split [default: 2000]
    #[arg(long, value_name = "N", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_examples: Option<u64>,
    /// Watch the gradient noise along training, on or off [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<String>,
    /// Seed of every random stream [default: 0]
    #[arg(long, value_name = "SEED", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a study asks, beyond its workload.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StudyQuestion {
    /// Batch sizes: 8..2048 (powers of two), 8..2048:x4, or 8,24,96 [default: 8..2048]
    #[arg(long, value_name = "SIZES", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_sizes: Option<String>,
    /// The goal: val-error=0.03, train-loss=0.1, auto, auto:val-loss, quartile, quartile:train-loss [default: auto]
    #[arg(long, value_name = "TARGET", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Tune the learning rate at every batch size, or once at the base batch size [default: every]
    #[arg(long, value_name = "every|base", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<String>,
    /// Batch size of the pilot, and from which the rules scale [default: 64]
    #[arg(long, value_name = "B", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_batch: Option<u64>,
    /// With --tune base: the rules to follow, of blr, lsr, srsr [default: blr,lsr,srsr]
    #[arg(long, value_name = "RULES", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// Tuning trials per batch size (and round of widening) [default: 8]
    #[arg(long, value_name = "N", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_trials: Option<u32>,
    /// Learning rates to search, log-uniformly: 0.01..1 [default: 0.005..2]
    #[arg(long, value_name = "LOW..HIGH", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rates: Option<String>,
    /// Fresh seeds per batch size and rule: what the estimates rest on [default: 3]
    #[arg(long, value_name = "N", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<u32>,
    /// A trial's cap: this many times the pilot's model of its steps [default: 4]
    #[arg(long, value_name = "C", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_factor: Option<f64>,
    /// Epochs the pilot may train at most [default: 10]
    #[arg(long, value_name = "E", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pilot_epochs: Option<f64>,
    /// Ratio between successive evaluated steps, above 1 [default: 1.2]
    #[arg(long, value_name = "R", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ratio: Option<f64>,
    /// Try --learning-rates themselves at every batch size, or a window this wide (ratio) around the pilot's best [default: 16]
    #[arg(long, value_name = "RATIO|full", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune_width: Option<String>,
    /// No trial makes more steps than this
    #[arg(long, value_name = "N", help_heading = "Study")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Scale adam's beta2 to keep its half-life in examples at every batch size
    #[arg(long, help_heading = "Study", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_half_life: Option<bool>,
    /// Trials at a time, sharing the cores (default: as many as are measured to be fastest)
    #[arg(long, value_name = "N", help_heading = "Running")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// Price of one device, per hour, in your currency
    #[arg(long, value_name = "PRICE", help_heading = "Cost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Power of one device in watts
    #[arg(long, value_name = "W", help_heading = "Cost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watts: Option<f64>,
}

/// A study's settings: the contents of `study.toml`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct StudySettings {
    /// Data, model, optimizer.
    #[command(flatten)]
    pub workload: Workload,
    /// Batch sizes, target, tuning.
    #[command(flatten)]
    pub question: StudyQuestion,
}

/// A training run's settings, beyond its workload.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RunLength {
    /// Examples per step [default: 64]
    #[arg(long, value_name = "B", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Full learning rate [default: 0.02]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Train this many steps
    #[arg(
        long,
        value_name = "N",
        help_heading = "Training",
        conflicts_with = "epochs"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Train this many epochs [default: 5]
    #[arg(long, value_name = "E", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Stop when this is reached: val-error=0.03
    #[arg(long, value_name = "TARGET", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Evaluate every N steps instead of at geometrically spaced ones
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<u64>,
}

impl Workload {
    /// The data to read, if any are named. A relative path is looked up from where it was given; if
    /// nothing is there any more, from the working directory.
    pub fn data_source(&self) -> Option<String> {
        let data = self.data.clone()?;
        Some(match self.data_start() {
            Some(start) if start != Path::new(".") => start.join(data).display().to_string(),
            _ => data,
        })
    }

    /// The folder that `data` is looked up from; `None` if it is no relative path.
    pub fn data_start(&self) -> Option<PathBuf> {
        let data = Path::new(self.data.as_deref()?);
        if data.is_absolute() || data == Path::new(Format::Glyphs.name()) {
            return None;
        }
        Some(match &self.data_from {
            Some(from) if from.join(data).exists() || !data.exists() => from.clone(),
            _ => PathBuf::from("."),
        })
    }
}

impl StudySettings {
    /// The settings as a table of those that are set.
    pub fn to_table(&self) -> toml::Table {
        let mut table = to_table(&self.workload);
        table.extend(to_table(&self.question));
        table
    }

    /// Reads a table, naming the key that is unknown or of the wrong type.
    ///
    /// # Errors
    /// [`CliError::SettingsFile`].
    pub fn from_table(table: toml::Table, path: &Path) -> Result<Self, CliError> {
        let question_keys: Vec<String> = StudyQuestion::keys();
        let (question, workload): (toml::Table, toml::Table) = table
            .into_iter()
            .partition(|(key, _)| question_keys.contains(key));
        Ok(Self {
            workload: from_table(workload, path)?,
            question: from_table(question, path)?,
        })
    }

    /// These settings where set, `below` elsewhere.
    ///
    /// # Errors
    /// None in practice: both sides have the right types already.
    pub fn over(self, below: Self) -> Result<Self, CliError> {
        let data_from = match &self.workload.data {
            Some(_) => self.workload.data_from.clone(),
            None => below.workload.data_from.clone(),
        };
        let mut table = below.to_table();
        let own = self.to_table();
        // The two ways to subset exclude each other: the upper layer's choice hides the lower's.
        for (one, other) in [("examples", "fraction"), ("fraction", "examples")] {
            if own.contains_key(one) {
                table.remove(other);
            }
        }
        // Another optimizer has other constants: those of the lower layer's go with it.
        let name = |table: &toml::Table| {
            let name = table.get("optimizer").and_then(|name| name.as_str());
            name.unwrap_or("sgd").to_owned()
        };
        if own.contains_key("optimizer") && name(&own) != name(&table) {
            for constant in [
                "momentum",
                "nesterov",
                "beta1",
                "beta2",
                "epsilon",
                "weight-decay",
            ] {
                table.remove(constant);
            }
        }
        table.extend(own);
        let mut both = Self::from_table(table, Path::new("command line"))?;
        both.workload.data_from = data_from;
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

impl StudyQuestion {
    /// The keys that belong to the question rather than to the workload.
    fn keys() -> Vec<String> {
        use clap::Args as _;
        let command = Self::augment_args(clap::Command::new("keys"));
        command
            .get_arguments()
            .filter_map(|a| a.get_long().map(str::to_owned))
            .collect()
    }
}

fn to_table<T: Serialize>(settings: &T) -> toml::Table {
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
    fn another_optimizer_leaves_the_constants_of_the_lower_one() {
        let below = settings("optimizer = 'sgd'\nmomentum = 0.9\nseeds = 3");
        let above = settings("optimizer = 'adam'\nbeta1 = 0.8");
        let both = above.over(below.clone()).unwrap();
        assert_eq!(both, settings("optimizer = 'adam'\nbeta1 = 0.8\nseeds = 3"));
        assert_eq!(
            settings("optimizer = 'sgd'").over(below.clone()).unwrap(),
            below
        );
    }

    #[test]
    fn relative_data_start_where_they_were_given() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("table.csv"), "1,2\n").unwrap();
        let named = |data: &str, from: Option<&Path>| Workload {
            data: Some(data.to_owned()),
            data_from: from.map(Path::to_owned),
            ..Workload::default()
        };
        let found = place.path().join("table.csv");
        let from = named("table.csv", Some(place.path()));
        assert_eq!(from.data_source().as_deref(), found.to_str());
        // Moved away: the working directory is that of the crate.
        let moved = named("Cargo.toml", Some(place.path()));
        assert_eq!(moved.data_source().as_deref(), Some("Cargo.toml"));
        // Nowhere: the error should name where it was.
        let lost = named("lost.csv", Some(place.path()));
        assert_eq!(
            lost.data_source().as_deref(),
            place.path().join("lost.csv").to_str()
        );
        for data in ["glyphs", "/somewhere/table.csv"] {
            let fixed = named(data, Some(place.path()));
            assert_eq!(
                (fixed.data_source().as_deref(), fixed.data_start()),
                (Some(data), None)
            );
        }
        // The start goes with the layer that names the data.
        let layer = |workload| StudySettings {
            workload,
            ..StudySettings::default()
        };
        let below = layer(named("table.csv", Some(place.path())));
        let kept = layer(Workload::default()).over(below.clone()).unwrap();
        assert_eq!(kept.workload.data_from.as_deref(), Some(place.path()));
        let named_anew = layer(named("other.csv", None)).over(below).unwrap();
        assert_eq!(named_anew.workload.data_from, None);
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
    fn every_flag_is_a_key() {
        // A flag whose key differs would silently drop out of study.toml.
        for key in StudyQuestion::keys() {
            let text = [
                format!("{key} = 1"),
                format!("{key} = 'x'"),
                format!("{key} = 1.5"),
                format!("{key} = true"),
            ];
            let accepted = text
                .iter()
                .any(|t| from_table::<StudyQuestion>(t.parse().unwrap(), Path::new("t")).is_ok());
            assert!(accepted, "{key}");
        }
    }
}
