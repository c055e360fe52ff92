//! Image folders: `train/<class>/<file>` and `test/<class>/<file>` (or `<class>/<file>` alone), PNG
//! or JPEG, in a folder or an archive. Classes are sorted by name; all images have one size, or are
//! resized to one. `layout` says which folders are splits and classes.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape, Task};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageReader, Limits};
use rayon::prelude::*;

use super::archive::Member;
use super::items::{Item, Items};
use super::layout;
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::left_out::{self, shown};
use crate::limits;
use crate::listing::Listing;
use crate::paths::{file_name, has_extension};
use crate::resize::Resize;

/// Most rows or columns of an image.
pub const MAX_SIDE: u32 = 4096;

/// A decoded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 for gray, 3 for RGB.
    pub channels: usize,
    /// Channels last.
    pub pixels: Vec<u8>,
}

/// True for file names that are read as images.
pub(crate) fn is_image(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
        .to_ascii_lowercase();
    !name.starts_with('.') && matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

impl Picture {
    /// Appends the pixels, a gray one as often as there are channels.
    pub(crate) fn append(&self, channels: usize, to: &mut Vec<u8>) {
        if self.channels == channels {
            to.extend_from_slice(&self.pixels);
        } else {
            to.extend(self.pixels.iter().flat_map(|&gray| [gray; 3]));
        }
    }
}

/// What size an image should have: height and width.
#[derive(Debug, Clone, Copy)]
enum Target {
    Any,
    Exactly(usize, usize),
    Resized(usize, usize),
}

/// A decoded image, and what was done to it.
struct Loaded {
    picture: Picture,
    turned: bool,
    resized: bool,
}

/// Decodes a PNG or JPEG to 8-bit gray or RGB, turned as its EXIF orientation says; transparency is
/// dropped. With `expected`, another height or width is refused before anything is decoded. `file` is
/// named in errors.
///
/// # Errors
/// When it is neither format, damaged, larger than [`MAX_SIDE`] either way, or not as expected.
pub fn decode(
    bytes: &[u8],
    expected: Option<(usize, usize)>,
    file: &Path,
) -> Result<Picture, DataError> {
    let target = expected.map_or(Target::Any, |(height, width)| {
        Target::Exactly(height, width)
    });
    Ok(load(bytes, target, file)?.picture)
}

fn load(bytes: &[u8], target: Target, file: &Path) -> Result<Loaded, DataError> {
    let broken = |source: image::ImageError| {
        DataError::malformed(
            file,
            format!("cannot be decoded as PNG or JPEG ({source})"),
            "replace or remove it",
        )
    };
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|source| DataError::io(file, "read", source))?;
    let mut bounds = Limits::default();
    bounds.max_image_width = Some(MAX_SIDE);
    bounds.max_image_height = Some(MAX_SIDE);
    bounds.max_alloc = Some(u64::from(MAX_SIDE) * u64::from(MAX_SIDE) * 16);
    reader.limits(bounds);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    // A tag that cannot be read turns nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    let (mut height, mut width) = (height as usize, width as usize);
    if is_on_its_side(orientation) {
        std::mem::swap(&mut height, &mut width);
    }
    if let Target::Exactly(rows, columns) = target
        && (rows, columns) != (height, width)
    {
        return Err(DataError::malformed(
            file,
            format!("is {height}×{width}, the images before it {rows}×{columns}"),
            "resize the images to one size, or have them resized by the setting `resize`",
        ));
    }
    if height == 0 || width == 0 || height > MAX_SIDE as usize || width > MAX_SIDE as usize {
        return Err(DataError::malformed(
            file,
            format!("is {height}×{width}"),
            format!("images have 1 to {MAX_SIDE} rows and columns"),
        ));
    }
    let gray = matches!(
        decoder.color_type(),
        ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16
    );
    let mut picture = image::DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    let mut picture = match gray {
        true => image::DynamicImage::from(picture.into_luma8()),
        false => image::DynamicImage::from(picture.into_rgb8()),
    };
    let mut resized = false;
    if let Target::Resized(rows, columns) = target
        && (rows, columns) != (height, width)
    {
        picture = picture.resize_exact(columns as u32, rows as u32, FilterType::Triangle);
        (height, width, resized) = (rows, columns, true);
    }
    Ok(Loaded {
        picture: Picture {
            height,
            width,
            channels: if gray { 1 } else { 3 },
            pixels: picture.into_bytes(),
        },
        turned: orientation != Orientation::NoTransforms,
        resized,
    })
}

/// True where rows become columns.
fn is_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Decodes the images (in parallel) and sorts them into splits and classes.
pub(crate) fn assemble(found: Items, options: ReaderOptions<'_>) -> Result<Arrays, DataError> {
    let Items {
        source,
        items,
        empty,
        other_kinds,
        notes: others,
    } = found;
    let paths: Vec<PathBuf> = items.iter().map(|item| item.path.clone()).collect();
    let layout = layout::arrange(&source, &paths, options.parts)?;
    let mut placed: Vec<(Option<SplitName>, String, Item)> = layout
        .places
        .into_iter()
        .zip(items)
        .filter_map(|(place, item)| place.map(|(split, class)| (split, class, item)))
        .collect();
    placed.sort_by(|(a_split, a_class, a), (b_split, b_class, b)| {
        (a_split, a_class, &a.path).cmp(&(b_split, b_class, &b.path))
    });
    let classes: BTreeSet<&String> = placed.iter().map(|(_, class, _)| class).collect();
    let classes: Vec<String> = classes.into_iter().cloned().collect();
    let mut notes = layout.notes;
    notes.extend(others);
    note_empty_classes(&empty, &other_kinds, &classes, &mut notes);

    let (pictures, (height, width)) = decode_all(
        &source,
        &placed.iter().map(|(.., item)| item).collect::<Vec<_>>(),
        options.resize,
        &mut notes,
    )?;
    let channels = widest(&pictures);
    let mut parts: Splits<(Vec<u8>, Vec<u32>)> = Splits::default();
    for ((split, class, _), picture) in placed.iter().zip(pictures) {
        let (pixels, labels) = parts
            .slot(split.unwrap_or(SplitName::Train))
            .get_or_insert_default();
        picture.append(channels, pixels);
        let class = classes
            .binary_search(class)
            .expect("the class was collected above");
        labels.push(class as u32);
    }
    note_untrained(&source, &parts, &classes, &mut notes)?;
    let part = |(pixels, labels)| ArrayPart {
        inputs: InputRows::Bytes(pixels),
        answers: Answers::Classes(labels),
    };
    Ok(Arrays {
        input: InputShape::Image {
            height,
            width,
            channels,
        },
        task: Task::Classify {
            classes: classes.len(),
        },
        train: part(parts.train.expect("the layout has a training part")),
        validation: parts.validation.map(part),
        test: parts.test.map(part),
        classes,
        notes,
    })
}

/// The most channels of any picture.
pub(crate) fn widest(pictures: &[Picture]) -> usize {
    let channels = pictures.iter().map(|picture| picture.channels);
    channels.max().unwrap_or(1)
}

/// Decodes images, all to one size: that of `resize`, or of the first. Gives them in their order.
pub(crate) fn decode_all(
    source: &Path,
    items: &[&Item],
    resize: Option<Resize>,
    notes: &mut Vec<String>,
) -> Result<(Vec<Picture>, (usize, usize)), DataError> {
    let count = items.len();
    let load = |item: &Item, target| item.read(source, |bytes, file| load(bytes, target, file));
    let size = match resize {
        Some(Resize { height, width }) => (height as usize, width as usize),
        None => match items.first() {
            Some(first) => {
                let Loaded { picture, .. } = load(first, Target::Any)?;
                (picture.height, picture.width)
            }
            None => (0, 0),
        },
    };
    let all = limits::product(&[count as u64, size.0 as u64, size.1 as u64, 3]);
    limits::grant(source, "the decoded images", all, limits::MAX_DECODED_BYTES)?;
    let target = match resize {
        Some(_) => Target::Resized(size.0, size.1),
        None => Target::Exactly(size.0, size.1),
    };
    let loaded = in_order(items, |item| load(item, target))?;
    let count = |test: fn(&Loaded) -> bool| loaded.iter().filter(|one| test(one)).count();
    let (turned, resized) = (count(|one| one.turned), count(|one| one.resized));
    if turned > 0 {
        notes.push(format!(
            "{turned} images were turned as their EXIF orientation says, as viewers show them"
        ));
    }
    if resized > 0 {
        notes.push(format!(
            "{resized} of {} images had another size and were resized to {}×{}, without regard to their proportions",
            loaded.len(),
            size.0,
            size.1
        ));
    }
    Ok((loaded.into_iter().map(|one| one.picture).collect(), size))
}

/// Applies `read` to all items in parallel, and gives what it gave in their order, or the error of the
/// first item that has one, whichever thread met its own first. Little is read in vain after an error.
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    read: impl Fn(&T) -> Result<R, DataError> + Sync,
) -> Result<Vec<R>, DataError> {
    /// Enough for all threads to have work, few enough to stop soon.
    const AT_ONCE: usize = 1024;
    let mut done = Vec::with_capacity(items.len());
    for some in items.chunks(AT_ONCE) {
        let results: Vec<_> = some.par_iter().map(&read).collect();
        for result in results {
            done.push(result?);
        }
    }
    Ok(done)
}

/// Notes classes of which nothing was read: their folder is empty, or its images are of other kinds.
fn note_empty_classes(
    empty: &[PathBuf],
    other_kinds: &[PathBuf],
    classes: &[String],
    notes: &mut Vec<String>,
) {
    let of_others = other_kinds.iter().filter_map(|path| path.parent());
    let folders: BTreeSet<&Path> = empty
        .iter()
        .map(PathBuf::as_path)
        .chain(of_others)
        .collect();
    let unread = |folder: &&Path| !classes.contains(&file_name(folder));
    left_out::note(
        notes,
        "folders hold no image that is read and make no class",
        &folders.into_iter().filter(unread).collect::<Vec<_>>(),
    );
}

/// Notes classes that occur in other parts only, and refuses a part that shares none with training.
fn note_untrained(
    source: &Path,
    parts: &Splits<(Vec<u8>, Vec<u32>)>,
    classes: &[String],
    notes: &mut Vec<String>,
) -> Result<(), DataError> {
    let of = |part: &Option<(Vec<u8>, Vec<u32>)>| -> BTreeSet<u32> {
        part.iter()
            .flat_map(|(_, labels)| labels.iter().copied())
            .collect()
    };
    let train = of(&parts.train);
    for (name, part) in [("validation", &parts.validation), ("test", &parts.test)] {
        let part = of(part);
        if !part.is_empty() && part.is_disjoint(&train) {
            let names = |set: BTreeSet<u32>| {
                let names: Vec<&String> = set.iter().map(|&c| &classes[c as usize]).collect();
                shown(&names)
            };
            return Err(DataError::malformed(
                source,
                format!(
                    "its {name} part has the classes {}, its training part {}: none in common",
                    names(part),
                    names(train)
                ),
                "give both the same class folders, or leave the part out",
            ));
        }
    }
    let untrained = (0..classes.len() as u32).filter(|class| !train.contains(class));
    let untrained: Vec<&str> = untrained
        .map(|class| classes[class as usize].as_str())
        .collect();
    left_out::note(notes, "classes have no training image", &untrained);
    Ok(())
}

/// The reader of folders and archives of images by class.
#[derive(Debug)]
pub struct Images;

const IMAGES: Descriptor = Descriptor {
    name: "images",
    aliases: &[],
    about: "train/<class>/... and test/<class>/... of PNG or JPEG: folder, .zip, .tar or .tar.gz",
    source: "",
    parameters: &[],
};

impl Described for Images {
    fn descriptor(&self) -> &Descriptor {
        &IMAGES
    }
}

impl Reader for Images {
    fn settings(&self) -> &'static [&'static str] {
        &["resize"]
    }

    /// Images below a folder, unless other data lie beside a single folder of pictures.
    fn detect(&self, folder: &Listing) -> bool {
        let Ok(walk) = folder.walk() else {
            return false;
        };
        let images = walk.files.iter().filter(|path| is_image(&file_name(path)));
        let within: BTreeSet<&Path> = images
            .filter_map(|path| path.parent())
            .filter(|parent| !parent.as_os_str().is_empty())
            .collect();
        let says_split = |folder: &&Path| {
            folder
                .iter()
                .any(|name| SplitName::spoken_of(&name.to_string_lossy()).is_some())
        };
        match within.len() {
            0 => false,
            1 => within.iter().any(says_split) || !folder.any(is_other_data),
            _ => true,
        }
    }

    fn wants(&self, member: &Path) -> bool {
        is_image(&file_name(member))
    }

    /// Every archive that is of no format before this one: its errors say what is missing.
    fn detect_members(&self, _members: &[Member]) -> bool {
        true
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

/// True for the names of files that other readers read.
fn is_other_data(name: &str) -> bool {
    has_extension(
        name,
        &["csv", "tsv", "npz", "npy", "mat", "txt", "tokens", "ark"],
    )
}
