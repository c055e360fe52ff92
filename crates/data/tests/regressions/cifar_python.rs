//! CIFAR as torchvision downloads it.

use batchscope_data::LoadOptions;
use batchscope_data::readers::cifar::{Kind, parse, parse_python};

use crate::support::{cifar, gzip, tar};
use crate::{named, notes, report, sizes};

fn short(out: &mut Vec<u8>, text: &str) {
    out.extend([b'U', text.len() as u8]);
    out.extend(text.bytes());
}

/// A batch as Python 2 pickled it: images of constant red 0, 1, 2, …, green 100 and blue 200.
fn batch(labels: &[u8]) -> Vec<u8> {
    let mut rows = Vec::new();
    for red in 0..labels.len() {
        rows.extend([red as u8; 1024]);
        rows.extend([100; 1024]);
        rows.extend([200; 1024]);
    }
    let mut out = b"\x80\x02}q\x01(".to_vec();
    short(&mut out, "batch_label");
    short(&mut out, "training batch 1 of 5");
    short(&mut out, "labels");
    out.extend(b"]q\x05(");
    out.extend(labels.iter().flat_map(|&label| [b'K', label]));
    out.push(b'e');
    short(&mut out, "data");
    out.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\0\x85U\x01b\x87Rq\x09(K\x01K");
    out.push(labels.len() as u8);
    out.extend(b"M\0\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\0K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T");
    out.extend((rows.len() as u32).to_le_bytes());
    out.extend(rows);
    out.extend(b"tbu.");
    out
}

fn binary(labels: &[u8]) -> Vec<u8> {
    let labels: Vec<[u8; 1]> = labels.iter().map(|&label| [label]).collect();
    cifar(&labels.iter().map(|label| &label[..]).collect::<Vec<_>>())
}

/// The Python version, folder or archive, was "no PNG or JPEG file below a class folder"; missing
/// batches were not spoken of.
#[test]
fn the_python_version_is_read_and_missing_batches_are_named() {
    let (train, test) = (
        [3, 9, 3, 0, 1, 2, 5],
        [7, 7, 7, 7, 7, 7, 7, 7, 3, 3, 3, 3, 4, 4, 4, 4],
    );
    let mut names = b"\x80\x02}q\x01U\x0blabel_namesq\x02]q\x03(".to_vec();
    for name in 0..10 {
        short(&mut names, &format!("class {name}"));
    }
    names.extend(b"es.");
    let files = named(&[
        ("cifar-10-batches-py/data_batch_1", batch(&train)),
        ("cifar-10-batches-py/test_batch", batch(&test)),
        ("cifar-10-batches-py/batches.meta", names),
    ]);
    let found = report(&files, &LoadOptions::default());
    assert_eq!((sizes(&found), &*found.classes[9]), ((7, 16), "class 9"));
    assert!(
        notes(
            &found,
            &["4 of the 5 published training batches", "data_batch_2"]
        ),
        "{found}"
    );
    assert!(notes(&found, &["the Python version"]), "{found}");
    let published = named(&[
        ("data_batch_1.bin", binary(&train)),
        ("test_batch.bin", binary(&test)),
    ]);
    assert_eq!(
        report(&published, &LoadOptions::default()).fingerprint,
        found.fingerprint
    );
    let members: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    let packed = [("cifar-10-python.tar.gz".to_owned(), gzip(&tar(&members)))];
    assert_eq!(
        report(&packed, &LoadOptions::default()).fingerprint,
        found.fingerprint
    );
}

/// A pickle is a program; one that asks for anything but an array is refused, not run.
#[test]
fn pickles_are_not_run() {
    let file = "data_batch_1".as_ref();
    let good = batch(&[3, 9]);
    assert_eq!(
        parse_python(&good, Kind::Ten, file).unwrap(),
        parse(&binary(&[3, 9]), Kind::Ten, file).unwrap()
    );
    let evil = b"\x80\x02cos\nsystem\nU\x04true\x85R.";
    let mut wide = b"\x80\x02".to_vec();
    wide.resize(3_000_000, b'N');
    let mut itself = b"\x80\x02]q\x01h\x01a.".to_vec();
    for (bytes, expected) in [
        (
            &evil[..],
            "'os.system', which no CIFAR file needs; nothing was run",
        ),
        (&wide, "more values than any"),
        (&itself, "holds no dictionary"),
        (&good[..good.len() / 2], "ends in the middle"),
        (&batch(&[3, 10]), "label 10 of 10"),
        (b"\x80\x02}\x82.", "instruction 0x82"),
        (b"e", "a mark that is not there"),
    ] {
        let error = parse_python(bytes, Kind::Ten, file)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("data_batch_1") && error.contains(expected),
            "{expected}: {error}"
        );
    }
    itself.clear();
    assert!(parse_python(&itself, Kind::Ten, file).is_err());
}

/// Whichever byte of a batch is damaged or is the last: an error or another batch, never a panic.
#[test]
fn damaged_pickles_never_panic() {
    let good = batch(&[3, 9]);
    let header = good.len() - 2 * 3072;
    for at in 0..header {
        for to in [0, 1, b'(', b'R', b'b', b'h', b'e', 0x87, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = to;
            let _ = parse_python(&bytes, Kind::Ten, "damaged".as_ref());
        }
        assert!(parse_python(&good[..at], Kind::Ten, "cut".as_ref()).is_err());
    }
}
