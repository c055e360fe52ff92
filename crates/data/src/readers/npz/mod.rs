//! The user's own arrays: `x_train, y_train, x_validation, y_validation, x_test, y_test`, or `x, y`
//! for one part, in an `.npz` archive or as `.npy` files of a folder. Inputs are `[number, features]`,
//! `[number, height, width]` or `[number, height, width, 1 or 3]`; labels are `[number]`, or
//! `[number, outputs]` for regression.

mod archive;
mod names;

use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape};

pub use self::archive::{Found, Named};
use self::names::{Names, Role, split_of_file};
use super::archive::member_name;
use super::csv::is_table;
use super::labels::{RawLabels, join};
use super::npy::{NpyArray, NpyValues};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::{SplitName, Splits};
use crate::arrays::{Arrays, InputRows, Shifted};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out;
use crate::limits;
use crate::listing::Listing;
use crate::parts::Place;
use crate::paths::{file_name, has_extension, parent, within};
use crate::precision::{self, Rounding};
use crate::table_options::TableOptions;

/// Parses an `.npz` archive (a zip of `.npy` files, stored or deflated); `file` is named in errors.
///
/// # Errors
/// When it is not a zip archive, a member is damaged, packed otherwise, or promises more than the
/// archive could hold.
pub fn parse(bytes: &[u8], options: &TableOptions, file: &Path) -> Result<Found, DataError> {
    let mut found = Found::default();
    let names = Names::of(options);
    let role = |name: &str| names.role(name, SplitName::Train);
    found.archive(bytes, &role, file)?;
    Ok(found)
}

/// Matches inputs with labels; `source` is named in errors.
///
/// # Errors
/// When an array is missing or there twice, shapes do not fit, numbers differ, or a value is not finite.
pub fn assemble(source: &Path, found: Found, options: &TableOptions) -> Result<Arrays, DataError> {
    let names = Names::of(options);
    if found.arrays.is_empty() {
        return Err(no_arrays(source, &found, &names));
    }
    let mut inferred = Inferred::default();
    if names.set() {
        let said = |inputs| {
            let of = found
                .arrays
                .iter()
                .filter(|named| named.role.inputs == inputs);
            of.map(|named| named.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        inferred.took("inputs", said(true));
        inferred.took("labels", said(false));
    }
    if !found.others.is_empty() {
        inferred.took("arrays left out", found.others.join(", "));
    }
    let (mut inputs, mut raw) = (Splits::default(), Splits::default());
    let mut counts: Splits<(Option<u64>, Option<u64>)> = Splits::default();
    let mut arrays_of: Splits<Vec<String>> = Splits::default();
    let mut shape = None;
    for Named { name, array, role } in found.arrays {
        arrays_of
            .slot(role.split)
            .get_or_insert_default()
            .push(name.clone());
        let here = member_name(source, Path::new(&name));
        let number = array.shape.first().copied().unwrap_or(0);
        if number == 0 || number > u64::from(u32::MAX) {
            return Err(DataError::malformed(
                &here,
                format!("has shape {:?}", array.shape),
                "the first dimension numbers the examples",
            ));
        }
        let count = counts.slot(role.split).get_or_insert_default();
        let count = if role.inputs {
            &mut count.0
        } else {
            &mut count.1
        };
        if count.replace(number).is_some() {
            return Err(DataError::malformed(
                &here,
                "is there twice",
                "keep one array of each name",
            ));
        }
        if role.inputs {
            let input = input_shape(&array.shape, &here)?;
            let known = *shape.get_or_insert(input);
            if known != input {
                return Err(DataError::malformed(
                    &here,
                    format!("its examples are {input}, others {known}"),
                    "give all splits one shape",
                ));
            }
            *inputs.slot(role.split) = Some((finite(array.values, &here)?, here));
        } else {
            *raw.slot(role.split) = Some(labels(array, &here)?);
        }
    }
    for split in [SplitName::Train, SplitName::Validation, SplitName::Test] {
        if let Some(counts) = counts.slot(split) {
            expect_pair(source, split, *counts, &names)?;
        }
    }
    let Some(input) = shape else {
        return Err(no_arrays(source, &Found::default(), &names));
    };
    for split in [SplitName::Train, SplitName::Validation, SplitName::Test] {
        if let (Some(of), Some((number, _))) = (arrays_of.slot(split), counts.slot(split)) {
            let number = number.unwrap_or(0);
            inferred.took(split.name(), format!("{} ({number})", of.join(" and ")));
        }
    }
    let mut notes = Vec::new();
    let inputs = rows(inputs, input, &mut notes)?;
    let mut arrays = join(source, input, inputs, raw, options)?;
    if !arrays.classes.is_empty() {
        let (count, shown) = (arrays.classes.len(), left_out::shown(&arrays.classes));
        inferred.took("classes", format!("{count} ({shown})"));
    }
    notes.splice(0..0, inferred.line());
    arrays.notes.splice(0..0, notes);
    Ok(arrays)
}

/// The error of a source without inputs and labels: it says what is there.
fn no_arrays(source: &Path, found: &Found, names: &Names) -> DataError {
    let there = match found.others.as_slice() {
        [] => String::new(),
        others => format!("; it holds {}", others.join(", ")),
    };
    DataError::NotFound {
        path: source.to_owned(),
        what: format!("has no arrays named {}{there}", names.wanted()),
        remedy:
            "save them by these names (np.savez(file, x_train=…, y_train=…), or x.npy and y.npy \
                 side by side), or name the arrays (`inputs-array`, `labels-array`)"
                .into(),
    }
}

/// Refuses a split without inputs or labels, or with other numbers of them.
fn expect_pair(
    source: &Path,
    split: SplitName,
    counts: (Option<u64>, Option<u64>),
    names: &Names,
) -> Result<(), DataError> {
    let missing = match counts {
        (Some(x), Some(y)) if x == y => return Ok(()),
        (Some(x), Some(y)) => {
            return Err(DataError::malformed(
                source,
                format!("has {x} inputs and {y} labels in a split"),
                "give one label for each input",
            ));
        }
        (inputs, _) => Role {
            inputs: inputs.is_none(),
            split,
        },
    };
    let split = match split {
        SplitName::Train => "train",
        SplitName::Validation => "validation",
        SplitName::Test => "test",
    };
    let name = names.named(missing);
    Err(DataError::NotFound {
        path: source.to_owned(),
        what: format!(
            "a split has inputs without labels, or labels without inputs: {name}_{split}{} is missing",
            if split == "train" {
                format!(" (or {name})")
            } else {
                String::new()
            }
        ),
        remedy:
            "name arrays in pairs: x_train and y_train, x_test and y_test, or x and y; as files, \
                 x.npy and y.npy side by side; or name them (`inputs-array`, `labels-array`)"
                .into(),
    })
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

/// Inputs as they are kept: bytes of images as bytes, everything else as floats, without offsets where
/// single precision is too coarse for the training part.
fn rows(
    mut inputs: Splits<(NpyValues, PathBuf)>,
    input: InputShape,
    notes: &mut Vec<String>,
) -> Result<Splits<InputRows>, DataError> {
    let columns = match input {
        InputShape::Image { channels, .. } => channels,
        _ => input.len(),
    };
    let offsets = match inputs.slot(SplitName::Train) {
        Some((NpyValues::Integers(values), _)) => {
            Rounding::of(values.iter().map(|&x| x as f64), columns).offsets()
        }
        Some((NpyValues::Doubles(values), _)) => {
            Rounding::of(values.iter().copied(), columns).offsets()
        }
        _ => Vec::new(),
    };
    for (i, &offset) in offsets
        .iter()
        .enumerate()
        .filter(|(_, offset)| **offset != 0.0)
    {
        notes.push(precision::note(&format!("input {i}"), offset));
    }
    let shifted = |values: &mut dyn Iterator<Item = f64>| precision::round(values, &offsets);
    inputs.try_map(|(values, file)| {
        let values = match values {
            NpyValues::Bytes(bytes)
                if offsets.is_empty() && matches!(input, InputShape::Image { .. }) =>
            {
                return Ok(InputRows::Bytes(bytes));
            }
            NpyValues::Floats(values) if offsets.is_empty() => values,
            NpyValues::Integers(values) if offsets.is_empty() => {
                values.into_iter().map(|x| x as f32).collect()
            }
            NpyValues::Bytes(bytes) => shifted(&mut bytes.into_iter().map(f64::from)),
            NpyValues::Integers(values) => shifted(&mut values.into_iter().map(|x| x as f64)),
            NpyValues::Floats(values) => shifted(&mut values.into_iter().map(f64::from)),
            NpyValues::Doubles(values) => shifted(&mut values.into_iter()),
        };
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(DataError::malformed(
                &file,
                format!("its value {at} is beyond single precision"),
                "scale the values down",
            ));
        }
        Ok(match offsets.is_empty() {
            true => InputRows::Floats(values),
            false => InputRows::Shifted(Box::new(Shifted {
                values,
                offsets: offsets.clone(),
            })),
        })
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
    let values = match finite(array.values, file)? {
        NpyValues::Bytes(bytes) if outputs == 1 => {
            return Ok(RawLabels::Integers(
                bytes.into_iter().map(i64::from).collect(),
            ));
        }
        NpyValues::Integers(values) if outputs == 1 => return Ok(RawLabels::Integers(values)),
        NpyValues::Bytes(bytes) => bytes.into_iter().map(f64::from).collect(),
        NpyValues::Integers(values) => values.into_iter().map(|x| x as f64).collect(),
        NpyValues::Floats(values) => values.into_iter().map(f64::from).collect(),
        NpyValues::Doubles(values) => values,
    };
    Ok(RawLabels::Reals { values, outputs })
}

/// Refuses values that are not finite numbers.
fn finite(values: NpyValues, file: &Path) -> Result<NpyValues, DataError> {
    let wrong = match &values {
        NpyValues::Floats(values) => {
            let at = values.iter().position(|x| !x.is_finite());
            at.map(|at| (at, f64::from(values[at])))
        }
        NpyValues::Doubles(values) => {
            let at = values.iter().position(|x| !x.is_finite());
            at.map(|at| (at, values[at]))
        }
        NpyValues::Bytes(_) | NpyValues::Integers(_) => None,
    };
    match wrong {
        None => Ok(values),
        Some((at, value)) => Err(DataError::malformed(
            file,
            format!("its value {at} is {value}"),
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
    fn settings(&self) -> &'static [&'static str] {
        &["regression", "inputs-array", "labels-array"]
    }

    fn splits_by_path(&self) -> bool {
        true
    }

    fn speaks_of(&self, name: &str) -> bool {
        is_npy(name)
    }

    fn detect(&self, folder: &Listing) -> bool {
        let archives = folder.select(is_npz);
        let by_name = |path: &PathBuf| split_of_file(path) == Some(SplitName::Train);
        // Without usual names, tables beside them go first.
        let some = !archives.is_empty() || folder.any(is_npy);
        folder.any(is_array)
            || archives.len() == 1
            || archives.iter().any(by_name)
            || some && !folder.any(is_table)
    }

    fn detect_file(&self, name: &str) -> bool {
        has_extension(name, &["npz", "npy"])
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (parts, options) = (options.parts, options.table);
        let names = Names::of(options);
        let mut outside = Vec::new();
        let (path, files) = match source {
            Source::Folder(listing) => {
                let npy = listing.select(|name| names.is_of_file(name));
                let npz = listing.select(is_npz);
                let files = match (npy.is_empty(), npz.is_empty()) {
                    (false, _) => listing.select(is_npy),
                    (true, false) => {
                        let beside = listing.select(is_npy);
                        let named = |file: &PathBuf| within(&listing.folder, file).to_owned();
                        outside.extend(beside.iter().map(named));
                        npz
                    }
                    (true, true) => listing.select(is_npy),
                };
                if files.is_empty() {
                    return Err(Source::Folder(listing).unrecognized(self));
                }
                (listing.folder.clone(), files)
            }
            // An array goes with those beside it.
            Source::File(path) if is_npy(&file_name(path)) => {
                let listing = Listing::read(parent(path))?;
                let beside = names.is_of_file(&file_name(path));
                match beside {
                    true => (listing.folder.clone(), listing.select(is_npy)),
                    false => (path.to_owned(), vec![path.to_owned()]),
                }
            }
            Source::File(path) => (path.to_owned(), vec![path.to_owned()]),
            other => return Err(other.unrecognized(self)),
        };
        let mut found = Found::default();
        for (file, place) in parts.places(&path, &files)? {
            let is_array = is_npy(&file_name(file));
            // Arrays that name no split are of their file's.
            let split = match place {
                Place::Part(split) => split,
                Place::Outside => {
                    outside.push(within(&path, file).to_owned());
                    continue;
                }
                Place::Unnamed if is_array => SplitName::Train,
                Place::Unnamed => {
                    return Err(DataError::malformed(
                        file,
                        "its name says no split",
                        "name archives train.npz, validation.npz and test.npz, give one archive, or say which is which (`train`, `test`)",
                    ));
                }
            };
            // A part that is said to be elsewhere is not read from here.
            let role = |name: &str| {
                let role = names.role(name, split)?;
                (role.split == split || !parts.names(role.split)).then_some(role)
            };
            if is_array {
                found.file(file, &role)?;
            } else {
                found.archive(&limits::read_file(file)?, &role, file)?;
            }
        }
        let mut arrays = assemble(&path, found, options)?;
        let what = "files of arrays are of no part and were left out";
        left_out::note(&mut arrays.notes, what, &outside);
        let read = |file: &PathBuf| {
            let name = file_name(file);
            is_npz(&name) || names.is_of_file(&name)
        };
        Ok(Reading::arrays(
            files.into_iter().filter(read).collect(),
            arrays,
        ))
    }
}

/// An `.npy` file named like inputs or labels.
fn is_array(name: &str) -> bool {
    Names::of(&TableOptions::default()).is_of_file(name)
}

fn is_npy(name: &str) -> bool {
    has_extension(name, &["npy"])
}

fn is_npz(name: &str) -> bool {
    has_extension(name, &["npz"])
}
