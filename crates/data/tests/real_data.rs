//! The published data sets, where they are at hand: in the folder named by `BATCHWISE_DATA`, or in
//! `../shared/data` beside the repository. Says so and passes where they are not.

mod support;

use std::path::{Path, PathBuf};

use batchwise_core::InputShape;
use batchwise_data::{LoadOptions, TextLevel, check};
use support::text;

fn real(set: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BATCHWISE_DATA")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            PathBuf::from,
        )
        .join(set);
    if !folder.exists() {
        println!(
            "skipped: no {} (set BATCHWISE_DATA to the folder that holds it)",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

#[test]
fn mnist_has_its_published_counts_and_moments() {
    let Some(folder) = real("mnist") else { return };
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

#[test]
fn wikitext_2_has_its_published_counts() {
    let Some(folder) = real("wikitext-2") else {
        return;
    };
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
