//! What people's files did to the program: each test tells its story, with inputs made here.

mod archives;
mod cifar_python;
mod duplicates;
mod encodings;
mod idx_sets;
mod image_files;
mod image_folders;
mod masks;
mod parts;
#[path = "../support/mod.rs"]
mod support;

use batchscope_data::{CheckReport, LoadOptions, check, open};
use support::{png, text, write};
use tempfile::TempDir;

/// A folder of these files.
fn folder(files: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

/// What is in a folder of these files.
fn report(files: &[(String, Vec<u8>)], options: &LoadOptions) -> CheckReport {
    check(text(folder(files).path()), options).unwrap_or_else(|error| panic!("{error}"))
}

/// The error of a folder of these files.
fn refusal(files: &[(String, Vec<u8>)], options: &LoadOptions) -> String {
    match open(text(folder(files).path()), options) {
        Ok(data) => panic!("accepted: {}", data.description),
        Err(error) => error.to_string(),
    }
}

/// Examples to train on (validation included) and to test.
fn sizes(report: &CheckReport) -> (u64, u64) {
    let of = |name| {
        let splits = report.splits.iter().filter(|split| split.name == name);
        splits.map(|split| split.examples).sum::<u64>()
    };
    (of("train") + of("validation"), of("test"))
}

/// True if some note says all of these.
fn notes(report: &CheckReport, parts: &[&str]) -> bool {
    let all = |note: &String| parts.iter().all(|part| note.contains(part));
    report.notes.iter().any(all)
}

/// An image of 2×2 pixels like no other of another number.
fn picture(number: u8) -> Vec<u8> {
    png(
        2,
        2,
        image::ExtendedColorType::L8,
        &[number, 255 - number, 7, number / 2],
    )
}

/// Images of the folders, `count` in each, all different; `start` is the first one's number.
fn pictures(folders: &[&str], count: u8, start: u8) -> Vec<(String, Vec<u8>)> {
    let mut number = start;
    let mut files = Vec::new();
    for folder in folders {
        for at in 0..count {
            files.push((format!("{folder}/{at}.png"), picture(number)));
            number += 1;
        }
    }
    files
}

/// Files by name.
fn named(files: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let own = |(name, bytes): &(&str, Vec<u8>)| ((*name).to_owned(), bytes.clone());
    files.iter().map(own).collect()
}
