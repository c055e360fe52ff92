//! Image folders: `train/<class>/<file>` and `test/<class>/<file>` (or `<class>/<file>` alone), PNG
//! or JPEG, in a folder or a tar archive. Classes are sorted by name; all images have one size.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task};
use image::{ColorType, ImageDecoder, ImageReader, Limits};
use rayon::prelude::*;

use batchscope_core::{Described, Descriptor};

use super::archive::Member;
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::limits;
use crate::listing::{Listing, MAX_DEPTH, visit_files};
use crate::paths::file_name;

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

/// Decodes a PNG or JPEG to 8-bit gray or RGB; transparency is dropped. With `expected`, another
/// height or width is refused before anything is decoded. `file` is named in errors.
///
/// # Errors
/// When it is neither format, damaged, larger than [`MAX_SIDE`] either way, or not as expected.
pub fn decode(
    bytes: &[u8],
    expected: Option<(usize, usize)>,
    file: &Path,
) -> Result<Picture, DataError> {
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
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let (height, width) = (height as usize, width as usize);
    if let Some(expected) = expected.filter(|&expected| expected != (height, width)) {
        return Err(DataError::malformed(
            file,
            format!(
                "is {height}×{width}, the images before it {}×{}",
                expected.0, expected.1
            ),
            "resize the images to one size",
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
    let picture = image::DynamicImage::from_decoder(decoder).map_err(broken)?;
    let (channels, pixels) = if gray {
        (1, picture.into_luma8().into_raw())
    } else {
        (3, picture.into_rgb8().into_raw())
    };
    Ok(Picture {
        height,
        width,
        channels,
        pixels,
    })
}

/// An image of a source: where it belongs, and its bytes or file.
pub(crate) struct Item {
    pub(crate) split: Option<SplitName>,
    pub(crate) class: String,
    /// Path within the source: the order of the examples.
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
}

/// Where the encoded bytes are.
pub(crate) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Split and class of an image by its path within the source: the last folder is the class, the one
/// before it may name the split.
pub(crate) fn place(path: &Path) -> Option<(Option<SplitName>, String)> {
    let mut parents = path
        .parent()?
        .components()
        .rev()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let class = parents.next().filter(|class| class != ".")?;
    Some((
        parents.next().and_then(|split| SplitName::of(&split)),
        class,
    ))
}

/// Decodes the images (in parallel) and sorts them into splits and classes.
pub(crate) fn assemble(source: &Path, mut items: Vec<Item>) -> Result<Arrays, DataError> {
    items.sort_by(|a, b| (a.split, &a.class, &a.path).cmp(&(b.split, &b.class, &b.path)));
    if items.is_empty() {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "no PNG or JPEG file below a class folder".into(),
            remedy: "arrange images as train/<class>/<file> and test/<class>/<file>".into(),
        });
    }
    let stray = items.iter().find(|item| item.split.is_none());
    if let (Some(stray), Some(sorted)) = (stray, items.iter().find(|item| item.split.is_some())) {
        return Err(DataError::malformed(
            &source.join(&stray.path),
            format!(
                "lies outside the split folders, unlike {}",
                sorted.path.display()
            ),
            "arrange all images as train/<class>/<file> and test/<class>/<file>",
        ));
    }
    if stray.is_none()
        && !items
            .iter()
            .any(|item| item.split == Some(SplitName::Train))
    {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "there is no train/<class> folder".into(),
            remedy: "arrange images as train/<class>/<file> and test/<class>/<file>".into(),
        });
    }
    let classes: BTreeSet<&str> = items.iter().map(|item| item.class.as_str()).collect();
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();

    let first = load(source, &items[0], None)?;
    let (height, width) = (first.height, first.width);
    let all = limits::product(&[items.len() as u64, height as u64, width as u64, 3]);
    limits::grant(source, "the decoded images", all, limits::MAX_DECODED_BYTES)?;
    let pictures: Vec<Picture> = items
        .par_iter()
        .map(|item| load(source, item, Some((height, width))))
        .collect::<Result<_, _>>()?;
    let channels = pictures
        .iter()
        .map(|picture| picture.channels)
        .max()
        .unwrap_or(1);

    let mut parts: Splits<(Vec<u8>, Vec<u32>)> = Splits::default();
    for (item, picture) in items.iter().zip(pictures) {
        let (pixels, labels) = parts
            .slot(item.split.unwrap_or(SplitName::Train))
            .get_or_insert_default();
        if picture.channels == channels {
            pixels.extend_from_slice(&picture.pixels);
        } else {
            pixels.extend(picture.pixels.iter().flat_map(|&gray| [gray; 3]));
        }
        let class = classes
            .binary_search(&item.class)
            .expect("the class was collected above");
        labels.push(class as u32);
    }
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
        train: part(parts.train.expect("checked above")),
        validation: parts.validation.map(part),
        test: parts.test.map(part),
        classes,
        notes: Vec::new(),
    })
}

/// Decodes one image.
fn load(
    source: &Path,
    item: &Item,
    expected: Option<(usize, usize)>,
) -> Result<Picture, DataError> {
    match &item.content {
        Content::Bytes(bytes) => decode(
            bytes,
            expected,
            &super::archive::member_name(source, &item.path),
        ),
        Content::File(path) => decode(&limits::read_file(path)?, expected, path),
    }
}

/// The reader of folders and archives of images by class.
#[derive(Debug)]
pub struct Images;

const IMAGES: Descriptor = Descriptor {
    name: "images",
    aliases: &[],
    about: "train/<class>/... and test/<class>/... of PNG or JPEG: folder, .tar or .tar.gz",
    source: "",
    parameters: &[],
};

impl Described for Images {
    fn descriptor(&self) -> &Descriptor {
        &IMAGES
    }
}

impl Reader for Images {
    fn detect(&self, folder: &Listing) -> bool {
        let mut names = folder.folders.iter();
        names.any(|name| holds_images(&folder.folder.join(name), MAX_DEPTH))
    }

    fn wants(&self, member: &Path) -> bool {
        is_image(&file_name(member))
    }

    /// Every archive that is of no format before this one: its errors say what is missing.
    fn detect_members(&self, _members: &[Member]) -> bool {
        true
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let mut items = Vec::new();
        let mut add = |path: PathBuf, content| {
            if let Some((split, class)) = place(&path) {
                items.push(Item {
                    split,
                    class,
                    path,
                    content,
                });
            }
        };
        let (path, files) = match source {
            Source::Folder(listing) => {
                let folder = &listing.folder;
                visit_files(folder, Path::new(""), MAX_DEPTH, &mut |name, path| {
                    if is_image(name) {
                        let content = Content::File(folder.join(&path));
                        add(path, content);
                    }
                })?;
                (folder.as_path(), vec![folder.clone()])
            }
            Source::Archive(path, members) => {
                for Member { path, bytes } in members {
                    if self.wants(&path) {
                        add(path, Content::Bytes(bytes));
                    }
                }
                (path, vec![path.to_owned()])
            }
            other => return Err(other.unrecognized(self)),
        };
        Ok(Reading::arrays(files, assemble(path, items)?))
    }
}

/// True when an image lies in the folder or below.
fn holds_images(folder: &Path, depth: usize) -> bool {
    let Ok(listing) = Listing::read(folder) else {
        return false;
    };
    let mut names = listing.folders.iter();
    listing.any(is_image)
        || depth > 0 && names.any(|name| holds_images(&folder.join(name), depth - 1))
}
