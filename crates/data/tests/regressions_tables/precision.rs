//! Numbers that single precision cannot tell apart.

use batchscope_core::{Inputs, Labels};
use batchscope_data::{LoadOptions, TableOptions, open};

use crate::support::{all, npy, text, write, zip};
use crate::{check_file, classes, read, regression};

/// Near 1.7e9 single precision has steps of 128: a column of Unix times within a minute became one
/// value, and a table that is learned without the offset was not.
#[test]
fn unix_times_keep_their_seconds() {
    let time = |i: usize| i * 37 % 600;
    let rows = |offset: u64| -> String {
        (0..120)
            .map(|i| {
                format!(
                    "{}.{},{}\n",
                    offset + time(i) as u64 / 10,
                    time(i) % 10,
                    i % 2
                )
            })
            .collect()
    };
    let (far, near) = (
        read(&rows(1_700_000_000), TableOptions::default()),
        read(&rows(0), TableOptions::default()),
    );
    assert!(
        (far.mean[0] - 1.7e9 - near.mean[0]).abs() < 1e-4,
        "{:?} {:?}",
        far.mean,
        near.mean
    );
    assert!(
        (far.std[0] - near.std[0]).abs() < 1e-4,
        "{:?} {:?}",
        far.std,
        near.std
    );
    let said = "column number 0 (from 0): 1700000000 is taken off";
    assert!(
        far.notes.iter().any(|note| note.contains(said)),
        "{:?}",
        far.notes
    );
    assert!(near.notes.iter().all(|note| !note.contains("taken off")));
}

/// The targets of a regression likewise: `[1.7e9, 1.7e9 + 1]` were standardized to one value.
#[test]
fn far_targets_keep_their_differences() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40)
        .map(|i| format!("{i}.5,{}\n", 1_700_000_000 + i % 2))
        .collect();
    write(folder.path(), "t.csv", rows.as_bytes());
    let options = LoadOptions {
        table: regression(),
        ..LoadOptions::default()
    };
    let data = open(text(&folder.path().join("t.csv")), &options).unwrap();
    let Labels::Values(targets) = all(&*data.train).labels else {
        panic!("real targets")
    };
    assert!(
        targets.iter().all(|y| (0.9..1.1).contains(&y.abs())),
        "{targets:?}"
    );
    assert!(
        data.notes
            .iter()
            .any(|note| note.contains("target 0: 1700000000 is taken off")),
        "{:?}",
        data.notes
    );
}

/// Labels 16777216.0 and 16777217.0 were one class.
#[test]
fn large_classes_are_not_merged() {
    let table: String = (0..30)
        .map(|i| format!("{i}.5,1677721{}.0\n", [6, 7, 9][i % 3]))
        .collect();
    let report = read(&table, TableOptions::default());
    assert_eq!(
        classes(&report).into_iter().collect::<Vec<_>>(),
        [("16777216", 10), ("16777217", 10), ("16777219", 10)]
    );
    let labels: Vec<u8> = (0..30)
        .flat_map(|i| (16_777_216.0 + f64::from(i % 2)).to_le_bytes())
        .collect();
    let archive = zip(
        &[
            ("x.npy", &npy("|u1", false, "(30, 1)", &[7; 30])),
            ("y.npy", &npy("<f8", false, "(30,)", &labels)),
        ],
        false,
    );
    assert_eq!(
        check_file("t.npz", &archive, TableOptions::default())
            .unwrap()
            .classes
            .len(),
        2
    );
}

/// Arrays of float64 and int64 were rounded before they were centered.
#[test]
fn arrays_are_centered_in_double_precision() {
    let time = |i: u32| i * 37 % 60;
    let labels = npy(
        "|u1",
        false,
        "(60,)",
        &(0..60).map(|i| i % 2).collect::<Vec<u8>>(),
    );
    let doubles: Vec<u8> = (0..60)
        .flat_map(|i| (1.7e9 + f64::from(time(i))).to_le_bytes())
        .collect();
    let integers: Vec<u8> = (0..60)
        .flat_map(|i| (1_700_000_000 + i64::from(time(i))).to_le_bytes())
        .collect();
    for (descr, values) in [("<f8", doubles), ("<i8", integers)] {
        let archive = zip(
            &[
                ("x.npy", &npy(descr, false, "(60, 1)", &values)),
                ("y.npy", &labels),
            ],
            true,
        );
        let report = check_file("t.npz", &archive, TableOptions::default()).unwrap();
        assert!(
            (report.std[0] - 17.3).abs() < 0.5,
            "{descr}: {:?}",
            report.std
        );
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("input 0: 1700000000 is taken off"))
        );
    }
}

/// What single precision holds is bit for bit what it was: read as single precision, without a note.
#[test]
fn what_was_right_stays() {
    let cells = [
        "0.1",
        "1.000000059604644775390625000000000000000001",
        "-3e-46",
        "123456.789",
        "1e-45",
    ];
    let rows: String = cells
        .iter()
        .cycle()
        .take(20)
        .enumerate()
        .map(|(i, cell)| format!("{cell},{}\n", i % 2))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "t.csv", rows.as_bytes());
    let floats: Vec<u8> = cells
        .iter()
        .cycle()
        .take(20)
        .flat_map(|cell| cell.parse::<f32>().unwrap().to_le_bytes())
        .collect();
    let labels: Vec<u8> = (0..20).map(|i| i % 2).collect();
    write(
        folder.path(),
        "t.npz",
        &zip(
            &[
                ("x.npy", &npy("<f4", false, "(20, 1)", &floats)),
                ("y.npy", &npy("|u1", false, "(20,)", &labels)),
            ],
            false,
        ),
    );
    let [table, array] = ["t.csv", "t.npz"]
        .map(|name| open(text(&folder.path().join(name)), &LoadOptions::default()).unwrap());
    assert_eq!(table.fingerprint, array.fingerprint);
    let (Inputs::Values(a), Inputs::Values(b)) =
        (all(&*table.train).inputs, all(&*array.train).inputs)
    else {
        panic!("values")
    };
    assert_eq!(a, b);
}
