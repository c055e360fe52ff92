//! Archives of all kinds.

use batchscope_data::{LoadOptions, check};

use crate::support::{gzip, tar, text, zip};
use crate::{folder, notes, picture, pictures, refusal, report};

fn members(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files
        .iter()
        .map(|(name, bytes)| (name.as_str(), &bytes[..]))
        .collect()
}

/// A zip archive, as Kaggle gives it, was answered with the list of eleven formats.
#[test]
fn zip_archives_are_read_as_folders_are() {
    let mut files = pictures(&["train/ant", "train/bee"], 4, 0);
    files.extend(pictures(&["test/ant", "test/bee"], 2, 100));
    let plain = report(&files, &LoadOptions::default());
    for deflate in [false, true] {
        let packed = vec![("archive.zip".into(), zip(&members(&files), deflate))];
        let found = report(&packed, &LoadOptions::default());
        assert_eq!(
            (found.fingerprint, found.classes),
            (plain.fingerprint.clone(), plain.classes.clone())
        );
        let alone = folder(&packed);
        let found = check(
            text(&alone.path().join("archive.zip")),
            &LoadOptions::default(),
        )
        .unwrap();
        assert_eq!(
            (found.fingerprint, found.name),
            (plain.fingerprint.clone(), "archive".to_owned())
        );
    }
    let cut = vec![(
        "archive.zip".to_owned(),
        zip(&members(&files), true)[..300].to_vec(),
    )];
    assert!(refusal(&cut, &LoadOptions::default()).contains("not a whole zip archive"));
}

/// Archives of other kinds, and tables packed by gzip: the error says what to do.
#[test]
fn other_packed_files_are_to_be_unpacked() {
    for name in [
        "d.tar.bz2",
        "d.tar.xz",
        "d.tar.zst",
        "d.rar",
        "d.7z",
        "images.zip.gz",
    ] {
        let files = vec![(name.to_owned(), b"?".to_vec())];
        let error = refusal(&files, &LoadOptions::default());
        assert!(
            error.contains(name) && error.contains("unpack it"),
            "{error}"
        );
        let alone = folder(&files);
        let error = check(text(&alone.path().join(name)), &LoadOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("unpack it"),
            "{error}"
        );
    }
    let two = ["a.zip", "b.zip"].map(|name| (name.to_owned(), zip(&[("x", b"y")], false)));
    let error = refusal(&two, &LoadOptions::default());
    assert!(error.contains("2 archives"), "{error}");
    let table = vec![("t.zip".to_owned(), zip(&[("t.csv", b"1,2\n")], false))];
    let error = refusal(&table, &LoadOptions::default());
    assert!(
        error.contains("t.csv") && error.contains("unpack it"),
        "{error}"
    );
}

/// Hidden folders count in no folder, but did in archives; links vanished without a word.
#[test]
fn archives_show_what_folders_show() {
    let mut files = pictures(&["train/ant", "train/bee"], 3, 0);
    let plain = report(&files, &LoadOptions::default());
    for hidden in [
        ".thumbs/ant/1.png",
        "__MACOSX/train/ant/2.png",
        "train/.old/3.png",
        "train/ant/._0.png",
    ] {
        files.push((hidden.to_owned(), picture(77)));
    }
    files.push(("train/labels.md".into(), b"?".to_vec()));
    let mut builder = tar::Builder::new(tar(&members(&files)));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "train/bee/linked.png", "../ant/0.png")
        .unwrap();
    // The builder appends after the end mark of the first: take that away.
    let linked = builder.into_inner().unwrap();
    let whole = tar(&members(&files));
    let linked = [&whole[..whole.len() - 1024], &linked[whole.len()..]].concat();
    let found = report(
        &[("set.tar.gz".to_owned(), gzip(&linked))],
        &LoadOptions::default(),
    );
    assert_eq!(found.fingerprint, plain.fingerprint);
    assert!(
        notes(&found, &["1 links and special files", "linked.png"]),
        "{found}"
    );
    assert!(notes(&found, &["no images", "train/labels.md"]), "{found}");
}

/// The long name of a file was dropped where it is not UTF-8, and the replacement beside it made a
/// class "?????".
#[cfg(unix)]
#[test]
fn names_in_archives_are_read_by_their_bytes() {
    let mut record = b" path=train/ant/\xff\xfe.png\n".to_vec();
    let length = record.len() + 2;
    record.splice(0..0, length.to_string().into_bytes());
    assert_eq!(record.len(), length);
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |name: &str, kind, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    append("PaxHeaders/1", tar::EntryType::XHeader, &record);
    append("train/?????/1.png", tar::EntryType::Regular, &picture(1));
    append("train/ant/2.png", tar::EntryType::Regular, &picture(2));
    append("train/bee/3.png", tar::EntryType::Regular, &picture(3));
    let archive = builder.into_inner().unwrap();
    let found = report(&[("set.tar".to_owned(), archive)], &LoadOptions::default());
    assert_eq!(found.classes, ["ant", "bee"]);
    assert_eq!(crate::sizes(&found).0, 3);
}

/// An empty path, and the root of all files, were searched for data.
#[test]
fn paths_that_cannot_be_meant_are_refused_at_once() {
    let error = |path: &str| {
        check(path, &LoadOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(error("").contains("the path is empty"), "{}", error(""));
    assert!(error("/").contains("root of all files"), "{}", error("/"));
}
