//! From what a reader found to splits: hold out, cut to size, normalize.

use std::collections::BTreeSet;
use std::sync::Arc;

use batchscope_core::{
    DataShape, InputShape, Purpose, StreamKey, Task,
    order::{below, permutation},
};
use rayon::prelude::*;

use crate::array_split::ArraySplit;
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::duplicates;
use crate::error::DataError;
use crate::fingerprint;
use crate::left_out;
use crate::load::LoadOptions;
use crate::normalize::Normalization;
use crate::options::{TextOptions, Validation};
use crate::text::corpus::Text;
use crate::text::duplicates as text_duplicates;
use crate::text::{Corpus, TextSplit, Vocabulary, tokens};

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
    /// Why nothing may be trained on them, by the setting `test`.
    pub(crate) refused: Option<String>,
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

/// A note where nothing can be tested at the end of a trial.
fn note_missing_test(missing: bool, notes: &mut Vec<String>) {
    if missing {
        notes.push(
            "the source has no test part: results hold no test metrics, only validation's".into(),
        );
    }
}

/// Splits, cuts and normalizes.
pub(crate) fn arrays(
    mut source: Arrays,
    options: &LoadOptions,
) -> Result<(ArraySplits, Vec<String>), DataError> {
    let shape = DataShape {
        input: source.input,
        task: source.task,
    };
    let count = |part: &ArrayPart| addressable(source.count(part));
    let key = subset_key(options);
    let (n, validation_count) = (
        count(&source.train)?,
        source.validation.as_ref().map(&count).transpose()?,
    );
    let test_count = source.test.as_ref().map(&count).transpose()?;
    let mut notes = std::mem::take(&mut source.notes);
    let refused = duplicates::count(&source, &mut notes);
    note_missing_test(source.test.is_none(), &mut notes);

    let mut order = permutation(n, &mut key.stream(stream::TRAIN));
    let held_out = if validation_count.is_some() {
        note_unused_validation(options, &mut notes);
        Vec::new()
    } else {
        hold_out(&source.train.inputs, &mut order, options)?
    };
    order.truncate(subset_size(options, order.len() as u64)? as usize);
    note_classes_gone(&source, &order, &mut notes);

    let (inputs, targets) = normalizations(shape, &source.train, &order, options);
    let split = |part: &Arc<ArrayPart>, rows| ArraySplit {
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
    let validation = match (&own_validation, validation_count) {
        (Some(part), Some(n)) => split(part, permutation(n, &mut key.stream(stream::VALIDATION))),
        _ => split(&train_part, held_out),
    };
    let test = test_part
        .as_ref()
        .zip(test_count)
        .map(|(part, n)| split(part, permutation(n, &mut key.stream(stream::TEST))));

    let parts: Vec<&Arc<ArrayPart>> = std::iter::once(&train_part)
        .chain(&own_validation)
        .chain(&test_part)
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
            held_out: own_validation.is_none(),
            refused,
            fingerprint,
        },
        source.classes,
    ))
}

/// Notes the classes that had training examples before validation was held out or a subset taken, and
/// have none now among the `rows` to train on.
fn note_classes_gone(source: &Arrays, rows: &[u32], notes: &mut Vec<String>) {
    let Answers::Classes(answers) = &source.train.answers else {
        return;
    };
    let all: BTreeSet<u32> = answers.iter().copied().collect();
    let left: BTreeSet<u32> = rows.iter().map(|&row| answers[row as usize]).collect();
    let named = |class: &u32| source.classes.get(*class as usize).cloned();
    let gone: Vec<String> = all.difference(&left).filter_map(named).collect();
    if !gone.is_empty() {
        notes.push(left_out::counted(
            "classes have no training example once validation is held out or a subset taken",
            &gone,
        ));
    }
    if all.len() > 1
        && left.len() == 1
        && let Some(only) = left.first().and_then(named)
    {
        notes.push(format!(
            "every training example is of class {only}: nothing can be told apart"
        ));
    }
}

/// A number of examples as rows are numbered.
fn addressable(count: usize) -> Result<u32, DataError> {
    u32::try_from(count).map_err(|_| {
        DataError::setting(
            "examples",
            format!(
                "more than {} examples cannot be addressed: split the source",
                u32::MAX
            ),
        )
    })
}

/// Takes the validation examples out of the training part's `order`, whole utterances together.
fn hold_out(
    inputs: &InputRows,
    order: &mut Vec<u32>,
    options: &LoadOptions,
) -> Result<Vec<u32>, DataError> {
    let n = order.len();
    let count = Validation::count(options.validation, n as u64)? as usize;
    let held_out = match inputs {
        InputRows::Windows(windows) => windows.hold_out(order, count),
        _ => {
            let rest = order.split_off(count);
            std::mem::replace(order, rest)
        }
    };
    if order.is_empty() && n > 0 {
        return Err(DataError::setting(
            "validation",
            "holding whole utterances out leaves none to train on: give a dev part beside train, or more utterances",
        ));
    }
    Ok(held_out)
}

/// Statistics of the training examples: of their inputs, and of the targets of a regression.
fn normalizations(
    shape: DataShape,
    train: &ArrayPart,
    order: &[u32],
    options: &LoadOptions,
) -> (Arc<Normalization>, Option<Arc<Normalization>>) {
    let width = shape.input.len();
    let period = match (shape.input, &train.inputs) {
        (InputShape::Image { channels, .. }, _) => channels,
        (_, InputRows::Windows(windows)) => windows.width(),
        _ => width,
    };
    let inputs = Normalization::measure(&train.inputs, order, width, period);
    let targets = match (&shape.task, &train.answers) {
        (Task::Regress { outputs }, Answers::Values(values)) if !options.table.raw_targets => Some(
            Arc::new(Normalization::measure_floats(values, order, *outputs)),
        ),
        _ => None,
    };
    (Arc::new(inputs), targets)
}

/// The splits of a text.
pub(crate) struct TextSplits {
    pub(crate) train: TextSplit,
    pub(crate) validation: TextSplit,
    pub(crate) test: Option<TextSplit>,
    pub(crate) notes: Vec<String>,
    pub(crate) held_out: bool,
    /// Distinct tokens of the training text before the cap.
    pub(crate) distinct: usize,
    /// Why nothing may be trained on them, by the setting `test`.
    pub(crate) refused: Option<String>,
    pub(crate) fingerprint: String,
}

/// Cuts texts into tokens and splits. The vocabulary is that of the training part before it is cut to
/// size, so that all subsets of a corpus train the same network.
pub(crate) fn text(source: Corpus, options: &LoadOptions) -> Result<TextSplits, DataError> {
    check_text(&options.text)?;
    let TextOptions {
        level, sequence, ..
    } = options.text;
    let window = sequence as usize;
    let key = subset_key(options);
    let mut notes = source.notes;
    let refused =
        text_duplicates::count(&source.train, &source.validation, &source.test, &mut notes);
    note_missing_test(source.test.is_none(), &mut notes);
    let total = tokens(&source.train.text, level).count();
    let windows = windows_in(&source.train, total, window)?;
    // Held out is the end of the text: neighboring windows share sentences, so a random choice of
    // windows would let validation be trained on.
    let kept = match &source.validation {
        Some(_) => {
            note_unused_validation(options, &mut notes);
            total
        }
        None => {
            total
                - (Validation::count(options.validation, u64::from(windows))? as usize * window + 1)
        }
    };
    windows_in(&source.train, kept, window)?;
    let vocabulary = Vocabulary::build(tokens(&source.train.text, level).take(kept), &options.text);
    let encode = |text: &Text| {
        tokens(&text.text, level)
            .map(|token| vocabulary.number(token))
            .collect::<Vec<u32>>()
    };
    let split = |tokens: Vec<u32>, text: &Text, stream: u64| {
        let windows = windows_in(text, tokens.len(), window)?;
        Ok::<_, DataError>(TextSplit::new(
            tokens,
            window,
            vocabulary.len(),
            permutation(windows, &mut key.stream(stream)),
        ))
    };
    let mut train = encode(&source.train);
    let held_out = train.split_off(kept);
    let validation = match &source.validation {
        Some(text) => split(encode(text), text, stream::VALIDATION)?,
        None => split(held_out, &source.train, stream::VALIDATION)?,
    };
    let test = source
        .test
        .as_ref()
        .map(|text| split(encode(text), text, stream::TEST))
        .transpose()?;

    let windows = windows_in(&source.train, train.len(), window)?;
    let subset = subset_size(options, u64::from(windows))?;
    if subset < u64::from(windows) {
        train = stretch(&train, subset as usize * window + 1, key);
    }
    let train = split(train, &source.train, stream::TRAIN)?;
    let digests: Vec<[u8; 32]> = [Some(&train), Some(&validation), test.as_ref()]
        .into_iter()
        .flatten()
        .map(|split| fingerprint::integers(split.tokens()))
        .collect();
    let fingerprint = fingerprint::combine(&format!("{:?}", options.text), &digests);
    Ok(TextSplits {
        train,
        validation,
        test,
        notes,
        held_out: source.validation.is_none(),
        distinct: vocabulary.distinct(),
        refused,
        fingerprint,
    })
}

/// Refuses settings under which there is nothing to train.
fn check_text(options: &TextOptions) -> Result<(), DataError> {
    if options.vocabulary < 3 {
        return Err(DataError::setting(
            "vocabulary",
            format!(
                "{} tokens are too few: allow at least 3",
                options.vocabulary
            ),
        ));
    }
    if options.sequence == 0 {
        return Err(DataError::setting(
            "sequence",
            "0 tokens make no window: use at least 1",
        ));
    }
    Ok(())
}

/// Windows in so many tokens of a text, each with the token after it.
fn windows_in(text: &Text, tokens: usize, window: usize) -> Result<u32, DataError> {
    match tokens.saturating_sub(1) / window {
        0 => Err(DataError::malformed(
            &text.file,
            format!("has {tokens} tokens, too few for a window of {window} and the token after it"),
            "give a longer text or a shorter sequence",
        )),
        n => u32::try_from(n)
            .map_err(|_| DataError::malformed(&text.file, "has too many tokens", "split the file")),
    }
}

/// One stretch of `length` tokens from a seeded place, moved left as far as it would run over the
/// end: the stretches of two sizes lie within one another.
fn stretch(tokens: &[u32], length: usize, key: StreamKey) -> Vec<u32> {
    let start = below(
        &mut key.stream(stream::TEXT),
        u32::try_from(tokens.len()).unwrap_or(u32::MAX),
    ) as usize;
    let start = start.min(tokens.len() - length);
    tokens[start..start + length].to_vec()
}
