use std::io;
use std::path::{Path, PathBuf};

/// Why data could not be read, split or fetched. Every message names the file or the setting, says
/// what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was tried: `read`, `create`, …
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file's content is not what its format promises.
    #[error("{}: {what}; {remedy}", file.display())]
    Malformed {
        /// The file; inside an archive, `archive:member`.
        file: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A file asks for more memory than the readers grant.
    #[error("{}: {what} would take {bytes} bytes, above the limit of {limit}; use a smaller data set, or split the file", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// What would be so large.
        what: &'static str,
        /// Bytes it would take.
        bytes: u128,
        /// Bytes that are granted.
        limit: u64,
    },
    /// The path that was given does not exist.
    #[error("{}: there is no such file or folder; {remedy}", path.display())]
    NoSuchPath {
        /// The path that was given.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// The path that was given does not exist, but a data set of that name can be fetched.
    #[error("'{name}' is not here; fetch the data set of that name and give its folder")]
    NotFetched {
        /// The name.
        name: &'static str,
    },
    /// Nothing readable is there.
    #[error("{}: {what}; {remedy}", path.display())]
    NotFound {
        /// The path that was given.
        path: PathBuf,
        /// What was looked for.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A setting does not go with the data.
    #[error("{setting}: {why}")]
    Setting {
        /// The setting's name, as in settings files.
        setting: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// No data set of that name can be fetched.
    #[error("'{name}' is not a data set that can be fetched: choose one of {choices}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What there is.
        choices: String,
    },
    /// This build downloads nothing.
    #[error(
        "this build of batchscope lacks the feature `download`: build it with `--features download`, or put the files into place by hand"
    )]
    NoDownloads,
    /// A download failed; what has arrived is kept, so that fetching again continues.
    #[error(
        "{url}: {why}; fetch again to continue the download, or put the file into place by hand"
    )]
    Download {
        /// The address.
        url: String,
        /// What happened.
        why: String,
    },
    /// A download is complete and is not the published file.
    #[error("{}: the download has MD5 {found}, the published file {expected}; it was removed: fetch it again, and if that repeats, the address serves another file", file.display())]
    Checksum {
        /// Where the file would have gone.
        file: PathBuf,
        /// The published checksum.
        expected: String,
        /// The checksum of what arrived.
        found: String,
    },
}

impl DataError {
    pub(crate) fn malformed(
        file: &Path,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            file: file.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Content that contradicts itself: the usual remedy is the original file.
    pub(crate) fn corrupt(file: &Path, what: impl Into<String>) -> Self {
        Self::malformed(
            file,
            what,
            "the file is damaged or of another format: fetch it again",
        )
    }

    pub(crate) fn io(file: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            file: file.to_owned(),
            action,
            source,
        }
    }

    pub(crate) fn setting(setting: &'static str, why: impl Into<String>) -> Self {
        Self::Setting {
            setting,
            why: why.into(),
        }
    }
}
