//! What a path holds: finding the format out, and giving the files to their reader.

use std::fs;
use std::path::{Path, PathBuf};

use crate::arrays::Arrays;
use crate::dataset::name_of;
use crate::error::DataError;
use crate::glyphs::glyphs;
use crate::limits;
use crate::options::{Format, LoadOptions};
use crate::readers::split_names::SplitName;
use crate::readers::{archive, cifar, csv, frames, idx, images, kaldi, masks, npz, svhn};
use crate::text::{Corpus, corpus};

/// A source that has been read.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// The files read, or the folder of an image folder.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) content: Content,
}

/// What was in it.
pub(crate) enum Content {
    Arrays(Arrays),
    Text(Corpus),
}

/// A folder's visible files and subfolders, sorted by name.
pub(crate) struct Listing {
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<String>,
    folders: Vec<String>,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::io(folder, "list", source);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // Follows links: data folders are often linked.
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => folders.push(name),
                Ok(metadata) if metadata.is_file() => files.push(name),
                _ => {}
            }
        }
        files.sort();
        folders.sort();
        Ok(Self {
            folder: folder.to_owned(),
            files,
            folders,
        })
    }

    fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.files.iter().any(|name| test(name))
    }

    /// The files that `test` accepts.
    pub(crate) fn select(&self, test: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        self.files
            .iter()
            .filter(|name| test(name))
            .map(|name| self.folder.join(name))
            .collect()
    }
}

/// Subfolders are searched this deep for images and for the folder that holds the data.
const MAX_DEPTH: usize = 4;

/// Reads a source.
pub(crate) fn read(source: &str, options: &LoadOptions) -> Result<Found, DataError> {
    if source == Format::Glyphs.name() || options.format == Some(Format::Glyphs) {
        let content = Content::Arrays(glyphs(&options.glyphs)?);
        return Ok(Found {
            name: Format::Glyphs.name().into(),
            format: Format::Glyphs,
            files: Vec::new(),
            content,
        });
    }
    let path = Path::new(source);
    let name = name_of(path);
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => DataError::NoSuchPath {
            path: path.to_owned(),
            remedy: missing_remedy(source),
        },
        _ => DataError::io(path, "read", error),
    })?;
    let (format, files, content) = if metadata.is_dir() {
        folder(path, options, MAX_DEPTH)?
    } else {
        limits::expect_file(path, &metadata)?;
        file(path, options)?
    };
    Ok(Found {
        name,
        format,
        files,
        content,
    })
}

/// What to do when a path does not exist.
fn missing_remedy(source: &str) -> String {
    if crate::catalog::list()
        .iter()
        .any(|known| known.name == source)
    {
        return format!("download it with `batchscope data fetch {source}` and give that folder");
    }
    if source == "timit" {
        return "TIMIT is sold by the LDC (LDC93S1): give the folder of what Kaldi's recipe makes of it, \
                train/*.ark and test/*.ark of features and of frame labels"
            .to_owned();
    }
    format!("check the path '{source}', or use the built-in data set `glyphs`")
}

type Contents = (Format, Vec<PathBuf>, Content);

/// Reads a folder, going into its only subfolder where it holds nothing itself.
fn folder(path: &Path, options: &LoadOptions, depth: usize) -> Result<Contents, DataError> {
    let listing = Listing::read(path)?;
    if let Some(format) = detect_folder(&listing, options.format) {
        return read_folder(&listing, format, options);
    }
    // As downloaded: one archive and nothing else that is known.
    if let [only] = &listing.select(is_archive)[..] {
        return tar(only, options);
    }
    let inner = match &listing.folders[..] {
        [only] => Some(only.as_str()),
        folders => folders
            .iter()
            .map(String::as_str)
            .find(|name| *name == "raw"),
    };
    if let (Some(inner), true) = (inner, depth > 0) {
        return folder(&path.join(inner), options, depth - 1);
    }
    Err(unrecognized(path, options.format))
}

fn unrecognized(path: &Path, forced: Option<Format>) -> DataError {
    let formats: Vec<&str> = match forced {
        Some(forced) => Format::ALL
            .iter()
            .filter(|(format, ..)| *format == forced)
            .map(|(.., what)| *what)
            .collect(),
        None => Format::ALL[1..].iter().map(|(.., what)| *what).collect(),
    };
    DataError::NotFound {
        path: path.to_owned(),
        what: "holds no data that can be read".into(),
        remedy: format!("it should hold one of: {}", formats.join("; ")),
    }
}

/// The format of a folder's files, the most telling names first.
fn detect_folder(listing: &Listing, forced: Option<Format>) -> Option<Format> {
    let holds = |format: Format| match format {
        Format::Idx => listing.any(idx::is_images),
        Format::Cifar10 => listing.any(|name| cifar::kind_of(name) == Some(cifar::Kind::Ten)),
        Format::Cifar100 => listing.any(|name| cifar::kind_of(name) == Some(cifar::Kind::Hundred)),
        Format::Svhn => listing.any(|name| has_extension(name, &["mat"])),
        Format::Numpy => listing.any(is_array) || listing.select(is_npz).len() == 1,
        Format::Csv => listing.any(is_table),
        Format::Kaldi => listing
            .folders
            .iter()
            .any(|name| holds_archives(&listing.folder, name)),
        Format::Masks => {
            let mut found = [false; 2];
            holds_masks(&listing.folder, Path::new(""), MAX_DEPTH, &mut found).is_ok()
                && found == [true; 2]
        }
        Format::Images => listing
            .folders
            .iter()
            .any(|name| holds_images(&listing.folder.join(name), MAX_DEPTH)),
        Format::Text => listing.any(corpus::is_text),
        Format::Glyphs => false,
    };
    Format::ALL
        .iter()
        .map(|(format, ..)| *format)
        .find(|&format| forced.is_none_or(|f| f == format) && holds(format))
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, end)| extensions.contains(&end.to_ascii_lowercase().as_str()))
}

/// An `.npy` file named like inputs or labels.
fn is_array(name: &str) -> bool {
    name.strip_suffix(".npy")
        .is_some_and(|name| npz::split_of(name).is_some())
}

fn is_npz(name: &str) -> bool {
    has_extension(name, &["npz"])
}

fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn is_table(name: &str) -> bool {
    has_extension(name, &["csv", "tsv"])
}

/// True for the folder of a split with archives of Kaldi's in it.
fn holds_archives(folder: &Path, name: &str) -> bool {
    SplitName::of(name).is_some()
        && Listing::read(&folder.join(name)).is_ok_and(|inner| inner.any(frames::is_archive))
}

/// True when an image lies in the folder or below.
fn holds_images(folder: &Path, depth: usize) -> bool {
    let Ok(listing) = Listing::read(folder) else {
        return false;
    };
    listing.any(images::is_image)
        || depth > 0
            && listing
                .folders
                .iter()
                .any(|name| holds_images(&folder.join(name), depth - 1))
}

/// Notes whether images and masks by their folders' names lie in the folder or below.
fn holds_masks(
    root: &Path,
    below: &Path,
    depth: usize,
    found: &mut [bool; 2],
) -> Result<(), DataError> {
    visit_images(root, below, depth, &mut |path| match masks::place(&path) {
        Some((masks::Role::Image, ..)) => found[0] = true,
        Some((masks::Role::Mask, ..)) => found[1] = true,
        None => {}
    })
}

fn read_folder(
    listing: &Listing,
    format: Format,
    options: &LoadOptions,
) -> Result<Contents, DataError> {
    let folder = &listing.folder;
    match format {
        Format::Idx => {
            let pairs = idx::find(folder, &listing.files)?;
            let files = pairs
                .present()
                .flat_map(|pair| [pair.images.clone(), pair.labels.clone()])
                .collect();
            let arrays = idx::read(folder, pairs, false)?;
            Ok((format, files, Content::Arrays(arrays)))
        }
        Format::Cifar10 | Format::Cifar100 => {
            let kind = if format == Format::Cifar10 {
                cifar::Kind::Ten
            } else {
                cifar::Kind::Hundred
            };
            let files = listing.select(cifar::is_wanted);
            let contents = files
                .iter()
                .map(|path| Ok((file_name(path), path.clone(), limits::read_file(path)?)))
                .collect::<Result<_, DataError>>()?;
            Ok((
                format,
                files,
                Content::Arrays(cifar::assemble(folder, kind, contents)?),
            ))
        }
        Format::Masks => {
            let mut items = Vec::new();
            visit_images(folder, Path::new(""), MAX_DEPTH, &mut |path| {
                let content = images::Content::File(folder.join(&path));
                items.push(masks::Item { path, content });
            })?;
            Ok((
                format,
                vec![folder.clone()],
                Content::Arrays(masks::assemble(folder, items)?),
            ))
        }
        Format::Images => {
            let mut items = Vec::new();
            visit_images(folder, Path::new(""), MAX_DEPTH, &mut |path| {
                if let Some((split, class)) = images::place(&path) {
                    items.push(images::Item {
                        split,
                        class,
                        content: images::Content::File(folder.join(&path)),
                        path,
                    });
                }
            })?;
            Ok((
                format,
                vec![folder.clone()],
                Content::Arrays(images::assemble(folder, items)?),
            ))
        }
        Format::Kaldi => {
            let (mut archives, mut files) = (Vec::new(), Vec::new());
            for name in &listing.folders {
                if !holds_archives(folder, name) {
                    continue;
                }
                for file in Listing::read(&folder.join(name))?.select(frames::is_archive) {
                    let entries = kaldi::parse(&limits::read_file(&file)?, &file)?;
                    archives.extend(frames::Archive::new(file.clone(), name, entries));
                    files.push(file);
                }
            }
            let arrays = frames::assemble(folder, archives, &options.frames)?;
            Ok((format, files, Content::Arrays(arrays)))
        }
        Format::Svhn => {
            let (arrays, files) = svhn::read(
                folder,
                &listing.select(|name| has_extension(name, &["mat"])),
            )?;
            Ok((format, files, Content::Arrays(arrays)))
        }
        Format::Numpy => {
            let files = listing.select(is_array);
            if files.is_empty() {
                return read_npz(&listing.select(is_npz)[0], options);
            }
            let arrays = npz::assemble(folder, npz::read_files(&files)?, options.table.task)?;
            Ok((format, files, Content::Arrays(arrays)))
        }
        Format::Csv => {
            let files = listing.select(is_table);
            let arrays = csv::read(folder, &files, &options.table)?;
            Ok((format, files, Content::Arrays(arrays)))
        }
        Format::Text => read_text(folder, listing.select(corpus::is_text)),
        Format::Glyphs => Err(unrecognized(folder, Some(format))),
    }
}

fn read_npz(path: &Path, options: &LoadOptions) -> Result<Contents, DataError> {
    let arrays = npz::parse(&limits::read_file(path)?, path)?;
    let arrays = npz::assemble(path, arrays, options.table.task)?;
    Ok((
        Format::Numpy,
        vec![path.to_owned()],
        Content::Arrays(arrays),
    ))
}

/// Reads text files; those whose names say a split, where any does.
fn read_text(source: &Path, mut files: Vec<PathBuf>) -> Result<Contents, DataError> {
    let named = |file: &PathBuf| SplitName::within(&file_name(file)).is_some();
    if files.len() > 1 && files.iter().any(named) {
        files.retain(named);
    }
    let content = corpus::read(source, &files)?;
    Ok((Format::Text, files, Content::Text(content)))
}

/// Calls `f` with the path below `root` of every image in the folder `below` and its subfolders.
fn visit_images(
    root: &Path,
    below: &Path,
    depth: usize,
    f: &mut impl FnMut(PathBuf),
) -> Result<(), DataError> {
    let listing = Listing::read(&root.join(below))?;
    for name in listing.files.iter().filter(|name| images::is_image(name)) {
        f(below.join(name));
    }
    if depth > 0 {
        for name in &listing.folders {
            visit_images(root, &below.join(name), depth - 1, f)?;
        }
    }
    Ok(())
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Reads a single file.
fn file(path: &Path, options: &LoadOptions) -> Result<Contents, DataError> {
    let name = file_name(path);
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if is_archive(&name) {
        return tar(path, options);
    }
    if idx::is_images(&name) {
        let listing = Listing::read(folder)?;
        let files: Vec<String> = listing
            .files
            .into_iter()
            .filter(|other| *other == name || !idx::is_images(other))
            .collect();
        let pairs = idx::find(folder, &files)?;
        let files = pairs
            .present()
            .flat_map(|pair| [pair.images.clone(), pair.labels.clone()])
            .collect();
        return Ok((
            Format::Idx,
            files,
            Content::Arrays(idx::read(folder, pairs, true)?),
        ));
    }
    let files = vec![path.to_owned()];
    let format = options.format.or_else(|| {
        if is_table(&name) {
            Some(Format::Csv)
        } else if has_extension(&name, &["npz", "npy"]) {
            Some(Format::Numpy)
        } else if has_extension(&name, &["mat"]) {
            Some(Format::Svhn)
        } else {
            corpus::is_text(&name).then_some(Format::Text)
        }
    });
    match format {
        Some(Format::Csv) => Ok((
            Format::Csv,
            files.clone(),
            Content::Arrays(csv::read(path, &files, &options.table)?),
        )),
        Some(Format::Numpy) if is_array(&name) => self::folder(
            folder,
            &LoadOptions {
                format,
                ..options.clone()
            },
            0,
        ),
        Some(Format::Numpy) => read_npz(path, options),
        Some(Format::Svhn) => {
            let (arrays, files) = svhn::read(path, &files)?;
            Ok((Format::Svhn, files, Content::Arrays(arrays)))
        }
        Some(Format::Text) => read_text(path, files),
        _ => Err(unrecognized(path, options.format)),
    }
}

/// Reads a tar archive: CIFAR's binary version, or an image folder.
fn tar(path: &Path, options: &LoadOptions) -> Result<Contents, DataError> {
    let bytes = limits::read_file(path)?;
    let mut wanted = |member: &Path| {
        let name = file_name(member);
        images::is_image(&name) || cifar::is_wanted(&name)
    };
    let members = archive::parse(&bytes, path, &mut wanted)?;
    drop(bytes);
    let kind = match options.format {
        Some(Format::Images | Format::Masks) => None,
        Some(Format::Cifar10) => Some(cifar::Kind::Ten),
        Some(Format::Cifar100) => Some(cifar::Kind::Hundred),
        None => members
            .iter()
            .find_map(|member| cifar::kind_of(&file_name(&member.path))),
        Some(other) => return Err(unrecognized(path, Some(other))),
    };
    let files = vec![path.to_owned()];
    if let Some(kind) = kind {
        let contents = members
            .into_iter()
            .filter(|member| cifar::is_wanted(&file_name(&member.path)))
            .map(|member| {
                (
                    file_name(&member.path),
                    archive::member_name(path, &member.path),
                    member.bytes,
                )
            })
            .collect();
        let format = if kind == cifar::Kind::Ten {
            Format::Cifar10
        } else {
            Format::Cifar100
        };
        return Ok((
            format,
            files,
            Content::Arrays(cifar::assemble(path, kind, contents)?),
        ));
    }
    let roles = || {
        members
            .iter()
            .filter_map(|member| masks::place(&member.path))
    };
    let holds = |role| roles().any(|(found, ..)| found == role);
    let masked = match options.format {
        Some(format) => format == Format::Masks,
        None => holds(masks::Role::Image) && holds(masks::Role::Mask),
    };
    if masked {
        let items = members
            .into_iter()
            .filter(|member| images::is_image(&file_name(&member.path)))
            .map(|member| masks::Item {
                path: member.path,
                content: images::Content::Bytes(member.bytes),
            })
            .collect();
        return Ok((
            Format::Masks,
            files,
            Content::Arrays(masks::assemble(path, items)?),
        ));
    }
    let items = members
        .into_iter()
        .filter(|member| images::is_image(&file_name(&member.path)))
        .filter_map(|member| {
            let (split, class) = images::place(&member.path)?;
            Some(images::Item {
                split,
                class,
                path: member.path,
                content: images::Content::Bytes(member.bytes),
            })
        })
        .collect();
    Ok((
        Format::Images,
        files,
        Content::Arrays(images::assemble(path, items)?),
    ))
}
