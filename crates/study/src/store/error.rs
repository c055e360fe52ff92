use std::path::PathBuf;

use crate::Remedy;

/// Why a store failed. Nothing that was finished before is lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process is at work on the study.
    #[error(
        "{} is in use by {}",
        path.display(),
        holder.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The number of the process that holds it, if it is known.
        holder: Option<u32>,
    },
    /// A later version wrote it.
    #[error(
        "{} was written by a later batchscope (layout {found}, this version reads layouts up to {known})",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// The latest layout this program reads.
        known: i64,
    },
    /// It is something else.
    #[error("{} is not a batchscope study: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// It is damaged.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// It has lost changes that were stored: its write-ahead log is damaged or gone.
    #[error(
        "{} lacks the last {changes} changes that were stored: its write-ahead log (-wal) is damaged or was removed",
        path.display()
    )]
    Behind {
        /// The database.
        path: PathBuf,
        /// Changes lost, at least.
        changes: u64,
        /// The file that knows of them.
        kept: PathBuf,
    },
    /// It was removed or replaced while it was in use.
    #[error("{} was removed or replaced while the study ran", path.display())]
    Gone {
        /// Where the database was.
        path: PathBuf,
    },
    /// SQLite takes no path so long.
    #[error(
        "the path of the database is too long: {length} bytes, at most {longest} are possible ({})",
        path.display()
    )]
    LongPath {
        /// The database.
        path: PathBuf,
        /// Bytes of its absolute path.
        length: usize,
        /// Most bytes.
        longest: usize,
    },
    /// The disk is full.
    #[error("no room to write {}; every finished trial is stored", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}: {why}; every finished trial is stored", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A move that the contract does not allow: a fault of batchscope.
    #[error("trial {id} cannot be {wanted}, it is {state}")]
    State {
        /// The trial.
        id: u64,
        /// What was asked.
        wanted: &'static str,
        /// What it is.
        state: &'static str,
    },
}

impl StoreError {
    /// What can be done about it, the likeliest first.
    pub fn remedies(&self) -> Vec<Remedy> {
        match self {
            Self::Locked { .. } => vec![Remedy::EndHolder, Remedy::OtherFolder],
            Self::Newer { .. } => vec![Remedy::LaterVersion, Remedy::OtherFolder],
            Self::Foreign { path, .. } => {
                vec![Remedy::OtherFolder, Remedy::MoveAway(path.clone())]
            }
            Self::Damaged { path, .. } => vec![
                Remedy::RestoreCopy(path.clone()),
                Remedy::MoveAway(path.clone()),
            ],
            Self::Behind { path, kept, .. } => vec![
                Remedy::RestoreCopy(path.clone()),
                Remedy::GoOnWithout(kept.clone()),
            ],
            Self::LongPath { .. } => vec![Remedy::OtherFolder],
            Self::Full { .. } => vec![Remedy::FreeSpace],
            Self::Io { .. } | Self::Gone { .. } => vec![Remedy::RunAgain],
            Self::State { .. } => vec![Remedy::Report],
        }
    }
}
