//! Examples by their numbers: what a data set gathers at once is what it gives one by one.

mod support;

use std::ops::Range;

use batchscope_core::{Batch, DataShape, Examples, ExamplesError, Purpose, Sampler, StreamKey};
use batchscope_data::readers::READERS;
use batchscope_data::{Format, GlyphOptions, LoadOptions, TableTask, open};
use support::sources::{folder, put};
use support::{key, text};

/// A set that overrides nothing of [`Examples`].
struct Plain<'a>(&'a dyn Examples);

impl Examples for Plain<'_> {
    fn shape(&self) -> DataShape {
        self.0.shape()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn sampler(&self, key: StreamKey, b: u64) -> Result<Box<dyn Sampler + '_>, ExamplesError> {
        self.0.sampler(key, b)
    }

    fn fill_in_order(&self, range: Range<u64>, batch: &mut Batch) {
        self.0.fill_in_order(range, batch);
    }
}

/// The set's own way, the way by default, and one by one, for numbers out of order and repeated.
fn check(name: &str, examples: &dyn Examples) {
    let n = examples.len();
    let mixed: Vec<u64> = (0..3 * n).map(|i| (i * i + 2 * i + 1) % n).collect();
    let orders = [mixed, (0..n).rev().collect(), (0..n).collect(), Vec::new()];
    // A batch that was used for something else.
    let mut found = support::all(examples);
    found.first_position = 3;
    found.noise = Some(key(1).with_purpose(Purpose::Network));
    let mut expected = found.clone();
    for order in orders {
        examples.fill_these(&order, &mut found);
        Plain(examples).fill_these(&order, &mut expected);
        assert_eq!(found, expected, "{name}");
        assert_eq!(found.len, order.len(), "{name}");
        assert_eq!((found.first_position, found.first_draw), (0, 0), "{name}");
        assert!(found.fresh_streams && found.noise.is_none(), "{name}");
    }
    let (mut one, last) = (Batch::empty(examples.shape()), n - 1);
    examples.fill_in_order(last..n, &mut one);
    examples.fill_these(&[last], &mut found);
    assert_eq!((&found.inputs, &found.labels), (&one.inputs, &one.labels));
}

#[test]
fn every_kind_of_examples_is_gathered_as_it_is_stored() {
    for &reader in READERS.all {
        let name = reader.descriptor().name;
        let here = tempfile::tempdir().unwrap();
        let source = match reader.is_built_in() {
            true => name.to_owned(),
            false => text(&put(here.path(), &folder(name).unwrap())).to_owned(),
        };
        let mut options = LoadOptions {
            format: Some(Format::of(reader)),
            glyphs: GlyphOptions {
                train: 60,
                test: 10,
                seed: 0,
            },
            ..LoadOptions::default()
        };
        if reader.settings().contains(&"sequence") {
            options.text.sequence = 5;
        }
        let data = open(&source, &options).unwrap();
        check(name, &*data.train);
        check(name, &*data.validation);
    }
}

#[test]
fn targets_of_a_regression_go_along() {
    let here = tempfile::tempdir().unwrap();
    let table: String = (0..40).map(|i| format!("{i},{}\n", i * i)).collect();
    support::write(here.path(), "t.csv", table.as_bytes());
    let mut options = LoadOptions::default();
    options.table.task = TableTask::Regress;
    let data = open(text(&here.path().join("t.csv")), &options).unwrap();
    check("csv", &*data.train);
}
