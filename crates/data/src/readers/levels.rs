//! The numbers in masks, and the classes that they stand for.

use std::io::Cursor;
use std::path::Path;

use batchscope_core::UNLABELED;
use image::imageops::FilterType;
use rayon::prelude::*;

use super::images::MAX_SIDE;
use crate::error::DataError;
use crate::left_out::shown;
use crate::resize::Resize;

/// Decodes a mask of `[height, width]` pixels to class numbers. `file` is named in errors.
///
/// # Errors
/// When it is no PNG with a palette or gray levels of up to 8 bits, damaged, of another size, or without any label.
pub fn decode_mask(
    bytes: &[u8],
    expected: (usize, usize),
    file: &Path,
) -> Result<Vec<u8>, DataError> {
    let levels = decode(bytes, Some(expected), None, file)?;
    expect_labels(&levels, file)?;
    Ok(levels)
}

/// The numbers of a mask, gray levels or places in its palette: of the size of its image, or brought to one by its nearest pixels.
pub(crate) fn decode(
    bytes: &[u8],
    expected: Option<(usize, usize)>,
    resize: Option<Resize>,
    file: &Path,
) -> Result<Vec<u8>, DataError> {
    let broken = |error: png::DecodingError| {
        DataError::malformed(
            file,
            format!("cannot be decoded as PNG ({error})"),
            "replace or remove it",
        )
    };
    let bytes_of_most = MAX_SIDE as usize * MAX_SIDE as usize * 16;
    let limits = png::Limits {
        bytes: bytes_of_most,
    };
    // As they are stored: through a palette, or from few bits, numbers would become colors or shades.
    let decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    let mut reader = decoder.read_info().map_err(broken)?;
    let (width, height) = reader.info().size();
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
    let (color, depth) = (reader.info().color_type, reader.info().bit_depth);
    let holds_numbers = matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed);
    if !holds_numbers || depth == png::BitDepth::Sixteen {
        return Err(DataError::malformed(
            file,
            format!("has pixels of kind {color:?} in {} bits", depth as u8),
            "save masks as PNG files with a palette or gray levels of up to 8 bits, whose numbers are the classes",
        ));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(DataError::malformed(
            file,
            format!("is {height}×{width}"),
            "give images of at most that many pixels a side",
        ));
    }
    let size = reader.output_buffer_size().unwrap_or(usize::MAX);
    if size > bytes_of_most {
        return Err(DataError::malformed(
            file,
            format!("is {height}×{width}"),
            "make it smaller",
        ));
    }
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(broken)?;
    let levels = unpacked(&packed, (found.1, frame.line_size), depth);
    let resized = resize.filter(|size| (size.height, size.width) != (height, width));
    let (Some(size), Some(picture)) = (
        resized,
        image::GrayImage::from_raw(width, height, levels.clone()),
    ) else {
        return Ok(levels);
    };
    let nearest = FilterType::Nearest;
    Ok(image::imageops::resize(&picture, size.width, size.height, nearest).into_raw())
}

/// Numbers of `depth` bits, at most 8, in lines of so many numbers and bytes: the first are the highest bits of a byte.
fn unpacked(packed: &[u8], (width, line): (usize, usize), depth: png::BitDepth) -> Vec<u8> {
    let bits = usize::from(depth as u8).clamp(1, 8);
    let mask = u8::MAX >> (8 - bits);
    let number = |line: &[u8], at: usize| {
        let first = at * bits;
        line[first / 8] >> (8 - bits - first % 8) & mask
    };
    let lines = packed.chunks(line.max(1));
    lines
        .flat_map(|line| (0..width).map(move |at| number(line, at)))
        .collect()
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
            "levels 0 and 255 alone: 255 is class 1, not \"without label\"".into(),
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
            "give masks of at least two classes, as levels 0, 1, …; 255 is \"without label\"",
        ));
    }
    if classes > MANY && 4 * labels.len() < classes {
        return Err(DataError::malformed(
            source,
            format!(
                "its masks have the levels {}, which would be {classes} classes, most of them without a pixel",
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
        format!("levels 0 to {}{gaps}; 255 is without label", classes - 1),
    ))
}
