//! CIFAR-10 and CIFAR-100, binary version: records of one label byte (CIFAR-100: a coarse and a fine
//! one), then 1,024 bytes each of red, green and blue
//! (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use std::path::{Path, PathBuf};

use batchscope_core::{InputShape, Task};

use batchscope_core::{Described, Descriptor};

use super::archive::{Member, member_name};
use super::reader::{Reader, ReaderOptions, Reading, Source};
use super::split_names::SplitName;
use crate::arrays::{Answers, ArrayPart, Arrays, InputRows};
use crate::error::DataError;
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

    /// The split a file of this name belongs to.
    pub(crate) fn split(self, name: &str) -> Option<SplitName> {
        match (self, name) {
            (Kind::Ten, "test_batch.bin") | (Kind::Hundred, "test.bin") => Some(SplitName::Test),
            (Kind::Hundred, "train.bin") => Some(SplitName::Train),
            (Kind::Ten, name) => {
                let number = name.strip_prefix("data_batch_")?.strip_suffix(".bin")?;
                number
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                    .then_some(SplitName::Train)
            }
            _ => None,
        }
    }

    fn names_file(self) -> &'static str {
        match self {
            Kind::Ten => "batches.meta.txt",
            Kind::Hundred => "fine_label_names.txt",
        }
    }
}

/// The set to which a file of this name belongs.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    [Kind::Ten, Kind::Hundred]
        .into_iter()
        .find(|kind| kind.split(name).is_some())
}

/// True for the files that are read.
pub(crate) fn is_wanted(name: &str) -> bool {
    kind_of(name).is_some() || name == Kind::Ten.names_file() || name == Kind::Hundred.names_file()
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
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        pixels.extend(
            red.iter()
                .zip(green)
                .zip(blue)
                .flat_map(|((&r, &g), &b)| [r, g, b]),
        );
    }
    Ok((pixels, labels))
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
    for (name, path, bytes) in files {
        let part = match kind.split(&name) {
            Some(SplitName::Test) => &mut test,
            Some(_) => &mut train,
            None => {
                if name == kind.names_file() {
                    names = Some(
                        String::from_utf8_lossy(&bytes)
                            .lines()
                            .map(str::trim)
                            .filter(|l| !l.is_empty())
                            .map(str::to_owned)
                            .collect::<Vec<_>>(),
                    );
                }
                continue;
            }
        };
        let (pixels, labels) = parse(&bytes, kind, &path)?;
        part.0.extend(pixels);
        part.1.extend(labels);
    }
    if train.1.is_empty() {
        return Err(DataError::NotFound {
            path: source.to_owned(),
            what: "no training batches (data_batch_1.bin … or train.bin)".into(),
            remedy: "give the folder or archive of the binary version".into(),
        });
    }
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
        notes: Vec::new(),
    })
}

/// The reader of one of the two sets.
#[derive(Debug)]
pub struct Cifar(pub Kind);

const CIFAR10: Descriptor = Descriptor {
    name: "cifar10",
    aliases: &[],
    about: "CIFAR-10 binary version: folder or .tar.gz",
    source: "",
    parameters: &[],
};

const CIFAR100: Descriptor = Descriptor {
    name: "cifar100",
    aliases: &[],
    about: "CIFAR-100 binary version: folder or .tar.gz (fine labels)",
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
        folder.any(|name| kind_of(name) == Some(self.0))
    }

    fn wants(&self, member: &Path) -> bool {
        is_wanted(&file_name(member))
    }

    fn detect_members(&self, members: &[Member]) -> bool {
        let mut kinds = members
            .iter()
            .filter_map(|member| kind_of(&file_name(&member.path)));
        kinds.next() == Some(self.0)
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
