//! MNIST's kin.

use batchscope_data::{LoadOptions, check};

use crate::support::{cifar, gzip, idx, mat, mat_matrix, text};
use crate::{folder, named, notes, refusal, report, sizes};

fn pair(
    set: &str,
    split: &str,
    n: u8,
    first: u8,
    label: impl Fn(u8) -> u8,
) -> Vec<(String, Vec<u8>)> {
    let pixels: Vec<u8> = (0..n).flat_map(|i| [first + i, 9]).collect();
    let labels: Vec<u8> = (0..n).map(label).collect();
    vec![
        (
            format!("{set}{split}-images-idx3-ubyte.gz"),
            gzip(&idx(&[n.into(), 1, 2], &pixels)),
        ),
        (
            format!("{set}{split}-labels-idx1-ubyte.gz"),
            gzip(&idx(&[n.into()], &labels)),
        ),
    ]
}

/// EMNIST's letters are labeled 1 to 26: a 27th class without examples was learned. One of several
/// sets in a folder can be had by its image file, which left its test part behind.
#[test]
fn emnist_has_its_classes_and_its_test_part() {
    let letter = |i: u8| i % 26 + 1;
    let letters = [
        pair("emnist-letters-", "train", 52, 0, letter),
        pair("emnist-letters-", "test", 26, 100, letter),
    ]
    .concat();
    let found = report(&letters, &LoadOptions::default());
    assert_eq!(
        (found.classes.len(), &*found.classes[0], sizes(&found)),
        (26, "1", (52, 26))
    );
    assert!(notes(&found, &["26 (labels 1 to 26)"]), "{found}");
    let digits = pair("emnist-digits-", "train", 20, 0, |i| i % 10);
    let both = [letters, digits].concat();
    let error = refusal(&both, &LoadOptions::default());
    // The remedy named a test part, and wrote the path in small letters.
    assert!(
        error.contains("give one set by its training images, such as emnist-letters-train-images"),
        "{error}"
    );
    let set = folder(&both);
    let file = set.path().join("emnist-letters-train-images-idx3-ubyte.gz");
    let one = check(text(&file), &LoadOptions::default()).unwrap();
    assert_eq!(
        (sizes(&one), one.fingerprint),
        ((52, 26), found.fingerprint)
    );
}

/// Labels that are all the same trained to "error 0.0000" from every reader but that of tables.
#[test]
fn one_class_is_refused_by_every_reader_of_classes() {
    let svhn = mat(
        &[
            mat_matrix("X", &[1, 1, 1, 4], &[1, 2, 3, 4]),
            mat_matrix("y", &[4, 1], &[5; 4]),
        ],
        true,
    );
    for files in [
        pair("", "train", 5, 0, |_| 0),
        named(&[("data_batch_1.bin", cifar(&[&[3], &[3], &[3]]))]),
        named(&[("train.bin", cifar(&[&[0, 7], &[1, 7]]))]),
        named(&[("train_32x32.mat", svhn)]),
        named(&[("t.csv", b"1,a\n2,a\n3,a\n".to_vec())]),
        crate::pictures(&["train/a"], 4, 0),
    ] {
        let error = refusal(&files, &LoadOptions::default());
        assert!(error.contains("labels are the same"), "{error}");
    }
}
