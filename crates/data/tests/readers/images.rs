//! IDX, CIFAR, image folders and SVHN.

use batchscope_core::Task;
use batchscope_data::{LoadOptions, Validation, open};

use crate::support::{
    all, cifar, classes, content, golden, gray, gzip, idx, mat, mat_matrix, png, tar, text, values,
};
use crate::{folder, image, mnist, mnist_from, read, training_classes};

#[test]
fn idx_plain_gzip_and_mixed() {
    let ((images, labels), (test_images, test_labels)) = (mnist(6), mnist_from(100, 4));
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
    assert!(
        both.notes.iter().any(|note| note.contains("no test part")),
        "{:?}",
        both.notes
    );
    assert_eq!(content(&*both.train), content(&*plain.train));
}

#[test]
fn a_test_part_is_trained_on_only_where_it_is_named() {
    let (images, labels) = mnist(6);
    let set = folder(&[
        ("t10k-images-idx3-ubyte", images),
        ("t10k-labels-idx1-ubyte", labels),
    ]);
    let options = LoadOptions {
        validation: Some(Validation::Count(1)),
        ..LoadOptions::default()
    };
    assert!(open(text(set.path()), &options).is_err());
    let named = open(text(&set.path().join("t10k-images-idx3-ubyte")), &options).unwrap();
    assert_eq!((named.train.len(), named.test.is_none()), (5, true));
    assert!(
        named
            .notes
            .iter()
            .any(|n| n.contains("t10k-images-idx3-ubyte was used to train")),
        "{:?}",
        named.notes
    );
}

#[test]
fn a_description_tells_the_content() {
    let with_first_pixel = |pixel: u8| {
        let mut pixels = [0u8; 12];
        pixels[0] = pixel;
        read(&[
            ("train-images-idx3-ubyte", idx(&[3, 2, 2], &pixels)),
            ("train-labels-idx1-ubyte", idx(&[3], &[0, 1, 1])),
        ])
    };
    let (one, same, other) = (
        with_first_pixel(1),
        with_first_pixel(1),
        with_first_pixel(2),
    );
    assert_eq!(one.description, same.description);
    assert_ne!(one.description, other.description);
    assert!(
        one.description
            .ends_with(&format!("; content {}", &one.fingerprint[..12])),
        "{}",
        one.description
    );
}

#[test]
fn idx_pixels_are_normalized_row_by_row() {
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
        (
            "cifar-10-batches-bin/test_batch.bin",
            records(17)[12 * 3073..].to_vec(),
        ),
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
    // Planes become channels: green and blue are constant, so they are centered on 0.
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
        ("train/cat/a.png", gray(4, 3, 10)),
        ("train/cat/b.png", gray(4, 3, 20)),
        ("train/ant/z.JPG", jpeg),
        ("test/cat/1.png", gray(4, 3, 200)),
        ("train/cat/.hidden.png", b"not an image".to_vec()),
        ("train/cat/notes.md", b"left alone".to_vec()),
    ];
    let data = read(&files);
    assert_eq!(
        (data.shape.input, data.classes.join(" ")),
        (image(3, 4, 1), "ant cat".to_owned())
    );
    assert_eq!(
        (
            training_classes(&data),
            classes(&all(&**data.test.as_ref().unwrap()))
        ),
        (vec![0, 1, 1], &[1][..])
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
    let gnu = tar(&[(&path, &gray(2, 2, 1)), ("train/b/2.png", &gray(2, 2, 2))]);
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
        append("train/cut/1.png", tar::EntryType::Regular, &gray(2, 2, 1));
        append("train/b/2.png", tar::EntryType::Regular, &gray(2, 2, 2));
        builder.into_inner().unwrap()
    };
    for archive in [gnu, posix] {
        assert_eq!(read(&[("set.tar", archive)]).classes, [class.as_str(), "b"]);
    }
}

#[test]
fn one_color_image_makes_the_whole_set_rgb() {
    let red = png(
        2,
        1,
        image::ExtendedColorType::Rgb8,
        &[255, 0, 0, 255, 0, 0],
    );
    let transparent = png(2, 1, image::ExtendedColorType::La8, &[7, 0, 9, 255]);
    let data = read(&[
        ("a/1.png", red),
        ("b/1.png", gray(2, 1, 5)),
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
        let variables = batchscope_data::readers::mat::parse(&file, "golden.mat".as_ref()).unwrap();
        let (part, input) =
            batchscope_data::readers::svhn::part(variables, "golden.mat".as_ref()).unwrap();
        assert_eq!(input, image(2, 3, 3));
        assert_eq!(
            part.answers,
            batchscope_data::Answers::Classes(vec![1, 0, 9, 2])
        );
        // X[row, column, channel, n] was ((row·3 + column)·3 + channel)·4 + n.
        let expected: Vec<u8> = (0..4)
            .flat_map(|n| (0..18).map(move |at| at * 4 + n))
            .collect();
        assert_eq!(part.inputs, batchscope_data::InputRows::Bytes(expected));
    }
}

#[test]
fn svhn_folders_leave_the_extra_file_alone() {
    let set = |first: u32, n: u32| {
        let labels: Vec<u8> = (0..n).map(|i| (i % 10 + 1) as u8).collect();
        let pixels: Vec<u8> = (0..n * 12).map(|i| (first + i) as u8).collect();
        mat(
            &[
                mat_matrix("X", &[2, 2, 3, n], &pixels),
                mat_matrix("y", &[n, 1], &labels),
            ],
            true,
        )
    };
    let data = read(&[
        ("train_32x32.mat", set(0, 7)),
        ("test_32x32.mat", set(100, 3)),
        ("extra_32x32.mat", set(200, 2)),
    ]);
    assert_eq!(
        (data.shape.input, data.train.len(), data.test.unwrap().len()),
        (image(2, 2, 3), 6, 3)
    );
    assert!(
        data.notes
            .iter()
            .any(|note| note.contains("extra_32x32.mat")),
        "{:?}",
        data.notes
    );
}
