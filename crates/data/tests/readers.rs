//! Every format, read from files made here or by other programs.

mod support;

use batchwise_core::{InputShape, Labels, Task};
use batchwise_data::{
    Dataset, Format, LoadOptions, TableOptions, TableTask, TextLevel, Validation, check, open,
};
use support::{
    all, cifar, classes, content, golden, grey, gzip, idx, mat, mat_matrix, npy, png, tar, text,
    tokens, values, write, zip,
};
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
    let pixels: Vec<u8> = (0..number).flat_map(|i| [i, 0, 255, i, i, i]).collect();
    let labels: Vec<u8> = (0..number).map(|i| i % 3).collect();
    (
        idx(&[number.into(), 2, 3], &pixels),
        idx(&[number.into()], &labels),
    )
}

#[test]
fn idx_plain_gzip_and_mixed() {
    let ((images, labels), (test_images, test_labels)) = (mnist(6), mnist(4));
    let plain = read(&[
        ("train-images-idx3-ubyte", images.clone()),
        ("train-labels-idx1-ubyte", labels.clone()),
        ("t10k-images-idx3-ubyte", test_images.clone()),
        ("t10k-labels-idx1-ubyte", test_labels.clone()),
    ]);
    assert_eq!(
        (plain.shape.input, plain.shape.task),
        (image(2, 3, 1), Task::Classify { classes: 3 })
    );
    assert_eq!(
        (
            plain.train.len(),
            plain.validation.len(),
            plain.test.as_ref().unwrap().len()
        ),
        (5, 1, 4)
    );
    assert_eq!(training_classes(&plain), [0, 0, 1, 1, 2, 2]);
    let packed = read(&[
        ("raw/train-images-idx3-ubyte.gz", gzip(&images)),
        ("raw/train-labels-idx1-ubyte", labels.clone()),
        ("raw/t10k-images-idx3-ubyte.gz", gzip(&test_images)),
        ("raw/t10k-labels-idx1-ubyte.gz", gzip(&test_labels)),
    ]);
    assert_eq!(packed.fingerprint, plain.fingerprint);
    // Unpacked beside its archive, and named as other sets name them.
    let both = read(&[
        ("emnist-train-images-idx3-ubyte", images.clone()),
        ("emnist-train-images-idx3-ubyte.gz", gzip(&images)),
        ("emnist-train-labels-idx1-ubyte.gz", gzip(&labels)),
    ]);
    assert!(both.test.is_none());
    assert_eq!(content(&*both.train), content(&*plain.train));
}

#[test]
fn idx_pixels_are_normalised_row_by_row() {
    let data = read(&[
        (
            "train-images-idx3-ubyte",
            idx(&[3, 1, 2], &[0, 10, 0, 10, 0, 10]),
        ),
        ("train-labels-idx1-ubyte", idx(&[3], &[0, 1, 1])),
    ]);
    assert_eq!(values(&all(&*data.train)), [-1.0, 1.0, -1.0, 1.0]);
}

#[test]
fn cifar_10_folder_archive_and_names() {
    let records = |n: u8| {
        cifar(
            &(0..n)
                .map(|i| [i % 10])
                .collect::<Vec<_>>()
                .iter()
                .map(|l| &l[..])
                .collect::<Vec<_>>(),
        )
    };
    let names =
        b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n".to_vec();
    let files = [
        ("cifar-10-batches-bin/data_batch_1.bin", records(12)),
        ("cifar-10-batches-bin/data_batch_2.bin", records(3)),
        ("cifar-10-batches-bin/test_batch.bin", records(5)),
        ("cifar-10-batches-bin/batches.meta.txt", names),
    ];
    let data = read(&files);
    assert_eq!(
        (data.shape.input, data.classes[9].as_str()),
        (image(32, 32, 3), "truck")
    );
    assert_eq!(
        (data.train.len(), data.test.as_ref().unwrap().len()),
        (14, 5)
    );
    let archive = gzip(&tar(&files
        .iter()
        .map(|(name, bytes)| (*name, &bytes[..]))
        .collect::<Vec<_>>()));
    let packed = read(&[("cifar-10-binary.tar.gz", archive)]);
    assert_eq!(
        (packed.fingerprint, packed.classes),
        (data.fingerprint, data.classes)
    );
    // Planes become channels: green and blue are constant, so they are centred on 0.
    let batch = all(&*data.test.unwrap());
    let pixels = values(&batch);
    assert!(
        pixels.chunks(3).all(|p| p[1] == 0.0 && p[2] == 0.0)
            && pixels.chunks(3).any(|p| p[0] != 0.0)
    );
}

#[test]
fn cifar_100_takes_the_fine_label() {
    let data = read(&[
        ("train.bin", cifar(&[&[19, 99], &[3, 0], &[3, 5]])),
        ("test.bin", cifar(&[&[0, 42]])),
    ]);
    assert_eq!(
        (data.shape.task, training_classes(&data)),
        (Task::Classify { classes: 100 }, vec![0, 5, 99])
    );
    assert_eq!(classes(&all(&*data.test.unwrap())), [42]);
}

#[test]
fn image_folders_and_archives_of_them() {
    let jpeg = {
        let mut bytes = Vec::new();
        let picture = image::GrayImage::from_pixel(4, 3, image::Luma([90]));
        image::codecs::jpeg::JpegEncoder::new(&mut bytes)
            .encode_image(&picture)
            .unwrap();
        bytes
    };
    let files = [
        ("train/cat/a.png", grey(4, 3, 10)),
        ("train/cat/b.png", grey(4, 3, 20)),
        ("train/ant/z.JPG", jpeg),
        ("test/bee/1.png", grey(4, 3, 200)),
        ("train/cat/.hidden.png", b"not an image".to_vec()),
        ("train/cat/notes.md", b"left alone".to_vec()),
    ];
    let data = read(&files);
    assert_eq!(
        (data.shape.input, data.classes.join(" ")),
        (image(3, 4, 1), "ant bee cat".to_owned())
    );
    assert_eq!(
        (
            training_classes(&data),
            classes(&all(&**data.test.as_ref().unwrap()))
        ),
        (vec![0, 2, 2], &[1][..])
    );
    let members: Vec<(String, &[u8])> = files
        .iter()
        .rev()
        .map(|(name, bytes)| (format!("./set/{name}"), &bytes[..]))
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    for archive in [tar(&members), gzip(&tar(&members))] {
        let folder = folder(&[("set.tar.gz", archive)]);
        let options = LoadOptions {
            validation: Some(Validation::Count(1)),
            ..LoadOptions::default()
        };
        let packed = open(text(&folder.path().join("set.tar.gz")), &options).unwrap();
        assert_eq!(
            (packed.name.as_str(), &packed.fingerprint),
            ("set", &data.fingerprint)
        );
    }
}

/// Names above 100 bytes are kept in records of their own, by GNU tar and by POSIX each in its way.
#[test]
fn archives_with_long_names() {
    let class = "a-class-with-a-long-name".repeat(5);
    let path = format!("train/{class}/1.png");
    let gnu = tar(&[(&path, &grey(2, 2, 1)), ("train/b/2.png", &grey(2, 2, 2))]);
    let posix = {
        let record = format!(" path={path}\n");
        let record = format!("{}{record}", record.len() + 3);
        let mut builder = tar::Builder::new(Vec::new());
        let mut append = |name: &str, kind, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes).unwrap();
        };
        append(
            "PaxHeaders/1.png",
            tar::EntryType::XHeader,
            record.as_bytes(),
        );
        append("train/cut/1.png", tar::EntryType::Regular, &grey(2, 2, 1));
        append("train/b/2.png", tar::EntryType::Regular, &grey(2, 2, 2));
        builder.into_inner().unwrap()
    };
    for archive in [gnu, posix] {
        assert_eq!(read(&[("set.tar", archive)]).classes, [class.as_str(), "b"]);
    }
}

#[test]
fn one_colour_image_makes_the_whole_set_rgb() {
    let red = png(
        2,
        1,
        image::ExtendedColorType::Rgb8,
        &[255, 0, 0, 255, 0, 0],
    );
    let transparent = png(2, 1, image::ExtendedColorType::La8, &[7, 0, 9, 255]);
    let data = read(&[
        ("a/1.png", red),
        ("b/1.png", grey(2, 1, 5)),
        ("b/2.png", transparent),
    ]);
    assert_eq!(
        (
            data.shape.input,
            training_classes(&data),
            data.test.is_none()
        ),
        (image(1, 2, 3), vec![0, 1, 1], true)
    );
}

#[test]
fn svhn_as_scipy_writes_it() {
    for file in [
        golden::mat(golden::MAT_COMPRESSED),
        golden::mat(golden::MAT_PLAIN),
    ] {
        let variables = batchwise_data::readers::mat::parse(&file, "golden.mat".as_ref()).unwrap();
        let (part, input) =
            batchwise_data::readers::svhn::part(variables, "golden.mat".as_ref()).unwrap();
        assert_eq!(input, image(2, 3, 3));
        assert_eq!(
            part.answers,
            batchwise_data::Answers::Classes(vec![1, 0, 9, 2])
        );
        // X[row, column, channel, n] was ((row·3 + column)·3 + channel)·4 + n.
        let expected: Vec<u8> = (0..4)
            .flat_map(|n| (0..18).map(move |at| at * 4 + n))
            .collect();
        assert_eq!(part.inputs, batchwise_data::Rows::Bytes(expected));
    }
}

#[test]
fn svhn_folders_leave_the_extra_file_alone() {
    let set = |n: u32| {
        let labels: Vec<u8> = (0..n).map(|i| (i % 10 + 1) as u8).collect();
        let pixels: Vec<u8> = (0..n * 12).map(|i| i as u8).collect();
        mat(
            &[
                mat_matrix("X", &[2, 2, 3, n], &pixels),
                mat_matrix("y", &[n, 1], &labels),
            ],
            true,
        )
    };
    let data = read(&[
        ("train_32x32.mat", set(7)),
        ("test_32x32.mat", set(3)),
        ("extra_32x32.mat", set(2)),
    ]);
    assert_eq!(
        (data.shape.input, data.train.len(), data.test.unwrap().len()),
        (image(2, 2, 3), 6, 3)
    );
    assert!(
        data.notes[0].contains("extra_32x32.mat"),
        "{:?}",
        data.notes
    );
}

#[test]
fn npz_as_numpy_writes_it() {
    let data = read(&[("arrays.npz", golden::bytes(golden::NPZ))]);
    assert_eq!(
        (data.shape.input, data.classes.join(" ")),
        (InputShape::Vector { features: 3 }, "1 2 3".to_owned())
    );
    assert_eq!(
        (training_classes(&data), data.test.as_ref().unwrap().len()),
        (vec![0, 1, 2, 2], 2)
    );
    let arrays =
        batchwise_data::readers::npz::parse(&golden::bytes(golden::NPZ), "golden.npz".as_ref())
            .unwrap();
    let test = arrays.iter().find(|named| named.name == "x_test").unwrap();
    let ramp = (0..6).map(|i| i as f32).collect();
    assert_eq!(
        test.array.values,
        batchwise_data::readers::npy::NpyValues::Floats(ramp),
        "Fortran order and big-endian"
    );
}

#[test]
fn npy_folders_of_images_and_of_real_targets() {
    let floats = |values: &[f32]| {
        values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let files = [
        (
            "x.npy",
            npy("|u1", false, "(3, 2, 2)", &(0..12).collect::<Vec<u8>>()),
        ),
        (
            "y.npy",
            npy(
                "<f4",
                false,
                "(3, 2)",
                &floats(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]),
            ),
        ),
    ];
    let table = TableOptions {
        task: TableTask::Regress,
        raw_targets: true,
        ..TableOptions::default()
    };
    let data = read_with(
        &files,
        LoadOptions {
            table,
            ..LoadOptions::default()
        },
    );
    assert_eq!(
        (data.shape.input, data.shape.task),
        (image(2, 2, 1), Task::Regress { outputs: 2 })
    );
    let Labels::Values(targets) = all(&*data.train).labels else {
        panic!("real targets")
    };
    assert!(targets.chunks(2).all(|y| y[1] == 10.0 * y[0]) && targets.len() == 4);
    let stored = zip(
        &[
            ("x.npy", &files[0].1),
            (
                "y.npy",
                &npy("<i2", false, "(3,)", &[255, 255, 5, 0, 255, 255]),
            ),
        ],
        false,
    );
    let data = read(&[("set.npz", stored)]);
    assert_eq!(
        (data.classes.join(" "), training_classes(&data)),
        ("-1 5".to_owned(), vec![0, 0, 1])
    );
}

#[test]
fn tables_with_and_without_header() {
    let with = "\u{feff}petal;kind;sepal\n1.5;setosa;2\n2.5;virginica;-3e2\n3;setosa;4\n"
        .as_bytes()
        .to_vec();
    let table = TableOptions {
        label: Some("kind".into()),
        ..TableOptions::default()
    };
    let data = read_with(
        &[("iris.csv", with)],
        LoadOptions {
            table,
            ..LoadOptions::default()
        },
    );
    assert_eq!(
        (data.shape.input, data.classes.join(" ")),
        (
            InputShape::Vector { features: 2 },
            "setosa virginica".to_owned()
        )
    );
    assert_eq!(training_classes(&data), [0, 0, 1]);
    let data = read(&[
        ("train.csv", b"1,2,7\n3,4,5\n5,6,7\n".to_vec()),
        ("test.csv", b"9,9,6\n".to_vec()),
    ]);
    assert_eq!(
        (data.classes.join(" "), training_classes(&data)),
        ("5 6 7".to_owned(), vec![0, 2, 2])
    );
    assert_eq!(classes(&all(&*data.test.unwrap())), [1]);
    let table = TableOptions {
        task: TableTask::Regress,
        ..TableOptions::default()
    };
    let data = read_with(
        &[("t.tsv", b"a\tb\n1\t0.5\n2\t1.5\n4\t2.5\n".to_vec())],
        LoadOptions {
            table,
            ..LoadOptions::default()
        },
    );
    assert_eq!(data.shape.task, Task::Regress { outputs: 1 });
}

fn words(sequence: u32, level: TextLevel) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.text.sequence = sequence;
    options.text.level = level;
    options
}

#[test]
fn wikitext_and_ptb_layouts() {
    for names in [
        ["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"],
        ["ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"],
    ] {
        let data = read_with(
            &[
                (names[0], b" = a = \n b a a \n".to_vec()),
                (names[1], b" a b never \n".to_vec()),
                (names[2], b" b b b b \n".to_vec()),
                ("README.txt", b"left alone".to_vec()),
            ],
            words(2, TextLevel::Word),
        );
        // <unk> 0, <eos> 1, then a (3 times), = (twice), b.
        assert_eq!(
            data.shape.input,
            InputShape::Tokens {
                sequence: 2,
                vocabulary: 5
            }
        );
        assert_eq!(
            (
                data.train.len(),
                data.validation.len(),
                data.test.as_ref().unwrap().len()
            ),
            (3, 1, 2)
        );
        assert_eq!(tokens(&all(&*data.validation)), (&[2, 4][..], &[4, 0][..]));
        assert!(
            data.notes
                .iter()
                .any(|note| note.contains("own validation part")),
            "the setting was not used"
        );
    }
}

#[test]
fn a_corpus_without_training_part_trains_on_the_larger_split() {
    let data = read_with(
        &[
            ("wiki.valid.tokens", b"a b c\n".to_vec()),
            ("wiki.test.tokens", b"a b c d e f\n".to_vec()),
        ],
        words(1, TextLevel::Word),
    );
    assert_eq!(
        (data.train.len(), data.validation.len(), data.test.is_none()),
        (6, 3, true)
    );
    assert!(
        data.notes[0]
            .contains("wiki.test.tokens was used to train and wiki.valid.tokens to validate"),
        "{:?}",
        data.notes
    );
}

#[test]
fn folders_of_books_and_characters() {
    let files = [("a.txt", b"abc".to_vec()), ("b.txt", b"abd\n".to_vec())];
    let data = read_with(&files, words(1, TextLevel::Character));
    // "abc\nabd\n": one window held out from its end, the rest "abc\nab".
    assert_eq!((data.train.len(), data.validation.len()), (5, 1));
    assert_eq!(
        data.shape.input,
        InputShape::Tokens {
            sequence: 1,
            vocabulary: 5
        }
    );
    assert_eq!(
        tokens(&all(&*data.validation)),
        (&[0][..], &[3][..]),
        "d is unknown to the training part"
    );
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
    for (format, name, _) in Format::ALL {
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
