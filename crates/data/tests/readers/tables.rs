//! NumPy arrays and CSV tables.

use batchscope_core::{InputShape, Labels, Task};
use batchscope_data::{LoadOptions, TableOptions, TableTask};

use crate::support::{all, classes, golden, npy, zip};
use crate::{image, read, read_with, training_classes};

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
    let bytes = golden::bytes(golden::NPZ);
    let options = TableOptions::default();
    let found = batchscope_data::readers::npz::parse(&bytes, &options, "golden.npz".as_ref());
    let arrays = found.unwrap().arrays;
    let test = arrays.iter().find(|named| named.name == "x_test").unwrap();
    let ramp = (0..6).map(|i| i as f32).collect();
    assert_eq!(
        test.array.values,
        batchscope_data::readers::npy::NpyValues::Floats(ramp),
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
