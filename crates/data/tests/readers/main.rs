//! Every format, read from files made here or by other programs.

mod images;
mod masks;
mod speech;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod words;

use batchscope_core::InputShape;
use batchscope_data::{Dataset, Format, LoadOptions, READERS, Validation, check, open};
use support::{content, idx, text, write};
use tempfile::{TempDir, tempdir};

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

/// Opens a folder of files with one example held out.
fn read(files: &[(&str, Vec<u8>)]) -> Dataset {
    read_with(files, LoadOptions::default())
}

fn read_with(files: &[(&str, Vec<u8>)], options: LoadOptions) -> Dataset {
    let folder = folder(files);
    open(
        text(folder.path()),
        &LoadOptions {
            validation: Some(Validation::Count(1)),
            ..options
        },
    )
    .unwrap()
}

fn image(height: usize, width: usize, channels: usize) -> InputShape {
    InputShape::Image {
        height,
        width,
        channels,
    }
}

/// The classes of all examples that are not in the test part, sorted.
fn training_classes(data: &Dataset) -> Vec<u32> {
    let mut classes: Vec<u32> = [&data.train, &data.validation]
        .iter()
        .flat_map(|split| content(&***split))
        .map(|(class, _)| class)
        .collect();
    classes.sort_unstable();
    classes
}
fn mnist(number: u8) -> (Vec<u8>, Vec<u8>) {
    mnist_from(0, number)
}

/// Other images for every other `first`.
fn mnist_from(first: u8, number: u8) -> (Vec<u8>, Vec<u8>) {
    let pixels: Vec<u8> = (first..first + number)
        .flat_map(|i| [i, 0, 255, i, i, i])
        .collect();
    let labels: Vec<u8> = (0..number).map(|i| i % 3).collect();
    (
        idx(&[number.into(), 2, 3], &pixels),
        idx(&[number.into()], &labels),
    )
}

#[test]
fn reports_say_what_is_there() {
    let (images, labels) = mnist(6);
    let set = folder(&[
        ("train-images-idx3-ubyte", images),
        ("train-labels-idx1-ubyte", labels.clone()),
    ]);
    let options = LoadOptions {
        validation: Some(Validation::Count(1)),
        ..LoadOptions::default()
    };
    let report = check(text(set.path()), &options).unwrap();
    assert_eq!(
        (
            report.format.as_str(),
            report.splits.len(),
            report.files.len()
        ),
        ("idx", 2, 2)
    );
    assert_eq!(
        report
            .splits
            .iter()
            .flat_map(|split| &split.class_counts)
            .sum::<u64>(),
        6
    );
    assert_eq!(report.files[1].bytes, Some(labels.len() as u64));
    assert_eq!(
        report.fingerprint,
        open(text(set.path()), &options).unwrap().fingerprint
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["splits"][0]["name"], "train");
    assert_eq!(json["shape"]["input"]["kind"], "image");
    let shown = report.to_string();
    assert!(
        shown.contains("5 examples") && shown.contains("sha256"),
        "{shown}"
    );
}

#[test]
fn settings_survive_text_and_json() {
    assert_eq!(READERS.faults(), Vec::<String>::new());
    for reader in READERS.all {
        let (format, name) = (Format::of(*reader), reader.descriptor().name);
        assert_eq!(
            (name.parse(), format.to_string()),
            (Ok(format), name.to_owned())
        );
        assert_eq!(serde_json::to_value(format).unwrap(), name);
    }
    for (text, value) in [
        ("5000", Validation::Count(5000)),
        ("0.25", Validation::Fraction(0.25)),
        ("10%", Validation::Fraction(0.1)),
    ] {
        assert_eq!(text.parse(), Ok(value));
    }
    assert!("a few".parse::<Validation>().is_err() && "zip".parse::<Format>().is_err());
    let options = LoadOptions {
        validation: Some(Validation::Count(3)),
        ..LoadOptions::default()
    };
    let json = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<LoadOptions>(&json).unwrap(), options);
    assert!(serde_json::from_str::<LoadOptions>("{\"exmples\": 3}").is_err());
}
