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
    // What was read is shown all the same: the copies hid how many classes there are.
    let found = report(&same, &LoadOptions::default());
    assert_eq!(found.classes, ["a", "b"]);
    let refused = found.refused.unwrap();
    assert!(refused.starts_with("10 of 10 test examples"), "{refused}");
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

/// Copies within the parts that judge, and the same input with another answer, went by without a word.
#[test]
fn copies_within_and_between_the_judging_parts_are_counted() {
    let files = named(&[
        ("train.csv", b"1,2,0\n3,4,1\n5,6,1\n7,7,0\n".to_vec()),
        ("validation.csv", b"8,8,0\n8,9,1\n1,2,1\n".to_vec()),
        ("test.csv", b"8,8,0\n9,9,1\n9,9,1\n".to_vec()),
    ]);
    let found = report(&files, &LoadOptions::default());
    for said in [
        "1 of 3 validation examples have the inputs of training examples, and other answers",
        "1 of 3 test examples are copies of others",
        "1 of 3 test examples are validation examples too",
    ] {
        assert!(notes(&found, &[said]), "{said}: {found}");
    }
}

/// A test text that is the training text was scored as if it were new.
#[test]
fn lines_of_texts_are_counted_too() {
    let line = |n: usize| format!("sentence number {n} of a text that goes on and on\n");
    let lines = |range: std::ops::Range<usize>| range.map(line).collect::<String>().into_bytes();
    let files = named(&[
        ("train.txt", lines(0..40)),
        ("valid.txt", lines(38..60)),
        ("test.txt", lines(100..120)),
    ]);
    let found = report(&files, &LoadOptions::default());
    assert!(
        notes(&found, &["2 of 22 validation lines of 30 bytes or more"]),
        "{found}"
    );
    let same = named(&[("train.txt", lines(0..40)), ("test.txt", lines(10..40))]);
    let error = refusal(&same, &LoadOptions::default());
    assert!(
        error.starts_with("test: 30 test lines are training lines too"),
        "{error}"
    );
    // Rulers between short lines that are all new.
    let ruled = |from: usize, n: usize| {
        let line = |i: usize| match i % 40 {
            0 => format!("{}\n", "-".repeat(40)),
            _ => format!("word{i} word{}\n", 7 * i),
        };
        (from..from + n).map(line).collect::<String>().into_bytes()
    };
    let found = report(
        &named(&[
            ("train.txt", ruled(0, 4000)),
            ("test.txt", ruled(8000, 800)),
        ]),
        &LoadOptions::default(),
    );
    assert!(found.refused.is_none(), "{found}");
    assert!(
        notes(&found, &["20 of 20 test lines of 30 bytes or more"]),
        "{found}"
    );
}
