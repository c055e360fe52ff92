//! From labels as they are written to classes or targets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use batchscope_core::{InputShape, Task};

use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::precision::{self, Rounding};
use crate::table_options::{TableOptions, TableTask};

/// Most classes: beyond, labels are surely real values or identifiers.
const MAX_CLASSES: usize = 65_536;
/// So many numbers may be classes however rare each is.
const FEW_CLASSES: usize = 20;
/// A class with fewer examples is rare.
const RARE: u64 = 3;
/// From so many examples on, labels that (almost) all differ are no classes.
const ENOUGH_EXAMPLES: u64 = 10;
/// Classes that a note names.
const SHOWN: usize = 10;
/// Integers below this size are exact in double precision; this one may stand for its neighbor too.
const EXACT: f64 = (1u64 << 53) as f64;

/// Labels of one split.
#[derive(Debug, Clone, PartialEq)]
pub enum RawLabels {
    /// Class numbers, not necessarily from 0.
    Integers(Vec<i64>),
    /// Class names.
    Names(Vec<String>),
    /// Real values, `outputs` for each example; every one finite.
    Reals {
        /// Row-major values.
        values: Vec<f64>,
        /// Values for each example, at least 1.
        outputs: usize,
    },
}

/// What the labels of all splits are answers to.
struct Answered {
    by_split: Splits<Answers>,
    task: Task,
    classes: Vec<String>,
    notes: Vec<String>,
}

fn classify(source: &Path, labels: Splits<RawLabels>) -> Result<Answered, DataError> {
    let labels = labels.try_map(|labels| without_reals(source, labels))?;
    let named = labels
        .present()
        .any(|labels| matches!(labels, RawLabels::Names(_)));
    let (by_split, classes) = if named {
        let names = labels.try_map(|labels| match labels {
            RawLabels::Names(names) => Ok::<_, DataError>(names),
            RawLabels::Integers(numbers) => Ok(numbers.iter().map(i64::to_string).collect()),
            RawLabels::Reals { .. } => unreachable!("turned into integers above"),
        })?;
        numbered(source, names, false)?
    } else {
        let numbers = labels.try_map(|labels| match labels {
            RawLabels::Integers(numbers) => Ok::<_, DataError>(numbers),
            RawLabels::Names(_) | RawLabels::Reals { .. } => {
                unreachable!("integers alone are left")
            }
        })?;
        numbered(source, numbers, true)?
    };
    let mut notes = Vec::new();
    if !named && classes.len() > FEW_CLASSES {
        notes.push(format!(
            "the labels are numbers of {} values, taken for classes: ask for `regression` if they are \
             quantities",
            classes.len()
        ));
    }
    if let Some(Answers::Classes(train)) = &by_split.train {
        if train.iter().all(|class| Some(class) == train.first()) {
            return Err(DataError::malformed(
                source,
                "all its labels are the same",
                "give examples of at least two classes to train on, or check which column \
                 (`label-column`) or array (`labels-array`) holds the labels",
            ));
        }
        let mut missing = classes.clone();
        let known: BTreeSet<u32> = train.iter().copied().collect();
        let mut class = 0..;
        missing.retain(|_| class.next().is_some_and(|class| !known.contains(&class)));
        if !missing.is_empty() {
            let shown = missing.iter().take(SHOWN).map(String::as_str);
            notes.push(format!(
                "{} classes have no example in the training part: {}",
                missing.len(),
                shown.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    Ok(Answered {
        by_split,
        task: Task::Classify {
            classes: classes.len(),
        },
        classes,
        notes,
    })
}

/// Labels with whole numbers as integers; refuses real values, and several for an example.
fn without_reals(source: &Path, labels: RawLabels) -> Result<RawLabels, DataError> {
    match labels {
        RawLabels::Reals { values, outputs: 1 }
            if values.iter().all(|x| x.fract() == 0.0 && x.abs() < EXACT) =>
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
            "ask for `regression` to predict real values, give one class for each example, or check \
             which column (`label-column`) or array (`labels-array`) holds the labels",
        )),
        other => Ok(other),
    }
}

/// The classes of all labels in order, and the number of each label's.
fn numbered<T: Ord + ToString>(
    source: &Path,
    labels: Splits<Vec<T>>,
    numbers: bool,
) -> Result<(Splits<Answers>, Vec<String>), DataError> {
    // Parts that share their row numbers have each in two examples: the training part is looked at alone too.
    let mut counts = BTreeMap::new();
    if let Some(train) = &labels.train {
        count(source, train, &mut counts)?;
        let refused = expect_classes(source, counts.values(), false);
        // Names may be classes with one training example each, of which another part has several.
        let mut others = [&labels.validation, &labels.test].into_iter().flatten();
        let differ = |of: &Vec<T>| of.iter().collect::<BTreeSet<_>>().len() == of.len();
        if numbers || others.all(differ) {
            refused?;
        }
    }
    for labels in [&labels.validation, &labels.test].into_iter().flatten() {
        count(source, labels, &mut counts)?;
    }
    expect_classes(source, counts.values(), numbers)?;
    let classes: Vec<&T> = counts.into_keys().collect();
    let number = |label: &T| classes.partition_point(|class| *class < label) as u32;
    let of = |labels: &Option<Vec<T>>| {
        let labels = labels.as_ref()?;
        Some(Answers::Classes(labels.iter().map(number).collect()))
    };
    let by_split = Splits {
        train: of(&labels.train),
        validation: of(&labels.validation),
        test: of(&labels.test),
    };
    Ok((
        by_split,
        classes.iter().map(|class| class.to_string()).collect(),
    ))
}

/// Counts the examples of each class.
fn count<'a, T: Ord>(
    source: &Path,
    labels: &'a [T],
    counts: &mut BTreeMap<&'a T, u64>,
) -> Result<(), DataError> {
    for label in labels {
        *counts.entry(label).or_insert(0) += 1;
        if counts.len() > MAX_CLASSES {
            return Err(no_classes(
                source,
                format!("its labels have more than {MAX_CLASSES} distinct values"),
            ));
        }
    }
    Ok(())
}

/// Refuses labels that are surely no classes, by the examples of each: those that differ in at least
/// nine examples of ten (of 10 or more), and numbers of more than 20 values more than half of which
/// have fewer than 3 examples. Names may be as rare as they like: whoever has such classes can write
/// them as names.
fn expect_classes<'a>(
    source: &Path,
    counts: impl Iterator<Item = &'a u64> + Clone,
    numbers: bool,
) -> Result<(), DataError> {
    let examples: u64 = counts.clone().sum();
    let classes = counts.clone().count();
    let rare = counts.filter(|&&n| n < RARE).count();
    if examples >= ENOUGH_EXAMPLES && classes as u64 * 10 >= examples * 9 {
        return Err(no_classes(
            source,
            format!("its labels have {classes} different values in {examples} examples"),
        ));
    }
    if numbers && classes > FEW_CLASSES && 2 * rare > classes {
        return Err(no_classes(
            source,
            format!(
                "its labels are numbers of {classes} different values in {examples} examples, {rare} \
                 of them in fewer than {RARE}: hardly classes"
            ),
        ));
    }
    Ok(())
}

fn no_classes(source: &Path, what: String) -> DataError {
    DataError::malformed(
        source,
        what,
        "ask for `regression` to predict numbers, check which column (`label-column`) or array \
         (`labels-array`) holds the labels, or write the numbers of rare classes as names",
    )
}

fn regress(
    source: &Path,
    labels: Splits<RawLabels>,
    raw_targets: bool,
) -> Result<Answered, DataError> {
    let mut width = None;
    let values = labels.try_map(|labels| {
        let (values, outputs) = match labels {
            RawLabels::Reals { values, outputs } => (values, outputs),
            RawLabels::Integers(values) => (values.iter().map(|&x| x as f64).collect(), 1),
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
        Ok(values)
    })?;
    let outputs = width.unwrap_or(1);
    let train = values.train.iter().flatten().copied();
    let mut offsets = Rounding::of(train, outputs).offsets();
    let mut notes = Vec::new();
    for (i, &offset) in offsets.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        notes.push(if raw_targets {
            format!(
                "target {i}: single precision is too coarse for its own units; standardize targets, \
                 or take {offset} off before"
            )
        } else {
            precision::note(&format!("target {i}"), offset)
        });
    }
    if raw_targets {
        offsets.clear();
    }
    let by_split = values.try_map(|values| {
        let rounded = precision::round(values.into_iter(), &offsets);
        match rounded.iter().all(|x| x.is_finite()) {
            true => Ok(Answers::Values(rounded)),
            false => Err(DataError::malformed(
                source,
                "a label is not a finite number in single precision",
                "scale the labels, or remove what is not a finite number",
            )),
        }
    })?;
    Ok(Answered {
        by_split,
        task: Task::Regress { outputs },
        classes: Vec::new(),
        notes,
    })
}

/// Puts inputs and labels of the splits together; `source` is named in errors.
pub(crate) fn join(
    source: &Path,
    input: InputShape,
    mut inputs: Splits<InputRows>,
    raw: Splits<RawLabels>,
    options: &TableOptions,
) -> Result<Arrays, DataError> {
    let mut answered = match options.task {
        TableTask::Classify => classify(source, raw),
        TableTask::Regress => regress(source, raw, options.raw_targets),
    }?;
    let mut part = |split: SplitName| {
        Some(ArrayPart {
            inputs: inputs.slot(split).take()?,
            answers: answered.by_split.slot(split).take()?,
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
        task: answered.task,
        train,
        validation,
        test,
        classes: answered.classes,
        notes: answered.notes,
    })
}
