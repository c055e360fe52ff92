//! Segmentation folders.

use batchscope_core::{Batch, Labels, Task, UNLABELED};
use batchscope_data::{LoadOptions, check, open};

use crate::support::{all, gzip, png, tar, text, values};
use crate::{folder, image, read};

const GREY: image::ExtendedColorType = image::ExtendedColorType::L8;

/// An image whose pixels follow its number, and the mask that goes with it.
fn pair(number: u8) -> (Vec<u8>, Vec<u8>) {
    let pixels: Vec<u8> = (0..6).map(|p| 40 * p + number).collect();
    let labels = [number % 3, 1, 0, UNLABELED, 2, 0];
    (png(3, 2, GREY, &pixels), png(3, 2, GREY, &labels))
}

fn masks(batch: &Batch) -> &[u8] {
    let Labels::Pixels(labels) = &batch.labels else {
        panic!("masks were expected")
    };
    labels
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (split, numbers) in [("train", 0..5), ("val", 5..7), ("test", 7..8)] {
        for number in numbers {
            let (picture, mask) = pair(number);
            files.push((format!("{split}/images/{number}.png"), picture));
            files.push((format!("{split}/masks/{number}.png"), mask));
        }
    }
    files
}

fn named(files: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    files
        .iter()
        .map(|(n, bytes)| (n.as_str(), bytes.clone()))
        .collect()
}

#[test]
fn folders_of_images_and_masks() {
    let files = files();
    let data = read(&named(&files));
    assert_eq!(data.shape.input, image(2, 3, 1));
    assert_eq!(data.shape.task, Task::Segment { classes: 3 });
    let test = data.test.as_ref().unwrap();
    assert_eq!(
        (data.train.len(), data.validation.len(), test.len()),
        (5, 2, 1)
    );
    // Each image keeps its mask, whatever the order: its first pixel tells its number.
    let batch = all(&*data.train);
    assert_eq!(batch.weight(), 5.0 * 5.0, "unlabeled pixels weigh nothing");
    let mut order: Vec<usize> = (0..5).collect();
    let first = |i: &usize| values(&batch)[i * 6];
    order.sort_by(|a, b| first(a).total_cmp(&first(b)));
    for (number, at) in order.into_iter().enumerate() {
        let mask = &masks(&batch)[at * 6..(at + 1) * 6];
        assert_eq!(mask, [number as u8 % 3, 1, 0, UNLABELED, 2, 0]);
    }
    assert!(
        data.description.contains("masks of 3 classes"),
        "{}",
        data.description
    );

    let members: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (format!("set/{name}"), bytes.clone()))
        .collect();
    let members: Vec<(&str, &[u8])> = members.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    let packed = read(&[("set.tar.gz", gzip(&tar(&members)))]);
    assert_eq!(packed.fingerprint, data.fingerprint);
}

#[test]
fn cityscapes_as_it_comes() {
    let (picture, mask) = pair(1);
    let other = png(3, 2, image::ExtendedColorType::Rgb8, &[9; 18]);
    let data = read(&[
        (
            "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png",
            picture.clone(),
        ),
        (
            "leftImg8bit/train/bonn/bonn_0_leftImg8bit.png",
            other.clone(),
        ),
        ("leftImg8bit/val/ulm/ulm_0_leftImg8bit.png", picture),
        (
            "gtFine/train/ulm/ulm_0_gtFine_labelTrainIds.png",
            mask.clone(),
        ),
        ("gtFine/train/ulm/ulm_0_gtFine_color.png", other),
        (
            "gtFine/train/bonn/bonn_0_gtFine_labelTrainIds.png",
            mask.clone(),
        ),
        ("gtFine/val/ulm/ulm_0_gtFine_labelTrainIds.png", mask),
    ]);
    assert_eq!(
        data.shape.input,
        image(2, 3, 3),
        "one color image makes all color"
    );
    assert_eq!((data.train.len(), data.validation.len()), (2, 1));
}

#[test]
fn reports_and_the_format_can_be_forced() {
    let files = files();
    let set = folder(&named(&files));
    let options = LoadOptions::default();
    let report = check(text(set.path()), &options).unwrap();
    assert_eq!((report.format.as_str(), report.splits.len()), ("masks", 3));
    assert_eq!(
        report.fingerprint,
        open(text(set.path()), &options).unwrap().fingerprint
    );
    // Another mask, another set.
    let mut changed = files.clone();
    changed[1].1 = png(3, 2, GREY, &[2; 6]);
    let changed = folder(&named(&changed));
    assert_ne!(
        open(text(changed.path()), &options).unwrap().fingerprint,
        report.fingerprint
    );
    // As image classification it would be the classes `images` and `masks`.
    let forced = LoadOptions {
        format: Some("images".parse().unwrap()),
        ..options
    };
    assert_eq!(
        open(text(set.path()), &forced).unwrap().classes,
        ["images", "masks"]
    );
}

/// A PNG of numbers of so many bits, as places in a palette or as gray levels.
fn of_numbers(color: ::png::ColorType, depth: ::png::BitDepth, numbers: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ::png::ColorType::Indexed {
        // Colors that say nothing of the numbers.
        let colors = (0..=255u8).flat_map(|at| [255 - at, 7, at / 2]);
        let most = 3 << (depth as u8);
        encoder.set_palette(colors.take(most).collect::<Vec<u8>>());
    }
    let mut writer = encoder.write_header().unwrap();
    let bits = depth as u8;
    let lines = numbers.chunks(3).flat_map(|line| {
        let mut packed = vec![0u8; (3 * usize::from(bits)).div_ceil(8)];
        for (at, number) in line.iter().enumerate() {
            let first = at * usize::from(bits);
            packed[first / 8] |= number << (8 - usize::from(bits) - first % 8);
        }
        packed
    });
    writer
        .write_image_data(&lines.collect::<Vec<u8>>())
        .unwrap();
    writer.finish().unwrap();
    bytes
}

/// VOC's masks have palettes, and masks of two classes may have a bit a pixel: the numbers are the classes all the same.
#[test]
fn masks_with_palettes_and_of_few_bits_hold_their_numbers() {
    use ::png::{BitDepth, ColorType};
    use batchscope_data::readers::masks::decode_mask;
    for color in [ColorType::Indexed, ColorType::Grayscale] {
        for (depth, numbers) in [
            (BitDepth::One, [0, 1, 1, 0, 0, 1]),
            (BitDepth::Two, [0, 3, 1, 2, 0, 1]),
            (BitDepth::Four, [0, 15, 7, 2, 0, 1]),
            (BitDepth::Eight, [0, 20, 255, 2, 0, 1]),
        ] {
            let bytes = of_numbers(color, depth, &numbers);
            let read = decode_mask(&bytes, (2, 3), std::path::Path::new("mask.png")).unwrap();
            assert_eq!(read, numbers, "{color:?} {depth:?}");
        }
    }
}
