//! The user's own arrays: `x_train, y_train, x_validation, y_validation, x_test, y_test`, or `x, y`
//! for one part, in an `.npz` archive or as `.npy` files of a folder. Inputs are `[number, features]`,
//! `[number, height, width]` or `[number, height, width, 1 or 3]`; labels are `[number]`, or
//! `[number, outputs]` for regression.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use batchscope_core::InputShape;

use batchscope_core::{Described, Descriptor};

use super::archive::member_name;
use super::labels::{RawLabels, join};
use super::npy::{self, NpyArray, NpyValues};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Arrays, InputRows};
use crate::error::DataError;
use crate::limits;
use crate::listing::Listing;
use crate::options::TableTask;
use crate::paths::{file_name, has_extension, parent};

/// An array and its name, without `.npy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The array.
    pub array: NpyArray,
}

/// Parses an `.npz` archive (a zip of `.npy` files, stored or deflated); `file` is named in errors.
///
/// # Errors
/// When it is not a zip archive, a member is damaged or promises more than the archive could hold.
pub fn parse(bytes: &[u8], file: &Path) -> Result<Vec<Named>, DataError> {
    let broken = |error: zip::result::ZipError| {
        DataError::corrupt(file, format!("is not a whole .npz archive ({error})"))
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let could_hold = (bytes.len() as u64)
        .saturating_mul(limits::MAX_DEFLATE_RATIO)
        .min(limits::MAX_DECODED_BYTES);
    let (mut arrays, mut total) = (Vec::new(), 0u64);
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(broken)?;
        let path = PathBuf::from(&*member.name().map_err(broken)?);
        let name = file_name(&path);
        let Some(name) = name
            .strip_suffix(".npy")
            .filter(|name| split_of(name).is_some())
        else {
            continue;
        };
        let path = member_name(file, &path);
        total = total.saturating_add(member.size());
        limits::grant(&path, "the arrays", u128::from(total), could_hold)?;
        let promised = member.size();
        let content = limits::take(&path, "the array", &mut member, promised)?;
        limits::expect_end(&path, &mut member)?;
        arrays.push(Named {
            name: name.to_owned(),
            array: npy::parse(&content, &path)?,
        });
    }
    Ok(arrays)
}

/// Whether an array of this name is inputs (`true`) or labels, and of which split.
pub(crate) fn split_of(name: &str) -> Option<(bool, SplitName)> {
    let name = name.to_ascii_lowercase();
    let (kind, split) = name.split_once('_').unwrap_or((&name, "train"));
    let inputs = match kind {
        "x" => true,
        "y" => false,
        _ => return None,
    };
    Some((inputs, SplitName::of(split)?))
}

/// Reads `.npy` files.
pub(crate) fn read_files(files: &[PathBuf]) -> Result<Vec<Named>, DataError> {
    let named = files.iter().filter_map(|file| {
        let name = file_name(file);
        let name = name
            .strip_suffix(".npy")
            .filter(|name| split_of(name).is_some())?
            .to_owned();
        let read = || {
            Ok(Named {
                name,
                array: npy::parse(&limits::read_file(file)?, file)?,
            })
        };
        Some(read())
    });
    named.collect()
}

/// Matches inputs with labels; `source` is named in errors.
///
/// # Errors
/// When an array is missing or there twice, shapes do not fit, numbers differ, or a value is not finite.
pub fn assemble(source: &Path, arrays: Vec<Named>, task: TableTask) -> Result<Arrays, DataError> {
    let (mut inputs, mut raw) = (Splits::default(), Splits::default());
    let mut counts: Splits<(Option<u64>, Option<u64>)> = Splits::default();
    let mut shape = None;
    for Named { name, array } in arrays {
        let Some((is_input, split)) = split_of(&name) else {
            continue;
        };
        let here = member_name(source, Path::new(&name));
        let number = array.shape.first().copied().unwrap_or(0);
        if number == 0 || number > u64::from(u32::MAX) {
            return Err(DataError::malformed(
                &here,
                format!("has shape {:?}", array.shape),
                "the first dimension numbers the examples",
            ));
        }
        let count = counts.slot(split).get_or_insert_default();
        let count = if is_input { &mut count.0 } else { &mut count.1 };
        if count.replace(number).is_some() {
            return Err(DataError::malformed(
                &here,
                "is there twice",
                "keep one array of each name",
            ));
        }
        if is_input {
            let input = input_shape(&array.shape, &here)?;
            let known = *shape.get_or_insert(input);
            if known != input {
                return Err(DataError::malformed(
                    &here,
                    format!("its examples are {input}, others {known}"),
                    "give all splits one shape",
                ));
            }
            *inputs.slot(split) = Some(rows(array.values, input, &here)?);
        } else {
            *raw.slot(split) = Some(labels(array, &here)?);
        }
    }
    for count in counts.present() {
        match count {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => {
                return Err(DataError::malformed(
                    source,
                    format!("has {x} inputs and {y} labels in a split"),
                    "give one label for each input",
                ));
            }
            _ => {
                return Err(DataError::NotFound {
                    path: source.to_owned(),
                    what: "a split has inputs without labels, or labels without inputs".into(),
                    remedy:
                        "name arrays in pairs: x_train and y_train, x_test and y_test, or x and y"
                            .into(),
                });
            }
        }
    }
    let input = shape.ok_or_else(|| DataError::NotFound {
        path: source.to_owned(),
        what: "has no arrays named x_train and y_train, or x and y".into(),
        remedy: "save them by these names: np.savez(file, x_train=…, y_train=…)".into(),
    })?;
    join(source, input, inputs, raw, task)
}

fn input_shape(shape: &[u64], file: &Path) -> Result<InputShape, DataError> {
    let input = match *shape {
        [_] => InputShape::Vector { features: 1 },
        [_, features] => InputShape::Vector {
            features: features as usize,
        },
        [_, height, width] => InputShape::Image {
            height: height as usize,
            width: width as usize,
            channels: 1,
        },
        [_, height, width, channels @ (1 | 3)] => InputShape::Image {
            height: height as usize,
            width: width as usize,
            channels: channels as usize,
        },
        _ => {
            return Err(DataError::malformed(
                file,
                format!("has shape {shape:?}"),
                "inputs are [number, features], [number, height, width] or [number, height, width, 1 or 3]",
            ));
        }
    };
    if shape[1..].contains(&0) {
        return Err(DataError::malformed(
            file,
            format!("has shape {shape:?}: its examples are empty"),
            "give every example at least one number",
        ));
    }
    Ok(input)
}

/// Bytes stay bytes for images; everything else becomes floats.
fn rows(values: NpyValues, input: InputShape, file: &Path) -> Result<InputRows, DataError> {
    Ok(match (values, input) {
        (NpyValues::Bytes(bytes), InputShape::Image { .. }) => InputRows::Bytes(bytes),
        (NpyValues::Bytes(bytes), _) => {
            InputRows::Floats(bytes.into_iter().map(f32::from).collect())
        }
        (NpyValues::Integers(values), _) => {
            InputRows::Floats(values.into_iter().map(|x| x as f32).collect())
        }
        (NpyValues::Floats(values), _) => InputRows::Floats(finite(values, file)?),
    })
}

fn labels(array: NpyArray, file: &Path) -> Result<RawLabels, DataError> {
    let outputs = match array.shape[..] {
        [_] => 1,
        [_, outputs] if (1..=65_536).contains(&outputs) => outputs as usize,
        _ => {
            return Err(DataError::malformed(
                file,
                format!("has shape {:?}", array.shape),
                "labels are [number], or [number, outputs]",
            ));
        }
    };
    Ok(match array.values {
        NpyValues::Bytes(bytes) if outputs == 1 => {
            RawLabels::Integers(bytes.into_iter().map(i64::from).collect())
        }
        NpyValues::Integers(values) if outputs == 1 => RawLabels::Integers(values),
        NpyValues::Bytes(bytes) => RawLabels::Reals {
            values: bytes.into_iter().map(f32::from).collect(),
            outputs,
        },
        NpyValues::Integers(values) => RawLabels::Reals {
            values: values.into_iter().map(|x| x as f32).collect(),
            outputs,
        },
        NpyValues::Floats(values) => RawLabels::Reals {
            values: finite(values, file)?,
            outputs,
        },
    })
}

fn finite(values: Vec<f32>, file: &Path) -> Result<Vec<f32>, DataError> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values),
        Some(at) => Err(DataError::malformed(
            file,
            format!("its value {at} is {}", values[at]),
            "replace values that are not finite numbers",
        )),
    }
}

/// The reader of this format.
#[derive(Debug)]
pub struct Numpy;

const NUMPY: Descriptor = Descriptor {
    name: "numpy",
    aliases: &[],
    about: "x_train, y_train, x_test, y_test (or x, y): .npz, or folder of .npy",
    source: "",
    parameters: &[],
};

impl Described for Numpy {
    fn descriptor(&self) -> &Descriptor {
        &NUMPY
    }
}

impl Reader for Numpy {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(is_array) || folder.select(is_npz).len() == 1
    }

    fn detect_file(&self, name: &str) -> bool {
        has_extension(name, &["npz", "npy"])
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let task = options.table.task;
        let archive = |path: &Path| {
            let arrays = parse(&limits::read_file(path)?, path)?;
            let arrays = assemble(path, arrays, task)?;
            Ok(Reading::arrays(vec![path.to_owned()], arrays))
        };
        let listing = match source {
            Source::Folder(listing) => listing,
            // An array goes with those beside it.
            Source::File(path) if is_array(&file_name(path)) => &Listing::read(parent(path))?,
            Source::File(path) => return archive(path),
            other => return Err(other.unrecognized(self)),
        };
        let files = listing.select(is_array);
        if files.is_empty() {
            let archives = listing.select(is_npz);
            let only = archives.first();
            let only = only.ok_or_else(|| Source::Folder(listing).unrecognized(self))?;
            return archive(only);
        }
        let arrays = assemble(&listing.folder, read_files(&files)?, task)?;
        Ok(Reading::arrays(files, arrays))
    }
}

/// An `.npy` file named like inputs or labels.
fn is_array(name: &str) -> bool {
    name.strip_suffix(".npy")
        .is_some_and(|name| split_of(name).is_some())
}

fn is_npz(name: &str) -> bool {
    has_extension(name, &["npz"])
}
