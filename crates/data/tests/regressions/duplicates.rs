//! Examples that are there more than once.

use batchscope_data::{LoadOptions, TableOptions, TableTask};

use crate::{named, notes, picture, pictures, refusal, report};

/// A set whose test images lie in its training part as well, and one with copies, gave good numbers
/// that meant nothing.
#[test]
fn copies_are_counted_and_a_test_part_of_them_is_refused() {
    let train = pictures(&["train/a", "train/b"], 5, 0);
    let mut files = train.clone();
    files.push(("train/a/copy.png".into(), picture(1)));
    files.extend(pictures(&["test/a", "test/b"], 2, 100));
    files.push(("test/a/known.png".into(), picture(3)));
    let found = report(&files, &LoadOptions::default());
    assert!(
        notes(
            &found,
            &["1 of 11 training examples are copies", "held out"]
        ),
        "{found}"
    );
    assert!(
        notes(&found, &["1 of 5 test examples are training examples too"]),
        "{found}"
    );
    let mut same = train.clone();
    same.extend(
        train
            .iter()
            .map(|(name, bytes)| (name.replace("train", "test"), bytes.clone())),
    );
    let error = refusal(&same, &LoadOptions::default());
    assert!(error.starts_with("test: 10 of 10 test examples"), "{error}");
}

/// The same for tables: of classes and of numbers.
#[test]
fn rows_of_tables_are_counted_too() {
    let regress = LoadOptions {
        table: TableOptions {
            task: TableTask::Regress,
            ..TableOptions::default()
        },
        ..LoadOptions::default()
    };
    for options in [LoadOptions::default(), regress] {
        let train = b"1,2,0\n1,2,0\n3,4,1\n5,6,1\n".to_vec();
        let mostly_new = named(&[
            ("train.csv", train.clone()),
            ("test.csv", b"1,2,0\n7,8,1\n9,9,0\n".to_vec()),
        ]);
        let found = report(&mostly_new, &options);
        assert!(
            notes(&found, &["1 of 4 training examples are copies"]),
            "{found}"
        );
        assert!(notes(&found, &["1 of 3 test examples"]), "{found}");
        let known = named(&[
            ("train.csv", train),
            ("test.csv", b"1,2,0\n3,4,1\n9,9,0\n".to_vec()),
        ]);
        assert!(refusal(&known, &options).contains("2 of 3 test examples"));
    }
}
