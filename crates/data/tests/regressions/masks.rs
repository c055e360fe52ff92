//! Images with masks, as tools write them.

use batchscope_core::Task;
use batchscope_data::LoadOptions;

use crate::support::{gray, png};
use crate::{notes, picture, refusal, report, sizes};

const GRAY: image::ExtendedColorType = image::ExtendedColorType::L8;

/// Four images and masks; `name` tells where those of a number lie.
fn set(levels: &[u8; 4], name: impl Fn(u8) -> (String, String)) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for number in 0..4 {
        let (image, mask) = name(number);
        files.push((image, picture(number)));
        let mut levels = *levels;
        levels.rotate_left(number.into());
        files.push((mask, png(2, 2, GRAY, &levels)));
    }
    files
}

fn usual(number: u8) -> (String, String) {
    (
        format!("train/images/{number}.png"),
        format!("train/masks/{number}.png"),
    )
}

/// Masks of 0 for background and 255 for the object are what most tools write; the object counted as
/// "without label", every other pixel as class 0, and an untrained network made no error.
#[test]
fn masks_of_0_and_255_have_two_classes() {
    let mut files = set(&[0, 255, 255, 0], usual);
    // One that is all object.
    files.extend([
        ("train/images/9.png".into(), picture(9)),
        ("train/masks/9.png".into(), gray(2, 2, 255)),
    ]);
    let found = report(&files, &LoadOptions::default());
    assert_eq!(found.shape.task, Task::Segment { classes: 2 });
    assert!(notes(&found, &["255 is class 1"]), "{found}");
    let plain = report(&set(&[0, 1, 1, 255], usual), &LoadOptions::default());
    assert_eq!(plain.shape.task, Task::Segment { classes: 2 });
    assert!(notes(&plain, &["255 is without label"]), "{plain}");
}

/// Masks of one class teach nothing; masks of shades of gray are no class numbers.
#[test]
fn masks_without_classes_are_refused() {
    for (levels, expected) in [
        ([0, 0, 0, 0], "are of class 0"),
        ([3, 3, 255, 3], "are of class 3"),
        ([0, 128, 0, 128], "levels 0, 128"),
    ] {
        let error = refusal(&set(&levels, usual), &LoadOptions::default());
        assert!(error.contains(expected), "{error}");
    }
}

/// Folders called `image` and `label` were read as two classes of images: a network learned to tell
/// photos from masks. The other layouts are those of VOC, ADE20K and of common tools.
#[test]
fn masks_are_masks_in_every_common_layout() {
    type Layout = fn(u8) -> (String, String);
    let layouts: [Layout; 7] = [
        |n| {
            (
                format!("train/image/{n}.png"),
                format!("train/label/{n}.png"),
            )
        },
        |n| {
            (
                format!("train/images/{n}.png"),
                format!("train/labels/{n}.png"),
            )
        },
        |n| {
            (
                format!("JPEGImages/{n}.png"),
                format!("SegmentationClass/{n}.png"),
            )
        },
        |n| {
            (
                format!("images/train/{n}.png"),
                format!("masks/train/{n}.png"),
            )
        },
        |n| {
            (
                format!("train/images/{n}.png"),
                format!("train/masks/{n}_mask.png"),
            )
        },
        |n| {
            (
                format!("images/training/{n}.png"),
                format!("annotations/training/{n}.png"),
            )
        },
        |n| {
            (
                format!("train_images/{n}.png"),
                format!("train_masks/{n}.png"),
            )
        },
    ];
    for layout in layouts {
        let found = report(&set(&[0, 1, 2, 1], layout), &LoadOptions::default());
        assert_eq!(found.shape.task, Task::Segment { classes: 3 }, "{found}");
        assert_eq!(sizes(&found), (4, 0));
    }
}
