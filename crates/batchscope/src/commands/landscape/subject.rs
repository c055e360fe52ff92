//! From a checkpoint and data to the loss that is looked at.

use std::path::{Path, PathBuf};

use batchscope_core::{Batch, Examples};
use batchscope_landscape::survey::{SurveyInfo, SurveySettings};
use batchscope_nn::{Factory, NetworkObjective, NormMode, ObjectiveSettings, Precision};
use batchscope_train::{EVALUATION_CHUNK, Stored, StoredRun};

use crate::{
    args::{LandscapeArgs, NormChoice, PrecisionChoice, StatisticsChoice},
    error::CliError,
    files::CHECKPOINT,
    resolve,
    settings::ExamplesArgs,
};

/// A checkpoint, its data, and how its loss is to be computed.
pub struct LandscapeTarget {
    /// What to tell the user.
    pub notes: Vec<String>,
    /// For the record.
    pub subject: SurveyInfo,
    /// How slices treat running statistics.
    pub statistics: StatisticsChoice,
    factory: Factory,
    checkpoint: StoredRun,
    train: Vec<Batch>,
    test: Vec<Batch>,
    norm: NormMode,
    /// Asked for, whatever is measured.
    precision: Option<Precision>,
}

impl LandscapeTarget {
    /// Reads the checkpoint and the data.
    ///
    /// # Errors
    /// When either cannot be read, or they do not go together.
    pub fn open(args: &LandscapeArgs, settings: SurveySettings) -> Result<Self, CliError> {
        let loss = &args.loss;
        let checkpoint = read(&args.checkpoint)?;
        let identity = &checkpoint.identity;
        let examples = ExamplesArgs {
            examples: loss.train_examples,
            validation: loss.validation,
            ..ExamplesArgs::default()
        };
        let seed = Some(identity.spec.study_seed);
        let data = resolve::dataset(&loss.data, &loss.read, &examples, seed)?;
        let mut notes = data.notes.clone();
        // an augmented run says so after the data's own description
        if !identity.data.starts_with(&data.description) {
            let differ = format!(
                "the checkpoint was trained on other data, or on them read in another way ({}); these are: {}",
                identity.data, data.description
            );
            match loss.other_data {
                true => notes.push(differ),
                false => {
                    let why = format!("{differ}: name its data, or add --other-data");
                    return Err(CliError::flag("data", why));
                }
            }
        }
        let device = loss.device.unwrap_or_default();
        let model = identity.model.parse().map_err(CliError::failed)?;
        let factory = Factory::new(model, device).map_err(|e| CliError::flag("device", e))?;
        let train = batches(data.train.as_ref(), loss.loss_examples);
        // nothing is chosen by these numbers, so the test part may be looked at; without one the
        // validation part stands in
        let (test, split) = match &data.test {
            Some(test) if !test.is_empty() => (test.as_ref(), "test"),
            _ => (data.validation.as_ref(), "validation"),
        };
        let test = batches(test, loss.loss_examples);
        let last = checkpoint.step.saturating_sub(1);
        let setting = checkpoint.setting(last, Some(data.train.len())).ok();
        let learning_rate =
            setting.map_or(identity.spec.learning_rate, |setting| setting.learning_rate);
        let norm = match loss.norm {
            NormChoice::Evaluation => NormMode::Evaluation,
            NormChoice::Training => NormMode::Training,
        };
        let precision = loss.precision.map(|precision| match precision {
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::F64 => Precision::F64,
        });
        let mode = match norm {
            NormMode::Evaluation => "batch norm in evaluation mode",
            NormMode::Training => "batch norm in training mode",
        };
        let digits = match precision {
            None => "f64 for curvature, f32 for all else",
            Some(Precision::F32) => "f32",
            Some(Precision::F64) => "f64",
        };
        let count = |batches: &[Batch]| batches.iter().map(|batch| batch.len as u64).sum();
        let subject = SurveyInfo {
            model: identity.model.clone(),
            data: data.description.clone(),
            parameters: checkpoint.checksum.clone(),
            dimension: factory.parameters(&data.shape).map_err(unfit)? as usize,
            step: checkpoint.step,
            batch_size: identity.spec.batch_size,
            learning_rate,
            examples: count(&train),
            test_examples: count(&test),
            computed: format!("{mode}; {digits}; slices on {split} examples too"),
            settings,
        };
        Ok(Self {
            notes,
            subject,
            statistics: loss.statistics,
            factory,
            train,
            test,
            norm,
            precision,
            checkpoint,
        })
    }

    /// The loss on the training examples.
    ///
    /// # Errors
    /// When the checkpoint does not belong to the data's shape.
    pub fn objective(&self, usual: Precision) -> Result<NetworkObjective, CliError> {
        self.objective_of(&self.checkpoint, &self.train, usual)
    }

    /// The same on the test examples; `None` where there are none.
    ///
    /// # Errors
    /// As [`LandscapeTarget::objective`].
    pub fn test_objective(&self, usual: Precision) -> Result<Option<NetworkObjective>, CliError> {
        match self.test.is_empty() {
            true => Ok(None),
            false => self
                .objective_of(&self.checkpoint, &self.test, usual)
                .map(Some),
        }
    }

    /// Another checkpoint, and the loss on the training examples with its state.
    ///
    /// # Errors
    /// When it cannot be read or is another model's.
    pub fn other(
        &self,
        path: &Path,
        usual: Precision,
    ) -> Result<(StoredRun, NetworkObjective), CliError> {
        let other = read(path)?;
        let (own, foreign) = (&self.checkpoint.identity.model, &other.identity.model);
        if own != foreign {
            return Err(CliError::flag(
                "slice",
                format!(
                    "{} is of the model {foreign}, the first checkpoint of {own}: a path runs between two solutions of one model",
                    path.display()
                ),
            ));
        }
        let objective = self.objective_of(&other, &self.train, usual)?;
        Ok((other, objective))
    }

    fn objective_of(
        &self,
        checkpoint: &StoredRun,
        examples: &[Batch],
        usual: Precision,
    ) -> Result<NetworkObjective, CliError> {
        let settings = ObjectiveSettings {
            norm: self.norm,
            precision: self.precision.unwrap_or(usual),
            smoothing: false,
        };
        let shape = examples.first().map(|batch| batch.shape);
        let shape = shape.ok_or_else(|| CliError::failed("the data have no training examples"))?;
        // Hidden states of the run's text streams are no part of the solution.
        let layout = |name: &str| !(name.ends_with(".hidden") || name.ends_with(".cell"));
        let state = checkpoint.network.iter().filter(|t| layout(&t.name));
        let state: Vec<_> = state.cloned().collect();
        let mut objective = self
            .factory
            .objective(&shape, &state, examples.to_vec(), settings)
            .map_err(unfit)?;
        if checkpoint.is_average {
            // The stored statistics are of the parameters in training.
            let x = objective.parameters().to_vec();
            objective.estimate_statistics(&x).map_err(unfit)?;
        }
        Ok(objective)
    }
}

/// The model and the data do not go together.
fn unfit(error: batchscope_core::NetworkError) -> CliError {
    CliError::flag(
        "data",
        format!("{error}: name the data that the checkpoint was trained on"),
    )
}

/// The checkpoint at a path, or in a folder of that path.
pub fn read(path: &Path) -> Result<StoredRun, CliError> {
    let file: PathBuf = match path.is_dir() {
        true => path.join(CHECKPOINT),
        false => path.to_owned(),
    };
    if !file.exists() {
        return Err(CliError::Usage(format!(
            "there is no checkpoint {}: `batchscope train --checkpoint DIR` writes one",
            file.display()
        )));
    }
    Stored::read(&file)
        .and_then(Stored::into_run)
        .map_err(|error| {
            CliError::Failed(format!(
                "{error}, as `batchscope train --checkpoint DIR` writes it"
            ))
        })
}

/// The first examples of a split, in its stored order, which is drawn by the data's seed.
fn batches(examples: &dyn Examples, count: u64) -> Vec<Batch> {
    let count = count.min(examples.len());
    let mut all = Vec::new();
    let mut from = 0;
    while from < count {
        let to = (from + EVALUATION_CHUNK).min(count);
        let mut batch = Batch::empty(examples.shape());
        examples.fill_in_order(from..to, &mut batch);
        all.push(batch);
        from = to;
    }
    all
}
