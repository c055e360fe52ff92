//! From labels as they are written to classes or targets.

use std::collections::BTreeSet;
use std::path::Path;

use batchscope_core::{InputShape, Task};

use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::options::TableTask;

/// Most classes: beyond, labels are surely real values or identifiers.
const MAX_CLASSES: usize = 65_536;

/// Labels of one split.
#[derive(Debug, Clone, PartialEq)]
pub enum RawLabels {
    /// Class numbers, not necessarily from 0.
    Integers(Vec<i64>),
    /// Class names.
    Names(Vec<String>),
    /// Real values, `outputs` for each example.
    Reals {
        /// Row-major values.
        values: Vec<f32>,
        /// Values for each example, at least 1.
        outputs: usize,
    },
}

/// Turns the labels of all splits into answers; `source` is named in errors.
pub(crate) fn answers(
    source: &Path,
    labels: Splits<RawLabels>,
    task: TableTask,
) -> Result<(Splits<Answers>, Task, Vec<String>), DataError> {
    match task {
        TableTask::Classify => classify(source, labels),
        TableTask::Regress => regress(source, labels),
    }
}

fn classify(
    source: &Path,
    labels: Splits<RawLabels>,
) -> Result<(Splits<Answers>, Task, Vec<String>), DataError> {
    let labels = labels.try_map(|labels| match labels {
        RawLabels::Reals { values, outputs: 1 }
            if values.iter().all(|x| x.fract() == 0.0 && x.abs() < 1e9) =>
        {
            Ok(RawLabels::Integers(
                values.iter().map(|&x| x as i64).collect(),
            ))
        }
        RawLabels::Reals { outputs, .. } => Err(DataError::malformed(
            source,
            if outputs == 1 {
                "its labels are not integers or names".to_owned()
            } else {
                format!("has {outputs} labels for each example")
            },
            "ask for regression to predict real values, or give one class for each example",
        )),
        other => Ok(other),
    })?;
    let named = labels
        .present()
        .any(|labels| matches!(labels, RawLabels::Names(_)));
    let labels = labels.try_map(|labels| match labels {
        RawLabels::Integers(numbers) if named => Ok(RawLabels::Names(
            numbers.iter().map(i64::to_string).collect(),
        )),
        other => Ok::<_, DataError>(other),
    })?;
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for labels in labels.present() {
        match labels {
            RawLabels::Integers(values) => numbers.extend(values.iter().copied()),
            RawLabels::Names(values) => names.extend(values.iter().cloned()),
            RawLabels::Reals { .. } => unreachable!("turned into integers above"),
        }
        if numbers.len() + names.len() > MAX_CLASSES {
            return Err(DataError::malformed(
                source,
                format!("its labels have more than {MAX_CLASSES} distinct values"),
                "ask for regression, or check which column is the label",
            ));
        }
    }
    let (numbers, names): (Vec<i64>, Vec<String>) =
        (numbers.into_iter().collect(), names.into_iter().collect());
    let answers = labels.try_map(|labels| {
        Ok::<_, DataError>(Answers::Classes(match labels {
            RawLabels::Integers(values) => values
                .iter()
                .map(|x| numbers.partition_point(|n| n < x) as u32)
                .collect(),
            RawLabels::Names(values) => values
                .iter()
                .map(|x| names.partition_point(|n| n < x) as u32)
                .collect(),
            RawLabels::Reals { .. } => unreachable!("turned into integers above"),
        }))
    })?;
    let classes = if named {
        names
    } else {
        numbers.iter().map(i64::to_string).collect()
    };
    if classes.len() < 2 {
        return Err(DataError::malformed(
            source,
            "all its labels are the same",
            "give examples of at least two classes",
        ));
    }
    Ok((
        answers,
        Task::Classify {
            classes: classes.len(),
        },
        classes,
    ))
}

fn regress(
    source: &Path,
    labels: Splits<RawLabels>,
) -> Result<(Splits<Answers>, Task, Vec<String>), DataError> {
    let mut width = None;
    let answers = labels.try_map(|labels| {
        let (values, outputs) = match labels {
            RawLabels::Reals { values, outputs } => (values, outputs),
            RawLabels::Integers(values) => (values.iter().map(|&x| x as f32).collect(), 1),
            RawLabels::Names(_) => {
                return Err(DataError::malformed(
                    source,
                    "its labels are names, which regression cannot predict",
                    "give numbers, or ask for classification",
                ));
            }
        };
        if *width.get_or_insert(outputs) != outputs {
            return Err(DataError::malformed(
                source,
                "its splits have different numbers of outputs",
                "give all splits the same outputs",
            ));
        }
        Ok(Answers::Values(values))
    })?;
    Ok((
        answers,
        Task::Regress {
            outputs: width.unwrap_or(1),
        },
        Vec::new(),
    ))
}

/// Puts inputs and labels of the splits together.
pub(crate) fn join(
    source: &Path,
    input: InputShape,
    mut inputs: Splits<InputRows>,
    raw: Splits<RawLabels>,
    task: TableTask,
) -> Result<Arrays, DataError> {
    let (mut by_split, task, classes) = answers(source, raw, task)?;
    let mut part = |split: SplitName| {
        Some(ArrayPart {
            inputs: inputs.slot(split).take()?,
            answers: by_split.slot(split).take()?,
        })
    };
    let train = part(SplitName::Train).ok_or_else(|| DataError::NotFound {
        path: source.to_owned(),
        what: "there is no training part".into(),
        remedy: "name it train.csv (tables) or x_train and y_train (arrays)".into(),
    })?;
    let (validation, test) = (part(SplitName::Validation), part(SplitName::Test));
    Ok(Arrays {
        input,
        task,
        train,
        validation,
        test,
        classes,
        notes: Vec::new(),
    })
}
