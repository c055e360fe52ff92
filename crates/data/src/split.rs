//! From what a reader found to splits: hold out, cut to size, normalise.

use std::sync::Arc;

use batchwise_core::{DataShape, InputShape, Purpose, StreamKey, Task};
use rayon::prelude::*;

use crate::arrays::{ArraySplit, Arrays, Part};
use crate::error::DataError;
use crate::fingerprint;
use crate::normalise::Normalisation;
use crate::options::{LoadOptions, Validation};
use crate::order::permutation;

/// Streams of the subset key, one per decision.
pub(crate) mod stream {
    /// Order of the training part: hold-out and subsets are prefixes of it.
    pub(crate) const TRAIN: u64 = 0;
    /// Stored order of a validation part.
    pub(crate) const VALIDATION: u64 = 1;
    /// Stored order of the test part.
    pub(crate) const TEST: u64 = 2;
    /// Where in a text a subset begins.
    pub(crate) const TEXT: u64 = 3;
}

/// The key of splits and subsets.
pub(crate) fn subset_key(options: &LoadOptions) -> StreamKey {
    StreamKey {
        study_seed: options.seed,
        trial: 0,
        purpose: Purpose::Subset,
    }
}

/// The splits of independent examples.
pub(crate) struct ArraySplits {
    pub(crate) train: ArraySplit,
    pub(crate) validation: ArraySplit,
    pub(crate) test: Option<ArraySplit>,
    pub(crate) notes: Vec<String>,
    /// How validation came about, for the description.
    pub(crate) held_out: bool,
    pub(crate) fingerprint: String,
}

/// How many of `n` training examples `examples` or `fraction` keep.
pub(crate) fn subset_size(options: &LoadOptions, n: u64) -> Result<u64, DataError> {
    match (options.examples, options.fraction) {
        (Some(_), Some(_)) => Err(DataError::setting(
            "examples",
            "cannot be set together with fraction: choose one of them",
        )),
        (Some(0), None) => Err(DataError::setting(
            "examples",
            "0 examples train nothing: use at least 1",
        )),
        (Some(count), None) if count > n => Err(DataError::setting(
            "examples",
            format!("{count} examples were asked for, the training part has {n}: use at most {n}"),
        )),
        (Some(count), None) => Ok(count),
        (None, Some(f)) if f > 0.0 && f <= 1.0 => Ok(((n as f64 * f).round() as u64).max(1)),
        (None, Some(f)) => Err(DataError::setting(
            "fraction",
            format!("{f} is not a fraction in (0, 1]"),
        )),
        (None, None) => Ok(n),
    }
}

/// A note where a setting has no effect.
pub(crate) fn note_unused_validation(options: &LoadOptions, notes: &mut Vec<String>) {
    if options.validation.is_some() {
        notes.push(
            "the source has its own validation part: the setting `validation` was not used".into(),
        );
    }
}

/// Splits, cuts and normalises.
pub(crate) fn arrays(
    source: Arrays,
    options: &LoadOptions,
) -> Result<(ArraySplits, Vec<String>), DataError> {
    let shape = DataShape {
        input: source.input,
        task: source.task,
    };
    let count = |part: &Part| {
        u32::try_from(source.count(part)).map_err(|_| {
            DataError::setting(
                "examples",
                format!(
                    "more than {} examples cannot be addressed: split the source",
                    u32::MAX
                ),
            )
        })
    };
    let key = subset_key(options);
    let (n, validation_count) = (
        count(&source.train)?,
        source.validation.as_ref().map(&count).transpose()?,
    );
    let test_count = source.test.as_ref().map(&count).transpose()?;
    let mut notes = source.notes;

    let mut order = permutation(n, &mut key.stream(stream::TRAIN));
    let held_out = match validation_count {
        Some(_) => {
            note_unused_validation(options, &mut notes);
            Vec::new()
        }
        None => {
            let count = Validation::count(options.validation, u64::from(n))? as usize;
            let rest = order.split_off(count);
            std::mem::replace(&mut order, rest)
        }
    };
    order.truncate(subset_size(options, order.len() as u64)? as usize);

    let (width, period) = match shape.input {
        InputShape::Image { channels, .. } => (shape.input.len(), channels),
        _ => (shape.input.len(), shape.input.len()),
    };
    let inputs = Arc::new(Normalisation::measure(
        &source.train.inputs,
        &order,
        width,
        period,
    ));
    let targets = match (&shape.task, &source.train.answers) {
        (Task::Regress { outputs }, crate::arrays::Answers::Values(values))
            if !options.table.raw_targets =>
        {
            Some(Arc::new(Normalisation::measure_floats(
                values, &order, *outputs,
            )))
        }
        _ => None,
    };
    let split = |part: &Arc<Part>, rows| ArraySplit {
        shape,
        part: part.clone(),
        rows,
        inputs: inputs.clone(),
        targets: targets.clone(),
    };
    let (train_part, own_validation, test_part) = (
        Arc::new(source.train),
        source.validation.map(Arc::new),
        source.test.map(Arc::new),
    );
    let train = split(&train_part, order);
    let was_held_out = own_validation.is_none();
    let validation = match (&own_validation, validation_count) {
        (Some(part), Some(n)) => split(part, permutation(n, &mut key.stream(stream::VALIDATION))),
        _ => split(&train_part, held_out),
    };
    let test = test_part
        .as_ref()
        .zip(test_count)
        .map(|(part, n)| split(part, permutation(n, &mut key.stream(stream::TEST))));

    let parts: Vec<&Part> = [
        Some(&train_part),
        own_validation.as_ref(),
        test_part.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|p| &**p)
    .collect();
    let mut digests: Vec<[u8; 32]> = parts
        .par_iter()
        .map(|part| fingerprint::part(part))
        .collect();
    digests.extend([&train.rows, &validation.rows].map(|rows| fingerprint::integers(rows)));
    let fingerprint = fingerprint::combine(&format!("{shape:?}"), &digests);
    Ok((
        ArraySplits {
            train,
            validation,
            test,
            notes,
            held_out: was_held_out,
            fingerprint,
        },
        source.classes,
    ))
}
