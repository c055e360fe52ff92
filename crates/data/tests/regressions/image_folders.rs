//! Which images are trained on, tested, and of which class.

use batchscope_data::LoadOptions;

use crate::{named, notes, picture, pictures, refusal, report, sizes};

/// A user's `training_set/training_set/cats` and `test_set/test_set/cats` were all trained on: split
/// folders were known by one word on one level only. The same with other names that people give.
#[test]
fn test_images_are_not_trained_on_whatever_their_folder_is_called() {
    for [train, test] in [
        ["training_set/training_set", "test_set/test_set"],
        ["seg_train/seg_train", "seg_test/seg_test"],
        ["train_images", "test_images"],
        ["data/Training Set", "data/Test Set"],
        ["images/train2017", "images/test2017"],
        ["x/y/TRAIN", "x/y/TEST"],
        ["TrainData/images", "TestData/images"],
    ] {
        let (a, b) = (format!("{train}/cats"), format!("{train}/dogs"));
        let (c, d) = (format!("{test}/cats"), format!("{test}/dogs"));
        let mut files = pictures(&[&a, &b], 6, 0);
        files.extend(pictures(&[&c, &d], 3, 100));
        let found = report(&files, &LoadOptions::default());
        assert_eq!(
            (sizes(&found), found.classes.join(" ")),
            ((12, 6), "cats dogs".into())
        );
        assert!(
            notes(&found, &["train: ", "(12)", "test: ", "(6)", "cats, dogs"]),
            "{found}"
        );
        assert!(found.notes[0].starts_with("read as "), "{found}");
    }
}

/// Folders `train` and `test` within each class folder became two classes of those names.
#[test]
fn splits_may_lie_within_class_folders() {
    let mut files = pictures(&["cats/train", "dogs/train"], 5, 0);
    files.extend(pictures(&["cats/test", "dogs/test"], 2, 100));
    let found = report(&files, &LoadOptions::default());
    assert_eq!(
        (sizes(&found), found.classes.join(" ")),
        ((10, 4), "cats dogs".into())
    );
}

/// Photos by species and individual made a class of every individual, and a test folder of the same
/// form was trained on.
#[test]
fn folders_within_class_folders_belong_to_the_class() {
    let species = ["ant/a1", "ant/a2", "bee/b1", "bee/b2"];
    let found = report(&pictures(&species, 3, 0), &LoadOptions::default());
    assert_eq!(
        (sizes(&found), found.classes.join(" ")),
        ((12, 0), "ant bee".into())
    );
    assert!(
        notes(&found, &["ant, bee", "subfolders included"]),
        "{found}"
    );
    let mut both = pictures(
        &species
            .map(|s| format!("train/{s}"))
            .each_ref()
            .map(|s| &**s),
        3,
        0,
    );
    both.extend(pictures(
        &species
            .map(|s| format!("test/{s}"))
            .each_ref()
            .map(|s| &**s),
        1,
        100,
    ));
    let found = report(&both, &LoadOptions::default());
    assert_eq!(
        (sizes(&found), found.classes.join(" ")),
        ((12, 4), "ant bee".into())
    );
}

/// Vehicles of the classes bus, car and train are no split, and neither are two classes of trains.
#[test]
fn classes_called_after_splits_are_classes() {
    for folders in [
        &["bus", "car", "train"][..],
        &["bullet_train", "steam_train"],
    ] {
        let found = report(&pictures(folders, 4, 0), &LoadOptions::default());
        assert_eq!(found.classes, folders);
    }
}

/// Images in one flat folder with their labels in a table became one class, and what was trained had
/// no errors.
#[test]
fn images_without_class_folders_are_refused() {
    let mut files = pictures(&["train"], 5, 0);
    files.push(("labels.csv".into(), b"id,label\n0,ant\n1,bee\n".to_vec()));
    let error = refusal(&files, &LoadOptions::default());
    assert!(
        error.contains("5 images lie in no class folder: train/0.png"),
        "{error}"
    );
    let flat: Vec<_> = (0..4).map(|i| (format!("{i}.png"), picture(i))).collect();
    let error = refusal(&flat, &LoadOptions::default());
    assert!(error.contains("4 images lie in no class folder"), "{error}");
    let one = refusal(&pictures(&["train/cats"], 4, 0), &LoadOptions::default());
    assert!(
        one.contains("labels are the same") && one.contains("cats"),
        "{one}"
    );
}

/// A set unpacked twice, once within itself, counted every image twice; images beside the class
/// folders vanished without a word.
#[test]
fn nested_sets_are_refused_and_strays_are_named() {
    let set = |prefix: &str| {
        let mut files = pictures(&["train/a", "train/b"], 3, 0);
        files.extend(pictures(&["test/a", "test/b"], 2, 100));
        files
            .iter_mut()
            .for_each(|(name, _)| name.insert_str(0, prefix));
        files
    };
    let nested = [set(""), set("x/")].concat();
    let error = refusal(&nested, &LoadOptions::default());
    assert!(error.contains("lies outside the split folders"), "{error}");
    let mut stray = set("");
    stray.push(("logo.png".into(), picture(200)));
    stray.push(("train/overview.png".into(), picture(201)));
    let found = report(&stray, &LoadOptions::default());
    assert_eq!(sizes(&found), (6, 4));
    let expected = [
        "2 images lie in no class folder",
        "logo.png",
        "train/overview.png",
    ];
    assert!(notes(&found, &expected), "{found}");
}

/// A class of BMP and WebP files was gone without a word, as was one whose folder was empty.
#[test]
fn classes_that_cannot_be_read_are_named() {
    let mut files = pictures(&["train/ant", "train/bee"], 4, 0);
    for name in ["1.bmp", "2.webp", "3.TIFF", "4.gif"] {
        files.push((format!("train/cat/{name}"), vec![0; 9]));
    }
    files.push(("train/ant/notes.md".into(), b"?".to_vec()));
    let found = report(&files, &LoadOptions::default());
    assert!(
        notes(
            &found,
            &[
                "4 images of kinds that are not read",
                ".bmp 1",
                "train/cat/1.bmp"
            ]
        ),
        "{found}"
    );
    assert!(notes(&found, &["make no class", "train/cat"]), "{found}");
    assert!(
        notes(&found, &["no images", "train/ant/notes.md"]),
        "{found}"
    );
    let only = named(&[("a/1.bmp", vec![0; 9]), ("b/2.bmp", vec![0; 9])]);
    let error = refusal(&only, &LoadOptions::default());
    assert!(error.contains("kinds that are not read"), "{error}");
}

/// A class with test images alone was counted among those learned.
#[test]
fn classes_without_training_images_are_named() {
    let mut files = pictures(&["train/ant", "train/bee"], 4, 0);
    files.extend(pictures(&["test/ant", "test/cat"], 2, 100));
    let found = report(&files, &LoadOptions::default());
    assert!(
        notes(&found, &["1 classes have no training image: cat"]),
        "{found}"
    );
    files.retain(|(name, _)| !name.starts_with("test/ant"));
    let error = refusal(&files, &LoadOptions::default());
    assert!(error.contains("none in common"), "{error}");
}

/// Figures beside a table made the table's folder an image folder of one class.
#[test]
fn a_folder_of_figures_beside_a_table_is_left_alone() {
    let mut files = pictures(&["figures"], 3, 0);
    files.push(("t.csv".into(), b"1,2,a\n3,4,b\n5,6,a\n".to_vec()));
    assert_eq!(report(&files, &LoadOptions::default()).format, "csv");
}

/// One name that is not UTF-8 stopped the whole set with "no such file".
#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_read_by_their_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let files = pictures(&["train/кошка", "train/犬"], 3, 0);
    let set = crate::folder(&files);
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe bad.png");
    std::fs::write(set.path().join("train/кошка").join(name), picture(50)).unwrap();
    let found = batchscope_data::check(crate::text(set.path()), &LoadOptions::default()).unwrap();
    assert_eq!((sizes(&found).0, found.classes.len()), (7, 2));
}

/// Folders of parts that no word tells are taken for classes: nobody was told what lay in them.
#[test]
fn class_folders_that_hold_the_same_folders_are_questioned() {
    let parts = ["images/cat", "images/dog", "unseen/cat", "unseen/dog"];
    let found = report(&pictures(&parts, 2, 0), &LoadOptions::default());
    assert!(
        notes(&found, &["all hold the same folders (cat, dog)", "`test`"]),
        "{found}"
    );
    let abbreviated = ["trn/cat", "trn/dog", "tst/cat", "tst/dog"];
    let found = report(&pictures(&abbreviated, 2, 0), &LoadOptions::default());
    assert_eq!((found.classes.len(), sizes(&found)), (2, (4, 4)));
}
