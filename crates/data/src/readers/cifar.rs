//! CIFAR-10 and CIFAR-100 (<https://www.cs.toronto.edu/~kriz/cifar.html>). Binary version: records of
//! one label byte (CIFAR-100: a coarse and a fine one), then 1,024 bytes each of red, green and blue.
//! Python version: pickled arrays of the same rows.

use std::path::{Path, PathBuf};

use batchscope_core::{Described, Descriptor, InputShape, Task};

use super::archive::{Member, member_name};
use super::pickle::Pickle;
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::SplitName;
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
use crate::inferred::Inferred;
use crate::left_out::{self, shown};
use crate::limits;
use crate::listing::Listing;
use crate::paths::file_name;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100, fine labels.
    Hundred,
}

impl Kind {
    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Kind::Ten => 10,
            Kind::Hundred => 100,
        }
    }

    fn label_bytes(self) -> usize {
        match self {
            Kind::Ten => 1,
            Kind::Hundred => 2,
        }
    }

    /// What a file of this name is.
    fn role(self, name: &str) -> Option<Role> {
        let (plain, version) = match name.strip_suffix(".bin") {
            Some(plain) => (plain, Version::Binary),
            None => (name, Version::Python),
        };
        let names = match self {
            Kind::Ten => ["batches.meta.txt", "batches.meta"],
            Kind::Hundred => ["fine_label_names.txt", "meta"],
        };
        let number = plain.strip_prefix("data_batch_").unwrap_or_default();
        let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let split = match (self, plain) {
            _ if name == names[0] => return Some(Role::Names(Version::Binary)),
            _ if name == names[1] => return Some(Role::Names(Version::Python)),
            (Kind::Ten, "test_batch") | (Kind::Hundred, "test") => SplitName::Test,
            (Kind::Hundred, "train") => SplitName::Train,
            (Kind::Ten, _) if numbered => SplitName::Train,
            _ => return None,
        };
        Some(Role::Batch(version, split))
    }

    /// The version of the set that files of these names are, if they are its training files. Those of
    /// CIFAR-100 in Python have plain names: they count with their `meta` beside them.
    fn version<'a>(self, names: impl Iterator<Item = &'a str> + Clone) -> Option<Version> {
        let holds = |role| names.clone().any(|name| self.role(name) == Some(role));
        let batches = |version| {
            let splits = [SplitName::Train, SplitName::Test];
            splits
                .into_iter()
                .any(|split| holds(Role::Batch(version, split)))
        };
        if batches(Version::Binary) {
            return Some(Version::Binary);
        }
        let named = self == Kind::Ten || holds(Role::Names(Version::Python));
        (named && batches(Version::Python)).then_some(Version::Python)
    }
}

/// In which form the set is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Records of bytes.
    Binary,
    /// Pickled arrays: what torchvision downloads.
    Python,
}

/// What a file of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Batch(Version, SplitName),
    Names(Version),
}

/// True for the files that are read.
fn is_wanted(name: &str) -> bool {
    [Kind::Ten, Kind::Hundred]
        .iter()
        .any(|kind| kind.role(name).is_some())
}

/// Parses a batch file: pixels channels last, and labels. `file` is named in errors.
///
/// # Errors
/// When the length is not a whole number of records, there is none, or a label is out of range.
pub fn parse(bytes: &[u8], kind: Kind, file: &Path) -> Result<(Vec<u8>, Vec<u32>), DataError> {
    let record = kind.label_bytes() + 3 * PLANE;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        return Err(DataError::corrupt(
            file,
            format!(
                "has {} bytes, not a whole number of records of {record}",
                bytes.len()
            ),
        ));
    }
    let count = bytes.len() / record;
    let (mut pixels, mut labels) = (
        Vec::with_capacity(count * 3 * PLANE),
        Vec::with_capacity(count),
    );
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (label, planes) = record.split_at(kind.label_bytes());
        let label = label[label.len() - 1];
        if usize::from(label) >= kind.classes() {
            return Err(DataError::corrupt(
                file,
                format!("record {i} has label {label} of {} classes", kind.classes()),
            ));
        }
        labels.push(u32::from(label));
        append(planes, &mut pixels);
    }
    Ok((pixels, labels))
}

/// Appends an image given as planes of red, green and blue, channels last.
fn append(planes: &[u8], pixels: &mut Vec<u8>) {
    let (red, rest) = planes.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    pixels.extend(
        red.iter()
            .zip(green)
            .zip(blue)
            .flat_map(|((&r, &g), &b)| [r, g, b]),
    );
}

/// Parses a batch of the Python version, as [`parse`]. Its pickle is not run.
///
/// # Errors
/// When the file is no pickle of such a batch, or a label is out of range.
pub fn parse_python(
    bytes: &[u8],
    kind: Kind,
    file: &Path,
) -> Result<(Vec<u8>, Vec<u32>), DataError> {
    let pickle = Pickle::parse(bytes, file)?;
    let rows = pickle.rows("data", 3 * PLANE)?;
    let name = match kind {
        Kind::Ten => "labels",
        Kind::Hundred => "fine_labels",
    };
    let labels = pickle.integers(name).unwrap_or_default();
    let count = rows.len() / (3 * PLANE);
    if count == 0 || labels.len() != count {
        return Err(DataError::corrupt(
            file,
            format!("holds {} numbers '{name}' for {count} images", labels.len()),
        ));
    }
    let label = |&label: &i64| {
        let known = u32::try_from(label)
            .ok()
            .filter(|&label| (label as usize) < kind.classes());
        known.ok_or_else(|| {
            DataError::corrupt(
                file,
                format!("has label {label} of {} classes", kind.classes()),
            )
        })
    };
    let labels = labels.iter().map(label).collect::<Result<_, _>>()?;
    let mut pixels = Vec::with_capacity(rows.len());
    rows.chunks_exact(3 * PLANE)
        .for_each(|planes| append(planes, &mut pixels));
    Ok((pixels, labels))
}

/// The class names in a file of them.
fn class_names(
    version: Version,
    kind: Kind,
    bytes: &[u8],
    file: &Path,
) -> Result<Vec<String>, DataError> {
    let field = match (version, kind) {
        (Version::Binary, _) => {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            return Ok(lines.map(str::to_owned).collect());
        }
        (Version::Python, Kind::Ten) => "label_names",
        (Version::Python, Kind::Hundred) => "fine_label_names",
    };
    Ok(Pickle::parse(bytes, file)?.names(field).unwrap_or_default())
}

/// Puts the named files of a folder or archive together; they come in any order.
pub(crate) fn assemble(
    source: &Path,
    kind: Kind,
    mut files: Vec<(String, PathBuf, Vec<u8>)>,
) -> Result<Arrays, DataError> {
    files.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
    let (mut train, mut test, mut names) = (
        <(Vec<u8>, Vec<u32>)>::default(),
        <(Vec<u8>, Vec<u32>)>::default(),
        None,
    );
    for pair in files.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(DataError::malformed(
                &pair[1].1,
                format!("is there twice (also {})", pair[0].1.display()),
                "keep one of them",
            ));
        }
    }
    let version = kind.version(files.iter().map(|(name, ..)| name.as_str()));
    let (mut used, mut left_out) = (Vec::new(), Vec::new());
    for (name, path, bytes) in files {
        let part = match kind.role(&name) {
            Some(Role::Batch(found, split)) if Some(found) == version => {
                used.push(name);
                if split == SplitName::Test {
                    &mut test
                } else {
                    &mut train
                }
            }
            Some(Role::Names(found)) if Some(found) == version => {
                names = Some(class_names(found, kind, &bytes, &path)?);
                continue;
            }
            _ => {
                left_out.push(name);
                continue;
            }
        };
        let (pixels, labels) = match version {
            Some(Version::Python) => parse_python(&bytes, kind, &path)?,
            _ => parse(&bytes, kind, &path)?,
        };
        part.0.extend(pixels);
        part.1.extend(labels);
    }
    if train.1.is_empty() {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "no training batches (data_batch_1.bin … or train.bin)".into(),
            remedy: "give the whole folder or archive of one version".into(),
        });
    }
    let notes = notes(
        kind,
        version,
        &used,
        (train.1.len(), test.1.len()),
        &left_out,
    );
    let classes = kind.classes();
    let names = names
        .filter(|names| names.len() == classes)
        .unwrap_or_else(|| (0..classes).map(|c| c.to_string()).collect());
    let part = |(pixels, labels)| ArrayPart {
        inputs: InputRows::Bytes(pixels),
        answers: Answers::Classes(labels),
    };
    Ok(Arrays {
        input: InputShape::Image {
            height: SIDE,
            width: SIDE,
            channels: 3,
        },
        task: Task::Classify { classes },
        train: part(train),
        validation: None,
        test: (!test.1.is_empty()).then(|| part(test)),
        classes: names,
        notes,
    })
}

/// What was read, and what of the published set is missing.
fn notes(
    kind: Kind,
    version: Option<Version>,
    used: &[String],
    (train, test): (usize, usize),
    left_out: &[String],
) -> Vec<String> {
    let is_test = |name: &&String| name.starts_with("test");
    let (tests, trains): (Vec<_>, Vec<_>) = used.iter().partition(is_test);
    let mut inferred = Inferred::default();
    if version == Some(Version::Python) {
        inferred.took("format", "the Python version, its pickles read and not run");
    }
    inferred.took("train", format!("{} ({train})", shown(&trains)));
    if test > 0 {
        inferred.took("test", format!("{} ({test})", shown(&tests)));
    }
    inferred.took("classes", format!("the set's {}", kind.classes()));
    let mut notes = Vec::from_iter(inferred.line());
    if kind == Kind::Ten {
        let end = if version == Some(Version::Binary) {
            ".bin"
        } else {
            ""
        };
        let published = (1..=5).map(|number| format!("data_batch_{number}{end}"));
        let missing: Vec<String> = published.filter(|name| !used.contains(name)).collect();
        left_out::note(
            &mut notes,
            "of the 5 published training batches are missing",
            &missing,
        );
    }
    left_out::note(
        &mut notes,
        "files belong to another version and were left out",
        left_out,
    );
    notes
}

/// The reader of one of the two sets.
#[derive(Debug)]
pub struct Cifar(pub Kind);

const CIFAR10: Descriptor = Descriptor {
    name: "cifar10",
    aliases: &[],
    about: "CIFAR-10, binary or Python version: folder or .tar.gz",
    source: "",
    parameters: &[],
};

const CIFAR100: Descriptor = Descriptor {
    name: "cifar100",
    aliases: &[],
    about: "CIFAR-100, binary or Python version: folder or .tar.gz (fine labels)",
    source: "",
    parameters: &[],
};

impl Described for Cifar {
    fn descriptor(&self) -> &Descriptor {
        match self.0 {
            Kind::Ten => &CIFAR10,
            Kind::Hundred => &CIFAR100,
        }
    }
}

impl Reader for Cifar {
    fn detect(&self, folder: &Listing) -> bool {
        self.0
            .version(folder.files.iter().map(String::as_str))
            .is_some()
    }

    /// What is published beside the batches holds no examples.
    fn speaks_of(&self, name: &str) -> bool {
        ["batches.meta", "batches.meta.txt", "meta", "readme.html"].contains(&name)
    }

    fn wants(&self, member: &Path) -> bool {
        is_wanted(&file_name(member))
    }

    fn detect_members(&self, members: &[Member]) -> bool {
        let names: Vec<String> = members
            .iter()
            .map(|member| file_name(&member.path))
            .collect();
        self.0.version(names.iter().map(String::as_str)).is_some()
    }

    fn read(&self, source: Source<'_>, _: ReaderOptions<'_>) -> Result<Reading, DataError> {
        let (path, files, contents) = match source {
            Source::Folder(listing) => {
                let files = listing.select(is_wanted);
                let read =
                    |path: &PathBuf| Ok((file_name(path), path.clone(), limits::read_file(path)?));
                let contents = files.iter().map(read).collect::<Result<_, DataError>>()?;
                (listing.folder.as_path(), files, contents)
            }
            Source::Archive(path, mut members) => {
                members.retain(|member| self.wants(&member.path));
                let named = |member: Member| {
                    let place = member_name(path, &member.path);
                    (file_name(&member.path), place, member.bytes)
                };
                let contents = members.into_iter().map(named).collect();
                (path, vec![path.to_owned()], contents)
            }
            other => return Err(other.unrecognized(self)),
        };
        Ok(Reading::arrays(files, assemble(path, self.0, contents)?))
    }
}
