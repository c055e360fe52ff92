//! Splits, subsets, normalization, and the order of training and evaluation.

mod support;

use std::collections::HashSet;

use batchscope_core::{Batch, Examples, ExamplesError, StepBatch};
use batchscope_data::{
    Dataset, GlyphOptions, LoadOptions, TableOptions, TableTask, Validation, open,
};
use proptest::prelude::*;
use support::{all, classes, key, tokens, values, write};

const SMALL: GlyphOptions = GlyphOptions {
    train: 300,
    test: 40,
    seed: 0,
};

fn glyphs(options: LoadOptions) -> Dataset {
    open(
        "glyphs",
        &LoadOptions {
            glyphs: SMALL,
            ..options
        },
    )
    .unwrap()
}

/// A table whose row `i` has the one feature `i` and the label `i mod 3`, as a data set.
fn numbered(rows: usize, options: &LoadOptions) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let table: String = (0..rows).map(|i| format!("{i},{}\n", i % 3)).collect();
    write(folder.path(), "table.csv", table.as_bytes());
    let data = open(support::text(&folder.path().join("table.csv")), options).unwrap();
    (folder, data)
}

/// Which rows of [`numbered`] a split holds: values are affine in the row, so their ranks among all
/// splits identify them.
fn rows(data: &Dataset) -> (Vec<f32>, Vec<f32>) {
    (
        values(&all(&*data.train)).to_vec(),
        values(&all(&*data.validation)).to_vec(),
    )
}

#[test]
fn validation_is_held_out_and_disjoint() {
    let (_folder, data) = numbered(1000, &LoadOptions::default());
    let (train, validation) = rows(&data);
    assert_eq!((train.len(), validation.len()), (900, 100));
    let distinct: HashSet<u32> = train
        .iter()
        .chain(&validation)
        .map(|x| x.to_bits())
        .collect();
    assert_eq!(distinct.len(), 1000);
    let (_folder, again) = numbered(1000, &LoadOptions::default());
    assert_eq!(
        (rows(&again), &again.fingerprint),
        ((train, validation), &data.fingerprint)
    );
    let (_folder, other) = numbered(
        1000,
        &LoadOptions {
            seed: 1,
            ..LoadOptions::default()
        },
    );
    assert_ne!(
        (rows(&other), &other.fingerprint),
        (rows(&data), &data.fingerprint)
    );
}

#[test]
fn the_default_hold_out_is_a_tenth_and_capped() {
    let (_folder, data) = numbered(120_000, &LoadOptions::default());
    assert_eq!(
        (data.train.len(), data.validation.len()),
        (110_000, Validation::DEFAULT_CAP)
    );
    let (_folder, data) = numbered(5, &LoadOptions::default());
    assert_eq!((data.train.len(), data.validation.len()), (4, 1));
    for (validation, count) in [(Validation::Count(7), 7), (Validation::Fraction(0.25), 50)] {
        let (_folder, data) = numbered(
            200,
            &LoadOptions {
                validation: Some(validation),
                ..LoadOptions::default()
            },
        );
        assert_eq!(data.validation.len(), count);
    }
}

#[test]
fn subsets_are_nested_and_leave_validation_alone() {
    let set = |examples| {
        let data = glyphs(LoadOptions {
            examples,
            ..LoadOptions::default()
        });
        let batch = all(&*data.train);
        (data.validation.len(), classes(&batch).to_vec())
    };
    let (validation, whole) = set(None);
    assert_eq!((validation, whole.len()), (30, 270));
    for n in [1, 10, 100, 269] {
        let (validation, part) = set(Some(n));
        assert_eq!(validation, 30);
        assert_eq!(part, whole[..n as usize], "the first {n} in stored order");
    }
    let half = glyphs(LoadOptions {
        fraction: Some(0.5),
        ..LoadOptions::default()
    });
    assert_eq!(half.train.len(), 135);
}

#[test]
fn normalization_is_measured_on_the_training_examples_that_are_left() {
    for examples in [None, Some(20)] {
        let data = glyphs(LoadOptions {
            examples,
            ..LoadOptions::default()
        });
        let moments = |examples: &dyn Examples| {
            let batch = all(examples);
            let x = values(&batch);
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
            let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / x.len() as f64;
            (mean, (square - mean * mean).sqrt())
        };
        let (mean, std) = moments(&*data.train);
        assert!(
            mean.abs() < 1e-5 && (std - 1.0).abs() < 1e-5,
            "{mean} {std}"
        );
        let (mean, std) = moments(&*data.validation);
        assert!(
            mean.abs() > 1e-4 || (std - 1.0).abs() > 1e-4,
            "validation must not be measured"
        );
    }
}

#[test]
fn regression_targets_are_standardized_on_request_only() {
    let table = |raw_targets| TableOptions {
        task: TableTask::Regress,
        raw_targets,
        ..TableOptions::default()
    };
    let targets = |raw| {
        let (_folder, data) = numbered(
            300,
            &LoadOptions {
                table: table(raw),
                ..LoadOptions::default()
            },
        );
        let batch = all(&*data.train);
        let batchscope_core::Labels::Values(y) = batch.labels else {
            panic!("real targets")
        };
        y
    };
    assert!(targets(true).iter().all(|y| [0.0, 1.0, 2.0].contains(y)));
    let standard = targets(false);
    let mean = standard.iter().sum::<f32>() / standard.len() as f32;
    let variance = standard.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / standard.len() as f32;
    assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4);
}

#[test]
fn settings_that_cannot_be_met_are_named() {
    let error = |options: LoadOptions| {
        open(
            "glyphs",
            &LoadOptions {
                glyphs: SMALL,
                ..options
            },
        )
        .unwrap_err()
        .to_string()
    };
    let default = LoadOptions::default;
    for (options, name) in [
        (
            LoadOptions {
                examples: Some(0),
                ..default()
            },
            "examples:",
        ),
        (
            LoadOptions {
                examples: Some(271),
                ..default()
            },
            "use at most 270",
        ),
        (
            LoadOptions {
                examples: Some(5),
                fraction: Some(0.5),
                ..default()
            },
            "fraction",
        ),
        (
            LoadOptions {
                fraction: Some(0.0),
                ..default()
            },
            "fraction:",
        ),
        (
            LoadOptions {
                fraction: Some(f64::NAN),
                ..default()
            },
            "fraction:",
        ),
        (
            LoadOptions {
                fraction: Some(1.5),
                ..default()
            },
            "fraction:",
        ),
        (
            LoadOptions {
                validation: Some(Validation::Count(300)),
                ..default()
            },
            "validation:",
        ),
        (
            LoadOptions {
                validation: Some(Validation::Count(0)),
                ..default()
            },
            "validation:",
        ),
        (
            LoadOptions {
                validation: Some(Validation::Fraction(1.0)),
                ..default()
            },
            "validation:",
        ),
    ] {
        let message = error(options);
        assert!(message.contains(name), "{message}");
    }
    let none = GlyphOptions { train: 0, ..SMALL };
    assert!(
        open(
            "glyphs",
            &LoadOptions {
                glyphs: none,
                ..default()
            }
        )
        .unwrap_err()
        .to_string()
        .contains("glyphs.train")
    );
}

#[test]
fn batch_sizes_that_cannot_be_had_are_refused() {
    let data = glyphs(LoadOptions::default());
    let error = |b| data.train.sampler(key(0), b).err();
    assert_eq!(error(0), Some(ExamplesError::BatchOfZero));
    assert_eq!(
        error(271),
        Some(ExamplesError::BatchTooLarge {
            batch_size: 271,
            examples: 270
        })
    );
    assert_eq!(error(270), None);
}

/// Everything a batch holds that training depends on.
fn filled(data: &Dataset, seed: u64, batch_size: u64, step: u64, cuts: &[u64]) -> Vec<Batch> {
    let mut sampler = data.train.sampler(key(seed), batch_size).unwrap();
    let mut batches = Vec::new();
    let mut start = 0;
    for &cut in cuts.iter().chain([&batch_size]) {
        let mut batch = Batch::empty(data.shape);
        sampler.fill(
            StepBatch::constant(step, batch_size),
            start..cut,
            &mut batch,
        );
        batches.push(batch);
        start = cut;
    }
    batches
}

#[test]
fn each_epoch_visits_every_example_once_and_windows_straddle_epochs() {
    let (_folder, data) = numbered(
        112,
        &LoadOptions {
            validation: Some(Validation::Count(12)),
            ..LoadOptions::default()
        },
    );
    let (batch_size, mut seen) = (7, Vec::new());
    for step in 0..43 {
        let batch = &filled(&data, 1, batch_size, step, &[])[0];
        assert_eq!(
            (batch.len, batch.first_draw, batch.first_position),
            (7, step * 7, 0)
        );
        seen.extend(values(batch).iter().map(|x| x.to_bits()));
    }
    let mut orders = HashSet::new();
    for epoch in seen.chunks(100).take(3) {
        assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 100);
        assert!(
            orders.insert(epoch.to_vec()),
            "epochs have orders of their own"
        );
    }
    assert_ne!(
        values(&filled(&data, 2, 7, 0, &[])[0]),
        values(&filled(&data, 1, 7, 0, &[])[0])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Random access, and micro-batches that join to the full batch, for images.
    #[test]
    fn any_step_in_any_order_and_any_micro_batch_is_the_same(batch_size in 1u64..=90, step in 0u64..200, cut in 0u64..90, before in 0u64..200) {
        let (_folder, data) = numbered(100, &LoadOptions::default());
        let cut = cut.min(batch_size);
        let whole = filled(&data, 5, batch_size, step, &[]);
        let parts = filled(&data, 5, batch_size, step, &[cut]);
        let joined: Vec<f32> = parts.iter().flat_map(|part| values(part).to_vec()).collect();
        prop_assert_eq!(values(&whole[0]), &joined[..]);
        prop_assert_eq!(parts[1].first_position, cut);
        prop_assert_eq!(parts[1].first_draw, step * batch_size + cut);
        // A used sampler gives what a new one gives.
        let mut sampler = data.train.sampler(key(5), batch_size).unwrap();
        let mut batch = Batch::empty(data.shape);
        sampler.fill(StepBatch::constant(before, batch_size), 0..batch_size, &mut batch);
        sampler.fill(StepBatch::constant(step, batch_size), 0..batch_size, &mut batch);
        prop_assert_eq!(&batch, &whole[0]);
    }

    /// The same for text, whose micro-batches are groups of streams.
    #[test]
    fn text_micro_batches_join_to_the_batch(batch_size in 1u64..=20, step in 0u64..300, cut in 0u64..20, before in 0u64..300) {
        let (_folder, data) = corpus(400, 3);
        let cut = cut.min(batch_size);
        let whole = filled(&data, 9, batch_size, step, &[]);
        let parts = filled(&data, 9, batch_size, step, &[cut]);
        let joined: Vec<u32> = parts.iter().flat_map(|part| tokens(part).0.to_vec()).collect();
        prop_assert_eq!(tokens(&whole[0]).0, &joined[..]);
        prop_assert!(parts.iter().all(|part| part.fresh_streams == whole[0].fresh_streams));
        let mut sampler = data.train.sampler(key(9), batch_size).unwrap();
        let mut batch = Batch::empty(data.shape);
        sampler.fill(StepBatch::constant(before, batch_size), 0..batch_size, &mut batch);
        sampler.fill(StepBatch::constant(step, batch_size), 0..batch_size, &mut batch);
        prop_assert_eq!(&batch, &whole[0]);
    }

    /// Evaluation gives the same examples however the range is cut.
    #[test]
    fn evaluation_does_not_depend_on_how_it_is_cut(k in 1u64..50, text in proptest::bool::ANY) {
        let (_folder, data) = if text { corpus(400, 3) } else { numbered(100, &LoadOptions::default()) };
        let whole = all(&*data.train);
        let (mut batch, n) = (Batch::empty(data.shape), data.train.len());
        let (mut inputs, mut weights) = (Vec::new(), 0.0);
        for start in (0..n).step_by(k as usize) {
            data.train.fill_in_order(start..(start + k).min(n), &mut batch);
            prop_assert!(batch.fresh_streams && batch.noise.is_none());
            weights += batch.weight();
            if text { inputs.extend(tokens(&batch).0.iter().map(|&t| f64::from(t))) } else { inputs.extend(values(&batch).iter().map(|&x| f64::from(x))) }
        }
        let expected: Vec<f64> = if text { tokens(&whole).0.iter().map(|&t| f64::from(t)).collect() } else { values(&whole).iter().map(|&x| f64::from(x)).collect() };
        prop_assert_eq!(inputs, expected);
        prop_assert_eq!(weights, whole.weight());
    }
}

/// A text of `words` distinct words, `sequence` tokens a window, all but one window to train on.
fn corpus(words: usize, sequence: u32) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<String> = (0..words).map(|i| format!("w{i}")).collect();
    write(folder.path(), "train.txt", text.join(" ").as_bytes());
    write(folder.path(), "valid.txt", text[..50].join(" ").as_bytes());
    let mut options = LoadOptions::default();
    options.text.sequence = sequence;
    let data = open(support::text(folder.path()), &options).unwrap();
    (folder, data)
}

/// `<eos>`, which occurs once in [`corpus`], at its end.
const END: u32 = 1;

#[test]
fn streams_run_on_through_an_epoch_and_start_afresh_after_it() {
    let (_folder, data) = corpus(400, 3);
    // 401 tokens, 400 pairs, streams of 100: 33 steps an epoch.
    assert_eq!(data.train.len(), 133);
    let mut turns = HashSet::new();
    for epoch in 0..3u64 {
        let mut last: Option<Vec<u32>> = None;
        let mut seen = HashSet::new();
        for time in 0..33 {
            let batch = &filled(&data, 4, 4, epoch * 33 + time, &[])[0];
            assert_eq!((batch.len, batch.fresh_streams), (4, time == 0));
            let (inputs, labels) = tokens(batch);
            assert!(
                inputs.iter().all(|token| seen.insert(*token)),
                "no token is seen twice in an epoch"
            );
            // Each input is the label before it, but for the one place where the text ends.
            let next_to_last = |input: u32, label: u32| input == label || label == END;
            for (row, (input, label)) in inputs.chunks(3).zip(labels.chunks(3)).enumerate() {
                assert!(
                    input[1..]
                        .iter()
                        .zip(label)
                        .all(|(&input, &label)| next_to_last(input, label))
                );
                if let Some(last) = &last {
                    assert!(next_to_last(input[0], last[row * 3 + 2]), "streams run on");
                }
            }
            if time == 0 {
                turns.insert(inputs[0]);
            }
            last = Some(labels.to_vec());
        }
        assert_eq!(seen.len(), 33 * 12);
    }
    assert_eq!(turns.len(), 3, "every epoch is turned by another amount");
    assert_eq!(
        data.train.sampler(key(0), 134).err(),
        Some(ExamplesError::BatchTooLarge {
            batch_size: 134,
            examples: 133
        })
    );
    assert!(
        filled(&data, 0, 133, 5, &[])[0].fresh_streams,
        "one window a stream: every step is an epoch"
    );
}

#[test]
fn the_stream_of_a_row_breaks_only_where_the_text_ends() {
    let (_folder, data) = corpus(400, 3);
    let mut breaks = 0;
    let mut last: Option<Vec<u32>> = None;
    for step in 0..33 {
        let batch = &filled(&data, 4, 4, step, &[])[0];
        let (inputs, labels) = tokens(batch);
        if let Some(last) = &last {
            breaks += (0..4)
                .filter(|row| last[row * 3 + 2] != inputs[row * 3])
                .count();
        }
        last = Some(labels.to_vec());
    }
    assert!(breaks <= 1, "{breaks} breaks");
}

#[test]
fn text_subsets_are_nested_stretches() {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<String> = (0..600).map(|i| format!("w{i}")).collect();
    write(folder.path(), "book.txt", text.join(" ").as_bytes());
    let read = |examples| {
        let mut options = LoadOptions {
            examples,
            ..LoadOptions::default()
        };
        options.text.sequence = 4;
        let data = open(support::text(folder.path()), &options).unwrap();
        let batch = all(&*data.train);
        (
            tokens(&batch).0.iter().copied().collect::<HashSet<u32>>(),
            data,
        )
    };
    let (whole, data) = read(None);
    // 601 tokens, 150 windows; 15 windows and a token are held out from the end.
    assert_eq!(
        (data.train.len(), data.validation.len(), whole.len()),
        (134, 15, 536)
    );
    // What is left of the text after its last whole window can be in a subset: compare subsets.
    let (mut larger, _) = read(Some(133));
    for n in [100, 50, 3, 1] {
        let (part, subset) = read(Some(n));
        assert_eq!(
            (part.len() as u64, subset.train.len(), subset.shape),
            (4 * n, n, data.shape)
        );
        assert!(part.is_subset(&larger), "{n}");
        larger = part;
    }
}

/// Studies of different machines and days compare only while the pictures stay these.
#[test]
fn the_glyphs_are_the_same_everywhere() {
    let fingerprint = glyphs(LoadOptions::default()).fingerprint;
    assert_eq!(
        fingerprint,
        "74ad6ce6c515b7e1592ab36d4228b5c2d79b0a4f44d62a36dd0a33cb79981a44"
    );
}

#[test]
fn glyphs_do_not_depend_on_threads_and_begin_alike() {
    let make = |threads, train| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| batchscope_data::glyphs(&GlyphOptions { train, ..SMALL }).unwrap())
    };
    let (serial, parallel, longer) = (make(1, 300), make(4, 300), make(2, 310));
    assert_eq!(serial, parallel);
    let (batchscope_data::InputRows::Bytes(short), batchscope_data::InputRows::Bytes(long)) =
        (&serial.train.inputs, &longer.train.inputs)
    else {
        panic!("glyphs are bytes")
    };
    assert_eq!(short[..], long[..short.len()]);
    assert_ne!(
        serial.train.inputs,
        batchscope_data::glyphs(&GlyphOptions { seed: 1, ..SMALL })
            .unwrap()
            .train
            .inputs
    );
    let distinct: HashSet<&[u8]> = short.chunks(784).collect();
    assert_eq!(distinct.len(), 300);
}
