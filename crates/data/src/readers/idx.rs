//! IDX, the format of MNIST: two zero bytes, a type code, the number of dimensions, the dimensions
//! as big-endian 32-bit integers, then the values (<http://yann.lecun.com/exdb/mnist/>). Only
//! unsigned bytes (code 8) occur in image sets, and only they are read.

use std::io::Read;
use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task};

use batchscope_core::{Described, Descriptor};

use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::limits;
use crate::listing::Listing;
use crate::paths::{file_name, parent};

/// An array of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxArray {
    /// Its dimensions, one to four.
    pub dimensions: Vec<u64>,
    /// Row-major values; as many as the product of the dimensions.
    pub values: Vec<u8>,
}

/// Parses an IDX file, plain or gzip'd; `file` is named in errors.
///
/// # Errors
/// When the header is not IDX of unsigned bytes, promises more than the file could hold, or the
/// values are fewer or more than promised.
pub fn parse(bytes: &[u8], file: &Path) -> Result<IdxArray, DataError> {
    let (mut reader, could_hold) = limits::inflate(bytes);
    let header = limits::take(file, "the header", &mut reader, 4)?;
    let [0, 0, kind, rank] = header[..] else {
        return Err(DataError::malformed(
            file,
            format!("does not begin like IDX (00 00 08 NN) but with {header:02x?}"),
            "give the original file, plain or gzip'd",
        ));
    };
    if kind != 8 {
        return Err(DataError::malformed(
            file,
            format!("holds values of type code {kind:#04x}"),
            "only unsigned bytes (0x08) are read; for other types save a .npz",
        ));
    }
    if !(1..=4).contains(&rank) {
        return Err(DataError::corrupt(
            file,
            format!("has {rank} dimensions where 1 to 4 are sensible"),
        ));
    }
    let sizes = limits::take(file, "the dimensions", &mut reader, 4 * u64::from(rank))?;
    let dimensions: Vec<u64> = sizes
        .chunks_exact(4)
        .map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])))
        .collect();
    let promised = limits::product(&dimensions);
    if promised > u128::from(could_hold) {
        return Err(DataError::corrupt(
            file,
            format!(
                "its header promises {dimensions:?} = {promised} bytes, more than the file can hold"
            ),
        ));
    }
    let promised = limits::grant(file, "the array", promised, limits::MAX_DECODED_BYTES)?;
    let values = limits::take(file, "the array", &mut reader as &mut dyn Read, promised)?;
    limits::expect_end(file, &mut reader)?;
    Ok(IdxArray { dimensions, values })
}

/// The two files of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) images: PathBuf,
    pub(crate) labels: PathBuf,
}

const IMAGES: &str = "-images-idx3-ubyte";
const LABELS: &str = "-labels-idx1-ubyte";

/// True for the name of an IDX image file.
pub(crate) fn is_images(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.ends_with(IMAGES) || name.ends_with("-images.idx3-ubyte")
}

/// Pairs image and label files of a folder by split.
pub(crate) fn find(folder: &Path, files: &[String]) -> Result<Splits<Pair>, DataError> {
    let mut splits = Splits::default();
    let mut names: Vec<&String> = files.iter().filter(|name| is_images(name)).collect();
    names.sort();
    for name in names {
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        if plain != name && files.iter().any(|other| other == plain) {
            continue; // unpacked beside its archive
        }
        let prefix = plain
            .strip_suffix(IMAGES)
            .or_else(|| plain.strip_suffix("-images.idx3-ubyte"))
            .unwrap_or(plain);
        let Some(split) = SplitName::within(prefix) else {
            return Err(DataError::malformed(
                &folder.join(name),
                "its name says neither train nor t10k (test)",
                "name it train-images-idx3-ubyte or t10k-images-idx3-ubyte",
            ));
        };
        let candidates = [LABELS, "-labels.idx1-ubyte"]
            .into_iter()
            .flat_map(|end| [format!("{prefix}{end}"), format!("{prefix}{end}.gz")]);
        let Some(labels) = candidates.into_iter().find(|label| files.contains(label)) else {
            return Err(DataError::NotFound {
                path: folder.join(name),
                what: format!("its labels are missing: no {prefix}{LABELS}[.gz] beside it"),
                remedy: "put the label file into the same folder".into(),
            });
        };
        let slot = splits.slot(split);
        if let Some(Pair { images, .. }) = slot {
            return Err(DataError::malformed(
                &folder.join(name),
                format!(
                    "is a second set of {split:?} images beside {}",
                    images.display()
                )
                .to_lowercase(),
                "keep one data set per folder",
            ));
        }
        *slot = Some(Pair {
            images: folder.join(name),
            labels: folder.join(labels),
        });
    }
    Ok(splits)
}

/// Reads the pairs of a folder. Where only a test part is there it is refused, because a study of it
/// would pass for one of the data set; unless it is `chosen`, its file named itself.
pub(crate) fn read(
    folder: &Path,
    mut pairs: Splits<Pair>,
    chosen: bool,
) -> Result<Arrays, DataError> {
    let mut notes = Vec::new();
    if pairs.train.is_none() {
        let missing = |beside: String| {
            format!(
                "the training files train{IMAGES}[.gz] and train{LABELS}[.gz] are missing{beside}"
            )
        };
        let Some(other) = pairs.validation.take().or(pairs.test.take()) else {
            return Err(DataError::NotFound {
                path: folder.to_owned(),
                what: missing(String::new()),
                remedy: "give the folder that holds them".into(),
            });
        };
        let name = file_name(&other.images);
        if !chosen {
            return Err(DataError::NotFound {
                path: folder.to_owned(),
                what: missing(format!(" beside {name}")),
                remedy: format!("put them there, or give {name} itself to train on it"),
            });
        }
        notes.push(format!(
            "{name} was used to train; by its name it is not a training part"
        ));
        pairs.train = Some(other);
    }
    let mut shape: Option<(InputShape, PathBuf)> = None;
    let mut parts = pairs.try_map(|pair| {
        let (part, input) = part(&pair)?;
        match &shape {
            Some((known, first)) if *known != input => {
                return Err(DataError::malformed(
                    &pair.images,
                    format!(
                        "its images are {}, those of {} are {}",
                        input,
                        first.display(),
                        known
                    ),
                    "all splits must have images of one size",
                ));
            }
            _ => shape = Some((input, pair.images.clone())),
        }
        Ok(part)
    })?;
    let train = parts.train.take().expect("there is one, or this returned");
    let (input, _) = shape.expect("a part was read");
    let most = [Some(&train), parts.validation.as_ref(), parts.test.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|part| match &part.answers {
            Answers::Classes(classes) => classes.iter().max(),
            Answers::Values(_) | Answers::Masks(_) => None,
        })
        .max();
    let classes = most.map_or(0, |&most| most as usize + 1);
    Ok(Arrays {
        input,
        task: Task::Classify { classes },
        train,
        validation: parts.validation,
        test: parts.test,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        notes,
    })
}

/// Reads the two files of a split and matches them.
fn part(pair: &Pair) -> Result<(ArrayPart, InputShape), DataError> {
    let images = parse(&limits::read_file(&pair.images)?, &pair.images)?;
    let labels = parse(&limits::read_file(&pair.labels)?, &pair.labels)?;
    join(images, labels, &pair.images, &pair.labels)
}

/// Matches images with their labels; the files are named in errors.
///
/// # Errors
/// When one is not images or labels, is empty, or their numbers differ.
pub fn join(
    images: IdxArray,
    labels: IdxArray,
    images_file: &Path,
    labels_file: &Path,
) -> Result<(ArrayPart, InputShape), DataError> {
    let (count, height, width, channels) = match images.dimensions[..] {
        [n, h, w] => (n, h, w, 1),
        [n, h, w, c @ (1 | 3)] => (n, h, w, c),
        _ => {
            return Err(DataError::malformed(
                images_file,
                format!("holds an array of {:?}, not images", images.dimensions),
                "images are [number, height, width]",
            ));
        }
    };
    if images.values.is_empty() || count > u64::from(u32::MAX) {
        return Err(DataError::corrupt(
            images_file,
            format!("holds {count} images of {height}×{width}, nothing to learn from"),
        ));
    }
    let [label_count] = labels.dimensions[..] else {
        return Err(DataError::malformed(
            labels_file,
            format!("holds an array of {:?}, not labels", labels.dimensions),
            "labels are [number]",
        ));
    };
    if label_count != count {
        return Err(DataError::malformed(
            labels_file,
            format!(
                "holds {label_count} labels for the {count} images of {}",
                images_file.display()
            ),
            "the two files belong to different data sets, or one is damaged: fetch both again",
        ));
    }
    let input = InputShape::Image {
        height: height as usize,
        width: width as usize,
        channels: channels as usize,
    };
    let classes = labels.values.into_iter().map(u32::from).collect();
    Ok((
        ArrayPart {
            inputs: InputRows::Bytes(images.values),
            answers: Answers::Classes(classes),
        },
        input,
    ))
}

/// The reader of this format.
#[derive(Debug)]
pub struct Idx;

const IDX: Descriptor = Descriptor {
    name: "idx",
    aliases: &[],
    about: "folder of *-images-idx3-ubyte[.gz] and *-labels-idx1-ubyte[.gz] (MNIST, Fashion-MNIST, ...)",
    source: "",
    parameters: &[],
};

impl Described for Idx {
    fn descriptor(&self) -> &Descriptor {
        &IDX
    }
}

impl Reader for Idx {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(is_images)
    }

    fn detect_file(&self, name: &str) -> bool {
        is_images(name)
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (listing, chosen) = match source {
            Source::Folder(listing) => (listing, None),
            Source::File(path) if is_images(&file_name(path)) => {
                (&Listing::read(parent(path))?, Some(file_name(path)))
            }
            other => return Err(other.unrecognized(self)),
        };
        // Of the images only those that were chosen, and the labels beside them.
        let others = |name: &String| !is_images(name) || chosen.as_ref().is_none_or(|c| c == name);
        let files = listing.files.iter().filter(|name| others(name));
        let files: Vec<String> = files.cloned().collect();
        let pairs = find(&listing.folder, &files)?;
        let files = pairs
            .present()
            .flat_map(|pair| [pair.images.clone(), pair.labels.clone()])
            .collect();
        let arrays = read(&listing.folder, pairs, chosen.is_some())?;
        Ok(Reading::arrays(files, arrays))
    }
}
