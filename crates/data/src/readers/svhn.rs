//! SVHN's cropped digits (<http://ufldl.stanford.edu/housenumbers>): `X` of 32×32×3×number and `y` of
//! 1..=10, where 10 is the digit 0.

use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape, Task};

use super::mat::{self, MatValues, Variable};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::Splits;
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::limits;
use crate::listing::Listing;
use crate::parts::{PartPaths, Place};
use crate::paths::{file_name, has_extension};

/// The images of a file and their size; `file` is named in errors.
///
/// # Errors
/// When `X` or `y` is missing, of another shape, or a label is not a digit.
pub fn part(variables: Vec<Variable>, file: &Path) -> Result<(ArrayPart, InputShape), DataError> {
    let (mut images, mut labels) = (None, None);
    for variable in variables {
        match variable.name.as_str() {
            "X" => images = Some(variable),
            "y" => labels = Some(variable),
            _ => {}
        }
    }
    let (Some(images), Some(labels)) = (images, labels) else {
        return Err(DataError::malformed(
            file,
            "has no arrays X and y",
            "give SVHN's cropped digits (train_32x32.mat)",
        ));
    };
    let ([height, width, channels @ (1 | 3), count], MatValues::Bytes(stored)) =
        (&images.dimensions[..], images.values)
    else {
        return Err(DataError::malformed(
            file,
            format!("its X is {:?}", images.dimensions),
            "X must be bytes of [rows, columns, 1 or 3, number]",
        ));
    };
    let (height, width, channels, count) = (
        *height as usize,
        *width as usize,
        *channels as usize,
        *count as usize,
    );
    if stored.is_empty() || u32::try_from(count).is_err() {
        return Err(DataError::corrupt(file, "its X holds no images"));
    }
    let digits: Vec<f64> = match labels.values {
        MatValues::Bytes(bytes) => bytes.into_iter().map(f64::from).collect(),
        MatValues::Doubles(values) => values,
    };
    if digits.len() != count {
        return Err(DataError::corrupt(
            file,
            format!("holds {} labels for {count} images", digits.len()),
        ));
    }
    let classes = digits.iter().map(|&digit| match digit {
        10.0 => Ok(0),
        d if d.fract() == 0.0 && (0.0..10.0).contains(&d) => Ok(d as u32),
        d => Err(DataError::corrupt(
            file,
            format!("has a label {d}, which is no digit"),
        )),
    });
    let classes = classes.collect::<Result<_, _>>()?;
    // Column-major [row, column, channel, number] becomes row-major [number, row, column, channel].
    let plane = height * width;
    let mut pixels = vec![0u8; stored.len()];
    for (image, out) in stored
        .chunks_exact(plane * channels)
        .zip(pixels.chunks_exact_mut(plane * channels))
    {
        for (at, out) in out.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (at / width, at % width);
            for (channel, out) in out.iter_mut().enumerate() {
                *out = image[channel * plane + column * height + row];
            }
        }
    }
    Ok((
        ArrayPart {
            inputs: InputRows::Bytes(pixels),
            answers: Answers::Classes(classes),
        },
        InputShape::Image {
            height,
            width,
            channels,
        },
    ))
}

/// Reads the `.mat` files of a folder; `extra_32x32.mat` is left alone.
fn read(
    source: &Path,
    files: &[PathBuf],
    parts: &PartPaths,
) -> Result<(Arrays, Vec<PathBuf>), DataError> {
    let mut paths: Splits<PathBuf> = Splits::default();
    let mut notes = Vec::new();
    for (file, place) in parts.places(source, files)? {
        match place {
            Place::Part(split) => paths.claim(split, file)?,
            Place::Outside | Place::Unnamed => notes.push(format!(
                "{} was not used: its name says neither train nor test",
                file_name(file)
            )),
        }
    }
    let used = paths.present().cloned().collect();
    let named = paths.clone();
    let mut shape = None;
    let parts = paths.try_map(|file| {
        let (part, input) = part(mat::parse(&limits::read_file(&file)?, &file)?, &file)?;
        if *shape.get_or_insert(input) != input {
            return Err(DataError::malformed(
                &file,
                "its images have another size than those of the other files",
                "give all splits one size",
            ));
        }
        Ok(part)
    })?;
    let mut inferred = Inferred::default();
    for (name, file, part) in [
        ("train", &named.train, &parts.train),
        ("validation", &named.validation, &parts.validation),
        ("test", &named.test, &parts.test),
    ] {
        if let (Some(file), Some(part), Some(input)) = (file, part, &shape) {
            let count = part.inputs.len() / input.len();
            inferred.took(name, format!("{} ({count})", file_name(file)));
        }
    }
    inferred.took("classes", "the digits 0 to 9, 10 standing for 0");
    notes.splice(0..0, inferred.line());
    let (Some(train), Some(input)) = (parts.train, shape) else {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "there is no train_32x32.mat".into(),
            remedy: "put it beside the test file".into(),
        });
    };
    let classes: Vec<String> = (0..10).map(|digit: u32| digit.to_string()).collect();
    let arrays = Arrays {
        input,
        task: Task::Classify { classes: 10 },
        train,
        validation: parts.validation,
        test: parts.test,
        classes,
        notes,
    };
    Ok((arrays, used))
}

/// The reader of this format.
#[derive(Debug)]
pub struct Svhn;

const SVHN: Descriptor = Descriptor {
    name: "svhn",
    aliases: &[],
    about: "SVHN cropped digits: folder of train_32x32.mat and test_32x32.mat",
    source: "",
    parameters: &[],
};

impl Described for Svhn {
    fn descriptor(&self) -> &Descriptor {
        &SVHN
    }
}

impl Reader for Svhn {
    fn detect(&self, folder: &Listing) -> bool {
        folder.any(is_mat)
    }

    fn detect_file(&self, name: &str) -> bool {
        is_mat(name)
    }

    fn splits_by_path(&self) -> bool {
        true
    }

    fn speaks_of(&self, name: &str) -> bool {
        is_mat(name)
    }

    fn read(&self, source: Source<'_>, options: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (arrays, files) = match source {
            Source::Folder(listing) => {
                read(&listing.folder, &listing.select(is_mat), options.parts)?
            }
            Source::File(path) => read(path, &[path.to_owned()], options.parts)?,
            other => return Err(other.unrecognized(self)),
        };
        Ok(Reading::arrays(files, arrays))
    }
}

fn is_mat(name: &str) -> bool {
    has_extension(name, &["mat"])
}
