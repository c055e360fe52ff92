//! Parts named by `--train` and `--test`: tables and arrays whose own names say no part were read by
//! the names of their files alone, whatever the settings said.

use batchscope_data::{CheckReport, LoadOptions, PartPaths, Validation, check};

use crate::support::{npy, text, write, zip};

type Files<'a> = [(&'a str, Vec<u8>)];

/// Checks a folder, or one of its files, with parts.
fn check_parts(files: &Files, file: &str, parts: [Option<&str>; 3]) -> Result<CheckReport, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    let [train, validation, test] = parts.map(|part| part.map(str::to_owned));
    let options = LoadOptions {
        format: (!files[0].0.ends_with("npz") && !files[0].0.ends_with("npy"))
            .then(|| "csv".parse().unwrap()),
        parts: PartPaths {
            train,
            validation,
            test,
        },
        ..LoadOptions::default()
    };
    check(text(&folder.path().join(file)), &options).map_err(|error| error.to_string())
}

/// Examples of each split, as stored.
fn counts(report: &CheckReport) -> Vec<u64> {
    report.splits.iter().map(|split| split.examples).collect()
}

/// A table of `n` rows that are no other's.
fn table(first: usize, n: usize) -> Vec<u8> {
    let rows = (first..first + n).map(|i| format!("{i},{}.5,{}\n", i * i % 17, i % 2));
    format!("a,b,label\n{}", rows.collect::<String>()).into_bytes()
}

#[test]
fn tables_are_the_parts_that_the_settings_name() {
    let files = [
        ("2023.csv", table(0, 40)),
        ("2024.csv", table(100, 20)),
        ("2025.csv", table(200, 10)),
    ];
    let report = check_parts(&files, "", [Some("2023.csv"), None, Some("2025.csv")]).unwrap();
    assert_eq!(counts(&report), [36, 4, 10], "{report:?}");
    let left_out = report.notes.iter().find(|note| note.contains("2024.csv"));
    assert!(left_out.is_some(), "{:?}", report.notes);
    // A file is trained on, and others are named beside it.
    let beside = [None, Some("2024.csv"), Some("2025.csv")];
    let report = check_parts(&files, "2023.csv", beside).unwrap();
    assert_eq!(counts(&report), [40, 20, 10], "{report:?}");
    let message = check_parts(&files, "", [Some("2026.csv"), None, None]).unwrap_err();
    assert!(message.contains("2026.csv"), "{message}");
    // A part and a number of examples for the same: one of them would have no effect.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", &table(0, 40));
    write(folder.path(), "b.csv", &table(100, 20));
    let options = LoadOptions {
        parts: PartPaths {
            train: Some("a.csv".into()),
            validation: Some("b.csv".into()),
            test: None,
        },
        validation: Some(Validation::Count(5)),
        ..LoadOptions::default()
    };
    let error = check(text(folder.path()), &options).unwrap_err();
    assert!(error.to_string().contains("validation-part"), "{error}");
}

/// The settings go before the names of the files.
#[test]
fn a_name_does_not_decide_what_the_settings_do() {
    let files = [("test.csv", table(0, 40)), ("train.csv", table(100, 20))];
    let parts = [Some("test.csv"), None, Some("train.csv")];
    let report = check_parts(&files, "", parts).unwrap();
    assert_eq!(counts(&report), [36, 4, 20], "{report:?}");
}

/// A folder of tables with another ending, `--format csv`, was "no table".
#[test]
fn tables_of_any_ending_are_read_where_the_format_is_named() {
    let files = [
        ("a/train.txt", table(0, 40)),
        ("a/test.txt", table(100, 20)),
    ];
    let report = check_parts(&files, "a", [None; 3]).unwrap();
    assert_eq!(counts(&report), [36, 4, 20], "{report:?}");
}

fn archive(first: u8, n: u8) -> Vec<u8> {
    let (x, y) = arrays(first, n);
    zip(&[("x.npy", &x), ("y.npy", &y)], false)
}

fn arrays(first: u8, n: u8) -> (Vec<u8>, Vec<u8>) {
    let values: Vec<u8> = (0..2 * n).map(|i| first + i).collect();
    let labels: Vec<u8> = (0..n).map(|i| i % 2).collect();
    (
        npy("|u1", false, &format!("({n}, 2)"), &values),
        npy("|u1", false, &format!("({n},)"), &labels),
    )
}

#[test]
fn archives_of_arrays_are_the_parts_that_the_settings_name() {
    let files = [
        ("a.npz", archive(0, 40)),
        ("b.npz", archive(100, 20)),
        ("c.npz", archive(200, 10)),
    ];
    let report = check_parts(&files, "", [Some("a.npz"), None, Some("b.npz")]).unwrap();
    assert_eq!(counts(&report), [36, 4, 20], "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("c.npz")));
}

#[test]
fn folders_of_arrays_are_the_parts_that_the_settings_name() {
    let ((x, y), (x2, y2)) = (arrays(0, 40), arrays(100, 20));
    let files = [
        ("one/x.npy", x),
        ("one/y.npy", y),
        ("two/x.npy", x2),
        ("two/y.npy", y2),
    ];
    let report = check_parts(&files, "", [Some("one"), None, Some("two")]).unwrap();
    assert_eq!(counts(&report), [36, 4, 20], "{report:?}");
}
