//! Parts that are named by settings.

use batchscope_data::{LoadOptions, PartPaths};

use crate::support::{gzip, idx, tar};
use crate::{named, notes, pictures, refusal, report, sizes};

fn parts(train: Option<&str>, test: Option<&str>) -> LoadOptions {
    LoadOptions {
        parts: PartPaths {
            train: train.map(str::to_owned),
            test: test.map(str::to_owned),
            validation: None,
        },
        ..LoadOptions::default()
    }
}

/// What names leave open, or say wrongly, can be said: in folders and in archives.
#[test]
fn folders_of_images_can_be_named() {
    let mut files = pictures(&["first/ant", "first/bee"], 4, 0);
    files.extend(pictures(&["second/ant", "second/bee"], 2, 100));
    files.extend(pictures(&["train/ant", "train/bee"], 3, 200));
    let archive = |files: &[(String, Vec<u8>)]| {
        let members: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), &bytes[..]))
            .collect();
        vec![("set.tgz".to_owned(), gzip(&tar(&members)))]
    };
    assert!(refusal(&files, &LoadOptions::default()).contains("outside the split folders"));
    let options = parts(Some("first"), Some("second"));
    let found = report(&files, &options);
    assert_eq!(
        (sizes(&found), found.classes.join(" ")),
        ((8, 4), "ant bee".into())
    );
    assert!(
        notes(&found, &["train: first (8)", "test: second (4)"]),
        "{found}"
    );
    assert!(
        notes(
            &found,
            &["6 images lie outside the parts", "train/ant/0.png"]
        ),
        "{found}"
    );
    // With the test part alone, everything else is trained on.
    let rest: Vec<_> = files
        .iter()
        .filter(|(name, _)| !name.starts_with("train"))
        .cloned()
        .collect();
    let found = report(&rest, &parts(None, Some("second")));
    assert_eq!(sizes(&found), (8, 4));
    let error = refusal(&files, &parts(Some("third"), None));
    assert!(
        error.starts_with("train: ") && error.contains("third"),
        "{error}"
    );
    let packed = crate::folder(&archive(&files));
    let path = packed.path().join("set.tgz");
    let found = batchscope_data::check(crate::text(&path), &options).unwrap();
    assert_eq!(sizes(&found), (8, 4));
}

/// A format that has no such parts says so instead of ignoring the setting.
#[test]
fn formats_without_files_of_parts_refuse_the_setting() {
    let error = batchscope_data::check("glyphs", &parts(Some("a"), None))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("train: "), "{error}");
}

/// IDX files are named by their images.
#[test]
fn idx_files_can_be_named() {
    let images = |n: u8| {
        idx(
            &[n.into(), 1, 2],
            &(0..2 * n).map(|i| i * 3 + n).collect::<Vec<_>>(),
        )
    };
    let labels = |n: u8| idx(&[n.into()], &(0..n).map(|i| i % 2).collect::<Vec<_>>());
    let files = named(&[
        ("one-images-idx3-ubyte", images(6)),
        ("one-labels-idx1-ubyte", labels(6)),
        ("two-images-idx3-ubyte", images(4)),
        ("two-labels-idx1-ubyte", labels(4)),
    ]);
    assert!(refusal(&files, &LoadOptions::default()).contains("settings `train` and `test`"));
    let found = report(
        &files,
        &parts(Some("one-images-idx3-ubyte"), Some("two-images-idx3-ubyte")),
    );
    assert_eq!(sizes(&found), (6, 4));
}
