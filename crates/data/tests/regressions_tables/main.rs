//! Tables and arrays that people have and that were once misread in silence, each with its story.

#[path = "../support/mod.rs"]
mod support;

mod arrays;
mod headers;
mod labels;
mod layout;
mod parts;
mod precision;

use std::collections::BTreeMap;

use batchscope_data::{CheckReport, LoadOptions, TableOptions, TableTask, check};
use support::{text, write};

/// Checks a single file of this name.
fn check_file(name: &str, bytes: &[u8], table: TableOptions) -> Result<CheckReport, String> {
    check_folder(&[(name, bytes)], Some(name), table)
}

/// Checks a folder, or one of its files.
fn check_folder(
    files: &[(&str, &[u8])],
    file: Option<&str>,
    table: TableOptions,
) -> Result<CheckReport, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    let path = file.map_or(folder.path().to_owned(), |name| folder.path().join(name));
    let options = LoadOptions {
        table,
        format: file
            .filter(|name| name.ends_with(".txt"))
            .map(|_| "csv".parse().unwrap()),
        ..LoadOptions::default()
    };
    check(text(&path), &options).map_err(|error| error.to_string())
}

fn read(table: &str, options: TableOptions) -> CheckReport {
    check_file("t.csv", table.as_bytes(), options).unwrap()
}

/// The error of a table, which holds all of `expected`.
fn refused(table: &str, options: TableOptions, expected: &[&str]) {
    let message = check_file("t.csv", table.as_bytes(), options).unwrap_err();
    for part in expected {
        assert!(message.contains(part), "'{message}' should say '{part}'");
    }
}

fn label(column: &str) -> TableOptions {
    TableOptions {
        label: Some(column.to_owned()),
        ..TableOptions::default()
    }
}

fn regression() -> TableOptions {
    TableOptions {
        task: TableTask::Regress,
        ..TableOptions::default()
    }
}

/// Examples of each class over train and validation.
fn classes(report: &CheckReport) -> BTreeMap<&str, u64> {
    let counts = report.splits.iter().filter(|split| split.name != "test");
    let mut sums = vec![0; report.classes.len()];
    for split in counts {
        for (sum, count) in sums.iter_mut().zip(&split.class_counts) {
            *sum += count;
        }
    }
    report
        .classes
        .iter()
        .map(String::as_str)
        .zip(sums)
        .collect()
}

/// Examples outside the test part.
fn examples(report: &CheckReport) -> u64 {
    let parts = report.splits.iter().filter(|split| split.name != "test");
    parts.map(|split| split.examples).sum()
}

/// The line of what was inferred holds all of `expected`.
fn says(report: &CheckReport, expected: &[&str]) {
    for part in expected {
        assert!(
            report.notes[0].contains(part),
            "{:?} should say '{part}'",
            report.notes
        );
    }
}

/// Rows of two features and a class of two, with a separator and a decimal mark.
fn rows(n: usize, separator: &str, decimal: &str) -> String {
    let row = |i: usize| {
        let cells = [
            format!("0{decimal}{}", 11 + i * 37 % 83),
            format!("-1{decimal}{}", 25 + i * 53 % 71),
            (i % 2).to_string(),
        ];
        cells.join(separator) + "\n"
    };
    (0..n).map(row).collect()
}
