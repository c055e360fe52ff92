//! The gray levels of masks, and the classes that they stand for.

use std::io::Cursor;
use std::path::Path;

use batchscope_core::UNLABELED;
use image::imageops::FilterType;
use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::images::MAX_SIDE;
use crate::error::DataError;
use crate::left_out::shown;
use crate::resize::Resize;

/// Decodes a mask of `[height, width]` pixels to class numbers. `file` is named in errors.
///
/// # Errors
/// When it is no 8-bit gray PNG, damaged, of another size, or without any label.
pub fn decode_mask(
    bytes: &[u8],
    expected: (usize, usize),
    file: &Path,
) -> Result<Vec<u8>, DataError> {
    let levels = decode(bytes, Some(expected), None, file)?;
    expect_labels(&levels, file)?;
    Ok(levels)
}

/// The gray levels of a mask: of the size of its image, or brought to one by its nearest pixels.
pub(crate) fn decode(
    bytes: &[u8],
    expected: Option<(usize, usize)>,
    resize: Option<Resize>,
    file: &Path,
) -> Result<Vec<u8>, DataError> {
    let broken = |source: image::ImageError| {
        DataError::malformed(
            file,
            format!("cannot be decoded as PNG ({source})"),
            "replace or remove it",
        )
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut bounds = Limits::default();
    bounds.max_image_width = Some(MAX_SIDE);
    bounds.max_image_height = Some(MAX_SIDE);
    bounds.max_alloc = Some(u64::from(MAX_SIDE) * u64::from(MAX_SIDE) * 16);
    reader.limits(bounds);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let found = (height as usize, width as usize);
    if let Some(expected) = expected.filter(|&expected| expected != found) {
        return Err(DataError::malformed(
            file,
            format!(
                "is {}×{}, its image {}×{}",
                found.0, found.1, expected.0, expected.1
            ),
            "give masks the size of their images, turned as viewers show them",
        ));
    }
    // Palettes and lower bit depths would be stretched to other numbers on the way.
    if decoder.original_color_type() != ExtendedColorType::L8 {
        return Err(DataError::malformed(
            file,
            format!("has pixels of kind {:?}", decoder.original_color_type()),
            "save masks as 8-bit gray PNG files whose gray levels are class numbers",
        ));
    }
    let picture = image::DynamicImage::from_decoder(decoder).map_err(broken)?;
    let mut levels = picture.into_luma8();
    if let Some(Resize { height, width }) = resize
        && (levels.height(), levels.width()) != (height, width)
    {
        levels = image::imageops::resize(&levels, width, height, FilterType::Nearest);
    }
    Ok(levels.into_raw())
}

/// Refuses a mask that labels nothing.
fn expect_labels(levels: &[u8], file: &Path) -> Result<(), DataError> {
    if levels.iter().all(|&label| label == UNLABELED) {
        return Err(DataError::malformed(
            file,
            format!("labels no pixel (all are {UNLABELED})"),
            "remove it and its image, or label something",
        ));
    }
    Ok(())
}

/// How many classes the gray levels of the masks stand for, and how it is said. Where 0 and 255 are
/// the only levels, 255 is not "without label" but the class of what is not background.
pub(crate) fn number(
    source: &Path,
    files: &[&Path],
    masks: &mut [Vec<u8>],
) -> Result<(usize, String), DataError> {
    /// From here on, class numbers that mostly stand for nothing are surely shades of gray.
    const MANY: usize = 32;
    let levels = masks
        .par_iter()
        .map(|mask| {
            let mut levels = [false; 256];
            mask.iter()
                .for_each(|&level| levels[usize::from(level)] = true);
            levels
        })
        .reduce(
            || [false; 256],
            |a, b| std::array::from_fn(|at| a[at] || b[at]),
        );
    let levels: Vec<u8> = (0..=255)
        .filter(|&level| levels[usize::from(level)])
        .collect();
    if levels == [0, UNLABELED] {
        masks
            .par_iter_mut()
            .flatten()
            .filter(|level| **level == UNLABELED)
            .for_each(|level| *level = 1);
        return Ok((
            2,
            "gray levels 0 and 255 alone: 255 is class 1, not \"without label\"".into(),
        ));
    }
    for (file, levels) in files.iter().zip(&*masks) {
        expect_labels(levels, &source.join(file))?;
    }
    let labels: Vec<usize> = levels
        .iter()
        .filter(|&&l| l != UNLABELED)
        .map(|&l| l.into())
        .collect();
    let classes = labels.last().map_or(0, |largest| largest + 1);
    let names: Vec<String> = labels.iter().map(usize::to_string).collect();
    if labels.len() < 2 {
        return Err(DataError::malformed(
            source,
            format!(
                "all labeled pixels of its masks are of class {}",
                shown(&names)
            ),
            "give masks of at least two classes, as gray levels 0, 1, …; 255 is \"without label\"",
        ));
    }
    if classes > MANY && 4 * labels.len() < classes {
        return Err(DataError::malformed(
            source,
            format!(
                "its masks have the gray levels {}, which would be {classes} classes, most of them without a pixel",
                shown(&names)
            ),
            "number the classes in the masks 0, 1, 2, …",
        ));
    }
    let gaps = match classes - labels.len() {
        0 => String::new(),
        gaps => format!(", {gaps} of them without a pixel"),
    };
    Ok((
        classes,
        format!(
            "gray levels 0 to {}{gaps}; 255 is without label",
            classes - 1
        ),
    ))
}
