//! The published data sets, in the folder named by `BATCHSCOPE_DATA`, or in `../shared/data` beside
//! the repository. They are not at hand everywhere, so these tests are ignored unless they are asked
//! for:
//!
//! ```text
//! BATCHSCOPE_DATA=FOLDER cargo test -p batchscope-data --test real_data -- --ignored
//! ```

mod support;

use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task};
use batchscope_data::{LoadOptions, TextLevel, check, open, readers::idx};
use support::text;

/// The path of a set, which must be there.
fn real(set: &str) -> PathBuf {
    let folder = std::env::var_os("BATCHSCOPE_DATA")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            PathBuf::from,
        )
        .join(set);
    assert!(
        folder.exists(),
        "there is no {}: set BATCHSCOPE_DATA to the folder that holds it",
        folder.display()
    );
    folder
}

#[test]
#[ignore = "needs the published data: set BATCHSCOPE_DATA and pass --ignored"]
fn mnist_has_its_published_counts_and_moments() {
    let folder = real("mnist");
    let report = check(text(&folder), &LoadOptions::default()).unwrap();
    assert_eq!(
        report
            .splits
            .iter()
            .map(|split| split.examples)
            .collect::<Vec<_>>(),
        [54_000, 6_000, 10_000]
    );
    // Digits of the 60,000 training examples, as published.
    let digits: Vec<u64> = report.splits[0]
        .class_counts
        .iter()
        .zip(&report.splits[1].class_counts)
        .map(|(a, b)| a + b)
        .collect();
    assert_eq!(
        digits,
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    assert!((report.mean[0] - 0.1307).abs() < 2e-4 && (report.std[0] - 0.3081).abs() < 2e-4);
}

/// The first ten labels of a file, and its length.
fn first_labels(path: &Path) -> (Vec<u8>, u64) {
    let labels = idx::parse(&std::fs::read(path).unwrap(), path).unwrap();
    (labels.values[..10].to_vec(), labels.dimensions[0])
}

#[test]
#[ignore = "needs the published data: set BATCHSCOPE_DATA and pass --ignored"]
fn mnist_begins_with_its_labels() {
    let folder = real("mnist");
    // As published, or the same digits in the shuffled order of ../shared/data.
    for (name, count, published, shuffled) in [
        (
            "train-labels-idx1-ubyte.gz",
            60_000,
            [5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
            [0, 3, 9, 1, 6, 5, 3, 9, 0, 4],
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            10_000,
            [7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
            [9, 0, 2, 5, 2, 8, 5, 6, 2, 3],
        ),
    ] {
        let (first, length) = first_labels(&folder.join(name));
        assert_eq!(length, count, "{name}");
        assert!(first == published || first == shuffled, "{name}: {first:?}");
    }
    let data = open(text(&folder), &LoadOptions::default()).unwrap();
    assert_eq!(
        (data.shape.input, data.shape.task),
        (
            InputShape::Image {
                height: 28,
                width: 28,
                channels: 1
            },
            Task::Classify { classes: 10 }
        )
    );
}

#[test]
#[ignore = "needs the published data: set BATCHSCOPE_DATA and pass --ignored"]
fn cifar_10_as_images_has_its_published_counts_classes_and_moments() {
    let archive = real("cifar10/cifar10-images.tar.gz");
    let report = check(text(&archive), &LoadOptions::default()).unwrap();
    assert_eq!(report.format, "images");
    assert_eq!(
        (report.shape.input, report.shape.task),
        (
            InputShape::Image {
                height: 32,
                width: 32,
                channels: 3
            },
            Task::Classify { classes: 10 }
        )
    );
    let [train, validation, test] = &report.splits[..] else {
        panic!("{:?}", report.splits)
    };
    assert_eq!(
        [train, validation, test].map(|split| split.examples),
        [45_000, 5_000, 10_000]
    );
    for class in 0..10 {
        assert_eq!(
            train.class_counts[class] + validation.class_counts[class],
            5_000
        );
        assert_eq!(test.class_counts[class], 1_000);
    }
    // The folders in the order of their names, which is the publisher's order of the labels too.
    assert_eq!(
        report.classes,
        [
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck"
        ]
    );
    // Moments of the 50,000 training images as they are usually given; JPEG moves them a little.
    for (measured, published) in [
        (&report.mean, [0.4914, 0.4822, 0.4465]),
        (&report.std, [0.2470, 0.2435, 0.2616]),
    ] {
        for (x, y) in measured.iter().zip(published) {
            assert!((x - y).abs() < 0.01, "{measured:?} against {published:?}");
        }
    }
}

#[test]
#[ignore = "needs the published data: set BATCHSCOPE_DATA and pass --ignored"]
fn wikitext_2_begins_with_its_words() {
    let folder = real("wikitext-2");
    for (name, words) in [
        (
            "wiki.valid.tokens",
            ["<eos>", "=", "Homarus", "gammarus", "=", "<eos>"],
        ),
        (
            "wiki.test.tokens",
            ["<eos>", "=", "Robert", "<unk>", "=", "<eos>"],
        ),
    ] {
        let path = folder.join(name);
        let content = batchscope_data::readers::text(std::fs::read(&path).unwrap(), &path).unwrap();
        let first: Vec<&str> = batchscope_data::text::tokens(&content, TextLevel::Word)
            .take(words.len())
            .collect();
        assert_eq!(first, words, "{name}");
    }
}

#[test]
#[ignore = "needs the published data: set BATCHSCOPE_DATA and pass --ignored"]
fn wikitext_2_has_its_published_counts() {
    let folder = real("wikitext-2");
    let report = check(text(&folder), &LoadOptions::default()).unwrap();
    // Merity et al. 2016, table 1: 245,569 tokens in the test part and 217,646 in the validation part.
    assert_eq!(
        report
            .splits
            .iter()
            .map(|split| split.tokens.unwrap())
            .collect::<Vec<_>>(),
        [245_569, 217_646]
    );
    assert_eq!(
        report.shape.input,
        InputShape::Tokens {
            sequence: 35,
            vocabulary: 10_000
        }
    );
    assert!(
        report.notes[0].contains("wiki.test.tokens was used to train"),
        "{:?}",
        report.notes
    );
    let mut characters = LoadOptions::default();
    characters.text.level = TextLevel::Character;
    let report = check(text(&folder), &characters).unwrap();
    assert!(
        matches!(
            report.shape.input,
            InputShape::Tokens {
                vocabulary: 100..=400,
                ..
            }
        ),
        "{:?}",
        report.shape
    );
}
