//! NumPy's arrays, in archives and folders.

use batchscope_data::TableOptions;

use crate::support::{npy, zip};
use crate::{check_file, check_folder};

fn inputs(n: u8) -> Vec<u8> {
    inputs_from(0, n)
}

/// Other ones: a test part of copies is refused.
fn test_inputs(n: u8) -> Vec<u8> {
    inputs_from(100, n)
}

fn inputs_from(first: u8, n: u8) -> Vec<u8> {
    let values: Vec<u8> = (first..first + 2 * n).collect();
    npy("|u1", false, &format!("({n}, 2)"), &values)
}

fn labels(n: u8) -> Vec<u8> {
    let values: Vec<u8> = (0..n).map(|i| i % 2).collect();
    npy("|u1", false, &format!("({n},)"), &values)
}

fn named(inputs: &str, labels: &str) -> TableOptions {
    TableOptions {
        inputs_array: Some(inputs.into()),
        labels_array: Some(labels.into()),
        ..TableOptions::default()
    }
}

/// Marks all members of a stored archive as packed by another method.
fn packed_by(mut archive: Vec<u8>, method: u8) -> Vec<u8> {
    for (magic, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        for i in 0..archive.len() - 4 {
            if archive[i..].starts_with(magic) {
                archive[i + at] = method;
            }
        }
    }
    archive
}

/// Python's zipfile can pack members by bzip2 and LZMA: they were "damaged: fetch it again".
#[test]
fn other_ways_to_pack_are_named() {
    for (method, name) in [(12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (95, "xz")] {
        let archive = zip(&[("x.npy", &inputs(20)), ("y.npy", &labels(20))], false);
        let message = check_file(
            "t.npz",
            &packed_by(archive, method),
            TableOptions::default(),
        )
        .unwrap_err();
        assert!(
            message.contains(name)
                && message.contains("np.savez_compressed")
                && !message.contains("damaged"),
            "{message}"
        );
    }
}

/// A folder of train.npz and test.npz held "no data that can be read".
#[test]
fn archives_of_the_splits_are_read() {
    let archive = |x: &[u8], n| zip(&[("x.npy", x), ("y.npy", &labels(n))], true);
    let (train, test) = (archive(&inputs(20), 20), archive(&test_inputs(6), 6));
    let files: [(&str, &[u8]); 2] = [("train.npz", &train), ("test.npz", &test)];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    let counts: Vec<u64> = report.splits.iter().map(|split| split.examples).collect();
    assert_eq!((counts, report.files.len()), (vec![18, 2, 6], 2));
    // A single array beside archives is none of theirs.
    let beside = inputs(3);
    let files: [(&str, &[u8]); 2] = [("train.npz", &train), ("holdout.npy", &beside)];
    let report = check_folder(&files, None, TableOptions::default()).unwrap();
    let named = report
        .notes
        .iter()
        .any(|note| note.ends_with("left out: holdout.npy"));
    assert!(named, "{:?}", report.notes);
    let files: [(&str, &[u8]); 2] = [("a.npz", &train), ("b.npz", &test)];
    let message = check_folder(&files, None, TableOptions::default()).unwrap_err();
    assert!(
        message.contains("a.npz: its name says no split"),
        "{message}"
    );
}

/// Arrays of other names were not mentioned; they are listed, and can be named.
#[test]
fn arrays_of_other_names_are_listed_and_can_be_named() {
    let archive = zip(
        &[
            ("train_images.npy", &inputs(20)),
            ("train_labels.npy", &labels(20)),
            ("test_images.npy", &test_inputs(4)),
            ("test_labels.npy", &labels(4)),
            ("meta.npy", &npy("<U3", false, "(1,)", &[0; 12])),
        ],
        true,
    );
    let message = check_file("t.npz", &archive, TableOptions::default()).unwrap_err();
    for part in [
        "no arrays named",
        "train_images (20, 2) |u1",
        "test_labels (4) |u1",
        "inputs-array",
    ] {
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
    for options in [
        named("images", "labels"),
        named("train_images", "train_labels"),
    ] {
        let report = check_file("t.npz", &archive, options).unwrap();
        assert_eq!(report.splits.len(), 3);
        for part in [
            "inputs: train_images, test_images",
            "arrays left out: meta (1) <U3",
        ] {
            assert!(report.notes[0].contains(part), "{:?}", report.notes);
        }
    }
    let wrong = check_file("t.npz", &archive, named("pictures", "labels")).unwrap_err();
    assert!(
        wrong.contains("pictures_train (or pictures) is missing"),
        "{wrong}"
    );
}

/// A lone features.npy was "not a whole .npz archive"; x_train.npy takes its neighbor along.
#[test]
fn a_lone_array_says_what_is_missing() {
    let (x, y) = (inputs(20), labels(20));
    for file in [Some("features.npy"), None] {
        let message =
            check_folder(&[("features.npy", &x)], file, TableOptions::default()).unwrap_err();
        assert!(
            message.contains("features (20, 2) |u1") && message.contains("y.npy side by side"),
            "{message}"
        );
    }
    let message =
        check_folder(&[("x.npy", &x)], Some("x.npy"), TableOptions::default()).unwrap_err();
    assert!(message.contains("y_train (or y) is missing"), "{message}");
    let files: [(&str, &[u8]); 2] = [("x_train.npy", &x), ("y_train.npy", &y)];
    let report = check_folder(&files, Some("x_train.npy"), TableOptions::default()).unwrap();
    assert_eq!(report.files.len(), 2);
    let files: [(&str, &[u8]); 2] = [("features.npy", &x), ("kinds.npy", &y)];
    let report = check_folder(&files, None, named("features", "kinds")).unwrap();
    assert_eq!(report.splits[0].examples, 18);
}
