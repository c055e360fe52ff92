//! Segmentation folders: an image and a mask of the same name for every example, in a folder or a
//! tar archive.
//!
//! ```text
//! train/images/0001.png   train/masks/0001.png
//! val/images/0417.jpg     val/masks/0417.png       (and test/…)
//! ```
//!
//! or as Cityscapes comes: `leftImg8bit/train/CITY/NAME_leftImg8bit.png` with
//! `gtFine/train/CITY/NAME_gtFine_labelTrainIds.png`. A mask is an 8-bit gray PNG whose gray levels
//! are class numbers from 0; 255 marks pixels without a label. All images have one size.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task, UNLABELED};
use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use batchscope_core::{Described, Descriptor};

use super::archive::Member;
use super::images::{Content, MAX_SIDE, Picture, decode, is_image};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::limits;
use crate::listing::{Listing, MAX_DEPTH, visit_files};
use crate::paths::file_name;

/// Decodes a mask of `[height, width]` pixels to class numbers. `file` is named in errors.
///
/// # Errors
/// When it is no 8-bit gray PNG, damaged, of another size, or without any label.
pub fn decode_mask(
    bytes: &[u8],
    expected: (usize, usize),
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
    if found != expected {
        return Err(DataError::malformed(
            file,
            format!(
                "is {}×{}, its image {}×{}",
                found.0, found.1, expected.0, expected.1
            ),
            "give masks the size of their images",
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
    let labels = picture.into_luma8().into_raw();
    if labels.iter().all(|&label| label == UNLABELED) {
        return Err(DataError::malformed(
            file,
            format!("labels no pixel (all are {UNLABELED})"),
            "remove it and its image, or label something",
        ));
    }
    Ok(labels)
}

/// What a file of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Image,
    Mask,
}

/// Role, split and name of a file by its path within the source; `None` for what is neither image
/// nor mask. An image and its mask have the same split and name.
pub(crate) fn place(path: &Path) -> Option<(Role, Option<SplitName>, String)> {
    let (mut role, mut split, mut name) = (None, None, Vec::new());
    for part in path.parent()?.components() {
        let part = part.as_os_str().to_string_lossy();
        match (&*part, SplitName::of(&part)) {
            ("images" | "leftImg8bit", _) => role = Some(Role::Image),
            ("masks" | "gtFine", _) => role = Some(Role::Mask),
            (_, Some(found)) => split = Some(found),
            _ => name.push(part.into_owned()),
        }
    }
    let role = role?;
    let stem = path.file_stem()?.to_string_lossy();
    let stem = match role {
        Role::Image => stem.strip_suffix("_leftImg8bit").unwrap_or(&stem),
        // Cityscapes keeps other renderings of a mask beside it.
        Role::Mask if stem.contains("_gtFine_") => stem.strip_suffix("_gtFine_labelTrainIds")?,
        Role::Mask => &stem,
    };
    name.push(stem.to_owned());
    Some((role, split, name.join("/")))
}

/// A file of a source.
pub(crate) struct Item {
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
}

/// The files of an example.
#[derive(Default)]
struct Pair {
    image: Option<Item>,
    mask: Option<Item>,
}

/// An example before it is decoded: its split, its image and its mask.
type Example = (Option<SplitName>, Item, Item);

/// How a source should look, for errors.
const LAYOUT: &str = "arrange them as train/images/NAME.png and train/masks/NAME.png";

/// Pairs images with masks, decodes them (in parallel) and sorts them into splits.
pub(crate) fn assemble(source: &Path, items: Vec<Item>) -> Result<Arrays, DataError> {
    let examples = whole(source, pair(source, items)?)?;
    check_splits(source, &examples)?;
    let size = picture(source, &examples[0].1, None)?;
    let (height, width) = (size.height, size.width);
    let decoded = decode_all(source, &examples, (height, width))?;
    let channels = decoded.iter().map(|(p, _)| p.channels).max().unwrap_or(1);
    let largest = decoded
        .iter()
        .flat_map(|(_, labels)| labels)
        .filter(|&&label| label != UNLABELED)
        .max()
        .map_or(0, |&label| usize::from(label));
    let splits = examples.iter().map(|(split, ..)| *split);
    let parts = sort(splits.zip(decoded), channels);
    let part = |(pixels, masks)| ArrayPart {
        inputs: InputRows::Bytes(pixels),
        answers: Answers::Masks(masks),
    };
    Ok(Arrays {
        input: InputShape::Image {
            height,
            width,
            channels,
        },
        task: Task::Segment {
            classes: largest + 1,
        },
        train: part(parts.train.expect("`check_splits` found training examples")),
        validation: parts.validation.map(part),
        test: parts.test.map(part),
        classes: Vec::new(),
        notes: Vec::new(),
    })
}

/// Images and masks by split and name.
fn pair(
    source: &Path,
    items: Vec<Item>,
) -> Result<BTreeMap<(Option<SplitName>, String), Pair>, DataError> {
    let mut pairs: BTreeMap<_, Pair> = BTreeMap::new();
    for item in items {
        let Some((role, split, name)) = place(&item.path) else {
            continue;
        };
        let pair = pairs.entry((split, name)).or_default();
        let slot = match role {
            Role::Image => &mut pair.image,
            Role::Mask => &mut pair.mask,
        };
        if let Some(first) = slot.replace(item) {
            return Err(DataError::malformed(
                &source.join(&first.path),
                "has the name of another file beside it, but for the ending",
                "keep one of the two",
            ));
        }
    }
    Ok(pairs)
}

/// The examples, every one with image and mask.
fn whole(
    source: &Path,
    pairs: BTreeMap<(Option<SplitName>, String), Pair>,
) -> Result<Vec<Example>, DataError> {
    let lone =
        |item: &Item, what: &str| Err(DataError::malformed(&source.join(&item.path), what, LAYOUT));
    let mut examples = Vec::with_capacity(pairs.len());
    for ((split, _), Pair { image, mask }) in pairs {
        match (image, mask) {
            (Some(image), Some(mask)) => examples.push((split, image, mask)),
            (Some(image), None) => return lone(&image, "has no mask of its name"),
            (None, Some(mask)) => return lone(&mask, "has no image of its name"),
            (None, None) => {}
        }
    }
    Ok(examples)
}

/// Refuses a source without training examples, and one with some files in split folders and others
/// outside.
fn check_splits(source: &Path, examples: &[Example]) -> Result<(), DataError> {
    let missing = |what: &str| DataError::NotFound {
        path: source.to_owned(),
        what: what.into(),
        remedy: LAYOUT.into(),
    };
    let (_, first, _) = examples
        .first()
        .ok_or_else(|| missing("no images with masks"))?;
    let sorted = examples
        .iter()
        .filter(|(split, ..)| split.is_some())
        .count();
    if sorted > 0 && sorted < examples.len() {
        return Err(DataError::malformed(
            &source.join(&first.path),
            "lies outside the split folders, unlike others",
            LAYOUT,
        ));
    }
    let in_training =
        |split: &Option<SplitName>| split.is_none_or(|split| split == SplitName::Train);
    if !examples.iter().any(|(split, ..)| in_training(split)) {
        return Err(missing("there is no training folder"));
    }
    Ok(())
}

/// Decodes every example, all images being of one size.
fn decode_all(
    source: &Path,
    examples: &[Example],
    (height, width): (usize, usize),
) -> Result<Vec<(Picture, Vec<u8>)>, DataError> {
    let all = limits::product(&[examples.len() as u64, height as u64, width as u64, 4]);
    limits::grant(source, "the decoded images", all, limits::MAX_DECODED_BYTES)?;
    examples
        .par_iter()
        .map(|(_, image, mask)| {
            let expected = (height, width);
            let labels = read(source, mask, |bytes, file| {
                decode_mask(bytes, expected, file)
            })?;
            Ok((picture(source, image, Some(expected))?, labels))
        })
        .collect()
}

/// Pixels and masks by split; gray images become as wide as the colored ones beside them.
fn sort(
    examples: impl Iterator<Item = (Option<SplitName>, (Picture, Vec<u8>))>,
    channels: usize,
) -> Splits<(Vec<u8>, Vec<u8>)> {
    let mut parts: Splits<(Vec<u8>, Vec<u8>)> = Splits::default();
    for (split, (picture, labels)) in examples {
        let (pixels, masks) = parts
            .slot(split.unwrap_or(SplitName::Train))
            .get_or_insert_default();
        if picture.channels == channels {
            pixels.extend_from_slice(&picture.pixels);
        } else {
            pixels.extend(picture.pixels.iter().flat_map(|&gray| [gray; 3]));
        }
        masks.extend_from_slice(&labels);
    }
    parts
}

/// Decodes an image.
fn picture(
    source: &Path,
    item: &Item,
    expected: Option<(usize, usize)>,
) -> Result<Picture, DataError> {
    read(source, item, |bytes, file| decode(bytes, expected, file))
}

/// What `decode` makes of a file's bytes.
fn read<T>(
    source: &Path,
    item: &Item,
    decode: impl FnOnce(&[u8], &Path) -> Result<T, DataError>,
) -> Result<T, DataError> {
    match &item.content {
        Content::Bytes(bytes) => decode(bytes, &super::archive::member_name(source, &item.path)),
        Content::File(path) => decode(&limits::read_file(path)?, path),
    }
}

/// The reader of folders and archives of images with masks.
#[derive(Debug)]
pub struct Masks;

const MASKS: Descriptor = Descriptor {
    name: "masks",
    aliases: &[],
    about: "train/images/NAME.png and train/masks/NAME.png (8-bit gray: class numbers, 255 without label): folder, .tar or .tar.gz",
    source: "",
    parameters: &[],
};

impl Described for Masks {
    fn descriptor(&self) -> &Descriptor {
        &MASKS
    }
}

impl Reader for Masks {
    fn detect(&self, folder: &Listing) -> bool {
        let mut found = [false; 2];
        let visited = visit_files(
            &folder.folder,
            Path::new(""),
            MAX_DEPTH,
            &mut |name, path| match place(&path).filter(|_| is_image(name)) {
                Some((Role::Image, ..)) => found[0] = true,
                Some((Role::Mask, ..)) => found[1] = true,
                None => {}
            },
        );
        visited.is_ok() && found == [true; 2]
    }

    fn wants(&self, member: &Path) -> bool {
        is_image(&file_name(member))
    }

    fn detect_members(&self, members: &[Member]) -> bool {
        let roles = || members.iter().filter_map(|member| place(&member.path));
        let holds = |role| roles().any(|(found, ..)| found == role);
        holds(Role::Image) && holds(Role::Mask)
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let mut items = Vec::new();
        let (path, files) = match source {
            Source::Folder(listing) => {
                let folder = &listing.folder;
                visit_files(folder, Path::new(""), MAX_DEPTH, &mut |name, path| {
                    if is_image(name) {
                        let content = Content::File(folder.join(&path));
                        items.push(Item { path, content });
                    }
                })?;
                (folder.as_path(), vec![folder.clone()])
            }
            Source::Archive(path, members) => {
                for Member { path, bytes } in members {
                    if self.wants(&path) {
                        let content = Content::Bytes(bytes);
                        items.push(Item { path, content });
                    }
                }
                (path, vec![path.to_owned()])
            }
            other => return Err(other.unrecognized(self)),
        };
        Ok(Reading::arrays(files, assemble(path, items)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_masks_are_paired_by_split_and_name() {
        let placed = |path: &str| place(Path::new(path));
        let train = Some(SplitName::Train);
        for (path, role, split, name) in [
            ("train/images/a.jpg", Role::Image, train, "a"),
            ("train/masks/a.png", Role::Mask, train, "a"),
            ("images/train/b/a.png", Role::Image, train, "b/a"),
            ("masks/a.png", Role::Mask, None, "a"),
            (
                "leftImg8bit/val/ulm/x_1_leftImg8bit.png",
                Role::Image,
                Some(SplitName::Validation),
                "ulm/x_1",
            ),
            (
                "gtFine/val/ulm/x_1_gtFine_labelTrainIds.png",
                Role::Mask,
                Some(SplitName::Validation),
                "ulm/x_1",
            ),
        ] {
            assert_eq!(placed(path), Some((role, split, name.to_owned())), "{path}");
        }
        for path in ["a.png", "train/cat/a.png", "gtFine/val/x_gtFine_color.png"] {
            assert_eq!(placed(path), None, "{path}");
        }
    }
}
