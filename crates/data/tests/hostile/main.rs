//! Damaged and hostile files: each must be refused with an error that names it, without a panic, a hang
//! or memory that its length does not justify. The functions are those of the fuzz targets in
//! `fuzz/fuzz_targets`.

mod catalog;
mod registry;
mod seeds;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use batchscope_data::readers::{
    archive, cifar as cifar_reader, csv, frames, idx as idx_reader, images, kaldi as kaldi_reader,
    masks, mat as mat_reader, npy as npy_reader, npz, svhn, text as parse_text,
};
use batchscope_data::{DataError, FrameOptions, LoadOptions, TableOptions, check, open};
use catalog::{catalog, good};
use proptest::prelude::*;
use support::{cifar, gray, gzip, idx, mat, mat_matrix, npy, tar, text, write, zip};

fn here() -> &'static Path {
    Path::new("some/file")
}

/// Parses bytes, and forgets what they held.
type Parser = fn(&[u8]) -> Result<(), DataError>;

/// The parsers of bytes by name, reduced to whether they accept: what the fuzz targets call.
const PARSERS: [(&str, Parser); 11] = [
    ("idx", |bytes| idx_reader::parse(bytes, here()).map(drop)),
    ("cifar10", |bytes| {
        cifar_reader::parse(bytes, cifar_reader::Kind::Ten, here()).map(drop)
    }),
    ("cifar100", |bytes| {
        cifar_reader::parse(bytes, cifar_reader::Kind::Hundred, here()).map(drop)
    }),
    ("image", |bytes| {
        images::decode(bytes, Some((4, 4)), here()).map(drop)
    }),
    ("mask", |bytes| {
        masks::decode_mask(bytes, (4, 4), here()).map(drop)
    }),
    ("archive", |bytes| {
        archive::parse(bytes, here(), &mut |_| true).map(drop)
    }),
    ("mat", |bytes| {
        svhn::part(mat_reader::parse(bytes, here())?, here()).map(drop)
    }),
    ("npy", |bytes| npy_reader::parse(bytes, here()).map(drop)),
    ("npz", |bytes| {
        let options = TableOptions::default();
        npz::assemble(here(), npz::parse(bytes, &options, here())?, &options).map(drop)
    }),
    ("kaldi", |bytes| {
        let entries = kaldi_reader::parse(bytes, here())?;
        let archive = frames::Archive::new(here().to_owned(), "train", entries);
        frames::assemble(here(), Vec::from_iter(archive), &FrameOptions::default()).map(drop)
    }),
    ("csv", |bytes| {
        csv::parse(bytes, &TableOptions::default(), here()).map(drop)
    }),
];

fn parser(name: &str) -> fn(&[u8]) -> Result<(), DataError> {
    PARSERS.iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn the_good_files_are_good() {
    for (name, read) in PARSERS {
        read(&good(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_file_of_the_catalog_is_refused_by_name() {
    let mut wrong = Vec::new();
    for (number, (name, bytes, expected)) in catalog().into_iter().enumerate() {
        match parser(name)(&bytes) {
            Ok(()) => wrong.push(format!("{number} ({name}, '{expected}') was accepted")),
            Err(error) => {
                let message = error.to_string();
                if !message.contains("some/file") || !message.contains(expected) {
                    wrong.push(format!(
                        "{number} ({name}): '{message}' should say '{expected}'"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn text_must_be_text() {
    let refused = |bytes: &[u8]| parse_text(bytes.to_vec(), here()).unwrap_err().to_string();
    assert!(refused(b"abc\xff").contains("some/file: is not UTF-8 text (byte 3)"));
    assert!(refused(b" \n\t").contains("holds no text"));
    assert_eq!(parse_text("\u{feff}a".into(), here()).unwrap(), "a");
}

/// Files of a folder, and a part of the error that opening it must give.
#[test]
fn sets_that_contradict_themselves_are_refused_by_file() {
    let images = |n: u32| idx(&[n, 2, 2], &vec![1; n as usize * 4]);
    let labels = |n: u32| idx(&[n], &vec![1; n as usize]);
    let record = cifar(&[&[1]]);
    type Files = Vec<(&'static str, Vec<u8>)>;
    let cases: Vec<(Files, &[&str])> = vec![
        (
            vec![("train-images-idx3-ubyte", images(3))],
            &["train-images-idx3-ubyte", "labels are missing"],
        ),
        (
            vec![
                ("train-images-idx3-ubyte", images(3)),
                ("train-labels-idx1-ubyte", labels(4)),
            ],
            &["train-labels-idx1-ubyte", "4 labels for the 3 images"],
        ),
        (
            vec![
                ("train-images-idx3-ubyte", labels(3)),
                ("train-labels-idx1-ubyte", labels(3)),
            ],
            &["train-images-idx3-ubyte", "not images"],
        ),
        (
            vec![
                ("train-images-idx3-ubyte", idx(&[0, 28, 28], &[])),
                ("train-labels-idx1-ubyte", labels(0)),
            ],
            &["nothing to learn from"],
        ),
        (
            vec![
                ("train-images-idx3-ubyte", images(3)),
                ("train-labels-idx1-ubyte", labels(3)),
                ("t10k-images-idx3-ubyte", idx(&[1, 3, 3], &[0; 9])),
                ("t10k-labels-idx1-ubyte", labels(1)),
            ],
            &["t10k-images-idx3-ubyte", "3×3×1", "2×2×1"],
        ),
        (
            vec![
                ("a-train-images-idx3-ubyte", images(3)),
                ("a-train-labels-idx1-ubyte", labels(3)),
                ("b-train-images-idx3-ubyte", images(3)),
                ("b-train-labels-idx1-ubyte", labels(3)),
            ],
            &["b-train-images-idx3-ubyte", "second set"],
        ),
        (
            vec![
                ("t10k-images-idx3-ubyte.gz", gzip(&images(3))),
                ("t10k-labels-idx1-ubyte", labels(3)),
            ],
            &[
                "train-images-idx3-ubyte[.gz]",
                "train-labels-idx1-ubyte[.gz]",
                "missing beside t10k-images-idx3-ubyte.gz",
            ],
        ),
        (
            vec![("test_batch.bin", record.clone())],
            &["no training batches"],
        ),
        (
            vec![(
                "set.tar",
                tar(&[
                    ("a/data_batch_1.bin", &record),
                    ("b/data_batch_1.bin", &record),
                ]),
            )],
            &["is there twice"],
        ),
        (
            vec![("set.tar", tar(&[("train.txt", b"x")]))],
            &["set.tar", "no PNG or JPEG"],
        ),
        (
            vec![
                ("train/a/1.png", gray(4, 4, 0)),
                ("train/b/2.png", gray(5, 4, 0)),
            ],
            &["2.png", "4×5", "4×4"],
        ),
        (
            vec![
                ("train/a/1.png", gray(4, 4, 0)),
                ("train/b/2.png", b"no image".to_vec()),
            ],
            &["2.png", "cannot be decoded"],
        ),
        (
            vec![("test/a/1.png", gray(4, 4, 0))],
            &["no train/<class> folder"],
        ),
        (
            vec![
                ("train/a/1.png", gray(4, 4, 0)),
                ("other/b/1.png", gray(4, 4, 0)),
            ],
            &["outside the split folders"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("train/masks/1.png", gray(4, 4, 0)),
                ("train/images/2.png", gray(4, 4, 0)),
            ],
            &["images/2.png", "no mask of its name"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("val/masks/1.png", gray(4, 4, 0)),
            ],
            &["images/1.png", "no mask of its name"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("train/masks/1.png", gray(4, 4, 0)),
                ("train/masks/2.png", gray(4, 4, 0)),
            ],
            &["masks/2.png", "no image of its name"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("train/images/1.jpg", gray(4, 4, 0)),
                ("train/masks/1.png", gray(4, 4, 0)),
            ],
            &["images/1.", "keep one of the two"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("train/masks/1.png", gray(4, 5, 0)),
            ],
            &["masks/1.png", "is 5×4, its image 4×4"],
        ),
        (
            vec![
                ("test/images/1.png", gray(4, 4, 0)),
                ("test/masks/1.png", gray(4, 4, 0)),
            ],
            &["there is no training folder"],
        ),
        (
            vec![
                ("train/images/1.png", gray(4, 4, 0)),
                ("train/masks/1.png", gray(4, 4, 0)),
                ("images/1.png", gray(4, 4, 0)),
                ("masks/1.png", gray(4, 4, 0)),
            ],
            &["outside the split folders"],
        ),
        (
            vec![
                ("test_32x32.mat", good("mat")),
                ("extra_32x32.mat", good("mat")),
            ],
            &["no train_32x32.mat"],
        ),
        (
            vec![("a.csv", b"1,2\n".to_vec()), ("b.csv", b"1,2\n".to_vec())],
            &["a.csv", "says no split"],
        ),
        (
            vec![
                ("train.csv", b"1,2\n3,4\n".to_vec()),
                ("test.csv", b"1,2,3\n".to_vec()),
            ],
            &["columns are not those"],
        ),
        (
            vec![("t.csv", b"1,2\n3,2\n".to_vec())],
            &["all its labels are the same"],
        ),
        (
            vec![("t.csv", b"1,0.5\n3,0.7\n".to_vec())],
            &["not integers or names", "regression"],
        ),
        (
            vec![
                ("x.npy", npy("|u1", false, "(2, 1)", &[0; 2])),
                ("y.npy", npy("|u1", false, "(3,)", &[0, 1, 2])),
            ],
            &["2 inputs and 3 labels"],
        ),
        (
            vec![("wiki.train.tokens", b"too short".to_vec())],
            &["wiki.train.tokens", "too few for a window"],
        ),
        (
            vec![
                ("ptb.train.txt", b"a".to_vec()),
                ("wiki.train.tokens", b"b".to_vec()),
            ],
            &["same split"],
        ),
        (
            vec![("notes.pdf", b"?".to_vec())],
            &["holds no data that can be read"],
        ),
        (vec![], &["holds no data that can be read"]),
    ];
    for (files, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            write(folder.path(), name, bytes);
        }
        let message = open(text(folder.path()), &LoadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            expected.iter().all(|part| message.contains(part)),
            "'{message}' should say {expected:?}"
        );
    }
}

/// Opening a FIFO that nobody writes to would wait for ever, reading a device would never end.
#[cfg(unix)]
#[test]
fn special_files_are_refused_before_they_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path, format: Option<batchscope_data::Format>, what: &str| {
        let options = LoadOptions {
            format,
            ..LoadOptions::default()
        };
        for message in [
            open(text(path), &options).unwrap_err().to_string(),
            check(text(path), &options).unwrap_err().to_string(),
        ] {
            assert!(
                message.contains(text(path)) && message.contains(what),
                "'{message}' should name {} and say {what}",
                path.display()
            );
            assert!(message.contains("regular file and give that"), "{message}");
        }
    };
    for name in ["pipe.csv", "pipe.txt", "pipe.tar", "pipe.npz", "pipe"] {
        let fifo = folder.path().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap();
        assert!(made.success());
        refused(&fifo, None, "is a FIFO");
    }
    let socket = folder.path().join("socket.csv");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused(&socket, None, "is a socket");
    for device in ["/dev/zero", "/dev/null"] {
        refused(std::path::Path::new(device), None, "is a device");
        refused(
            std::path::Path::new(device),
            Some("text".parse().unwrap()),
            "is a device",
        );
    }
    // A link to one is one.
    let link = folder.path().join("link.txt");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    refused(&link, None, "is a device");
}

#[test]
fn paths_that_are_no_data_say_what_to_do() {
    let message = |source: &str| {
        check(source, &LoadOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(message("no/such/place").contains("glyphs"));
    assert!(message("cifar100").contains("fetch the data set of that name"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for (_, read) in PARSERS {
            let _ = read(&bytes);
        }
        let _ = parse_text(bytes, here());
    }

    #[test]
    fn damaged_good_files_never_panic(which in 0..PARSERS.len(), at in any::<prop::sample::Index>(), to in any::<u8>(), also in any::<prop::sample::Index>(), length in any::<prop::sample::Index>()) {
        let (name, read) = PARSERS[which];
        let mut bytes = good(name);
        let (i, j) = (at.index(bytes.len()), also.index(bytes.len()));
        bytes[i] = to;
        let _ = read(&bytes);
        bytes[j] ^= to;
        let _ = read(&bytes);
        bytes.truncate(length.index(bytes.len()));
        let _ = read(&bytes);
    }

    /// Damage behind compression, which bit flips rarely reach.
    #[test]
    fn damage_inside_compressed_files_never_panics(at in 0usize..200, to in any::<u8>()) {
        let mut inner = [mat_matrix("X", &[2, 2, 3, 2], &[7; 24]), mat_matrix("y", &[2, 1], &[1, 10])].concat();
        let place = at % inner.len();
        inner[place] = to;
        let _ = parser("mat")(&mat(&[inner.clone()], true));
        let _ = parser("mat")(&mat(&[inner], false));
        let mut header = idx(&[2, 2, 2], &[1; 8]);
        let place = at % header.len();
        header[place] = to;
        let _ = parser("idx")(&gzip(&header));
        let mut archive = tar(&[("train/a/1.png", &gray(4, 4, 9))]);
        let place = (at * 3) % archive.len();
        archive[place] = to;
        let _ = parser("archive")(&gzip(&archive));
        let mut member = npy("<i4", true, "(2, 2)", &[1; 16]);
        let place = at % member.len();
        member[place] = to;
        let _ = parser("npz")(&zip(&[("x.npy", &member), ("y.npy", &npy("|u1", false, "(2,)", &[0, 1]))], true));
    }
}
