//! What a path holds: finding its reader, and giving it the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::arrays::{Answers, Arrays};
use crate::error::DataError;
use crate::left_out;
use crate::limits;
use crate::listing::{Listing, MAX_DEPTH};
use crate::load::LoadOptions;
use crate::paths::{self, file_name, has_extension, is_archive, name_of, parent};
use crate::readers::archive::{self, Contents};
use crate::readers::csv::may_be_table;
use crate::readers::images::is_image;
use crate::readers::{
    Content, Format, READERS, Reader, Reading, Source, items, layout, unrecognized,
};

/// A source that has been read.
pub(crate) struct ReadSource {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The files read, or the folder of an image folder.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) content: Content,
}

/// Reads a source.
pub(crate) fn read(source: &str, options: &LoadOptions) -> Result<ReadSource, DataError> {
    let asked = options.format.map(Format::reader);
    if let Some(reader) = built_in(source).or(asked.filter(|reader| reader.is_built_in())) {
        let reading = read_by(reader, Source::BuiltIn, options)?;
        let name = reader.descriptor().name.to_owned();
        return Ok(finished(name, reader, reading));
    }
    if source.is_empty() {
        return Err(DataError::setting(
            "data",
            "the path is empty: give a file or folder",
        ));
    }
    let path = Path::new(source);
    let name = name_of(path);
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(source),
        _ => DataError::io(path, "read", error),
    })?;
    let (reader, reading) = if metadata.is_dir() {
        if path
            .canonicalize()
            .is_ok_and(|path| path.parent().is_none())
        {
            return Err(DataError::malformed(
                path,
                "is the root of all files",
                "give the folder that holds the data",
            ));
        }
        folder(path, options, MAX_DEPTH)?
    } else {
        limits::expect_file(path, &metadata)?;
        file(path, options)?
    };
    if let Content::Arrays(arrays) = &reading.content {
        expect_classes(path, arrays)?;
    }
    Ok(finished(name, reader, reading))
}

/// Reads a source by a reader, once the settings are known to be for it.
fn read_by(
    reader: &dyn Reader,
    source: Source<'_>,
    options: &LoadOptions,
) -> Result<Reading, DataError> {
    expect_settings(reader, options)?;
    reader.read(source, options.of_readers())
}

/// Refuses settings that the reader does not follow: without a word, they would seem to have an effect.
fn expect_settings(reader: &dyn Reader, options: &LoadOptions) -> Result<(), DataError> {
    let followed = reader.settings();
    let mut particular = options.particular().into_iter();
    if let Some(setting) = particular.find(|setting| !followed.contains(setting)) {
        return Err(DataError::setting(
            setting,
            format!(
                "has no effect on data of the format {}: take the setting out",
                reader.descriptor().name
            ),
        ));
    }
    if options.parts.validation.is_some() && options.validation.is_some() {
        return Err(DataError::setting(
            "validation-part",
            "names the validation part, so none of the training part is held out: give no number for it",
        ));
    }
    match options.parts.set().next() {
        Some((setting, ..)) if !reader.splits_by_path() => Err(DataError::setting(
            setting,
            format!(
                "parts of the format {} cannot be named by paths: take the setting out",
                reader.descriptor().name
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses a training part of one class: there is nothing to tell apart.
fn expect_classes(path: &Path, arrays: &Arrays) -> Result<(), DataError> {
    let only = match &arrays.train.answers {
        Answers::Classes(classes) => classes
            .first()
            .filter(|&first| classes.iter().all(|c| c == first)),
        Answers::Values(_) | Answers::Masks(_) => None,
    };
    let Some(&only) = only else { return Ok(()) };
    let name = arrays.classes.get(only as usize).cloned();
    Err(DataError::malformed(
        path,
        format!(
            "all its labels are the same: every training example is of class {}",
            name.unwrap_or_else(|| only.to_string())
        ),
        "give examples of at least two classes",
    ))
}

/// The reader that makes built-in data of this name.
fn built_in(source: &str) -> Option<&'static dyn Reader> {
    let mut readers = READERS.all.iter().copied();
    readers.find(|reader| reader.is_built_in() && reader.descriptor().name == source)
}

/// True for the name of built-in data, which is not a path.
pub fn is_built_in(source: &str) -> bool {
    built_in(source).is_some()
}

fn finished(name: String, reader: &'static dyn Reader, reading: Reading) -> ReadSource {
    ReadSource {
        name,
        format: Format::of(reader),
        files: reading.files,
        content: reading.content,
    }
}

/// The readers that may read: the one asked for, or all.
fn candidates(options: &LoadOptions) -> Vec<&'static dyn Reader> {
    match options.format {
        Some(format) => vec![format.reader()],
        None => READERS.all.to_vec(),
    }
}

/// The error of a path that no candidate can read; `names` are the files there.
fn refuse(path: &Path, names: &[String], options: &LoadOptions) -> DataError {
    let named = |test: &dyn Fn(&str) -> bool| -> Vec<&str> {
        names
            .iter()
            .map(String::as_str)
            .filter(|name| test(name))
            .collect()
    };
    let packed = named(&paths::is_packed);
    if !packed.is_empty() {
        return DataError::malformed(
            path,
            left_out::counted("files are packed in a way that is not read", &packed),
            "unpack it first: only .zip, .tar, .tar.gz and the .gz files of tables, IDX and Kaldi are read packed",
        );
    }
    let archives = named(&is_archive);
    if archives.len() > 1 {
        return DataError::malformed(
            path,
            left_out::counted("archives lie here", &archives),
            "give one of them, or unpack them into one folder",
        );
    }
    let images = named(&is_image);
    if !images.is_empty() {
        return DataError::malformed(
            path,
            left_out::counted("images lie in no class folder", &images),
            layout::REMEDY,
        );
    }
    let images: Vec<&str> = named(&|name| items::is_other_image(Path::new(name)));
    if !images.is_empty() {
        return DataError::malformed(
            path,
            left_out::counted("images are of kinds that are not read", &images),
            "convert them to PNG or JPEG, and put them into class folders",
        );
    }
    // Only what lies here: what a folder here holds is not read as a table.
    let tables = named(&|name| !name.contains('/') && may_be_table(name));
    if !tables.is_empty() && options.format.is_none() {
        return DataError::malformed(
            path,
            left_out::counted("files may be tables or something else", &tables),
            "name the format if they are tables: `format` csv",
        );
    }
    let others = named(&|name| {
        has_extension(
            name,
            &["xlsx", "xls", "ods", "parquet", "feather", "json", "jsonl"],
        )
    });
    if !others.is_empty() {
        return DataError::malformed(
            path,
            left_out::counted("files are of kinds that are not read", &others),
            "save the table as .csv, with one row for each example",
        );
    }
    let asked = options.format.is_some();
    let candidates = candidates(options).into_iter();
    unrecognized(
        path,
        candidates.filter(|reader| asked || !reader.is_built_in()),
    )
}

/// The error of a path that does not exist.
fn missing(source: &str) -> DataError {
    if let Some(known) = crate::catalog::list().iter().find(|k| k.name == source) {
        return DataError::NotFetched { name: known.name };
    }
    let remedy = match source {
        "timit" => {
            "TIMIT is sold by the LDC (LDC93S1): give the folder of what Kaldi's recipe makes of it, \
             train/*.ark and test/*.ark of features and of frame labels"
        }
        _ => "check the path, or use the built-in data set `glyphs`",
    };
    DataError::NoSuchPath {
        path: source.into(),
        remedy: remedy.to_owned(),
    }
}

type ReadBy = (&'static dyn Reader, Reading);

/// A note of what lies in a folder beside the files that were read. A file that was read unpacked is not
/// missed where it lies packed too.
fn note_unread(listing: &Listing, reader: &dyn Reader, reading: &mut Reading) {
    let read = |name: &str| reading.files.contains(&listing.folder.join(name));
    let unread = |name: &&String| {
        !read(name) && !name.strip_suffix(".gz").is_some_and(read) && !reader.speaks_of(name)
    };
    let mut left_out: Vec<PathBuf> = listing
        .files
        .iter()
        .filter(unread)
        .map(PathBuf::from)
        .collect();
    let folders = listing.folders.iter().map(|name| format!("{name}/"));
    let leads_to_read = |name: &String| {
        let folder = listing.folder.join(name);
        reading.files.iter().any(|file| file.starts_with(&folder))
    };
    let unread = folders.filter(|name| !leads_to_read(name) && !reader.speaks_of(name));
    left_out.extend(unread.map(PathBuf::from));
    let what = "files and folders beside the data were left out";
    left_out::note(reading.notes(), what, &left_out);
}

/// Reads a folder, going into its only subfolder where it holds nothing itself.
fn folder(path: &Path, options: &LoadOptions, depth: usize) -> Result<ReadBy, DataError> {
    let mut listing = Listing::read(path)?;
    listing.include(&options.parts)?;
    let mut readers = candidates(options).into_iter();
    let asked = options.format.is_some();
    let detects = |reader: &&dyn Reader| match asked {
        true => reader.detect_asked(&listing),
        false => reader.detect(&listing),
    };
    if let Some(reader) = readers.find(detects) {
        let mut reading = read_by(reader, Source::Folder(&listing), options)?;
        note_unread(&listing, reader, &mut reading);
        let what = "names are not UTF-8 or lead to no file, and were left out";
        if !reader.splits_by_path() || listing.folders.is_empty() {
            left_out::note(reading.notes(), what, &listing.odd);
        }
        return Ok((reader, reading));
    }
    // As downloaded: one archive and nothing else that is known.
    if let [only] = &listing.select(is_archive)[..] {
        return archive(only, options);
    }
    let inner = match &listing.folders[..] {
        [only] => Some(only.as_str()),
        folders => folders
            .iter()
            .map(String::as_str)
            .find(|name| *name == "raw"),
    };
    if let (Some(inner), true) = (inner, depth > 0) {
        let (reader, mut reading) = folder(&path.join(inner), options, depth - 1)?;
        note_unread(&listing, reader, &mut reading);
        return Ok((reader, reading));
    }
    let files = listing.walk()?.files.iter();
    let files: Vec<String> = files
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    Err(refuse(path, &files, options))
}

/// Reads a single file: by the reader asked for, or by its name. Where parts are named, it is the
/// training part among the files of its folder.
fn file(path: &Path, options: &LoadOptions) -> Result<ReadBy, DataError> {
    let name = file_name(path);
    if is_archive(&name) {
        return archive(path, options);
    }
    let mut readers = candidates(options).into_iter();
    let asked = options.format.is_some();
    let reader = readers.find(|reader| asked || reader.detect_file(&name));
    let reader = reader.ok_or_else(|| refuse(path, std::slice::from_ref(&name), options))?;
    if options.parts.is_empty() {
        let reading = read_by(reader, Source::File(path), options)?;
        return Ok((reader, reading));
    }
    let mut options = options.clone();
    options.parts.train.get_or_insert(name);
    let mut listing = Listing::read(parent(path))?;
    listing.include(&options.parts)?;
    let mut reading = read_by(reader, Source::Folder(&listing), &options)?;
    note_unread(&listing, reader, &mut reading);
    Ok((reader, reading))
}

/// Reads an archive.
fn archive(path: &Path, options: &LoadOptions) -> Result<ReadBy, DataError> {
    let bytes = limits::read_file(path)?;
    let readers = candidates(options);
    let mut wanted = |member: &Path| readers.iter().any(|reader| reader.wants(member));
    let Contents {
        members,
        others,
        links,
    } = archive::parse(&bytes, path, &mut wanted)?;
    drop(bytes);
    let asked = options.format.is_some();
    let claims = |reader: &&dyn Reader| asked || reader.detect_members(&members);
    let reader = readers.iter().copied().find(|reader| claims(reader));
    let reader = reader.ok_or_else(|| refuse(path, &[], options))?;
    if members.is_empty() {
        return Err(DataError::NotFound {
            path: path.to_owned(),
            what: left_out::counted(
                "files lie in it, no PNG or JPEG or CIFAR batch among them",
                &others,
            ),
            remedy: "only images and CIFAR are read from archives: unpack it and give the folder"
                .into(),
        });
    }
    let mut reading = read_by(reader, Source::Archive(path, members), options)?;
    items::note_others(reading.notes(), others);
    left_out::note(
        reading.notes(),
        "links and special files of the archive were left out",
        &links,
    );
    Ok((reader, reading))
}
