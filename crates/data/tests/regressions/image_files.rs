//! Images of other sizes, and turned ones.

use batchscope_data::LoadOptions;

use crate::support::gray;
use crate::{named, notes, refusal, report};

/// A JPEG of these levels whose tag says it is to be turned a quarter to the right (6).
fn turned(width: u32, height: u32, levels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = image::GrayImage::from_raw(width, height, levels.to_vec()).unwrap();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100)
        .encode_image(&picture)
        .unwrap();
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08".to_vec();
    exif.extend([0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]);
    let mut segment = vec![0xff, 0xe1];
    segment.extend((exif.len() as u16 + 2).to_be_bytes());
    segment.extend(exif);
    bytes.splice(2..2, segment);
    bytes
}

/// Portrait photos stored as landscape with an orientation tag were read on their side.
#[test]
fn photos_are_turned_as_viewers_show_them() {
    let levels: Vec<u8> = (0..128)
        .map(|at| if at % 16 < 8 { 0 } else { 240 })
        .collect();
    let photo = turned(16, 8, &levels);
    let picture =
        batchscope_data::readers::images::decode(&photo, None, "photo.jpg".as_ref()).unwrap();
    assert_eq!((picture.height, picture.width), (16, 8));
    // Left becomes top.
    assert!(picture.pixels[..64].iter().all(|&level| level < 60));
    assert!(picture.pixels[64..].iter().all(|&level| level > 180));
    let files = named(&[
        ("a/1.jpg", photo),
        ("a/2.png", gray(8, 16, 9)),
        ("b/3.png", gray(8, 16, 3)),
    ]);
    let found = report(&files, &LoadOptions::default());
    assert!(notes(&found, &["1 images were turned", "EXIF"]), "{found}");
}

/// Which of several broken images was named depended on which thread came first: a test that read the
/// message failed now and then.
#[test]
fn of_several_broken_images_the_first_is_named() {
    let mut files = named(&[("a/0000.png", gray(4, 4, 1)), ("b/0000.png", gray(4, 4, 2))]);
    for at in 1..64 {
        // Small ones come later: they are refused sooner.
        let side = 200 - 3 * at as u32;
        files.push((format!("a/{at:04}.png"), gray(side, side, 3)));
    }
    for _ in 0..20 {
        let error = refusal(&files, &LoadOptions::default());
        assert!(error.contains("a/0001.png: is 197×197"), "{error}");
    }
}

/// Images of several sizes, as any photo collection has, could not be read at all.
#[test]
fn images_are_resized_where_that_is_asked_for() {
    let files = named(&[
        ("a/1.png", gray(10, 12, 1)),
        ("a/2.png", gray(11, 13, 2)),
        ("b/3.png", gray(7, 5, 3)),
        ("b/4.png", gray(6, 8, 4)),
    ]);
    let error = refusal(&files, &LoadOptions::default());
    assert!(
        error.contains("13×11") && error.contains("`resize`"),
        "{error}"
    );
    let resized = LoadOptions {
        resize: Some("8x6".parse().unwrap()),
        ..LoadOptions::default()
    };
    let found = report(&files, &resized);
    assert!(found.description.contains("8×6×1"), "{found}");
    assert!(
        notes(&found, &["3 of 4 images", "resized to 8×6"]),
        "{found}"
    );
}
