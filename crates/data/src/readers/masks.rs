//! Segmentation folders: an image and a mask of the same name for every example, in a folder or a
//! tar archive.
//!
//! ```text
//! train/images/0001.png   train/masks/0001.png
//! val/images/0417.jpg     val/masks/0417.png       (and test/…)
//! ```
//!
//! or as Cityscapes comes: `leftImg8bit/train/CITY/NAME_leftImg8bit.png` with
//! `gtFine/train/CITY/NAME_gtFine_labelTrainIds.png`. A mask is a PNG whose gray levels, or
//! whose places in a palette as VOC has them, are class numbers from 0; 255 marks pixels without a label, unless 0 and 255 are all that occur. Other
//! common names of the folders are understood (`image` and `label`, `annotations`, VOC's), and masks
//! called `NAME_mask.png`. All images have one size, or are resized to one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape, Task};

use super::archive::Member;
use super::images::{self, Picture, is_image};
use super::items::{Item, Items};
use super::levels;
pub use super::levels::decode_mask;
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits, words};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out;
use crate::listing::Listing;
use crate::parts::{PartPaths, Told};
use crate::paths::file_name;

/// What a file of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Image,
    Mask,
}

impl Role {
    /// The role of the files in a folder of this name, alone or with the name of a split
    /// (`train_masks`).
    fn of(folder: &str) -> Option<Self> {
        match folder {
            "leftImg8bit" | "JPEGImages" => return Some(Self::Image),
            "gtFine" | "SegmentationClass" => return Some(Self::Mask),
            _ => {}
        }
        let words = words(folder);
        let mut rest = words.iter().filter(|word| SplitName::of(word).is_none());
        let (Some(word), None) = (rest.next(), rest.next()) else {
            return None;
        };
        match word.as_str() {
            "images" | "image" | "imgs" | "img" => Some(Self::Image),
            "masks" | "mask" | "labels" | "label" | "annotations" | "annotation" | "gt"
            | "groundtruth" => Some(Self::Mask),
            _ => None,
        }
    }
}

/// Role, split and name of a file by its path within the source; `None` for what is neither image
/// nor mask. An image and its mask have the same split and name.
pub(crate) fn place(path: &Path) -> Option<(Role, Option<SplitName>, String)> {
    let (mut role, mut split, mut name) = (None, None, Vec::new());
    for part in path.parent()?.components() {
        let part = part.as_os_str().to_string_lossy();
        match (Role::of(&part), SplitName::spoken_of(&part)) {
            (None, None) if part != "." => name.push(part.into_owned()),
            (found, named) => (role, split) = (found.or(role), named.or(split)),
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

/// The name of the image that a mask of this name may belong to: `7` for `7_mask`.
fn without_ending(name: &str) -> Option<&str> {
    [
        "_mask",
        "_masks",
        "-mask",
        "_label",
        "_labels",
        "_gt",
        "_seg",
        "_segmentation",
        "_annotation",
    ]
    .iter()
    .find_map(|ending| name.strip_suffix(ending))
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
pub(crate) fn assemble(found: Items, options: ReaderOptions<'_>) -> Result<Arrays, DataError> {
    let Items {
        source,
        items,
        notes: others,
        ..
    } = found;
    options
        .parts
        .expect_used(&source, items.iter().map(|item| item.path.as_path()))?;
    let mut left_out = Vec::new();
    let examples = whole(&source, pair(&source, items, options.parts, &mut left_out)?)?;
    check_splits(&source, &examples)?;
    let mut notes = others;
    left_out::note(
        &mut notes,
        "images are neither image nor mask of an example and were left out",
        &left_out,
    );
    let images: Vec<_> = examples.iter().map(|(_, image, _)| image).collect();
    let (pictures, size) = images::decode_all(&source, &images, options.resize, &mut notes)?;
    let (height, width) = size;
    let mut masks = images::in_order(&examples, |(_, _, mask)| {
        let expected = options.resize.is_none().then_some(size);
        mask.read(&source, |bytes, file| {
            levels::decode(bytes, expected, options.resize, file)
        })
    })?;
    let paths: Vec<&Path> = examples
        .iter()
        .map(|(.., mask)| mask.path.as_path())
        .collect();
    let (classes, said) = levels::number(&source, &paths, &mut masks)?;
    let mut inferred = Inferred::default();
    for split in [SplitName::Train, SplitName::Validation, SplitName::Test] {
        let of = |example: &&Example| example.0.unwrap_or(SplitName::Train) == split;
        let mut of_split = examples.iter().filter(of);
        if let Some((_, image, mask)) = of_split.next() {
            let (image, mask) = (image.path.display(), mask.path.display());
            inferred.took(
                split.name(),
                format!("{image} with {mask}, … ({})", 1 + of_split.count()),
            );
        }
    }
    inferred.took("classes", said);
    notes.splice(0..0, inferred.line());
    let channels = images::widest(&pictures);
    let splits = examples.iter().map(|(split, ..)| *split);
    let parts = sort(splits.zip(pictures.into_iter().zip(masks)), channels);
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
        task: Task::Segment { classes },
        train: part(parts.train.expect("`check_splits` found training examples")),
        validation: parts.validation.map(part),
        test: parts.test.map(part),
        classes: Vec::new(),
        notes,
    })
}

/// Images and masks by split and name.
type Pairs = BTreeMap<(Option<SplitName>, String), Pair>;

/// Pairs the files; what is neither goes to `left_out`.
fn pair(
    source: &Path,
    items: Vec<Item>,
    parts: &PartPaths,
    left_out: &mut Vec<PathBuf>,
) -> Result<Pairs, DataError> {
    let mut pairs: Pairs = BTreeMap::new();
    for item in items {
        let told = parts.told(&item.path);
        let placed = place(&item.path).and_then(|(role, named, name)| match told {
            Told::Part(split, _) => Some((role, Some(split), name)),
            Told::Outside => None,
            Told::Unsaid if named.is_some_and(|named| parts.names(named)) => None,
            Told::Unsaid if parts.is_empty() => Some((role, named, name)),
            Told::Unsaid => Some((role, named.or(Some(SplitName::Train)), name)),
        });
        let Some((role, split, name)) = placed else {
            left_out.push(item.path);
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
    // Masks called after their image with an ending of their own.
    let lone = |(key, pair): (&(Option<SplitName>, String), &Pair)| {
        let image = (key.0, without_ending(&key.1)?.to_owned());
        let waits = pairs
            .get(&image)
            .is_some_and(|p| p.image.is_some() && p.mask.is_none());
        (pair.image.is_none() && waits).then(|| (key.clone(), image))
    };
    let renamed: Vec<_> = pairs.iter().filter_map(lone).collect();
    for (key, image) in renamed {
        let mask = pairs.remove(&key).and_then(|pair| pair.mask);
        if let Some(pair) = pairs.get_mut(&image) {
            pair.mask = mask;
        }
    }
    Ok(pairs)
}

/// The examples, every one with image and mask.
fn whole(source: &Path, pairs: Pairs) -> Result<Vec<Example>, DataError> {
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
        picture.append(channels, pixels);
        masks.extend_from_slice(&labels);
    }
    parts
}

/// The reader of folders and archives of images with masks.
#[derive(Debug)]
pub struct Masks;

const MASKS: Descriptor = Descriptor {
    name: "masks",
    aliases: &[],
    about: "train/images/NAME.png and train/masks/NAME.png (8-bit gray: class numbers, 255 without label): folder, .zip, .tar or .tar.gz",
    source: "",
    parameters: &[],
};

impl Described for Masks {
    fn descriptor(&self) -> &Descriptor {
        &MASKS
    }
}

impl Reader for Masks {
    fn settings(&self) -> &'static [&'static str] {
        &["resize"]
    }

    fn detect(&self, folder: &Listing) -> bool {
        folder
            .walk()
            .is_ok_and(|walk| holds_both(walk.files.iter()))
    }

    fn wants(&self, member: &Path) -> bool {
        is_image(&file_name(member))
    }

    fn detect_members(&self, members: &[Member]) -> bool {
        holds_both(members.iter().map(|member| &member.path))
    }

    fn splits_by_path(&self) -> bool {
        true
    }

    fn speaks_of(&self, _name: &str) -> bool {
        true
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let found = Items::of(source, self)?;
        let files = vec![found.source.clone()];
        Ok(Reading::arrays(files, assemble(found, options)?))
    }
}

/// True where some image files are called images and others masks.
fn holds_both<'a>(files: impl Iterator<Item = &'a PathBuf>) -> bool {
    let mut found = [false; 2];
    for path in files.filter(|path| is_image(&file_name(path))) {
        match place(path) {
            Some((Role::Image, ..)) => found[0] = true,
            Some((Role::Mask, ..)) => found[1] = true,
            None => {}
        }
    }
    found == [true; 2]
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
            ("train/label/a.png", Role::Mask, train, "a"),
            ("annotations/training/a.png", Role::Mask, train, "a"),
            ("./train_masks/a.png", Role::Mask, train, "a"),
            ("JPEGImages/a.jpg", Role::Image, None, "a"),
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
