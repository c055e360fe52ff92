//! IDX, the format of MNIST: two zero bytes, a type code, the number of dimensions, the dimensions
//! as big-endian 32-bit integers, then the values (<http://yann.lecun.com/exdb/mnist/>). Only
//! unsigned bytes (code 8) occur in image sets, and only they are read.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape, Task};

use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::limits;
use crate::listing::Listing;
use crate::parts::{PartPaths, Told};
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

/// The set that an image file belongs to: its name without the word of its split, `emnist-letters` of
/// `emnist-letters-train-images-idx3-ubyte.gz`.
fn set_of(name: &str) -> String {
    let words = prefix(name)
        .split('-')
        .filter(|word| SplitName::of(word).is_none());
    words.collect::<Vec<_>>().join("-")
}

/// The name of an image file up to what all image files are called.
fn prefix(name: &str) -> &str {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    plain
        .strip_suffix(IMAGES)
        .or_else(|| plain.strip_suffix("-images.idx3-ubyte"))
        .unwrap_or(plain)
}

/// `, such as emnist-letters-train-images-idx3-ubyte`: the training images of the set that a file belongs to.
fn training_file(name: &str, files: &[String]) -> String {
    let is_train = |file: &&String| {
        is_images(file)
            && set_of(file) == set_of(name)
            && SplitName::within(prefix(file)) == Some(SplitName::Train)
    };
    let found = files.iter().find(is_train);
    found.map_or_else(String::new, |file| format!(", such as {file}"))
}

/// Pairs image and label files of a folder by split.
fn find(folder: &Path, files: &[String], parts: &PartPaths) -> Result<Splits<Pair>, DataError> {
    let mut splits = Splits::default();
    let mut names: Vec<&String> = files.iter().filter(|name| is_images(name)).collect();
    names.sort();
    for name in names {
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        if plain != name && files.iter().any(|other| other == plain) {
            continue; // unpacked beside its archive
        }
        let prefix = prefix(name);
        let split = match parts.told(Path::new(name)) {
            Told::Part(split, _) => Some(split),
            Told::Outside => continue,
            Told::Unsaid => match SplitName::within(prefix) {
                Some(split) if parts.names(split) => continue,
                split => split,
            },
        };
        let Some(split) = split else {
            return Err(DataError::malformed(
                &folder.join(name),
                "its name says neither train nor t10k (test)",
                "name it train-images-idx3-ubyte or t10k-images-idx3-ubyte, or name the parts' image files by the settings `train` and `test`",
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
                    "is a second set of {} images beside {}",
                    split.name(),
                    images.display()
                ),
                format!(
                    "give one set by its training images{}, or keep one set per folder",
                    training_file(name, files)
                ),
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
    let mut inferred = Inferred::default();
    let names = [SplitName::Train, SplitName::Validation, SplitName::Test];
    let mut named = names
        .into_iter()
        .filter(|&name| pairs.slot(name).is_some())
        .collect::<Vec<_>>()
        .into_iter();
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
        let count = part.inputs.len() / input.len().max(1);
        let split = named.next().expect("as many as there are pairs");
        inferred.took(
            split.name(),
            format!("{} ({count})", file_name(&pair.images)),
        );
        Ok(part)
    })?;
    let classes = number_classes(&mut parts);
    let range = match &classes[..] {
        [first, .., last] => format!("{} (labels {first} to {last})", classes.len()),
        _ => classes.join(""),
    };
    inferred.took("classes", range);
    notes.splice(0..0, inferred.line());
    let train = parts.train.take().expect("there is one, or this returned");
    let (input, _) = shape.expect("a part was read");
    Ok(Arrays {
        input,
        task: Task::Classify {
            classes: classes.len(),
        },
        train,
        validation: parts.validation,
        test: parts.test,
        classes,
        notes,
    })
}

/// Numbers the labels that occur from 0, as for tables, and gives their names: the letters of EMNIST
/// are labeled 1 to 26.
fn number_classes(parts: &mut Splits<ArrayPart>) -> Vec<String> {
    let labels = parts.present().flat_map(|part| match &part.answers {
        Answers::Classes(classes) => &classes[..],
        Answers::Values(_) | Answers::Masks(_) => &[],
    });
    let labels: BTreeSet<u32> = labels.copied().collect();
    let labels = Vec::from_iter(labels);
    for part in [&mut parts.train, &mut parts.validation, &mut parts.test] {
        if let Some(ArrayPart {
            answers: Answers::Classes(classes),
            ..
        }) = part
        {
            for class in classes {
                *class = labels.partition_point(|label| label < class) as u32;
            }
        }
    }
    labels.iter().map(u32::to_string).collect()
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

    fn splits_by_path(&self) -> bool {
        true
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (listing, chosen) = match source {
            Source::Folder(listing) => (listing, None),
            Source::File(path) if is_images(&file_name(path)) => {
                (&Listing::read(parent(path))?, Some(file_name(path)))
            }
            other => return Err(other.unrecognized(self)),
        };
        let images = listing.files.iter().filter(|name| is_images(name));
        options
            .parts
            .expect_used(&listing.folder, images.map(Path::new))?;
        // With a training file that was chosen, its whole set; else what was chosen alone.
        let is_chosen = |name: &String| match &chosen {
            None => true,
            Some(chosen) if SplitName::within(chosen) == Some(SplitName::Train) => {
                set_of(name) == set_of(chosen)
                    && (SplitName::within(name) != Some(SplitName::Train) || name == chosen)
            }
            Some(chosen) => name == chosen,
        };
        let files = listing.files.iter();
        let files = files.filter(|name| !is_images(name) || is_chosen(name));
        let files: Vec<String> = files.cloned().collect();
        let pairs = find(&listing.folder, &files, options.parts)?;
        let files: Vec<PathBuf> = pairs
            .present()
            .flat_map(|pair| [pair.images.clone(), pair.labels.clone()])
            .collect();
        let arrays = read(&listing.folder, pairs, chosen.is_some())?;
        Ok(Reading::arrays(files, arrays))
    }
}
