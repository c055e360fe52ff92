//! Frames of speech in Kaldi's archives.

use batchscope_core::{InputShape, Task};
use batchscope_data::readers::kaldi::{self, Object};
use batchscope_data::{DataError, FrameOptions, LoadOptions, Validation, check, open};

use crate::support::{all, classes, golden, gzip, kaldi_labels, kaldi_matrix, text, values};
use crate::{folder, read};

/// Utterance `number` of `frames` frames of `width` numbers, all equal to the frame's own, and the
/// labels of its frames.
fn utterance(number: i32, frames: i32, width: usize) -> (Vec<f32>, Vec<i32>) {
    let own = |frame: i32| (100 * number + frame) as f32;
    let features = (0..frames).flat_map(|f| vec![own(f); width]).collect();
    (features, (0..frames).map(|f| number + f).collect())
}

/// Archives of utterances by key: features, and labels as gzip.
fn archives(utterances: &[(&str, i32, i32)], width: usize) -> [Vec<u8>; 2] {
    let mut both = [Vec::new(), Vec::new()];
    for (key, number, frames) in utterances {
        let (features, labels) = utterance(*number, *frames, width);
        both[0].extend(kaldi_matrix(key, width, &features));
        both[1].extend(kaldi_labels(key, &labels));
    }
    both[1] = gzip(&both[1]);
    both
}

fn timit(width: usize) -> Vec<(&'static str, Vec<u8>)> {
    let [features, labels] = archives(&[("fa", 0, 3), ("fb", 1, 5), ("mc", 2, 4)], width);
    let [dev, dev_labels] = archives(&[("md", 3, 6)], width);
    vec![
        ("train/features.ark", features),
        ("train/pdfs.ark.gz", labels),
        ("dev/features.ark", dev),
        ("dev/pdfs.ark.gz", dev_labels),
        // text, with an utterance that could not be aligned
        (
            "test/features.ark",
            b"x [\n 1 1\n 2 2 ]\ny [\n 5 5 ]\n".to_vec(),
        ),
        ("test/pdfs.ark", b"x 9 4\n".to_vec()),
        ("train/README", b"not an archive".to_vec()),
    ]
}

#[test]
fn frames_are_joined_with_their_labels_and_their_neighbors() {
    let data = read(&timit(2));
    // 2 numbers make no 360: five frames on either side
    assert_eq!(data.shape.input, InputShape::Vector { features: 22 });
    assert_eq!(data.shape.task, Task::Classify { classes: 10 });
    let test = data.test.as_ref().unwrap();
    assert_eq!(
        (data.train.len(), data.validation.len(), test.len()),
        (12, 6, 2)
    );
    assert!(
        data.description.starts_with("kaldi: 12 train"),
        "{}",
        data.description
    );
    for note in ["11 frames of 2 numbers", "1 utterances without labels"] {
        assert!(
            data.notes.iter().any(|n| n.contains(note)),
            "{note}: {:?}",
            data.notes
        );
    }
    // Normalization is one straight line for each feature, whatever its place in the window: the
    // frames come back from the known values of one window, and with them every window.
    let batch = all(data.train.as_ref());
    let rows: Vec<&[f32]> = values(&batch).chunks(22).collect();
    let center = |row: &[f32]| row[10];
    let first = |class| classes(&batch).iter().position(|&c| c == class).unwrap();
    // the only frame labeled 0 is frame 0 of utterance 0; the only one labeled 5 frame 4 of 1 or
    // frame 3 of 2
    let zero = rows[first(0)];
    assert!(zero[..12].iter().all(|&x| x == zero[0]), "{zero:?}");
    let unit = zero[12] - zero[10];
    let back = |x: f32| (x - zero[0]) / unit;
    for (row, &class) in rows.iter().zip(classes(&batch)) {
        let own = back(center(row)).round() as i32;
        let (number, frame) = (own / 100, own % 100);
        assert_eq!(class as i32, number + frame);
        let last = [3, 5, 4][number as usize] - 1;
        for (place, x) in row.chunks(2).zip(-5..).map(|(x, p)| (p, x)) {
            let expected = (100 * number + (frame + place).clamp(0, last)) as f32;
            assert!(
                (back(x[0]) - expected).abs() < 0.01 && x[0] == x[1],
                "{own} {place}"
            );
        }
    }
}

#[test]
fn the_context_makes_the_paper_s_inputs_or_is_said() {
    for (width, frames) in [(24, 15), (40, 9), (120, 3), (360, 1), (13, 11)] {
        let [features, labels] = archives(&[("a", 0, 3), ("b", 1, 2)], width);
        let data = read(&[("train/f.ark", features), ("train/l.ark.gz", labels)]);
        let features = width * frames;
        assert_eq!(data.shape.input, InputShape::Vector { features });
    }
    let [features, labels] = archives(&[("a", 0, 3), ("b", 1, 2)], 40);
    let folder = folder(&[("train/f.ark", features), ("train/l.ark.gz", labels)]);
    let with = |context| LoadOptions {
        frames: FrameOptions {
            context: Some(context),
        },
        ..LoadOptions::default()
    };
    let found = check(text(folder.path()), &with(0)).unwrap();
    assert_eq!(found.shape.input, InputShape::Vector { features: 40 });
    assert_eq!((found.mean.len(), found.files.len()), (40, 2));
    let error = open(text(folder.path()), &with(101)).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Setting {
                setting: "context",
                ..
            }
        ),
        "{error}"
    );
}

/// Frames next to each other share most of their numbers: what is held out is held out by utterance.
#[test]
fn validation_takes_whole_utterances() {
    let mut files = timit(2);
    files.retain(|(name, _)| name.starts_with("train"));
    let folder = folder(&files);
    let source = text(folder.path());
    for (asked, possible) in [(1, vec![3, 4, 5]), (6, vec![7, 8, 9])] {
        let options = LoadOptions {
            validation: Some(Validation::Count(asked)),
            ..LoadOptions::default()
        };
        let data = open(source, &options).unwrap();
        assert!(
            possible.contains(&data.validation.len()),
            "{}",
            data.validation.len()
        );
        assert_eq!(data.train.len() + data.validation.len(), 12);
    }
    let options = LoadOptions {
        validation: Some(Validation::Count(11)),
        ..LoadOptions::default()
    };
    let error = open(source, &options).unwrap_err().to_string();
    assert!(error.contains("whole utterances"), "{error}");
}

/// Archives of another program, and the numbers that it reads back from them.
#[test]
fn archives_as_kaldiio_writes_them() {
    let entries = kaldi::parse(&golden::bytes(golden::KALDI), "golden.ark".as_ref()).unwrap();
    let find = |key: &str| {
        &entries
            .iter()
            .find(|entry| entry.key == key)
            .unwrap()
            .object
    };
    let numbers = |key: &str| match find(key) {
        Object::Matrix(matrix) if matrix.columns == 2 => &matrix.values[..],
        other => panic!("{key}: {other:?}"),
    };
    for key in ["float", "double"] {
        assert_eq!(numbers(key), [-2.0, 0.0, -1.5, 10.0]);
    }
    assert_eq!(find("labels"), &Object::Integers(vec![3, 0, 1972]));
    let speech = [
        -2.0,
        3.051_757_8e-5,
        -1.499_992_4,
        10.000_183,
        -0.999_984_74,
        19.999_847,
        -0.499_977_1,
        30.0,
        3.051_757_8e-5,
        3.051_757_8e-5,
        0.500_038_15,
        10.000_183,
        1.000_045_8,
        19.999_847,
        1.492_116_8,
        30.0,
        2.000_061,
        3.051_757_8e-5,
    ];
    let wide = [
        -2.0,
        9.155_273e-5,
        -1.500_145,
        9.999_878,
        -0.999_954_2,
        20.0,
    ];
    let narrow = [
        -2.0,
        -0.015_686_274,
        -1.482_353,
        9.992_157,
        -0.964_705_8,
        20.0,
    ];
    for (key, expected) in [
        ("speech", &speech[..]),
        ("wide", &wide),
        ("narrow", &narrow),
    ] {
        let found = numbers(key);
        assert_eq!(found.len(), expected.len(), "{key}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{key}: {found} {expected}");
        }
    }
    let text = b"float  [\n  -2.0 0.0 \n  -1.5 10.0 ]\nlabels  [ 3 0 1972 ]\n";
    let entries = kaldi::parse(text, "text.ark".as_ref()).unwrap();
    assert_eq!(
        [&entries[0].object, &entries[1].object],
        [find("float"), find("labels")]
    );
}
